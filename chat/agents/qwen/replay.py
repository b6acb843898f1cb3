"""Goes on with a run of the library's agents where another process was.

The library begins anew, with the same messages, and is given what is recorded: what
its models said, round by round, and what its tools returned. None of that is done or
shown again. What comes after the record is as in any run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from chat.agents.base import OpenPart, Part, PartStatus, PartType, RunSink, Usage
from chat.agents.model.fields import CallDelta
from chat.agents.model.sse import DeltaSink
from chat.agents.qwen.scopes import RunOver

# Of parts that no model has said: the agent's words; that another agent is asked, which
# is told as soon as that one says something.
OWN: Final = {"own": "words"}
ASKED: Final = {"own": "asked"}


class Diverged(Exception):  # noqa: N818 - an end, not an error
    """The agent does something else than is recorded of it."""


def diverged() -> RunOver:
    """What ends such a run, whatever the agent catches."""
    return RunOver(Diverged())


class Replay:
    """A sink that knows what of a run is told already, and tells only the rest."""

    def __init__(self, sink: RunSink, done: Sequence[Part]) -> None:
        self._sink = sink
        self._left = list(done)
        self._uses = {p.call_id: p.step for p in done if p.type == "tool_use"}

    def start(
        self,
        kind: PartType,
        iteration: int,
        tool_name: str = "",
        call_id: str = "",
        *,
        agent: str = "",
        parent: int | None = None,
    ) -> OpenPart:
        """The next part of the record, or a new one. Raises RunOver."""
        if kind != "tool_result" and self._left:
            return ReplayedPart(self._next(kind, tool_name, agent))
        return self._sink.start(
            kind,
            iteration,
            tool_name,
            call_id,
            agent=agent,
            parent=None if parent is None or parent < 0 else parent,
        )

    def _next(self, kind: PartType, tool_name: str, agent: str) -> Part | None:
        head = self._left[0]
        is_use = kind == "tool_use"
        if is_use and head.type == "tool_result" and head.tool_name == tool_name:
            return None  # its arguments made no sense, so that it is not recorded
        same_kind = head.type == kind if is_use else not _is_of_tools(head)
        if not same_kind or head.agent != agent or head.tool_name != tool_name:
            raise diverged()
        return self._left.pop(0)

    def round(self) -> Recorded | None:
        """What a model said next, whole; None after the last. Raises RunOver."""
        while (head := self._after_asking()) is not None:
            if head.type == "tool_result" or _own(head):
                raise diverged()
            said = [part for part in self._left if _is_of_round(part, head)]
            if any(_fields(part).get("over") for part in said):
                return Recorded(said)
            # It broke off, and the model was asked again, or is now.
            self._left = [part for part in self._left if part not in said]
        return None

    def _after_asking(self) -> Part | None:
        return next((part for part in self._left if _own(part) != "asked"), None)

    def result(self, call_id: str) -> Part | None:
        """What a call gave; what was done inside of it is not to be done again."""
        for number, part in enumerate(self._left):
            if part.type == "tool_result" and part.call_id == call_id:
                del self._left[number]
                self._drop_inside(call_id)
                return part
        return None

    def _drop_inside(self, call_id: str) -> None:
        inside = {self._uses[call_id]} if call_id in self._uses else set()
        left = []
        for part in self._left:
            if part.parent in inside:
                inside.add(part.step)
            else:
                left.append(part)
        self._left = left

    # ---- what is not of the record goes on

    def count(self, usage: Usage) -> None:
        """As the sink."""
        self._sink.count(usage)

    @property
    def crowded(self) -> bool:
        """As the sink."""
        return self._sink.crowded

    async def committed(self) -> None:
        """As the sink."""
        await self._sink.committed()


class Recorded(Struct, frozen=True):
    """A round of a model, as its parts."""

    parts: list[Part]

    @property
    def iteration(self) -> int:
        """Its number."""
        return self.parts[0].iteration

    @property
    def call_ids(self) -> Iterator[str]:
        """The ids that its calls got, in order."""
        return (part.call_id for part in self.parts if part.type == "tool_use")

    def play(self, ear: DeltaSink, *, calls_in_text: bool) -> None:
        """Say it again; `calls_in_text`: the calls stand in the text as it came."""
        raw: str | None = None
        for part in self.parts:
            raw = _fields(part).get("raw", raw)
        for index, part in enumerate(self.parts):
            fields = _fields(part)
            if names := fields.get("reasoning"):
                ear.reasoning_fields.extend(
                    name for name in names if name not in ear.reasoning_fields
                )
                ear.reasoning(part.content)
            elif part.type != "tool_use":
                ear.text(part.content if raw is None else raw)
                raw = None if raw is None else ""
            elif not calls_in_text:
                delta = CallDelta(
                    part.tool_name,
                    part.content,
                    index,
                    part.call_id,
                    fields.get("call") or {},
                )
                ear.call(delta)
        if raw:
            ear.text(raw)

    @property
    def extras(self) -> dict[str, Any]:
        """What goes back with the message."""
        found = (_fields(part).get("message") for part in self.parts)
        return next(filter(None, found), {})


class ReplayedPart:
    """A part that is told already."""

    def __init__(self, recorded: Part | None) -> None:
        self.number = -1 if recorded is None else recorded.step
        self.call_id = "" if recorded is None else recorded.call_id
        self.content = ""

    def grow(self, text: str) -> None:
        """More of what was told."""
        self.content += text

    def replace(self, *, kind: PartType | None = None, text: str | None = None) -> None:
        """It is told as what it was in the end."""
        if text is not None:
            self.content = text

    def progress(
        self, text: str = "", done: float | None = None, total: float | None = None
    ) -> None:
        """Nobody watches."""

    def finish(
        self,
        status: PartStatus = "ok",
        tool_input: dict[str, Any] | None = None,
        server_fields: dict[str, Any] | None = None,
    ) -> None:
        """It is finished."""


def _fields(part: Part) -> dict[str, Any]:
    return part.server_fields or {}


def _own(part: Part) -> str:
    return str(_fields(part).get("own", ""))


def _is_of_tools(part: Part) -> bool:
    return part.type in {"tool_use", "tool_result"}


def _is_of_round(part: Part, head: Part) -> bool:
    """Whether a model said both in one round."""
    is_said = part.type != "tool_result" and not _own(part)
    return is_said and (part.iteration, part.agent) == (head.iteration, head.agent)
