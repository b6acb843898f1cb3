"""Who may do what with a session: one function says so, and everybody asks it.

HTTP views, commands of sockets and feeds do: through the store, which asks with the
session's row in the transaction that acts, or with the facts they hold. Whom a session
does not concern it is not there for, as one's own deleted one is.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, Protocol, TypeAlias

from msgspec import Struct


class Act(Enum):
    """What can be done with a session."""

    READ = "read"  # watch it, read what was said
    ASK = "ask"  # ask, retry, stop
    MANAGE = "manage"  # rename, pin, archive, delete, restore, share


# What a session can be shared for.
Share: TypeAlias = Literal["read", "ask"]

# What a program may do for whoever gave it a token: each includes those before it.
Scope: TypeAlias = Literal["read", "ask", "admin"]


class Facts(Protocol):
    """What of a session says whose it is."""

    @property
    def owner_id(self) -> int | None:
        """The user, if it is one's."""

    @property
    def guest_key(self) -> str:
        """The guest's key; empty where it is a user's."""


class Identity(Struct, frozen=True):
    """Who somebody is: a signed-in user, or a guest known by a random key.

    `scope`: of the token, where it is a program of the user's that asks.
    """

    user_id: int | None
    guest_key: str
    scope: Scope | None = None

    @property
    def person(self) -> Identity:
        """Who they are, whatever they came with: by this people are counted."""
        return Identity(self.user_id, self.guest_key) if self.scope else self

    def owns(self, session: Facts) -> bool:
        """Whether the session is theirs."""
        if self.user_id is not None:
            return session.owner_id == self.user_id
        return bool(self.guest_key) and session.guest_key == self.guest_key


class NotYoursError(Exception):
    """There is no such session for whoever asks."""


class NotAllowedError(Exception):
    """They may see the session, but not do that with it."""


_OWNERS: Final = frozenset(Act)
_ANYBODYS: Final = frozenset({Act.READ, Act.ASK})
_SHARED: Final[dict[Share | None, frozenset[Act]]] = {
    None: frozenset(),
    "read": frozenset({Act.READ}),
    "ask": frozenset({Act.READ, Act.ASK}),
}
_SCOPES: Final[dict[Scope | None, frozenset[Act]]] = {
    None: _OWNERS,
    "read": frozenset({Act.READ}),
    "ask": frozenset({Act.READ, Act.ASK}),
    "admin": _OWNERS,
}
_REFUSALS: Final = {
    Act.ASK: "This chat is shared with you to read it, not to ask in it.",
    Act.MANAGE: "Only whose chat it is may do that.",
}


def rights(
    who: Identity, session: Facts | None, shared: Share | None = None
) -> frozenset[Act]:
    """What somebody may do with a session.

    `session` is None where nobody has begun it yet: it is theirs who ask first there.
    `shared`: what it is shared with them for, if at all.
    """
    if session is None:
        allowed = _ANYBODYS
    else:
        allowed = _OWNERS if who.owns(session) else _SHARED[shared]
    return allowed & _SCOPES[who.scope]


def require(
    who: Identity, act: Act, session: Facts | None, shared: Share | None = None
) -> None:
    """Return if they may. Raises NotYoursError, or NotAllowedError for who may read."""
    allowed = rights(who, session, shared)
    if act in allowed:
        return
    if Act.READ in allowed:
        if act not in _SCOPES[who.scope]:
            raise NotAllowedError(f"A token with the scope {who.scope} cannot do that.")
        raise NotAllowedError(_REFUSALS[act])
    raise NotYoursError
