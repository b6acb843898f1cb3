"""Sessions: whose they are, lists of them, and changes to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from chat import store
from chat.models import Session
from chat.store import Identity, NotYoursError, SessionChange
from tests.rows import (
    GUEST,
    NOBODY,
    STRANGER,
    ask,
    finish,
    ids,
    running_run,
)

pytestmark = pytest.mark.django_db


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
    for day, session_id in enumerate((pinned, old, new), start=1):
        ask(session_id)
        # Two messages within a millisecond would have no order.
        moment = datetime(2030, 1, day, tzinfo=UTC)
        Session.objects.filter(id=session_id).update(updated_at=moment)
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
    page = store.list_sessions(GUEST, limit=100)
    assert [session.pk for session in page.sessions] == found[:100]
    assert page.next == "100"


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 40, "9" * 5000, "\x00"])
def test_a_cursor_that_is_none_is_a_value_error(cursor: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (any sentence will do)
        store.list_sessions(GUEST, cursor=cursor)


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
