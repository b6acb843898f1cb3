"""Messages become queued runs; finished ones are run again or continued."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from chat import store
from chat.models import Run, Session
from chat.store import AddressLimit, Claimant, Identity, Memory, NotYoursError
from chat.wire.protocol import (
    ProtocolError,
    RunCreated,
    RunStarted,
)
from tests.rows import (
    GUEST,
    HERE,
    IN_THREADS,
    STRANGER,
    answer,
    ask,
    both_at_once,
    finish,
    log_of,
    queued_run,
    running_run,
    start_next,
)

pytestmark = pytest.mark.django_db


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


@IN_THREADS
def test_a_message_sent_twice_at_once_is_one_run() -> None:
    session_id = uuid4()
    found = both_at_once(*[lambda: ask(session_id, client_id="id-1")] * 4)
    assert len({asked.run_id for asked in found}) == 1
    assert [asked.written is not None for asked in found].count(True) == 1
    assert Run.objects.count() == 1


@IN_THREADS
def test_messages_sent_at_once_are_numbered_without_gaps() -> None:
    session_id = uuid4()
    found = both_at_once(*[lambda: ask(session_id)] * 6)
    assert sorted(asked.number for asked in found) == [1, 2, 3, 4, 5, 6]


def test_the_queue_is_bounded() -> None:
    session_id = uuid4()
    ask(session_id, max_queued=2)
    start_next(session_id)
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


# ---------------------------------------------------------------- claimed at once

CLAIMANT = Claimant(HERE, 2)


def test_a_message_in_an_idle_session_is_claimed_with_it() -> None:
    asked = ask(prompt="one", claimant=CLAIMANT)
    assert asked.claimed is not None
    assert asked.written is not None
    created, started = log_of(asked.run_id)
    assert (type(created), type(started)) == (RunCreated, RunStarted)
    assert asked.written.frame.events() == [created]
    assert asked.claimed.written.frame.events() == [started]
    run, row = asked.claimed.run, Run.objects.get(id=asked.run_id)
    for field in Run._meta.concrete_fields:
        assert getattr(run, field.attname) == getattr(row, field.attname), field
    assert (row.status, row.epoch, row.process) == ("running", 1, HERE)
    assert asked.claimed.memory == Memory([], [])
    assert (asked.claimed.next_step, asked.claimed.lost_call) == (0, "")


def test_what_is_claimed_with_its_message_is_claimed_as_any_other() -> None:
    at_once = ask(prompt="one", claimant=CLAIMANT).claimed
    queued = queued_run()
    later = start_next(queued.session_id)
    assert at_once is not None
    assert later is not None
    rows = Run.objects.filter(id__in=[at_once.run.pk, later.run.pk])
    same = ("status", "epoch", "last_seq", "process", "takeovers", "reason", "number")
    first, second = rows.values(*same)
    assert first == second


def test_a_message_behind_another_waits() -> None:
    session_id = uuid4()
    first = ask(session_id, claimant=CLAIMANT)
    assert first.claimed is not None
    second = ask(session_id, claimant=CLAIMANT)
    finish(first.claimed.run)
    third = ask(session_id, claimant=CLAIMANT)  # the second comes first
    assert (second.claimed, third.claimed) == (None, None)
    following = start_next(session_id)
    assert following is not None
    assert following.run.pk == second.run_id


def test_who_has_enough_running_waits() -> None:
    asked = [ask(claimant=CLAIMANT).claimed is not None for _ in range(3)]
    assert asked == [True, True, False]
    assert ask(who=STRANGER, claimant=CLAIMANT).claimed is not None


def test_a_message_sent_again_is_not_claimed_again() -> None:
    session_id = uuid4()
    first = ask(session_id, client_id="id-1", claimant=CLAIMANT)
    assert first.claimed is not None
    finish(first.claimed.run)
    before = Session.objects.get(id=session_id)
    again = ask(session_id, agent_name="assistant", client_id="id-1", claimant=CLAIMANT)
    assert (again.run_id, again.written, again.claimed) == (first.run_id, None, None)
    after = Session.objects.get(id=session_id)
    assert (after.agent_name, after.updated_at) == ("researcher", before.updated_at)


def test_what_is_claimed_at_once_remembers_what_was_said_before() -> None:
    session_id = uuid4()
    first = ask(session_id, prompt="one", claimant=CLAIMANT).claimed
    assert first is not None
    answer(first.run, "to one")
    finish(first.run, "stopped")
    second = ask(session_id, prompt="two", claimant=CLAIMANT).claimed
    assert second is not None
    assert second.memory is not None
    (exchange,) = second.memory.exchanges
    assert (exchange.prompt, exchange.parts[0].content) == ("one", "to one")
    finish(second.run)
    again = store.retry(session_id, GUEST, 1, 20, CLAIMANT).claimed
    assert again is not None
    assert again.memory is not None
    assert [part.content for part in again.memory.continued] == ["to one"]


def test_a_first_message_takes_few_statements(
    django_assert_max_num_queries: Any,
) -> None:
    session_id = uuid4()
    with django_assert_max_num_queries(6):  # four, and the savepoint's two
        first = ask(session_id, claimant=CLAIMANT).claimed
    assert first is not None
    finish(first.run)
    with django_assert_max_num_queries(9):
        assert ask(session_id, client_id="2", claimant=CLAIMANT).claimed is not None


@IN_THREADS
def test_of_many_messages_at_once_one_is_claimed() -> None:
    session_id = uuid4()
    found = both_at_once(*[lambda: ask(session_id, claimant=CLAIMANT)] * 6)
    assert sorted(asked.number for asked in found) == [1, 2, 3, 4, 5, 6]
    (first,) = [asked for asked in found if asked.claimed]
    assert first.number == 1


def test_an_address_has_so_many_busy_sessions_at_a_time() -> None:
    limit = AddressLimit("address.", 2)
    people = [Identity(None, f"address.{n}") for n in range(4)]
    sessions = [uuid4() for _ in people]
    for who, session_id in zip(people[:2], sessions, strict=False):
        ask(session_id, who, claimant=CLAIMANT, address=limit)
    with pytest.raises(ProtocolError) as caught:
        ask(sessions[2], people[2], claimant=CLAIMANT, address=limit)
    assert (caught.value.data.code, caught.value.data.retryable) == ("queue_full", True)
    assert not Session.objects.filter(id=sessions[2]).exists()
    ask(sessions[0], people[0], address=limit)  # is busy already
    ask(sessions[3], people[3], claimant=CLAIMANT)  # has a cookie
    finish(Run.objects.get(session_id=sessions[1]))
    with pytest.raises(ProtocolError):
        ask(sessions[2], people[2], address=AddressLimit("address.", 1))
