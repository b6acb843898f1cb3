"""What a feed wants read from the database, and what comes of it."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from chat.store import LogPage, Rows, RunRows, Standing
from chat.wire.protocol import Place


class ReadStanding(Struct, frozen=True):
    """Read where the session stands: its open runs, and those after `above`."""

    above: int | None


class ReadRows(Struct, frozen=True):
    """Read what snapshots need besides the runs that are open."""

    seen: frozenset[tuple[int, Place]]


class ReadLog(Struct, frozen=True):
    """Read a page of a run's log, which must go to `head` at least.

    `epoch` is the one that `after` is of, where that is to be made sure of.
    """

    run: int
    after: int
    head: int
    epoch: int | None


class ReadRun(Struct, frozen=True):
    """Read a run's row, which must go to `head`, and its steps that finished since.

    For classic mode.
    """

    run: int
    after: int
    head: int


Read: TypeAlias = ReadStanding | ReadRows | ReadLog | ReadRun
Result: TypeAlias = Standing | Rows | LogPage | RunRows | None
