"""The store: what asking, claiming, stopping and listing do to rows and the log."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, close_old_connections, connection, transaction
from hypothesis import given, settings, strategies as st
from msgspec import UNSET, Struct

from chat import store
from chat.agents.base import (
    AgentEvent,
    Failure as AgentFailure,
    PartFinished,
    PartGrew,
    PartReplaced,
    PartStarted,
    RunEnded,
    Usage as AgentUsage,
)
from chat.log.batches import make_batch, write
from chat.log.journal import Journal
from chat.log.recorder import Recorder
from chat.models import Run, Session, Step
from chat.store import Claimed, Identity, NotYoursError, SessionChange, exchanges
from chat.wire.protocol import (
    Event,
    ProtocolError,
    RunCreated,
    RunFinished,
    RunStarted,
    StepDelta,
    StepFinished,
    StepReplaced,
    StepStarted,
    encode,
)
from chat.wire.transcript import digest, fold, view
from tests.rows import (
    GUEST,
    NOBODY,
    STRANGER,
    ask,
    claimed_run,
    is_postgresql,
    log_of,
    queued_run,
    running_run,
    silence,
)
from tests.streams import texts

pytestmark = pytest.mark.django_db
# Where other threads must see the rows; these tests are slower.
in_threads = pytest.mark.django_db(transaction=True)

TEN_SECONDS = timedelta(seconds=10)


def take_over(run_id: int, process: str = "there", *, repeatable: bool = True) -> Any:
    return store.take_over(run_id, process, TEN_SECONDS, lambda *_: repeatable)


def say(run: Run, *events: Event, steps: tuple[Step, ...] = ()) -> None:
    """Write events as the run's owner."""
    run.refresh_from_db()
    with transaction.atomic():
        batch = make_batch(run.pk, run.epoch, run.last_seq, events, steps)
        assert write([batch]) == {run.pk}


def started(step: int, type_: Any = "final_answer", tool: str = "") -> StepStarted:
    return StepStarted(
        step=step, type=type_, iteration=1, timestamp=1.0, tool_name=tool or UNSET
    )


def finish(run: Run, reason: Any = "answered") -> None:
    say(run, RunFinished(reason=reason, duration_ms=1))


def answer(
    run: Run, text: str, *, status: Any = "ok", type_: Any = "final_answer"
) -> None:
    """Write one finished step."""
    number = Step.objects.filter(run=run).count()
    event = StepFinished(step=number, status=status, duration_ms=1, digest=digest(text))
    row = Step(
        run=run,
        step=number,
        type=type_,
        iteration=1,
        content=text,
        status=status,
        started_at=datetime.fromtimestamp(1, UTC),
        duration_ms=1,
        digest=event.digest,
    )
    say(
        run,
        started(number, type_),
        StepDelta(step=number, text=text),
        event,
        steps=(row,),
    )


def both_at_once(*calls: Any) -> list[Any]:
    """What the calls return, each in its own thread, all at the same time."""

    def run(call: Any) -> Any:
        try:
            return call()
        finally:
            close_old_connections()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


# ---------------------------------------------------------------- asking


def test_the_first_message_begins_the_session() -> None:
    session_id = uuid4()
    asked = ask(session_id, prompt="  What is\n 2 + 2?  ", client_id="id-1")
    session = Session.objects.get(id=session_id)
    assert (session.guest_key, session.owner_id) == (GUEST.guest_key, None)
    assert (session.title, asked.title) == ("What is 2 + 2?", "What is 2 + 2?")
    (created,) = log_of(asked.run_id)
    assert isinstance(created, RunCreated)
    assert (created.prompt, created.client_id) == ("  What is\n 2 + 2?  ", "id-1")
    assert asked.written is not None
    assert asked.written.frame.events() == [created]
    assert ask(session_id).title is None


def test_a_long_first_message_gives_a_short_title() -> None:
    asked = ask(prompt="x" * 500)
    assert asked.title is not None
    assert (len(asked.title), asked.title[-1]) == (80, "…")


