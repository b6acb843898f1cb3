"""How far the logs of runs go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chat import store
from chat.models import Event as EventRow, Run
from chat.store import LogPage, Position
from chat.store.events import goes_on
from chat.wire.protocol import StepDelta, encode
from tests.rows import (
    GUEST,
    ask,
    bury_process_of,
    finish,
    running_run,
    say,
    started,
    take_over,
)

pytestmark = pytest.mark.django_db


def test_positions_are_of_runs_that_are_or_just_were_unfinished() -> None:
    run = running_run()
    ask(run.session_id)
    elsewhere = running_run()
    since = timedelta(seconds=60)
    under_way = (run.session_id, Position(1, 2, 1, finished=False))
    waiting = (run.session_id, Position(2, 1, 0, finished=False))
    found = store.positions([run.session_id], since)
    assert sorted(found, key=lambda each: each[1].number) == [under_way, waiting]
    finish(run)
    over = (run.session_id, Position(1, 3, 1, finished=True))
    assert over in store.positions([run.session_id], since)
    Run.objects.filter(id=run.pk).update(finished_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert store.positions([run.session_id], since) == [waiting]
    assert store.positions([elsewhere.session_id], since) == [
        (elsewhere.session_id, Position(1, 2, 1, finished=False))
    ]


# ---------------------------------------------------------------- places in a log


def position_of(run: Run) -> Position:
    run.refresh_from_db()
    return Position(run.number, run.last_seq, run.epoch, finished=bool(run.reason))


def test_a_log_goes_on_from_places_of_its_own_epochs() -> None:
    run = running_run()
    say(run, started(0))
    bury_process_of(run.pk)
    take_over(run.pk)  # run_started is event 4
    found = position_of(run)
    assert (found.last_seq, found.epoch) == (5, 2)
    held = [
        (epoch, seq)
        for epoch in range(4)
        for seq in range(1, 6)
        if goes_on(run.pk, found, (epoch, seq))
    ]
    # Of the current epoch nobody can have less than its beginning.
    assert [place for place in held if place[0] != 2] == [(0, 1), (1, 2), (1, 3)]
    assert {(2, 4), (2, 5)} <= set(held)
    assert all(goes_on(run.pk, found, seq) for seq in range(1, 6))


def test_what_a_stop_has_written_is_of_an_epoch_that_only_its_end_says() -> None:
    run = running_run()
    say(run, started(0), StepDelta(step=0, text="Hm"))
    store.stop(run.session_id, GUEST, None, None)
    found = position_of(run)
    assert (found.last_seq, found.epoch) == (6, 2)
    held = [seq for seq in range(1, 7) if goes_on(run.pk, found, (1, seq))]
    assert held == [2, 3]  # events 5 and 6 are the stop's: at 4 it is not known
    assert goes_on(run.pk, found, (2, 6))


def test_a_log_does_not_go_on_in_the_middle_of_what_was_merged() -> None:
    run = running_run()
    say(run, started(0))
    say(run, StepDelta(step=0, text="one"), StepDelta(step=0, text="two"))
    log = EventRow.objects.filter(run=run)
    log.filter(seq=4).delete()
    merged = StepDelta(seq=5, first=4, step=0, text="onetwo")
    log.filter(seq=5).update(payload=encode(merged).decode())
    found = position_of(run)
    assert [goes_on(run.pk, found, seq) for seq in (3, 4, 5)] == [True, False, True]
    page = store.log_page(run.session_id, 1, 3)
    assert page.events == [merged]
    assert page.last_seq == 5


def test_a_page_is_of_the_branch_that_was_asked_for() -> None:
    run = running_run()
    say(run, started(0))
    seqs = [event.seq for event in store.log_page(run.session_id, 1, (1, 2)).events]
    assert seqs == [3]
    assert store.log_page(run.session_id, 1, (9, 2)) == LogPage([])
    assert store.log_page(run.session_id, 1, (1, 99)) == LogPage([])
    assert store.log_page(run.session_id, 7, 0) == LogPage([])
