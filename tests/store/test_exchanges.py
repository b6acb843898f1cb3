"""What an agent remembers of earlier runs."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from chat import store
from chat.models import Run
from chat.store import exchanges
from tests.rows import (
    GUEST,
    answer,
    ask,
    finish,
    queued_run,
    running_run,
    start_next,
)

pytestmark = pytest.mark.django_db


def test_an_agent_remembers_finished_runs_but_not_what_was_superseded() -> None:
    session_id = uuid4()
    for prompt in ("one", "two", "three", "four"):
        ask(session_id, prompt=prompt)
        claimed = start_next(session_id)
        assert claimed is not None
        answer(claimed.run, f"to {prompt}")
        finish(claimed.run)
    store.stop(session_id, GUEST, ask(session_id, prompt="never").number, None)
    store.retry(session_id, GUEST, 2, 20)
    again = start_next(session_id)
    assert again is not None
    assert remembered(again.run) == [
        ("one", ["to one"]),
        ("three", ["to three"]),
        ("four", ["to four"]),
    ]
    assert [prompt for prompt, _ in remembered(again.run, 2)] == ["three", "four"]


def test_a_continued_run_goes_on_from_all_that_came_before() -> None:
    run = running_run()
    answer(run, "first", type_="thought")
    finish(run, "stopped")
    for text in ("second", "third"):
        last = Run.objects.latest("number")
        store.retry(run.session_id, GUEST, last.number, 20)
        claimed = start_next(run.session_id)
        assert claimed is not None
        before = [step.content for step in store.recall(claimed.run).continued]
        assert before == ["first", "second"][: last.number]
        answer(claimed.run, text)
        finish(claimed.run, "failed" if text == "second" else "answered")
    # The answer is all three runs' work, and later runs remember it so.
    later = ask(run.session_id, prompt="And now?")
    ((prompt, said),) = remembered(Run.objects.get(id=later.run_id))
    assert (prompt, said) == (run.prompt, ["first", "second", "third"])


def test_an_answered_run_is_run_again_from_the_start() -> None:
    run = running_run()
    answer(run, "first")
    finish(run)
    again = store.retry(run.session_id, GUEST, 1, 20)
    assert store.recall(Run.objects.get(id=again.run_id)).continued == []


def remembered(run: Run, limit: int = 50) -> list[tuple[str, list[str]]]:
    return [
        (exchange.prompt, [part.content for part in exchange.parts])
        for exchange in store.recall(run, limit).exchanges
    ]


def tried(
    session_id: UUID, retry_of: int | None = None, reason: str = "answered", **more: Any
) -> Run:
    """A finished run that said its own number, or one that was withdrawn."""
    asked = (
        ask(session_id, **more)
        if retry_of is None
        else store.retry(session_id, GUEST, retry_of, 20)
    )
    if reason == "withdrawn":
        store.stop(session_id, GUEST, asked.number, None)
    else:
        claimed = start_next(session_id)
        assert claimed is not None
        answer(claimed.run, f"try {asked.number}")
        finish(claimed.run, reason)
    return Run.objects.get(id=asked.run_id)


def test_a_retry_that_was_withdrawn_leaves_the_answer_in_memory() -> None:
    session_id = uuid4()
    tried(session_id, prompt="one")
    tried(session_id, 1, "withdrawn")
    run = queued_run(session_id)
    assert remembered(run) == [("one", ["try 1"])]


@pytest.mark.parametrize("reason", ["failed", "stopped", "server_lost", "cut"])
def test_a_retry_without_an_answer_leaves_the_answer_in_memory(reason: str) -> None:
    session_id = uuid4()
    tried(session_id, prompt="one")
    tried(session_id, 1, reason)
    run = queued_run(session_id)
    assert remembered(run) == [("one", ["try 1"])]


def test_without_any_answer_the_last_try_is_remembered() -> None:
    session_id = uuid4()
    tried(session_id, prompt="one", reason="failed")
    tried(session_id, 1, "stopped")
    run = queued_run(session_id)
    assert remembered(run) == [("one", ["try 1", "try 2"])]


def test_of_all_tries_at_a_prompt_only_the_last_is_remembered() -> None:
    session_id = uuid4()
    tried(session_id, prompt="one")
    tried(session_id, prompt="two")
    tried(session_id, 1)
    fourth = tried(session_id, 1)  # beside the third
    fifth = tried(session_id, 3)  # beside the fourth
    assert remembered(fourth) == remembered(fifth) == [("two", ["try 2"])]
    tried(session_id, 5, "withdrawn")
    later = queued_run(session_id)
    assert remembered(later) == [("two", ["try 2"]), ("one", ["try 5"])]
    assert remembered(later, 1) == [("one", ["try 5"])]


def test_continuing_goes_on_past_a_try_that_was_withdrawn() -> None:
    session_id = uuid4()
    tried(session_id, reason="failed", prompt="one")
    tried(session_id, 1, "withdrawn")
    third = tried(session_id, 2)
    assert [step.content for step in store.recall(third).continued] == ["try 1"]
    ((_, said),) = remembered(queued_run(session_id))
    assert said == ["try 1", "try 3"]


def test_memory_costs_no_more_queries_for_a_long_chain_and_is_bounded(
    django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = uuid4()
    run = tried(session_id, reason="failed")
    for number in range(1, 9):
        run = tried(session_id, number, "failed")
    monkeypatch.setattr(exchanges, "MAX_TRIES", 5)
    later = queued_run(session_id)
    with django_assert_max_num_queries(3):
        (exchange,) = store.recall(later).exchanges
    assert [part.content for part in exchange.parts] == [
        f"try {n}" for n in range(4, 10)
    ]
    with django_assert_max_num_queries(3):
        continued = store.recall(run).continued
    assert [part.content for part in continued] == [f"try {n}" for n in range(4, 9)]


def test_only_so_much_text_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = uuid4()
    for number in range(1, 5):
        tried(session_id, prompt=f"{number}")
    monkeypatch.setattr(exchanges, "MAX_CHARS", 2 * len("try 1"))
    found = remembered(queued_run(session_id))
    assert found == [("3", ["try 3"]), ("4", ["try 4"])]