def test_a_message_sent_again_is_the_same_run() -> None:
    session_id = uuid4()
    first = ask(session_id, prompt="one", client_id="id-1")
    again = ask(session_id, prompt="one", client_id="id-1")
    other = ask(session_id, prompt="one", client_id="id-2")
    nameless = [ask(session_id, prompt="one").number for _ in range(2)]
    assert (again.run_id, again.number, again.written) == (first.run_id, 1, None)
    assert (other.number, nameless) == (2, [3, 4])
    assert ask(uuid4(), client_id="id-1").written is not None  # another session's


def test_a_message_sent_again_is_the_same_even_when_the_queue_is_full() -> None:
    session_id = uuid4()
    first = ask(session_id, client_id="id-1", max_queued=1)
    assert ask(session_id, client_id="id-1", max_queued=1).run_id == first.run_id


@in_threads
def test_a_message_sent_twice_at_once_is_one_run() -> None:
    session_id = uuid4()
    found = both_at_once(*[lambda: ask(session_id, client_id="id-1")] * 4)
    assert len({asked.run_id for asked in found}) == 1
    assert [asked.written is not None for asked in found].count(True) == 1
    assert Run.objects.count() == 1


@in_threads
def test_messages_sent_at_once_are_numbered_without_gaps() -> None:
    session_id = uuid4()
    found = both_at_once(*[lambda: ask(session_id)] * 6)
    assert sorted(asked.number for asked in found) == [1, 2, 3, 4, 5, 6]


def test_the_queue_is_bounded() -> None:
    session_id = uuid4()
    ask(session_id, max_queued=2)
    store.start_next(session_id, "here", 8)
    for _ in range(2):
        ask(session_id, max_queued=2)
    with pytest.raises(ProtocolError) as caught:
        ask(session_id, max_queued=2)
    assert (caught.value.data.code, caught.value.data.retryable) == ("queue_full", True)
    assert Run.objects.filter(session_id=session_id).count() == 3
    ask(uuid4(), max_queued=2)


def test_without_an_agent_the_sessions_is_asked() -> None:
    session_id = uuid4()
    ask(session_id, agent_name="assistant")
    ask(session_id, agent_name=None)
    ask(session_id, agent_name="researcher")
    ask(session_id, agent_name=None)
    names = Run.objects.order_by("number").values_list("agent_name", flat=True)
    assert list(names) == ["assistant", "assistant", "researcher", "researcher"]


@pytest.mark.parametrize("who", [STRANGER, Identity(1, "")])
def test_nobody_can_ask_in_somebody_elses_session(who: Identity) -> None:
    asked = ask()
    session_id = Run.objects.get(id=asked.run_id).session_id
    with pytest.raises(NotYoursError):
        ask(session_id, who)
    assert Run.objects.count() == 1


@pytest.mark.parametrize("agent_name", [None, "assistant"])
def test_what_nobody_may_see_changes_nothing(agent_name: str | None) -> None:
    session_id = uuid4()
    ask(session_id)
    store.delete_session(session_id, GUEST)
    with pytest.raises(NotYoursError):
        ask(session_id, agent_name=agent_name)
    assert Run.objects.count() == 1


# ---------------------------------------------------------------- retrying


@pytest.mark.parametrize("reason", ["answered", "failed", "stopped", "withdrawn"])
def test_a_finished_run_can_be_run_again(reason: str) -> None:
    run = running_run()
    finish(run, reason)
    again = store.retry(run.session_id, GUEST, 1, 20)
    row = Run.objects.get(id=again.run_id)
    assert (row.number, row.prompt, row.retry_of_id) == (2, run.prompt, run.pk)


def test_what_has_not_finished_or_is_not_there_cannot_be_retried() -> None:
    run = queued_run()
    for number, code in ((1, "bad_message"), (2, "not_found"), (10**30, "not_found")):
        with pytest.raises(ProtocolError) as caught:
            store.retry(run.session_id, GUEST, number, 20)
        assert caught.value.data.code == code


def test_a_retry_waits_in_the_bounded_queue() -> None:
    run = running_run()
    finish(run)
    ask(run.session_id)
    with pytest.raises(ProtocolError) as caught:
        store.retry(run.session_id, GUEST, 1, 1)
    assert caught.value.data.code == "queue_full"


def test_only_its_owner_can_retry() -> None:
    run = running_run()
    finish(run)
    with pytest.raises(NotYoursError):
        store.retry(run.session_id, STRANGER, 1, 20)


