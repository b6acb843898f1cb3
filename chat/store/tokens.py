"""Tokens with which programs come in: rows that know a token by its digest only."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q, QuerySet
from django.utils import timezone
from msgspec import Struct

from chat.access import Scope
from chat.models import AccessToken

USE_NOTED_AFTER: Final = timedelta(minutes=10)  # since it was last noted


class TokenFacts(Struct, frozen=True):
    """Whose a token is, and what it is good for."""

    id: int
    user_id: int
    scope: Scope
    holds: bool  # not expired, not revoked, and its user may come in


def add_token(
    user_id: int,
    *,
    name: str,
    scope: Scope,
    prefix: str,
    digest: str,
    expires_at: datetime | None,
) -> None:
    """Keep a new token of the user's."""
    AccessToken.objects.create(
        user_id=user_id,
        name=name,
        scope=scope,
        prefix=prefix,
        digest=digest,
        expires_at=expires_at,
    )


def tokens_of(user_id: int) -> list[AccessToken]:
    """The user's tokens that open anything, newest first."""
    return list(holding().filter(user=user_id))


def revoke_token(token_id: int, user_id: int) -> bool:
    """End a token of the user's; False where they have none of that number."""
    mine = holding().filter(id=token_id, user=user_id)
    return bool(mine.update(revoked_at=timezone.now()))


def find_token(digest: str) -> TokenFacts | None:
    """What is known of a token; None where there is no such one."""
    token = AccessToken.objects.select_related("user").filter(digest=digest).first()
    if token is None:
        return None
    now = timezone.now()
    holds = (
        token.revoked_at is None
        and (token.expires_at is None or token.expires_at > now)
        and token.user.is_active
    )
    if holds and (
        token.last_used_at is None or now - token.last_used_at > USE_NOTED_AFTER
    ):
        AccessToken.objects.filter(id=token.pk).update(last_used_at=now)
    return TokenFacts(token.pk, token.user_id, token.scope, holds)  # type: ignore[arg-type]  # a constraint says which there are


def holding() -> QuerySet[AccessToken]:
    """Tokens that open something today."""
    now = timezone.now()
    return AccessToken.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=now),
        revoked_at=None,
        user__is_active=True,
    )
