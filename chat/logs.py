"""Lines of the log: each says whom it concerns, and none begins where a text wants.

What people, models and clients send ends up in messages and tracebacks. A line break in
it must not look like another entry, and no secret is to be read there.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TypeAlias

from chat.redaction import redact

# Whom what happens now concerns: `socket`, `session`, `run`. Of each task.
_concerned: ContextVar[Mapping[str, str]] = ContextVar("_concerned", default={})  # noqa: B039  (never changed)

_ESCAPED: Final = {
    code: repr(chr(code))[1:-1]
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}

ExcInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None]
    | tuple[None, None, None]
)


def about(**ids: object) -> None:
    """From now on this task's log lines say that they concern these."""
    _concerned.set({name: str(value) for name, value in ids.items()})


class LineFormatter(logging.Formatter):
    """One line for each entry; those of a traceback are indented. Without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """The entry."""
        return redact(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The entry's own line."""
        record.message = record.message.translate(_ESCAPED)
        if concerned := _concerned.get():
            ids = " ".join(f"{name}={value}" for name, value in concerned.items())
            record.message += f" [{ids}]"
        return super().formatMessage(record)

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802
        """The traceback, each of its lines indented."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """As `formatException`."""
        return _indented(stack_info)


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for who collects logs. Without secrets.

    `time` (UTC), `level`, `logger`, `message`, whom it concerns (`socket`, `session`,
    `run`), and `exception` where there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The entry."""
        said: dict[str, str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
            **_concerned.get(),
        }
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            said["exception"] = redact(record.exc_text)
        if record.stack_info:
            said["stack"] = redact(record.stack_info)
        return json.dumps(said, ensure_ascii=True)  # so no character ends the line


class Outage:
    """Something that the site needs and that may be away: told when it goes, and when
    it is back. From any thread.
    """

    def __init__(
        self, logger: logging.Logger, what: str, *, calm_seconds: float = 0.0
    ) -> None:
        """`calm_seconds`: so long it must not have failed to be back."""
        self._logger = logger
        self._what = what
        self._calm_seconds = calm_seconds
        self._lock = threading.Lock()
        self._began: float | None = None  # monotonic, as the next
        self._failed = 0.0

    @property
    def is_on(self) -> bool:
        """Whether it is away, as far as is known."""
        return self._began is not None

    def failed(self, error: BaseException) -> None:
        """It did not answer."""
        with self._lock:
            self._failed = time.monotonic()
            if self._began is None:
                self._began = self._failed
                self._logger.warning("%s is away: %r", self._what, error)

    def answered(self) -> None:
        """It did. Costs nothing where it was not away."""
        if not self.is_on:
            return
        with self._lock:
            now = time.monotonic()
            if self._began is not None and now - self._failed >= self._calm_seconds:
                seconds, self._began = now - self._began, None
                self._logger.warning("%s is back after %.1f s", self._what, seconds)


class WithoutTraceback(logging.Filter):
    """What anybody on the internet can cause is one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass, shortened."""
        record.exc_info = record.exc_text = None
        return True


class WithoutSecrets(logging.Filter):
    """For loggers whose lines others format, as uvicorn's are by itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass, redacted."""
        record.msg = _redacted(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(map(_redacted, record.args))
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


def _redacted(value: Any) -> Any:
    """Numbers stay numbers, as `%d` wants them."""
    if isinstance(value, int | float | None):
        return value
    return redact(str(value))


def _indented(text: str) -> str:
    return "\n".join(f"    {line.translate(_ESCAPED)}" for line in text.split("\n"))
