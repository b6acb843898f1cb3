"""A run in a terminal: each step in its colour, as it is written."""

from __future__ import annotations

import os
import sys
import unicodedata
from contextlib import suppress
from typing import Final, TextIO
from uuid import UUID

from reasoning_client.errors import ClientError, Refused
from reasoning_client.fold import RunState, Step
from reasoning_client.synchronous import Client, Run

COLOURS: Final = {
    "thought": "34",  # blue
    "tool_use": "33",  # yellow, which is the nearest to orange that all terminals have
    "tool_result": "35",  # purple
    "final_answer": "32",  # green
    "error": "31",  # red
}
NAMES: Final = {
    "thought": "Thought",
    "tool_use": "Call",
    "tool_result": "Result",
    "final_answer": "Answer",
    "error": "Error",
}
INTERRUPTED: Final = 130  # what shells say of a program that Ctrl-C has ended


def ask(
    url: str,
    message: str,
    *,
    token: str | None = None,
    agent: str | None = None,
    session: UUID | None = None,
    out: TextIO = sys.stdout,
) -> int:
    """Ask and show what comes. Ctrl-C stops the run. Returns the exit code."""
    with Client(url, token) as client:
        run = client.ask(message, agent=agent, session=session)
        printer = Printer(out)
        try:
            try:
                for state in run.updates():
                    printer.show(state)
            except KeyboardInterrupt:
                _stop(run, printer)
                return INTERRUPTED
        except Refused as refused:
            printer.say(f"Not taken: {refused}", "31")
            return 1
        except ClientError as error:
            printer.say(str(error), "31")
            return 1
        if run.state.reason != "answered":
            printer.say(f"({run.state.reason})", "2")
        printer.say(f"{url.rstrip('/')}/chat/{run.session}", "2")
        return 0 if run.state.reason == "answered" else 1


def _stop(run: Run, printer: Printer) -> None:
    """Stop the run, and show what it had written. A second Ctrl-C ends at once."""
    with suppress(ClientError):
        run.stop()
        for state in run.updates():
            printer.show(state)
    printer.say("(stopped)", "2")


class Printer:
    """Prints what is new of a run's steps, in their order."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._has_colours = out.isatty() and not os.environ.get("NO_COLOR")
        self._printed: dict[int, str] = {}  # text, by step
        self._current: int | None = None

    def show(self, state: RunState) -> None:
        """Print what has come since the last time."""
        for number, step in sorted(state.steps.items()):
            printed = self._printed.get(number)
            if printed == step.content and printed is not None:
                continue
            if printed is None or number != self._current:
                self._begin(step)
                printed = self._printed.get(number, "")
            if not step.content.startswith(printed):
                printed = ""  # it says something else now: all of it once more
                self._write("\n", "")
            self._write(step.content[len(printed) :], COLOURS.get(step.type, ""))
            self._printed[number] = step.content
        self._out.flush()

    def say(self, text: str, colour: str) -> None:
        """Print a line of our own."""
        if self._current is not None:
            self._write("\n", "")
            self._current = None
        self._write(f"{text}\n", colour)
        self._out.flush()

    def _begin(self, step: Step) -> None:
        if self._current is not None:
            self._write("\n", "")
        self._current = step.number
        name = NAMES.get(step.type, step.type)
        who = f" of {step.tool_name}" if step.tool_name else ""
        agent = f"{step.agent}: " if step.agent else ""
        self._write(f"{agent}{name}{who}\n", f"1;{COLOURS.get(step.type, '0')}")

    def _write(self, text: str, colour: str) -> None:
        text = readable(text)
        if self._has_colours and colour and text:
            text = f"\x1b[{colour}m{text}\x1b[0m"
        self._out.write(text)


def readable(text: str) -> str:
    """The text without what would command the terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character)[0] != "C"
        else "\ufffd"
        for character in text
    )
