"""Which process drives a run: claims, and takeovers of what others have left."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from chat import store
from chat.log.batches import make_batch, write
from chat.models import Process, Run
from chat.store import Abandoned, Identity, processes
from chat.wire.protocol import (
    RunCreated,
    RunFinished,
    RunStarted,
    StepDelta,
)
from chat.wire.transcript import fold
from tests.rows import (
    GUEST,
    HERE,
    IN_THREADS,
    STRANGER,
    THERE,
    answer,
    ask,
    both_at_once,
    bury_process_of,
    claimed_run,
    finish,
    living_process,
    log_of,
    queued_run,
    running_run,
    say,
    start_next,
    started,
    take_over,
)

pytestmark = pytest.mark.django_db


def test_one_run_at_a_time_in_order() -> None:
    session_id = uuid4()
    for prompt in ("one", "two"):
        ask(session_id, prompt=prompt)
    first = start_next(session_id)
    assert first is not None
    assert (first.run.prompt, first.run.epoch, first.next_step) == ("one", 1, 0)
    assert start_next(session_id) is None
    finish(first.run)
    second = start_next(session_id)
    assert second is not None
    assert second.run.prompt == "two"
    kinds = [type(event) for event in log_of(first.run.pk)]
    assert kinds == [RunCreated, RunStarted, RunFinished]


@IN_THREADS
def test_of_many_who_claim_one_wins() -> None:
    run = queued_run()
    calls = [
        lambda process=process: start_next(run.session_id, process)
        for process in (HERE, THERE, 1003, 1004)
    ]
    won = [claimed for claimed in both_at_once(*calls) if claimed]
    assert len(won) == 1
    row = Run.objects.get(id=run.pk)
    assert (row.process, row.epoch) == (won[0].run.process, 1)
    assert len(log_of(run.pk)) == 2


def test_two_runs_of_a_session_can_never_run_at_once() -> None:
    run = running_run()
    ask(run.session_id)
    with pytest.raises(IntegrityError), transaction.atomic():
        Run.objects.filter(session=run.session, number=2).update(status="running")


def test_an_owner_has_so_many_runs_at_a_time_over_all_sessions() -> None:
    for _ in range(2):
        running_run()
    third = queued_run()
    assert start_next(third.session_id, max_per_owner=2) is None
    stranger = queued_run(who=STRANGER)
    assert start_next(stranger.session_id, max_per_owner=2) is not None
    user = User.objects.create_user("ada")
    signed_in = queued_run(who=Identity(user.pk, ""))
    assert start_next(signed_in.session_id, max_per_owner=2) is not None


def test_nothing_starts_in_a_deleted_session() -> None:
    run = queued_run()
    store.delete_session(run.session_id, GUEST)
    assert start_next(run.session_id) is None
    assert start_next(uuid4()) is None


def test_waiting_sessions_are_those_whose_turn_has_come_oldest_first() -> None:
    first, second = queued_run(), queued_run()
    # Two messages within a millisecond would have no order.
    Run.objects.filter(id=first.pk).update(created_at=datetime(2025, 1, 1, tzinfo=UTC))
    busy = running_run()
    ask(busy.session_id)
    assert store.waiting_sessions(8, 9) == [first.session_id, second.session_id]
    assert store.waiting_sessions(1, 9) == [first.session_id]


def test_who_has_enough_running_does_not_keep_others_waiting() -> None:
    user = User.objects.create_user("ada")
    for who in (GUEST, Identity(user.pk, "")):
        running_run(who=who)
        for _ in range(5):
            queued_run(who=who)
    waiting = queued_run(who=STRANGER)
    assert store.waiting_sessions(1, 1) == [waiting.session_id]
    assert len(store.waiting_sessions(20, 2)) == 11


def test_deleted_sessions_do_not_keep_others_waiting() -> None:
    gone = queued_run()
    for _ in range(5):
        ask(gone.session_id)
    store.delete_session(gone.session_id, GUEST)
    waiting = queued_run()
    assert store.waiting_sessions(1, 9) == [waiting.session_id]


def test_a_dead_process_loses_its_run() -> None:
    run = running_run()
    assert store.abandoned(8) == []
    dead = Run.objects.get(id=run.pk).process
    bury_process_of(run.pk)
    assert store.abandoned(8) == [Abandoned(run.pk, dead)]
    claimed = take_over(run.pk, living := living_process())
    assert (claimed.run.epoch, claimed.run.process, claimed.run.takeovers) == (
        2,
        living,
        1,
    )
    assert store.abandoned(8) == []
    late = store.take_over(Abandoned(run.pk, dead), THERE, lambda *_: True)
    assert late is None


@IN_THREADS
def test_of_many_who_take_over_one_wins() -> None:
    run = running_run()
    bury_process_of(run.pk)
    (left,) = store.abandoned(8)
    calls = [
        lambda process=process: store.take_over(left, process, lambda *_: True)
        for process in (HERE, THERE, 1003, 1004)
    ]
    assert len([claimed for claimed in both_at_once(*calls) if claimed]) == 1
    assert Run.objects.get(id=run.pk).epoch == 2


def test_what_was_open_is_discarded_and_its_number_not_used_again() -> None:
    run = running_run()
    answer(run, "Hm", type_="thought")
    say(run, started(1), StepDelta(step=1, text="Hel"))
    bury_process_of(run.pk)
    claimed = take_over(run.pk)
    assert [step.content for step in claimed.done] == ["Hm"]
    assert (claimed.next_step, claimed.lost_call) == (2, "")
    state = fold(1, log_of(run.pk))
    assert [step.content for step in state.steps.values()] == ["Hm"]
    assert state.epoch == 2
    assert claimed.written.frame.last == state.seq


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_call_that_may_have_been_made_is_told_unless_it_can_be_repeated(
    *, repeatable: bool
) -> None:
    run = running_run()
    answer(run, "{}", type_="tool_use")
    say(run, started(1, "tool_result", "transfer"))
    bury_process_of(run.pk)
    claimed = take_over(run.pk, repeatable=repeatable)
    assert bool(claimed.lost_call) is not repeatable
    if not repeatable:
        assert "transfer" in claimed.lost_call
    assert len(claimed.done) == (1 if repeatable else 2)


def test_the_old_owner_can_write_nothing_after_a_takeover() -> None:
    run = running_run()
    bury_process_of(run.pk)
    run.refresh_from_db()
    batch = make_batch(run.pk, run.epoch, run.last_seq, [started(0)])
    take_over(run.pk)
    with transaction.atomic():
        assert write([batch]) == set()


def test_runs_that_are_handed_over_are_nobodys_and_were_not_lost() -> None:
    here = living_process()
    mine, done = claimed_run(process=here).run, claimed_run(process=here).run
    running_run()
    finish(done)
    processes.leave(here)
    assert store.abandoned(8) == [Abandoned(mine.pk, None)]
    claimed = take_over(mine.pk)
    assert claimed.run.takeovers == 0
    assert not Process.objects.filter(id=here).exists()
