"""What was said in a run, told to who cannot take anything back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given

from chat.programs.turns import Change, Closed, Ended, More, Opened, Turns
from chat.wire.protocol import (
    Event,
    RunFinished,
    RunStarted,
    StepDelta,
    StepFinished,
    StepReplaced,
    StepStarted,
)
from chat.wire.transcript import fold, merged
from tests.streams import logs


def told(events: Iterable[Event]) -> list[Change]:
    turns = Turns()
    return [change for event in events for change in turns.apply(event)]


def said(*texts: str | None, type_: Any = "final_answer") -> list[Event]:
    """One step's tries; each but the last is discarded."""
    events: list[Event] = []
    for number, text in enumerate(texts):
        events += [
            StepStarted(step=number, type=type_, iteration=1, timestamp=0.0),
            *(StepDelta(step=number, text=character) for character in text or ""),
            StepFinished(
                step=number,
                status="ok" if number == len(texts) - 1 else "discarded",
                duration_ms=0,
                digest="",
            ),
        ]
    return events


def texts_of(changes: Iterable[Change]) -> dict[int, str]:
    texts: dict[int, str] = {}
    for change in changes:
        if isinstance(change, More):
            texts[change.item] = texts.get(change.item, "") + change.text
    return texts


def test_a_step_that_begins_anew_and_says_the_same_goes_on_in_its_item() -> None:
    changes = told(said("The answ", "The answer"))
    assert texts_of(changes) == {0: "The answer"}
    assert changes[-1] == Closed(0, "ok", "The answer", None)


def test_a_step_that_begins_anew_and_says_something_else_gets_another_item() -> None:
    changes = told(said("The answ", "The end"))
    assert texts_of(changes) == {0: "The answ", 1: "The end"}
    assert [type(change) for change in changes if not isinstance(change, More)] == [
        Opened,
        Closed,
        Opened,
        Closed,
    ]
    assert changes[-1] == Closed(1, "ok", "The end", None)


def test_a_step_that_says_less_the_second_time_is_closed_with_that() -> None:
    assert told(said("The answer", "The"))[-1] == Closed(0, "ok", "The", None)


def test_a_step_of_another_type_leaves_the_discarded_item_as_it_is() -> None:
    anew = StepStarted(step=9, type="thought", iteration=1, timestamp=0.0)
    events = [*said("Hm", None)[:-2], anew]
    assert [change for change in told(events) if not isinstance(change, More)] == [
        Opened(0, "final_answer", "", ""),
        Closed(0, "discarded", "Hm", None),
        Opened(1, "thought", "", ""),
    ]


@given(logs())
def test_what_is_told_holds_what_is_shown_and_each_item_closes_once(
    log: list[Event],
) -> None:
    changes = told(log)
    closed = [change for change in changes if isinstance(change, Closed)]
    assert len({change.item for change in closed}) == len(closed)
    shown = [step.content for step in fold(1, log).steps.values()]
    finished = [step.status != "running" for step in fold(1, log).steps.values()]
    whole = [change.text for change in closed if change.status != "discarded"]
    assert sorted(whole) == sorted(
        text for text, is_over in zip(shown, finished, strict=True) if is_over
    )
    assert any(isinstance(change, Ended) for change in changes) == any(
        isinstance(event, RunFinished) for event in log
    )


@given(logs())
def test_merged_events_tell_the_same_texts(log: list[Event]) -> None:
    one_by_one = [change for change in told(log) if not isinstance(change, More)]
    at_once = [change for change in told(merged(log)) if not isinstance(change, More)]
    assert texts_of(told(log)) == texts_of(told(merged(log))) or any(
        isinstance(change, Closed) and change.status == "discarded"
        for change in one_by_one + at_once
    )


def test_an_unknown_replacement_of_the_type_changes_nothing() -> None:
    events = [
        RunStarted(epoch=1, timestamp=0.0),
        *said("Let me see")[:-1],
        StepReplaced(step=0, type="thought"),
    ]
    assert told(events)[0] == Opened(0, "final_answer", "", "")
