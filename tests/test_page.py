"""What the server renders before the script takes over."""

from __future__ import annotations

from typing import Any

from django.template.loader import render_to_string

from chat.templatetags.prose import prose
from chat.templatetags.transcript import cards, duration, gist, one_line, status
from tests.browser.test_hostile import CORPUS

STEP = {"iteration": 1, "timestamp": 1.0, "status": "ok", "duration_ms": 12}


def run(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A finished run as snapshots show it."""
    return {
        "run": 3,
        "status": "finished",
        "reason": "answered",
        "prompt": "Why?",
        "agent_name": "researcher",
        "duration_ms": 1500,
        "steps": [{**STEP, "step": n, **step} for n, step in enumerate(steps)],
        **more,
    }


def rendered(**context: Any) -> str:
    """The run's HTML."""
    return render_to_string("chat/run.html", {"behind": 0, **context})


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
        "<svg",
        "<iframe",
        "<style",
        "<form",
        "<link",
        "style=",
    ):
        assert tag not in page.replace("&lt;", ""), tag
    assert 'href="javascript' not in page.lower()


def test_a_tools_use_and_its_result_are_one_card() -> None:
    """By the call's id, in whatever order results come."""
    steps = [
        {"type": "tool_use", "call_id": "a", "content": "{}"},
        {"type": "tool_use", "call_id": "b", "content": "{}"},
        {"type": "tool_result", "call_id": "b", "content": "B"},
        {"type": "tool_result", "call_id": "a", "content": "A"},
        {"type": "tool_result", "call_id": "z", "content": "Z"},
    ]
    found = [
        (card["use"] and card["use"]["call_id"], card["result"]["content"])
        for card in cards(steps)
    ]
    assert found == [("a", "A"), ("b", "B"), (None, "Z")]


def test_a_tools_card_runs_until_there_is_or_will_be_no_result() -> None:
    """As on the script's cards."""
    use = {**STEP, "type": "tool_use", "status": "ok"}
    result = {**STEP, "type": "tool_result", "status": "running"}
    alone = {"use": use, "result": None}
    assert status(alone, "running") == "running"
    assert status(alone, "finished") == "ok"
    stopped = {"use": {**use, "status": "stopped"}, "result": None}
    assert status(stopped, "running") == "stopped"
    assert status({"use": use, "result": result}, "running") == "running"
    failed = {"use": use, "result": {**result, "status": "error"}}
    assert status(failed, "running") == "error"


def test_lines_say_what_happened() -> None:
    """As on the cards of the script."""
    use = {
        **STEP,
        "type": "tool_use",
        "content": "{}",
        "tool_input": {"expression": "2*3"},
    }
    assert gist(use) == "2*3"
    assert gist({**use, "tool_input": {"a": 1, "b": [2]}}) == "a: 1, b: [2]"
    assert one_line("a\n b  " + "c" * 200, 10) == "a b cccccc…"
    assert [duration(ms) for ms in (12, 3210, 125_000)] == [
        "12 ms",
        "3.2 s",
        "2 min 5 s",
    ]


def test_markdown_is_the_scripts_markup() -> None:
    """The same elements and classes."""
    html = prose("# T\n\n[a](https://b.example/c) ![i](https://d.example/e.png)")
    assert '<h3 data-depth="1" dir="auto">T</h3>' in html
    assert '<span class="link-place"> b.example</span>' in html
    assert prose("- one\n\n  two").startswith('<ul dir="auto">\n<li>\n<p>one')
    assert 'class="remote-image"' in html
    assert "<img" not in html
    assert "<h3" not in prose("# T\n" * 10_000)
