"""Ending a run from outside, wherever it is driven."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest
from django.db import transaction

from chat import store
from chat.log.batches import make_batch, write
from chat.models import Run, Step
from chat.store import Identity, NotYoursError
from chat.wire.protocol import (
    ProtocolError,
    StepDelta,
)
from chat.wire.transcript import digest, fold, view
from tests.rows import (
    GUEST,
    IN_THREADS,
    NOBODY,
    STRANGER,
    answer,
    ask,
    both_at_once,
    claimed_run,
    finish,
    log_of,
    queued_run,
    running_run,
    say,
    start_next,
    started,
)

pytestmark = pytest.mark.django_db


def test_deleting_a_session_ends_what_runs_and_waits_in_it() -> None:
    run = running_run()
    ask(run.session_id)
    store.delete_session(run.session_id, GUEST)
    ended = Run.objects.filter(session=run.session_id).order_by("number")
    assert [row.reason for row in ended] == ["stopped", "withdrawn"]


def test_deleting_a_session_says_which_runs_it_has_ended() -> None:
    run = running_run()
    finish(run)
    waiting = ask(run.session_id)
    claimed_run()  # in another session
    assert store.delete_session(run.session_id, GUEST) == [waiting.run_id]


@IN_THREADS
def test_what_is_asked_while_its_session_is_deleted_does_not_run_on() -> None:
    session_id = queued_run().session_id
    asking, deleting = threading.Event(), threading.Event()

    def go_on() -> None:
        with transaction.atomic():
            claimed = start_next(session_id)
            assert claimed is not None
            asking.set()
            assert deleting.wait(10)
            threading.Event().wait(0.3)  # until it waits for this transaction
            ask(session_id)

    def delete() -> None:
        assert asking.wait(10)
        deleting.set()
        store.delete_session(session_id, GUEST)

    both_at_once(go_on, delete)
    reasons = Run.objects.filter(session=session_id).order_by("number")
    assert [run.reason for run in reasons] == ["stopped", "withdrawn"]


def test_stopping_closes_what_is_open_with_what_was_seen() -> None:
    run = running_run()
    answer(run, "Hm", type_="thought")  # events 3, 4, 5
    say(run, started(1), StepDelta(step=1, text="Hel"), StepDelta(step=1, text="lo"))
    stopped = store.stop(run.session_id, GUEST, None, 7)
    state = fold(1, log_of(run.pk))
    assert (state.status, state.reason) == ("finished", "stopped")
    assert [step.content for step in state.steps.values()] == ["Hm", "Hel"]
    assert [step.status for step in state.steps.values()] == ["ok", "stopped"]
    assert stopped.written.frame.last == state.seq
    rows = Step.objects.filter(run=run).order_by("step")
    assert [(row.content, row.digest) for row in rows] == [
        ("Hm", digest("Hm")),
        ("Hel", digest("Hel")),
    ]
    row = Run.objects.get(id=run.pk)
    assert (row.status, row.reason, row.epoch) == ("finished", "stopped", 2)


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (None, "Hello"),
        (10**30, "Hello"),
        (5, "Hello"),
        (4, "Hel"),
        (3, ""),
        (2, None),
        (0, None),
        (-1, None),
    ],
)
def test_seen_clamps_the_text_of_the_open_step(
    seen: int | None, text: str | None
) -> None:
    run = running_run()
    say(run, started(0), StepDelta(step=0, text="Hel"), StepDelta(step=0, text="lo"))
    store.stop(run.session_id, GUEST, 1, seen)
    contents = [step.content for step in fold(1, log_of(run.pk)).steps.values()]
    assert contents == ([] if text is None else [text])
    (shown,) = store.run_views([Run.objects.get(id=run.pk)])
    assert shown == view(fold(1, log_of(run.pk)))


def test_nothing_grows_after_a_stop() -> None:
    run = running_run()
    say(run, started(0))
    run.refresh_from_db()
    late = make_batch(run.pk, run.epoch, run.last_seq, [StepDelta(step=0, text="x")])
    store.stop(run.session_id, GUEST, None, None)
    with transaction.atomic():
        assert write([late]) == set()


def test_a_waiting_run_is_withdrawn_and_the_others_keep_their_place() -> None:
    run = running_run()
    for _ in range(2):
        ask(run.session_id)
    store.stop(run.session_id, GUEST, 2, None)
    withdrawn = Run.objects.get(session=run.session, number=2)
    assert (withdrawn.status, withdrawn.reason) == ("finished", "withdrawn")
    assert fold(2, log_of(withdrawn.pk)).reason == "withdrawn"
    finish(run)
    following = start_next(run.session_id)
    assert following is not None
    assert following.run.number == 3


def test_in_a_session_that_nobody_has_begun_there_is_nothing_to_stop_or_retry() -> None:
    for act in (
        lambda: store.stop(uuid4(), GUEST, None, None),
        lambda: store.retry(uuid4(), GUEST, 1, 20),
    ):
        with pytest.raises(ProtocolError) as caught:
            act()
        assert caught.value.data.code == "not_found"


def test_there_must_be_something_to_stop() -> None:
    run = running_run()
    finish(run)
    ask(run.session_id)  # waits, so it is stopped only by its number
    for number in (None, 1, 9, 10**30, -1):
        with pytest.raises(ProtocolError) as caught:
            store.stop(run.session_id, GUEST, number, None)
        assert caught.value.data.code == "not_found"


def test_only_its_owner_can_stop() -> None:
    run = running_run()
    for who in (STRANGER, NOBODY, Identity(1, "")):
        with pytest.raises(NotYoursError):
            store.stop(run.session_id, who, None, None)
    assert Run.objects.get(id=run.pk).status == "running"


@IN_THREADS
def test_stopping_while_the_owner_writes_leaves_one_dense_log() -> None:
    run = running_run()
    say(run, started(0))
    run.refresh_from_db()

    def write_on() -> int:
        last = run.last_seq
        for number in range(200):
            event = StepDelta(step=0, text=f"{number} ")
            batch = make_batch(run.pk, 1, last, [event])
            with transaction.atomic():
                if not write([batch]):
                    return number
            last = batch.last
        return 200

    both_at_once(write_on, lambda: store.stop(run.session_id, GUEST, None, None))
    state = fold(1, log_of(run.pk))
    assert state.reason == "stopped"
    row = Step.objects.get(run=run)
    assert row.content == state.steps[0].content
    assert row.digest == state.steps[0].digest == digest(row.content)
