"""How much one person or address may ask of this process."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Final

from django.conf import settings

from chat.access import Identity
from chat.wire.protocol import ProtocolError

MINUTE: Final = 60.0
ROUNDING: Final = 1e-6  # of a message: who waits as long as told must not be refused
# Per person. Pages ask a few times when they come back, and for each page of history.
MAX_READS_PER_MINUTE: Final = 600


class TooManyError(Exception):
    """Too many sockets for one person or one address."""


class Limits:
    """Counts sockets per person and address, and what a person says in a minute."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._sockets: Counter[Hashable] = Counter()
        # (what, person) → (when their allowance was last counted, what was left then)
        self._allowances: dict[Hashable, tuple[float, float]] = {}

    def address(self, address: str) -> AbstractContextManager[None]:
        """Hold a socket of an address open. Raises TooManyError.

        To be asked first: it needs to know nobody.
        """
        return self._hold({("address", address): settings.MAX_SOCKETS_PER_ADDRESS})

    def person(self, person: Identity, address: str) -> AbstractContextManager[None]:
        """Hold a socket of a person open. Raises TooManyError.

        Guests leave some of their address's for those who have signed in there.
        """
        held: dict[tuple[str, Hashable], int] = {
            ("person", person): settings.MAX_SOCKETS_PER_USER
        }
        if person.user_id is None:
            guests = guests_share(settings.MAX_SOCKETS_PER_ADDRESS)
            held["guests", address] = guests
        return self._hold(held)

    @contextmanager
    def _hold(self, held: Mapping[tuple[str, Hashable], int]) -> Iterator[None]:
        if any(self._sockets[key] >= limit for key, limit in held.items()):
            raise TooManyError
        for key in held:
            self._sockets[key] += 1
        try:
            yield
        finally:
            for key in held:
                self._sockets[key] -= 1
                if not self._sockets[key]:
                    del self._sockets[key]

    def message(self, person: Hashable) -> None:
        """Count a message. Raises ProtocolError (`rate_limited`) beyond the bound."""
        limit = settings.MAX_MESSAGES_PER_MINUTE
        if wait := self._take(("message", person), limit):
            raise _too_fast(f"At most {limit} messages a minute.", wait)

    def read(self, person: Hashable) -> None:
        """Count a question that makes the site read. Raises as `message`."""
        if wait := self._take(("read", person), MAX_READS_PER_MINUTE):
            raise _too_fast("That was asked too often.", wait)

    def _take(self, key: Hashable, limit: int) -> float:
        """Take one from an allowance, or else: for how long there will be none.

        A token bucket: `limit` at once, refilled over a minute.
        """
        now = self._monotonic()
        when, left = self._allowances.get(key, (now, float(limit)))
        left = min(limit, left + (now - when) * limit / MINUTE)
        if left < 1 - ROUNDING:
            return math.ceil((1 - left) * MINUTE / limit * 10 - ROUNDING) / 10
        # Last in the dictionary: `_forget` looks at who was silent longest.
        self._allowances.pop(key, None)
        self._allowances[key] = (now, left - 1)
        self._forget(now)
        return 0

    def _forget(self, now: float) -> None:
        """Drop who has been silent for a minute: their allowance is whole again."""
        for key in tuple(islice(self._allowances, 2)):
            if now - self._allowances[key][0] > MINUTE:
                del self._allowances[key]


def guests_share(places: int) -> int:
    """How many of these places guests may take; the others are for who signs in."""
    return places - places // 4


def _too_fast(why: str, wait: float) -> ProtocolError:
    return ProtocolError(
        "rate_limited",
        f"{why} Try again in {math.ceil(wait)} s.",
        retryable=True,
        retry_after=wait,
    )
