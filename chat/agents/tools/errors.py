"""What may be said of an exception that somebody's code has raised."""

from __future__ import annotations

import re
from typing import Final

from chat.redaction import redact_error

MAX_CHARS: Final = 300

_TRACEBACK: Final = re.compile(r"Traceback \(most recent call last\):.*", re.DOTALL)
_FRAME: Final = re.compile(r'^\s*File "[^"]*", line \d+.*$', re.MULTILINE)
# Absolute paths of at least two names; what follows `://` is an address, not a path.
_PATH: Final = re.compile(
    r"(?<![\w:/.])~?/(?:[\w.+@~-]+/)+[\w.+@~-]*"
    r"|\b[A-Za-z]:\\(?:[^\\\s:]+\\)+[^\\\s:]*"
)


def kind_and_message(error: BaseException) -> str:
    """The kind of the error and its message, without paths, secrets and tracebacks."""
    message = cleaned(str(error))
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def cleaned(text: str) -> str:
    """One short line: folders, secrets and tracebacks of the server are left out."""
    text = _TRACEBACK.sub("", text[: 20 * MAX_CHARS])
    text = _FRAME.sub("", text)
    text = redact_error(text)
    text = _PATH.sub("…", text)
    text = " ".join(text.split())
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"