# ---------------------------------------------------------------- claiming


def test_one_run_at_a_time_in_order() -> None:
    session_id = uuid4()
    for prompt in ("one", "two"):
        ask(session_id, prompt=prompt)
    first = store.start_next(session_id, "here", 8)
    assert first is not None
    assert (first.run.prompt, first.run.epoch, first.next_step) == ("one", 1, 0)
    assert store.start_next(session_id, "here", 8) is None
    finish(first.run)
    second = store.start_next(session_id, "here", 8)
    assert second is not None
    assert second.run.prompt == "two"
    kinds = [type(event) for event in log_of(first.run.pk)]
    assert kinds == [RunCreated, RunStarted, RunFinished]


@in_threads
def test_of_many_who_claim_one_wins() -> None:
    run = queued_run()
    calls = [
        lambda process=process: store.start_next(run.session_id, process, 8)
        for process in "abcd"
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
    assert store.start_next(third.session_id, "here", 2) is None
    stranger = queued_run(who=STRANGER)
    assert store.start_next(stranger.session_id, "here", 2) is not None
    user = User.objects.create_user("ada")
    signed_in = queued_run(who=Identity(user.pk, ""))
    assert store.start_next(signed_in.session_id, "here", 2) is not None


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


@in_threads
def test_what_is_asked_while_its_session_is_deleted_does_not_run_on() -> None:
    session_id = queued_run().session_id
    asking, deleting = threading.Event(), threading.Event()

    def go_on() -> None:
        with transaction.atomic():
            claimed = store.start_next(session_id, "here", 8)
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


def test_nothing_starts_in_a_deleted_session() -> None:
    run = queued_run()
    store.delete_session(run.session_id, GUEST)
    assert store.start_next(run.session_id, "here", 8) is None
    assert store.start_next(uuid4(), "here", 8) is None


def test_waiting_sessions_are_those_whose_turn_has_come_oldest_first() -> None:
    first, second = queued_run(), queued_run()
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


# ---------------------------------------------------------------- taking over


def test_a_silent_process_loses_its_run() -> None:
    run = running_run()
    assert store.abandoned(TEN_SECONDS, 8) == []
    assert take_over(run.pk) is None
    silence(run.pk, 11)
    assert store.abandoned(TEN_SECONDS, 8) == [run.pk]
    claimed = take_over(run.pk)
    assert (claimed.run.epoch, claimed.run.process, claimed.run.takeovers) == (
        2,
        "there",
        1,
    )
    assert store.abandoned(TEN_SECONDS, 8) == []
    assert take_over(run.pk) is None


@in_threads
def test_of_many_who_take_over_one_wins() -> None:
    run = running_run()
    silence(run.pk, 11)
    calls = [lambda process=process: take_over(run.pk, process) for process in "abcd"]
    assert len([claimed for claimed in both_at_once(*calls) if claimed]) == 1
    assert Run.objects.get(id=run.pk).epoch == 2


def test_what_was_open_is_discarded_and_its_number_not_used_again() -> None:
    run = running_run()
    answer(run, "Hm", type_="thought")
    say(run, started(1), StepDelta(step=1, text="Hel"))
    silence(run.pk, 11)
    claimed: Claimed = take_over(run.pk)
    assert [step.content for step in claimed.steps] == ["Hm"]
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
    silence(run.pk, 11)
    claimed: Claimed = take_over(run.pk, repeatable=repeatable)
    assert bool(claimed.lost_call) is not repeatable
    if not repeatable:
        assert "transfer" in claimed.lost_call
    assert len(claimed.steps) == (1 if repeatable else 2)


def test_the_old_owner_can_write_nothing_after_a_takeover() -> None:
    run = running_run()
    silence(run.pk, 11)
    run.refresh_from_db()
    batch = make_batch(run.pk, run.epoch, run.last_seq, [started(0)])
    take_over(run.pk)
    with transaction.atomic():
        assert write([batch]) == set()


def test_renewing_keeps_a_run_and_tells_which_are_lost() -> None:
    mine, other, done = running_run(), running_run(), running_run()
    for run in (mine, other):
        silence(run.pk, 11)
    take_over(other.pk)
    finish(done)
    assert store.renew("here", [mine.pk, other.pk, done.pk]) == {other.pk, done.pk}
    assert store.abandoned(TEN_SECONDS, 8) == []


def test_released_runs_can_be_taken_over_at_once() -> None:
    mine = running_run()
    other = claimed_run(process="there").run
    assert store.release("here") == 1
    assert store.abandoned(TEN_SECONDS, 8) == [mine.pk]
    assert take_over(mine.pk) is not None
    assert take_over(other.pk) is None


# ---------------------------------------------------------------- stopping


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
    following = store.start_next(run.session_id, "here", 8)
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


@in_threads
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


# ---------------------------------------------------------------- memory


def test_an_agent_remembers_finished_runs_but_not_what_was_superseded() -> None:
    session_id = uuid4()
    for prompt in ("one", "two", "three", "four"):
        ask(session_id, prompt=prompt)
        claimed = store.start_next(session_id, "here", 8)
        assert claimed is not None
        answer(claimed.run, f"to {prompt}")
        finish(claimed.run)
    store.stop(session_id, GUEST, ask(session_id, prompt="never").number, None)
    store.retry(session_id, GUEST, 2, 20)
    again = store.start_next(session_id, "here", 8)
    assert again is not None
    assert remembered(again.run) == [
        ("one", ["to one"]),
        ("three", ["to three"]),
        ("four", ["to four"]),
    ]
    assert [p for p, _ in store.history(again.run, 2)] == ["three", "four"]


def test_a_continued_run_goes_on_from_all_that_came_before() -> None:
    run = running_run()
    answer(run, "first", type_="thought")
    finish(run, "stopped")
    for text in ("second", "third"):
        last = Run.objects.latest("number")
        store.retry(run.session_id, GUEST, last.number, 20)
        claimed = store.start_next(run.session_id, "here", 8)
        assert claimed is not None
        before = [step.content for step in store.steps_to_continue(claimed.run)]
        assert before == ["first", "second"][: last.number]
        answer(claimed.run, text)
        finish(claimed.run, "failed" if text == "second" else "answered")
    # The answer is all three runs' work, and later runs remember it so.
    later = ask(run.session_id, prompt="And now?")
    ((prompt, steps),) = store.history(Run.objects.get(id=later.run_id), 50)
    assert prompt == run.prompt
    assert [step.content for step in steps] == ["first", "second", "third"]


def test_an_answered_run_is_run_again_from_the_start() -> None:
    run = running_run()
    answer(run, "first")
    finish(run)
    again = store.retry(run.session_id, GUEST, 1, 20)
    assert store.steps_to_continue(Run.objects.get(id=again.run_id)) == []


def remembered(run: Run, limit: int = 50) -> list[tuple[str, list[str]]]:
    return [
        (prompt, [step.content for step in steps])
        for prompt, steps in store.history(run, limit)
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
        claimed = store.start_next(session_id, "here", 8)
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
    assert [step.content for step in store.steps_to_continue(third)] == ["try 1"]
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
    with django_assert_max_num_queries(4):
        ((_, steps),) = store.history(later, 50)
    assert [step.content for step in steps] == [f"try {n}" for n in range(4, 10)]
    with django_assert_max_num_queries(2):
        steps = store.steps_to_continue(run)
    assert [step.content for step in steps] == [f"try {n}" for n in range(4, 9)]


def test_only_so_much_text_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = uuid4()
    for number in range(1, 5):
        tried(session_id, prompt=f"{number}")
    monkeypatch.setattr(exchanges, "MAX_CHARS", 2 * len("try 1"))
    found = remembered(queued_run(session_id))
    assert found == [("3", ["try 3"]), ("4", ["try 4"])]


# ---------------------------------------------------------------- views


class Played(Struct):
    """What an agent says in one property test."""

    events: list[AgentEvent]


@st.composite
def played(draw: st.DrawFn) -> list[AgentEvent]:
    """An agent's whole run, as agents may say it."""
    events: list[AgentEvent] = []
    kinds = ("thought", "tool_use", "tool_result", "final_answer")
    for part in range(draw(st.integers(0, 5))):
        kind: Any = draw(st.sampled_from(kinds))
        tool = kind in {"tool_use", "tool_result"}
        events.append(
            PartStarted(part, kind, 1, "calc" if tool else "", "c1" if tool else "")
        )
        events += [PartGrew(part, text) for text in draw(st.lists(texts, max_size=4))]
        if draw(st.booleans()) and not tool:
            events.append(PartReplaced(part, draw(st.sampled_from(["thought", None]))))
            events.append(PartGrew(part, draw(texts)))
        if draw(st.integers(0, 4)):
            status: Any = draw(st.sampled_from(["ok", "error", "stopped"]))
            given_input = draw(
                st.none() | st.dictionaries(texts, texts | st.integers(), max_size=2)
            )
            events.append(
                PartFinished(part, status, given_input if kind == "tool_use" else None)
            )
    error = AgentFailure("model_error", "No.", retryable=True)
    usage = draw(st.sampled_from([None, AgentUsage(3, 5)]))
    events.append(
        draw(
            st.sampled_from(
                [
                    RunEnded("answered", usage),
                    RunEnded("max_iterations", usage),
                    RunEnded("failed", usage, error),
                ]
            )
        )
    )
    return events


async def record(run: Run, events: list[AgentEvent]) -> None:
    kept = Journal(lambda _: None)
    log = kept.open(run, lambda error: None)
    recorder = Recorder(log, max_bytes=10**6)
    for event in events:
        recorder.record(event)
        if isinstance(event, PartStarted):
            await log.committed()
    await log.committed()
    await kept.close()


@in_threads
@settings(max_examples=30)
@given(played())
def test_live_equals_reload(events: list[AgentEvent]) -> None:
    run = running_run()
    asyncio.run(record(run, events))
    run.refresh_from_db()
    live = view(fold(run.number, log_of(run.pk)))
    (reloaded,) = store.run_views([run])
    assert encode(reloaded) == encode(live)
    for step in live.steps:
        assert step.digest == digest(step.content)


@pytest.mark.parametrize("reason", ["withdrawn", "stopped", "taken over", "running"])
def test_live_equals_reload_for_what_ends_from_outside(reason: str) -> None:
    run = queued_run() if reason == "withdrawn" else running_run()
    if reason != "withdrawn":
        say(run, started(0), StepDelta(step=0, text="Hel"))
        say(run, StepReplaced(step=0, type="thought"))
    if reason == "taken over":
        silence(run.pk, 11)
        claimed = take_over(run.pk)
        say(claimed.run, started(1))
    if reason != "running":
        store.stop(run.session_id, GUEST, 1, None)
    (reloaded,) = store.run_views([Run.objects.get(id=run.pk)])
    assert encode(reloaded) == encode(view(fold(1, log_of(run.pk))))


def test_latest_runs_come_oldest_first_in_pages() -> None:
    session_id = uuid4()
    for _ in range(5):
        ask(session_id)
    runs, earlier = store.latest_runs(session_id, 2)
    assert ([run.run for run in runs], earlier) == ([4, 5], True)
    runs, earlier = store.latest_runs(session_id, 3, before=4)
    assert ([run.run for run in runs], earlier) == ([1, 2, 3], False)
    runs, earlier = store.latest_runs(session_id, 20, but=[5, 2])
    assert ([run.run for run in runs], earlier) == ([1, 3, 4], False)
    for before in (1, 0, -3):
        assert store.latest_runs(session_id, 3, before=before) == ([], False)
    runs, _ = store.latest_runs(session_id, 3, before=10**30)
    assert [run.run for run in runs] == [3, 4, 5]


def test_positions_are_of_runs_that_are_or_just_were_unfinished() -> None:
    run = running_run()
    ask(run.session_id)
    elsewhere = running_run()
    since = timedelta(seconds=60)
    found = store.positions([run.session_id], since)
    assert sorted(found) == [(run.session_id, 1, 2), (run.session_id, 2, 1)]
    finish(run)
    assert (run.session_id, 1, 3) in store.positions([run.session_id], since)
    Run.objects.filter(id=run.pk).update(finished_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert store.positions([run.session_id], since) == [(run.session_id, 2, 1)]
    assert store.positions([elsewhere.session_id], since) == [
        (elsewhere.session_id, 1, 2)
    ]


# ---------------------------------------------------------------- indexes


def plan_of(query: Callable[[], object]) -> str:
    """How the database goes about the SELECTs of `query`."""
    asked: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        query()
    with connection.cursor() as cursor:
        explain = "EXPLAIN QUERY PLAN "
        if is_postgresql():
            explain = "EXPLAIN "
            # There are too few rows here to be worth an index.
            cursor.execute("SET LOCAL enable_seqscan = off")
        plans = []
        for sql, params in asked:
            cursor.execute(explain + sql, params)
            plans += [row[-1] for row in cursor.fetchall()]
    return "\n".join(plans)


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        (lambda: store.abandoned(TEN_SECONDS, 8, [7]), ["run_heartbeat"]),
        (lambda: store.waiting_sessions(8, 8), ["run_waiting"]),
        (
            lambda: store.positions([uuid4(), uuid4()], TEN_SECONDS),
            ["run_end", "finished_at"],
        ),
    ],
    ids=["abandoned", "waiting", "positions"],
)
def test_what_is_asked_every_few_seconds_reads_no_finished_runs(
    query: Callable[[], object], indexes: list[str]
) -> None:
    queued_run()
    plan = plan_of(query)
    assert "SCAN chat_run\n" not in f"{plan}\n"
    assert "Seq Scan on chat_run" not in plan
    if not is_postgresql():  # which takes any index for a handful of rows
        for index in indexes:
            assert index in plan


@pytest.mark.parametrize("table", ["chat_event", "chat_step", "chat_run"])
def test_no_index_repeats_how_another_begins(table: str) -> None:
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, table).values()
    plain = [what["columns"] for what in found if what["index"] and not what["unique"]]
    assert ["run_id"] not in plain
    assert ["session_id"] not in plain


