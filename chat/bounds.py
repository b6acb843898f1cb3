"""How much one person or address may ask of this process."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from django.conf import settings

from chat.protocol import ProtocolError

MINUTE = 60.0
ROUNDING = 1e-6  # of a message: who waits as long as told must not be refused


class TooManyError(Exception):
    """Too many sockets for one person or one address."""


class Bounds:
    """Counts sockets per person and per address, and messages per minute and person."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._sockets: Counter[Hashable] = Counter()
        # person → (when their allowance was last counted, what was left of it then)
        self._allowances: dict[Hashable, tuple[float, float]] = {}

    @contextmanager
    def socket(self, person: Hashable, address: str) -> Iterator[None]:
        """Hold a socket open. Raises TooManyError."""
        held = (
            (("person", person), settings.MAX_SOCKETS_PER_USER),
            (("address", address), settings.MAX_SOCKETS_PER_ADDRESS),
        )
        if any(self._sockets[key] >= limit for key, limit in held):
            raise TooManyError
        for key, _ in held:
            self._sockets[key] += 1
        try:
            yield
        finally:
            for key, _ in held:
                self._sockets[key] -= 1
                if not self._sockets[key]:
                    del self._sockets[key]

    def message(self, person: Hashable) -> None:
        """Count a message. Raises ProtocolError (`rate_limited`) beyond the bound.

        A token bucket: MAX_MESSAGES_PER_MINUTE at once, refilled over a minute.
        """
        limit = settings.MAX_MESSAGES_PER_MINUTE
        now = self._monotonic()
        when, left = self._allowances.get(person, (now, float(limit)))
        left = min(limit, left + (now - when) * limit / MINUTE)
        if left < 1 - ROUNDING:
            wait = math.ceil((1 - left) * MINUTE / limit * 10 - ROUNDING) / 10
            raise ProtocolError(
                "rate_limited",
                f"At most {limit} messages a minute. Try again in {wait:.0f} s.",
                retryable=True,
                retry_after=wait,
            )
        # Last in the dictionary: `_forget` looks at who was silent longest.
        self._allowances.pop(person, None)
        self._allowances[person] = (now, left - 1)
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Drop who has been silent for a minute: their allowance is whole again."""
        for person in list(self._allowances)[:2]:
            if now - self._allowances[person][0] > MINUTE:
                del self._allowances[person]
