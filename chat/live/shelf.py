"""The rows of a session's runs as they were read, and snapshots made of them."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from chat.store import Rows
from chat.wire.protocol import Place, encode, message


class Shelf:
    """Rows as they were read for snapshots: good until something changes."""

    def __init__(self, seen: frozenset[tuple[int, Place]], rows: Rows) -> None:
        self.seen = seen
        self.held = rows.held
        self.earlier = rows.earlier
        self.runs = {run.run: (run.seq, encode(run)) for run in rows.runs}
        self._latest: tuple[object, str] = (None, "")

    def snapshot(
        self,
        session: dict[str, Any],
        shown: dict[int, tuple[int, bytes]],
        *,
        earlier: bool,
    ) -> str:
        """The message; made once for all who are shown the same.

        `session`: the same for all; where it changes, the shelf is another one.
        """
        what = ([(number, seq) for number, (seq, _) in shown.items()], earlier)
        if self._latest[0] != what:
            data = {
                "session": session,
                "runs": [Raw(run) for _, run in reversed(shown.values())],
                "earlier": earlier,
            }
            self._latest = what, message("snapshot", data)
        return self._latest[1]