def test_no_order_of_runs_or_steps_joins_what_they_belong_to() -> None:
    for rows in (Run.objects.all(), Step.objects.all()):
        assert "JOIN" not in str(rows.query)


# ---------------------------------------------------------------- sessions


def test_a_session_is_only_its_owners() -> None:
    user = User.objects.create_user("ada")
    ada, bob = Identity(user.pk, ""), Identity(user.pk + 1, "")
    hers, guests = uuid4(), uuid4()
    ask(hers, ada)
    ask(guests, GUEST)
    for who, session_id in (
        (bob, hers),
        (GUEST, hers),
        (NOBODY, hers),
        (ada, guests),
        (STRANGER, guests),
        (NOBODY, guests),
    ):
        changes: list[Callable[[UUID, Identity], object]] = [
            store.find_session,
            store.delete_session,
            store.restore_session,
            partial(store.change_session, change=SessionChange(title="Mine")),
        ]
        for change in changes:
            with pytest.raises(NotYoursError):
                change(session_id, who)
        assert session_id not in ids(who)
    assert ids(ada) == [hers]
    assert ids(GUEST) == [guests]
    assert ids(NOBODY) == []


def ids(who: Identity, **options: Any) -> list[UUID]:
    return [session.pk for session in store.list_sessions(who, **options).sessions]


