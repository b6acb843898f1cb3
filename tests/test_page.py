"""What the server renders before the script takes over."""

from __future__ import annotations

from typing import Any

import pytest
from django.template.loader import render_to_string

from chat.templatetags.prose import prose
from chat.templatetags.transcript import duration, gist, one_line, work
from tests.browser.test_hostile import CORPUS

DURATIONS = [
    (0, ""),
    (0.4, ""),
    (12, "12 ms"),
    (999.4, "999 ms"),
    (999.6, "1 s"),
    (1250, "1.3 s"),
    (3210, "3.2 s"),
    (9940, "9.9 s"),
    (9960, "10 s"),
    (12_500, "13 s"),
    (59_400, "59 s"),
    (59_970, "1 min 0 s"),
    (125_000, "2 min 5 s"),
    (7_500_000, "2 h 5 min"),
]
STEP = {"iteration": 1, "timestamp": 1.0, "status": "ok", "duration_ms": 12}


def run(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A finished run as snapshots show it."""
    return {
        "run": 3,
        "status": "finished",
        "reason": "answered",
        "prompt": "Why?",
        "agent_name": "researcher",
        "enable_reasoning": True,
        "timestamp": 1.0,
        "duration_ms": 1500,
        "steps": [{**STEP, "step": n, **step} for n, step in enumerate(steps)],
        **more,
    }


def rendered(**context: Any) -> str:
    """The run's HTML."""
    return render_to_string("chat/run/run.html", {"behind": 0, **context})


def test_hostile_text_is_text() -> None:
    """In every place of a run."""
    page = rendered(
        run=run(
            {"type": "thought", "content": CORPUS},
            {
                "type": "tool_use",
                "tool_name": CORPUS,
                "content": CORPUS,
                "call_id": "a",
            },
            {"type": "tool_result", "content": CORPUS, "call_id": "a"},
            {"type": "final_answer", "content": CORPUS},
            {"type": "error", "content": CORPUS},
            prompt=CORPUS,
            error={"code": "internal", "message": CORPUS, "retryable": True},
        )
    )
    for tag in (
        "<script",
        "<img",
        "<svg onload",
        "<iframe",
        "<style",
        "<form",
        "<link",
        "style=",
    ):
        assert tag not in page.replace("&lt;", ""), tag
    assert 'href="javascript' not in page.lower()


def test_progress_of_a_running_tool_is_there_at_once() -> None:
    """In the row and in the card, as the script shows it."""
    use = {"type": "tool_use", "call_id": "a", "content": "{}", "tool_name": "count"}
    result = {"type": "tool_result", "call_id": "a", "content": ""}
    told = {"done": 1.5, "total": 3.0, "text": "<b>"}
    running = {**result, "status": "running", "progress": told}
    page = rendered(run=run(use, running, status="running"))
    assert page.count("1.5 of 3 · &lt;b&gt;") == 2
    assert 'value="1.5" max="3.0"' in " ".join(page.split())
    assert "progress" not in rendered(run=run(use, result))


def test_a_tools_call_and_its_result_are_one_step() -> None:
    """By the call's id, in whatever order results come."""
    steps = [
        {**STEP, "type": "tool_use", "call_id": "a", "content": "{}"},
        {**STEP, "type": "tool_use", "call_id": "b", "content": "{}"},
        {**STEP, "type": "tool_result", "call_id": "b", "content": "B"},
        {**STEP, "type": "tool_result", "call_id": "a", "content": "A"},
        {**STEP, "type": "tool_result", "call_id": "z", "content": "Z"},
    ]
    found = [
        (card["use"] and card["use"]["call_id"], card["result"]["content"])
        for card in work(run(*steps))["cards"]
    ]
    assert found == [("a", "A"), ("b", "B"), (None, "Z")]


def test_a_call_runs_until_there_is_or_will_be_no_result() -> None:
    """As in the script."""

    def status(run_status: str, *steps: dict[str, Any]) -> str:
        found = work(run(*steps, status=run_status))["cards"]
        return str(found[0]["status"])

    use = {**STEP, "type": "tool_use", "content": "{}", "status": "ok"}
    result = {**STEP, "type": "tool_result", "content": "", "status": "running"}
    assert status("running", use) == "running"
    assert status("finished", use) == "ok"
    assert status("running", {**use, "status": "stopped"}) == "stopped"
    assert status("running", use, result) == "running"
    assert status("running", use, {**result, "status": "error"}) == "error"


def test_lines_say_what_happened() -> None:
    """As the script's do."""
    use = {
        **STEP,
        "type": "tool_use",
        "content": '{"expression": "2*3"}',
        "tool_input": {"expression": "2*3"},
    }
    assert gist(use) == "2*3"
    assert gist({**use, "content": '{"a": 1, "b": [2]}'}) == "a: 1, b: [2]"
    assert one_line("a\n b  " + "c" * 200, 10) == "a b cccccc…"


@pytest.mark.parametrize(("ms", "words"), DURATIONS)
def test_durations_are_what_people_say(ms: float, words: str) -> None:
    """The same list is in tests/js/words.test.js."""
    assert duration(ms) == words


def test_the_line_about_the_work() -> None:
    """What it took, and of what kind."""
    thought = {"type": "thought", "content": "Hm."}
    call = {"type": "tool_use", "call_id": "a", "content": "{}"}
    result = {"type": "tool_result", "call_id": "a", "content": "1"}
    answer = {"type": "final_answer", "content": "One."}
    whole = run(thought, call, result, thought, answer, duration_ms=42_000)
    assert work(whole)["words"] == "Worked 42 s · 1 tool · 2 thoughts"
    assert work(whole)["ticks"] == ["thought", "pair", "thought"]
    assert work({**whole, "enable_reasoning": False})["words"] == "Show 3 steps"
    assert work({**whole, "enable_reasoning": False})["ticks"] == []
    stopped = work({**whole, "reason": "stopped"})["words"]
    assert stopped == "Stopped after 42 s · 1 tool · 2 thoughts"
    assert work(run(answer))["words"] == ""
    failed = run(thought, call, {**result, "status": "error"}, duration_ms=1)
    assert work(failed)["words"] == "Worked 1 ms · 1 tool · 1 thought · 1 failed"
    assert work(failed)["ticks"] == ["thought", "error"]


def test_of_many_steps_the_last_four_stand() -> None:
    """And of more ticks than can be told apart no error is left out."""
    many = [{"type": "thought", "content": "Hm."} for _ in range(40)]
    many[7] = {"type": "tool_result", "content": "No", "status": "error"}
    found = work(run(*many))
    assert len(found["ticks"]) == 24
    assert found["ticks"].count("error") == 1
    assert found["earlier"]["words"] == "36 earlier steps, 1 failed"
    assert not work(run(*many[:8]))["earlier"]


def test_markdown_is_the_scripts_markup() -> None:
    """The same elements and classes."""
    html = prose("# T\n\n[a](https://b.example/c) ![i](https://d.example/e.png)")
    assert '<h3 data-depth="1" dir="auto">T</h3>' in html
    assert '<span class="link-place" dir="ltr"> b.example</span>' in html
    assert prose("- one\n\n  two").startswith('<ul dir="auto"><li><p>one')
    assert 'class="remote-image"' in html
    assert "<img" not in html
    assert "<h3" not in prose("# T\n" * 10_000)
