"""With whom sessions are shared: named people, to read or to ask there."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth import get_user_model
from msgspec import Struct

from chat.access import Act, Identity, NotAllowedError, Share
from chat.models import SessionShare
from chat.store.sessions import required_session


class NobodyError(Exception):
    """There is nobody of that name with whom it could be shared."""


class Shared(Struct, frozen=True):
    """That a session is shared with a user, and for what."""

    session_id: UUID
    user_id: int
    right: Share


def shares_of(session_id: UUID, who: Identity) -> list[tuple[str, str]]:
    """Names and rights of those with whom the session is shared.

    Raises NotYoursError, NotAllowedError.
    """
    required_session(session_id, who, Act.MANAGE)
    shares = SessionShare.objects.filter(session=session_id).order_by("user__username")
    return list(shares.values_list("user__username", "right"))


def share(session_id: UUID, who: Identity, name: str, right: Share) -> None:
    """Share the session with a user, from now on for `right` and no more.

    Raises NotYoursError, NotAllowedError; NobodyError also for whose it is.
    """
    _require_owner(session_id, who)
    users = get_user_model().objects.filter(username=name, is_active=True)
    user = users.first()
    if user is None or user.pk == who.user_id:
        raise NobodyError
    SessionShare.objects.update_or_create(
        session_id=session_id, user=user, defaults={"right": right}
    )


def withdraw(session_id: UUID, who: Identity, name: str) -> None:
    """Share the session with that user no more. Raises as `share`."""
    _require_owner(session_id, who)
    shares = SessionShare.objects.filter(session=session_id, user__username=name)
    if not shares.delete()[0]:
        raise NobodyError


def _require_owner(session_id: UUID, who: Identity) -> None:
    """Guests share nothing: the answer would tell anybody who has an account."""
    required_session(session_id, who, Act.MANAGE)
    if who.user_id is None:
        raise NotAllowedError("Sign in to share a chat with somebody.")
