"""A chat as a file: Markdown for people, JSON (the log) for programs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from msgspec import DecodeError, Struct, json, to_builtins

from chat.store import (
    SessionFacts,
    SessionLog,
    Taken,
    TooLongError,
    UnreadableError,
)
from chat.wire.protocol import Event, RunView, StepView
from chat.wire.transcript import fold, view

FORMAT: Final = "reasoning-site-chat"
VERSION: Final = 1
MAX_JSON_BYTES: Final = 32 * 1024 * 1024  # that are read at once
MAX_NAME: Final = 80  # characters of a file's name

_FENCE: Final = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})(.*)")
_LINE_END: Final = re.compile(r"\r\n?|\n")
_BACKTICKS: Final = re.compile(r"`+")
_HEADINGS: Final = {"thought": "Thought", "error": "Error", "final_answer": "Answer"}


def as_json(log: SessionLog) -> bytes:
    """{format, version, session: {title, agent_name}, runs: [{run, events}]}."""
    return json.format(json.encode(_content(log)), indent=1) + b"\n"


def _content(log: SessionLog) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "session": {"title": log.facts.title, "agent_name": log.facts.agent_name},
        "runs": [
            {"run": number, "events": to_builtins(events)}
            for number, events in log.runs.items()
        ],
    }


def as_line(taken: Taken) -> bytes:
    """A line of JSON: as `as_json`, with all that is known of the session."""
    content = _content(taken.log)
    content["session"] |= taken.about
    return json.encode(content) + b"\n"


class _Run(Struct):
    run: int
    events: list[Event]


class _Session(Struct):
    title: str = ""
    agent_name: str = ""


class _File(Struct):
    format: Literal["reasoning-site-chat"]
    version: Literal[1]
    session: _Session
    runs: list[_Run]


_decode = json.Decoder(_File).decode


def read_json(data: bytes) -> SessionLog:
    """What `as_json` wrote; nobody's yet. Raises UnreadableError, TooLongError."""
    if len(data) > MAX_JSON_BYTES:
        raise TooLongError
    try:
        file = _decode(data)
    except (DecodeError, RecursionError) as error:
        raise UnreadableError(str(error)) from None
    facts = SessionFacts(None, "", file.session.title, file.session.agent_name)
    return SessionLog(facts, {each.run: each.events for each in file.runs})


def as_markdown(log: SessionLog) -> bytes:
    """Questions and steps are quoted or fenced, so that none passes for another."""
    parts = [f"# {_one_line(log.facts.title) or 'Untitled'}"]
    for number, events in log.runs.items():
        parts += _run(view(fold(number, events)))
    return ("\n\n".join(parts) + "\n").encode()


FORMATS: Final[Mapping[str, tuple[str, str, Callable[[SessionLog], bytes]]]] = {
    "markdown": ("md", "text/markdown; charset=utf-8", as_markdown),
    "json": ("json", "application/json", as_json),
}


def file_name(title: str, ending: str) -> str:
    """A name that any file system takes; of the title, letters, digits and dashes."""
    words = re.findall(r"\w+", title)
    return f"{'-'.join(words)[:MAX_NAME].strip('-_') or 'chat'}.{ending}"


def _run(run: RunView) -> Iterator[str]:
    yield f"## Question {run.run}"
    yield _quoted(run.prompt)
    for step in run.steps:
        yield from _step(run, step)
    if run.status != "finished":
        yield "*Not finished.*"
    elif run.reason != "answered":
        yield f"*Ended: {str(run.reason).replace('_', ' ')}.*"


def _step(run: RunView, step: StepView) -> Iterator[str]:
    by = _one_line(str(step.agent or run.agent_name))
    match step.type:
        case "final_answer":
            yield f"### {_HEADINGS[step.type]} by {by}"
            yield _closed(step.content)
        case "tool_use" | "tool_result":
            kind = "Call of" if step.type == "tool_use" else "Result of"
            yield f"### {kind} {_one_line(str(step.tool_name or 'a tool'))}"
            yield _fenced(step.content)
        case _:
            yield f"### {_HEADINGS[step.type]}"
            yield _quoted(step.content)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in _LINE_END.split(text))


def _fenced(text: str) -> str:
    """A block of code, whatever is in it."""
    longest = max(map(len, _BACKTICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _closed(text: str) -> str:
    """The text, with an end to a block of code that was left open.

    What comes after it in the file would be code as well.
    """
    fence = ""
    for line in _LINE_END.split(text):
        found = _FENCE.fullmatch(line)
        if not found:
            continue
        marks, rest = found.groups()
        if not fence:
            fence = marks
        elif marks.startswith(fence) and not rest.strip():
            fence = ""
    return f"{text}\n{fence}" if fence else text
