"""Tokens: how they look, and whom they let in.

A token is 256 bits of chance after a prefix by which people and scanners for secrets
know it. Rows hold its SHA-256: who reads the database cannot use it, and a hash that
takes long would protect no better what nobody can guess.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Final

from chat import store
from chat.access import Identity, Scope
from chat.auth.guessing import guesses, network
from chat.auth.tickets import Ticket, Visitor

PREFIX: Final = "rst_"
SHOWN_CHARS: Final = 10  # of a token, where people tell theirs apart


def add(
    user_id: int, *, name: str, scope: Scope, expires_at: datetime | None = None
) -> str:
    """A new token of the user's. Nobody can tell it again."""
    token = PREFIX + secrets.token_urlsafe(32)
    store.add_token(
        user_id,
        name=name,
        scope=scope,
        prefix=token[:SHOWN_CHARS],
        digest=_digest(token),
        expires_at=expires_at,
    )
    return token


def admit(token: str, address: str) -> Visitor | None:
    """Whoever the token lets in; None where it lets in nobody.

    Raises TooManyGuessesError. A token that did hold once is no guess.
    """
    name, where = token[:SHOWN_CHARS], network(address)
    guesses.check(name, where)
    found = store.find_token(_digest(token))
    if found is None:
        guesses.was_wrong(name, where)
        return None
    if not found.holds:
        return None
    who = Identity(found.user_id, "", found.scope)
    return Visitor(who, Ticket(user_id=found.user_id, token_id=found.id))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
