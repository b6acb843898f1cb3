"""Sessions: whose they are, lists of them, and changes to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from chat.access import Act, Identity, NotYoursError, Share, require
from chat.agents import registry
from chat.models import Run, Session, SessionShare, Step
from chat.store.searching import contains
from chat.wire.protocol import storable

PAGE_SESSIONS: Final = 50
MAX_PAGE_SESSIONS: Final = 500  # what somebody has scrolled to is loaded at once
MAX_OFFSET: Final = 2**31  # more than anybody has, and not too much for a database


class SessionFacts(Struct, frozen=True):
    """Whose a session is, and what a snapshot says of it."""

    owner_id: int | None
    guest_key: str
    title: str
    agent_name: str


class Entry(Struct, frozen=True):
    """What somebody who comes in finds: facts, if it has begun, and by what right."""

    facts: SessionFacts | None
    shared: Share | None


def find_session(session_id: UUID, who: Identity) -> Session | None:
    """The session, if they may read it, or None where nobody has it yet.

    Raises NotYoursError.
    """
    session = Session.objects.filter(id=session_id).first()
    require_session(session, who, Act.READ)
    return session


def require_session(session: Session | None, who: Identity, act: Act) -> Share | None:
    """Ask `access` about a row. Returns what it is shared with them for.

    A deleted session is nobody's. Raises NotYoursError, NotAllowedError.
    """
    if session is not None and session.deleted_at:
        raise NotYoursError
    shared = share_of(session, who)
    require(who, act, session, shared)
    return shared


def share_of(session: Session | None, who: Identity) -> Share | None:
    """What the session is shared with them for. Whose it is need not be looked up."""
    if session is None or who.user_id is None or who.owns(session):
        return None
    shares = SessionShare.objects.filter(session=session.pk, user=who.user_id)
    return shares.values_list("right", flat=True).first()  # type: ignore[return-value]  # a constraint says which there are


def sessions_of(who: Identity) -> QuerySet[Session]:
    """All sessions that are theirs and not deleted."""
    return owned_by(who).filter(deleted_at=None)


def owned_by(who: Identity) -> QuerySet[Session]:
    """All sessions that are theirs, deleted ones too."""
    if who.user_id is not None:
        return Session.objects.filter(owner_id=who.user_id)
    guests = Session.objects.filter(guest_key=who.guest_key, owner=None)
    return guests.exclude(guest_key="")


class SessionChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What of a session is to be changed."""

    title: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET

    def fields(self) -> dict[str, Any]:
        """The changed fields and their new values."""
        given = {
            name: value
            for name, value in structs.asdict(self).items()
            if value is not UNSET
        }
        if "title" in given:
            given["title"] = storable(given["title"])
        return given


class SessionPage(Struct, frozen=True):
    """Some sessions, and the cursor for more."""

    sessions: list[Session]
    next: str | None


def list_sessions(
    who: Identity,
    *,
    query: str = "",
    archived: bool = False,
    cursor: str = "",
    limit: int = PAGE_SESSIONS,
) -> SessionPage:
    """A page of their sessions: pinned first, then by last activity, newest first.

    `query` is looked for in titles, prompts and answers. Raises ValueError for a
    cursor that is none, and for a limit out of range.
    """
    if not 0 < limit <= MAX_PAGE_SESSIONS:
        raise ValueError(f"a page has 1 to {MAX_PAGE_SESSIONS} sessions")
    found = sessions_of(who).filter(archived=archived)
    if query := storable(query):
        answers = Step.objects.filter(run=OuterRef("pk"), type="final_answer")
        in_runs = Run.objects.filter(session=OuterRef("pk")).filter(
            contains("prompt", query)
            | Exists(answers.filter(contains("content", query)))
        )
        found = found.filter(contains("title", query) | Exists(in_runs))
    start = int(cursor) if cursor else 0
    if not 0 <= start <= MAX_OFFSET:
        raise ValueError("no such page")
    found = _with_activity(found).order_by("-pinned", "-updated_at", "id")
    page: list[Session] = list(found[start : start + limit + 1])
    more = len(page) > limit
    return SessionPage(page[:limit], str(start + limit) if more else None)


def _with_activity(sessions: QuerySet[Session]) -> QuerySet[Session]:
    """With `active`, the status of a run under way; when the last ended, and why."""
    runs = Run.objects.filter(session=OuterRef("pk"))
    ended = runs.filter(status=Run.Status.FINISHED).order_by("-number")
    return sessions.annotate(
        active=Subquery(
            runs.exclude(status=Run.Status.FINISHED)
            .order_by("-status")
            .values("status")[:1]
        ),
        last_reason=Subquery(ended.values("reason")[:1]),
        last_finished=Subquery(ended.values("finished_at")[:1]),
    )


def change_session(session_id: UUID, who: Identity, change: SessionChange) -> Session:
    """Rename, pin or archive. Raises NotYoursError, NotAllowedError."""
    required_session(session_id, who, Act.MANAGE)
    # Only what is to be changed: the rest may have changed since it was read.
    if fields := change.fields():
        Session.objects.filter(id=session_id).update(**fields)
    return _with_activity(Session.objects.filter(id=session_id)).get()


def restore_session(session_id: UUID, who: Identity) -> Session:
    """Undo `delete_session`. Raises NotYoursError, NotAllowedError."""
    session = Session.objects.filter(id=session_id).first()
    if session is None or (session.deleted_at and not who.owns(session)):
        raise NotYoursError
    require(who, Act.MANAGE, session, share_of(session, who))
    session.deleted_at = None
    session.save(update_fields=["deleted_at"])
    return _with_activity(Session.objects.filter(id=session_id)).get()


def required_session(session_id: UUID, who: Identity, act: Act) -> Session:
    """A session with which they may do that.

    Raises NotAllowedError; NotYoursError also where nobody has it yet.
    """
    session = Session.objects.filter(id=session_id).first()
    if session is None:
        raise NotYoursError
    require_session(session, who, act)
    return session


def facts_of(session_ids: Iterable[UUID]) -> dict[UUID, SessionFacts]:
    """Of those sessions that have begun and are not deleted."""
    rows = Session.objects.filter(id__in=list(session_ids), deleted_at=None).order_by()
    columns = ("id", "owner_id", "guest_key", "title", "agent_name")
    return {
        session_id: SessionFacts(*facts)
        for session_id, *facts in rows.values_list(*columns)
    }


def enter(session_id: UUID, who: Identity) -> Entry:
    """Who may read the session finds what is known of it. Raises NotYoursError."""
    session = Session.objects.filter(id=session_id).first()
    shared = require_session(session, who, Act.READ)
    if session is None:
        return Entry(None, None)
    facts = SessionFacts(
        session.owner_id, session.guest_key, session.title, session.agent_name
    )
    return Entry(facts, shared)


def session_data(
    facts: Session | SessionFacts | None, session_id: UUID
) -> dict[str, Any]:
    """What a snapshot says of the session itself."""
    return {
        "session_id": str(session_id),
        "title": facts.title if facts else "",
        "agent_name": facts.agent_name if facts else registry.default(),
    }
