"""What a terminal would show.

Programs colour their output, and write a line over and over to show progress.

The twin of static/chat/js/words/terminal.js.
"""

from __future__ import annotations

import re
from typing import Final

# Colours, cursor movements, titles, links; also those that are not complete yet.
_SEQUENCE: Final = (
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*(?:[@-~]|\\Z)"
    "|\x1b\\][^\x07\x1b\n]*(?:\x07|\x1b\\\\)?"
    "|\x1b[PX^_][^\x1b\n]*(?:\x1b\\\\)?"
    "|\x1b[ -/]*(?:[0-~]|\\Z)?"
)
_CONTROLS: Final = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f]")
_PIECES: Final = re.compile(
    f"{_SEQUENCE}|[\0-\x08\x0a-\x1f\x7f-\x9f]|[^\0-\x08\x0a-\x1f\x7f-\x9f]+"
)
_ERASE: Final = re.compile("(?:\x1b\\[|\x9b)([0-2]?)K")


def terminal_text(text: str) -> str:
    """The text without control codes, each line as it was in the end."""
    if not _CONTROLS.search(text):
        return text
    return "\n".join(map(_last_state, text.replace("\r\n", "\n").split("\n")))


def _last_state(line: str) -> str:
    if not _CONTROLS.search(line):
        return line
    shown: list[str] = []
    at = 0
    for piece in _PIECES.findall(line):
        if piece == "\r":
            at = 0
        elif piece == "\b":
            at = max(0, at - 1)
        elif erase := _ERASE.fullmatch(piece):
            _erase(shown, at, erase[1])
        elif not _CONTROLS.search(piece):
            shown.extend(" " * (at - len(shown)))
            shown[at : at + len(piece)] = piece
            at += len(piece)
    return "".join(shown)


def _erase(shown: list[str], at: int, what: str) -> None:
    """From here on; "1": up to here; "2": all."""
    if what == "1":
        count = min(at, len(shown))
        shown[:count] = " " * count
    else:
        del shown[0 if what == "2" else at :]
