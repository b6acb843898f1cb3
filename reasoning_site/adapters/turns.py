"""Several messages that come at the same time are said one after the other."""

from __future__ import annotations

from collections.abc import Iterator

from reasoning_site.agents import Said


class Turns:
    """Lets one message at a time speak as it comes; the others wait, in their order."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Said]] = {}  # by message; the first is speaking
        self._ended: set[str] = set()

    def say(self, message: str, said: Said) -> Iterator[Said]:
        """What can be said now, when this comes as part of a message."""
        waiting = self._waiting.setdefault(message, [])
        if message == next(iter(self._waiting)):
            yield said
        else:
            waiting.append(said)

    def say_after(self, message: str, said: Said) -> Iterator[Said]:
        """As `say`, where the message may have ended: not before it was said."""
        if message in self._waiting:
            yield from self.say(message, said)
        else:
            yield said

    def end(self, message: str) -> Iterator[Said]:
        """Nothing more comes of a message: what has waited for it."""
        self._ended.add(message)
        while self._waiting and (speaking := next(iter(self._waiting))) in self._ended:
            del self._waiting[speaking]
            self._ended.discard(speaking)
            if self._waiting:
                speaking = next(iter(self._waiting))
                held, self._waiting[speaking] = self._waiting[speaking], []
                yield from held
        if message not in self._waiting:
            self._ended.discard(message)  # it has said nothing, or all
