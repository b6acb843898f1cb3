"""What the requests and answers of OpenAI's API have in common."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from msgspec import Struct

from chat.programs.errors import RequestError
from chat.wire.protocol import Reason, RunFinished, Usage

FINISH_REASONS: Final[dict[Reason, str]] = {
    "answered": "stop",
    "stopped": "stop",
    "withdrawn": "stop",
    "max_iterations": "length",
}


def finish_reason(finished: RunFinished) -> str:
    """Why it ended, in the words of chat completions."""
    if finished.reason == "cut":
        return "content_filter" if finished.cause == "filter" else "length"
    return FINISH_REASONS.get(finished.reason, "stop")


def usage_of(finished: RunFinished | None) -> Usage:
    """What a run has used; zero where its model server does not say."""
    if finished is None or not isinstance(finished.usage, Usage):
        return Usage(0, 0)
    return finished.usage


class Part(Struct, frozen=True):
    """A part of a message's content."""

    type: str
    text: str = ""


Content = str | list[Part] | None


def text_of(content: Content) -> str:
    """The text of a message. Raises RequestError where it is not all text."""
    if not isinstance(content, list):
        return content or ""
    for part in content:
        if part.type not in {"text", "input_text", "output_text", "refusal"}:
            raise RequestError(400, f"Parts of type {part.type[:40]!r} are not taken.")
    return "\n".join(part.text for part in content)


def name_of(prefix: str, session_id: UUID, number: int) -> str:
    """The id by which a run is known there."""
    return f"{prefix}{session_id.hex}_{number}"


def run_of(prefix: str, name: str) -> tuple[UUID, int]:
    """The session and number that an id names. Raises RequestError."""
    is_one = name.startswith(prefix)
    session, _, number = name.removeprefix(prefix).partition("_")
    try:
        return UUID(hex=session if is_one else ""), int(number)
    except ValueError:
        raise RequestError(404, f"There is no {name[:80]!r}.") from None
