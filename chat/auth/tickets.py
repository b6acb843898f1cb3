"""What people were let in with, and whether that still holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set as AbstractSet
from typing import Any, TypeAlias

from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session as CookieSession
from django.db.models import CharField, QuerySet, Value
from django.db.models.functions import Cast
from django.utils import timezone
from msgspec import Struct

from chat.access import Identity
from chat.models import FormerGuest, SessionShare
from chat.store import Shared
from chat.store.tokens import holding


class Ticket(Struct, frozen=True):
    """A user's cookie session and their password's hash then; or a token of theirs.

    Or a guest's key, and then there is no `user_id`.
    """

    session_key: str = ""
    user_id: int | None = None
    auth_hash: str = ""
    guest_key: str = ""
    token_id: int | None = None


class Visitor(Struct, frozen=True):
    """Who opened a socket, and with what; without a cookie, with nothing."""

    who: Identity
    ticket: Ticket | None
    # Without a cookie: with what the keys of all guests at this address begin.
    address_key: str = ""


# By what somebody is where they are.
Ground: TypeAlias = Ticket | Shared

# What it is, and three columns as text: enough for everything that is asked.
_Row: TypeAlias = tuple[str, str, str, str]


def ended(grounds: AbstractSet[Ground]) -> set[Ground]:
    """Those that hold no more. One statement asks for all of them.

    A session, a token or a share is over, or for something else now; a user may not
    come in any more, or has another password; a guest has become a user.
    """
    queries = list(_queries(grounds))
    if not queries:
        return set()
    rows: set[_Row] = set(queries[0].union(*queries[1:], all=True))
    hashes = {
        (user_id, _auth_hash(password))
        for what, user_id, password, _ in rows
        if what == "user"
    }
    return {ground for ground in grounds if not _holds(ground, rows, hashes)}


def _holds(
    ground: Ground, rows: AbstractSet[_Row], hashes: AbstractSet[tuple[str, str]]
) -> bool:
    if isinstance(ground, Shared):
        user_id, session_id = str(ground.user_id), ground.session_id
        return any(  # databases write UUIDs as they like
            ("share", text, user_id, ground.right) in rows
            for text in (str(session_id), session_id.hex)
        )
    if ground.user_id is None:
        return ("guest", ground.guest_key, "", "") not in rows
    if ground.token_id is not None:
        return ("token", str(ground.token_id), "", "") in rows
    has_session = ("session", ground.session_key, "", "") in rows
    return has_session and (str(ground.user_id), ground.auth_hash) in hashes


def _queries(grounds: Iterable[Ground]) -> Iterator[QuerySet[Any, Any]]:
    """What must be known of them: one query for each kind that there is."""
    shares = [ground for ground in grounds if isinstance(ground, Shared)]
    tickets = [ground for ground in grounds if isinstance(ground, Ticket)]
    now = timezone.now()
    if keys := {ticket.session_key for ticket in tickets if ticket.session_key}:
        sessions = CookieSession.objects.filter(session_key__in=keys)
        yield _rows("session", sessions.filter(expire_date__gt=now), "session_key")
        ids = {each.user_id for each in tickets if each.session_key and each.user_id}
        active = get_user_model().objects.filter(pk__in=ids, is_active=True)
        yield _rows("user", active, "pk", "password")
    if tokens := {ticket.token_id for ticket in tickets if ticket.token_id}:
        yield _rows("token", holding().filter(pk__in=tokens), "pk")
    if guests := {ticket.guest_key for ticket in tickets if ticket.guest_key}:
        yield _rows("guest", FormerGuest.objects.filter(pk__in=guests), "pk")
    if shares:
        here = SessionShare.objects.filter(
            session__in={share.session_id for share in shares},
            user__in={share.user_id for share in shares},
        )
        yield _rows("share", here, "session_id", "user_id", "right")


def _rows(what: str, query: QuerySet[Any, Any], *columns: str) -> QuerySet[Any, Any]:
    """Of each row what it is, and these of its columns, in the shape of `_Row`."""
    asked = [Cast(column, CharField()) for column in columns]
    none = [Value("", CharField())] * (3 - len(columns))
    return query.order_by().values_list(Value(what, CharField()), *asked, *none)


def _auth_hash(password: str) -> str:
    """What a session of theirs says of a user with this (hashed) password."""
    return get_user_model()(password=password).get_session_auth_hash()