def test_a_session_has_an_owner_or_a_guest_never_both_nor_neither() -> None:
    user = User.objects.create_user("ada")
    for wrong in (
        Session(agent_name="a"),
        Session(agent_name="a", owner=user, guest_key="key"),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            wrong.save()


def test_sessions_are_listed_pinned_first_then_by_last_activity() -> None:
    old, new, pinned = uuid4(), uuid4(), uuid4()
    for session_id in (pinned, old, new):
        ask(session_id)
    store.change_session(pinned, GUEST, SessionChange(pinned=True))
    assert ids(GUEST) == [pinned, new, old]
    Session.objects.filter(id=old).update(updated_at=datetime(2040, 1, 1, tzinfo=UTC))
    assert ids(GUEST) == [pinned, old, new]


def test_sessions_come_in_pages() -> None:
    Session.objects.bulk_create(
        Session(agent_name="a", guest_key=GUEST.guest_key) for _ in range(120)
    )
    found: list[UUID] = []
    cursor: str | None = ""
    sizes = []
    while cursor is not None:
        page = store.list_sessions(GUEST, cursor=cursor)
        found += [session.pk for session in page.sessions]
        sizes.append(len(page.sessions))
        cursor = page.next
    assert sizes == [50, 50, 20]
    assert len(set(found)) == 120


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 40, "9" * 5000, "\x00"])
def test_a_cursor_that_is_none_is_a_value_error(cursor: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (any sentence will do)
        store.list_sessions(GUEST, cursor=cursor)


def test_search_looks_into_titles_prompts_and_answers() -> None:
    session_id = uuid4()
    claimed = claimed_run(session_id)
    answer(claimed.run, "secret reasoning", type_="thought")
    answer(claimed.run, "The answer is Forty-Two, 100% sure")
    finish(claimed.run)
    ask(session_id, prompt="And why so?")
    store.change_session(session_id, GUEST, SessionChange(title="Number question"))
    other = uuid4()
    ask(other, prompt="Something else")
    for query in ("number", "WHY SO", "forty-two", "100%"):
        assert ids(GUEST, query=query) == [session_id], query
    for query in ("secret", "_", "nothing of the kind"):
        assert ids(GUEST, query=query) == [], query
    assert ids(STRANGER, query="number") == []


@pytest.mark.parametrize("word", ["ÜBER", "über", "Über", "STRASSE NACH ÇEŞME"])
def test_search_knows_capitals_beyond_ascii(word: str) -> None:
    if is_postgresql() and not case_is_known():
        pytest.skip("this PostgreSQL's locale knows ASCII only")
    titled, prompted, answered = uuid4(), uuid4(), uuid4()
    text = "Die Größe der Strasse nach Çeşme, über alles"
    ask(titled, prompt="x")
    store.change_session(titled, GUEST, SessionChange(title=text))
    ask(prompted, prompt=f"x\n{text}")
    claimed = claimed_run(answered)
    answer(claimed.run, text)
    finish(claimed.run)
    ask(prompt="About something else")
    assert set(ids(GUEST, query=word)) == {titled, prompted, answered}
    assert ids(GUEST, query="ü%r") == []


def case_is_known() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT upper('ü') = 'Ü'")
        return bool(cursor.fetchone()[0])


def test_what_cannot_be_stored_is_not_found() -> None:
    session_id = uuid4()
    ask(session_id, prompt="Nothing of the kind")
    for query in ("\x00", "Noth\x00ing", "\ud800", "\ud83d"):
        assert ids(GUEST, query=query) == []
    assert ids(GUEST, query="nothing") == [session_id]


def test_a_list_says_what_goes_on_in_each_session() -> None:
    run = running_run()
    ask(run.session_id)

    def state() -> tuple[Any, Any]:
        (session,) = store.list_sessions(GUEST).sessions
        found: Any = session
        return found.active, found.last_reason

    assert state() == ("running", None)
    finish(run, "failed")
    assert state() == ("queued", "failed")
    store.stop(run.session_id, GUEST, 2, None)
    assert state() == (None, "withdrawn")


def test_renaming_pinning_archiving_deleting_restoring() -> None:
    session_id = uuid4()
    ask(session_id)
    changed = store.change_session(session_id, GUEST, SessionChange(title="A\x00B"))
    assert (changed.title, changed.pinned) == ("A\ufffdB", False)
    store.change_session(session_id, GUEST, SessionChange(archived=True))
    assert (ids(GUEST), ids(GUEST, archived=True)) == ([], [session_id])
    store.change_session(session_id, GUEST, SessionChange(archived=False))
    store.delete_session(session_id, GUEST)
    assert ids(GUEST) == []
    with pytest.raises(NotYoursError):
        store.find_session(session_id, GUEST)
    with pytest.raises(NotYoursError):
        store.change_session(session_id, GUEST, SessionChange(pinned=True))
    assert store.restore_session(session_id, GUEST).title == "A\ufffdB"
    assert ids(GUEST) == [session_id]


def test_a_session_that_is_nobodys_is_not_there() -> None:
    assert store.find_session(uuid4(), GUEST) is None
    with pytest.raises(NotYoursError):
        store.delete_session(uuid4(), GUEST)
    with pytest.raises(NotYoursError):
        store.restore_session(uuid4(), GUEST)
