"""What anybody sends forges no line of the log; and lines say whom they concern."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest
from django.conf import settings

from chat import logs

FORGED = "2026-11-25 20:00:00 ERROR   chat.auth somebody was let in"


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger as the site's are, and what it has written."""
    text = io.StringIO()
    line = settings.LOGGING["formatters"]["line"]
    handler = logging.StreamHandler(text)
    handler.setFormatter(logs.LineFormatter(line["format"], style=line["style"]))
    logger = logging.getLogger("tests.logs")
    logger.propagate = False
    logger.addHandler(handler)
    yield logger, text
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    "end", ["\n", "\r", "\r\n", "\x0b", "\x85", "\u2028", "\x1b[1K"]
)
def test_a_line_break_in_what_somebody_sent_begins_no_line(
    log: tuple[logging.Logger, io.StringIO], end: str
) -> None:
    logger, text = log
    logger.warning("a command failed: %s", f"no{end}{FORGED}")
    (line,) = text.getvalue().splitlines()
    assert FORGED in line
    assert not line.startswith(FORGED)
    assert "\x1b" not in line


def refuse(text: str) -> None:
    raise ValueError(text)


def test_nor_in_a_traceback(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, text = log
    try:
        refuse(f"no\n{FORGED}\r{FORGED}")
    except ValueError:
        logger.exception("failed")
    first, *others = text.getvalue().splitlines()
    assert first.endswith("failed")
    assert others
    assert all(line.startswith("    ") for line in others)


KEY = "sk-proj-0123456789abcdefghij"


def test_no_secret_is_written_neither_in_messages_nor_in_tracebacks(
    log: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, text = log
    try:
        refuse(f"not with {KEY}")
    except ValueError:
        logger.exception("refused: %s %d", f"key={KEY}", 3)
    assert KEY not in text.getvalue()
    assert "refused: key=sk-[secret] 3" in text.getvalue()
    assert "not with sk-[secret]" in text.getvalue()


def test_nor_by_a_logger_whose_lines_others_format() -> None:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(message)s %(args)s"))
    logger = logging.getLogger("tests.logs.uvicorn")
    logger.propagate = False
    logger.addFilter(logs.WithoutSecrets())
    logger.addHandler(handler)
    try:
        refuse(f"not with {KEY}")
    except ValueError:
        logger.exception("GET %s %d", f"/?key={KEY}", 500)
    assert KEY not in text.getvalue()
    assert "GET /?key=sk-[secret] 500" in text.getvalue()
    assert "not with sk-[secret]" in text.getvalue()


async def test_a_task_says_whom_its_lines_concern(
    log: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, text = log

    async def speak(run: int) -> None:
        logs.about(run=run)
        await asyncio.sleep(0)
        logger.warning("was given up")

    await asyncio.gather(speak(1), speak(2))
    logger.warning("nobody's")
    lines = text.getvalue().splitlines()
    assert [line.partition("tests.logs ")[2] for line in lines] == [
        "was given up [run=1]",
        "was given up [run=2]",
        "nobody's",
    ]


@pytest.mark.parametrize(("calm_seconds", "ends"), [(0.0, True), (3600.0, False)])
def test_what_is_away_is_told_once_and_when_it_has_been_back_for_a_while(
    log: tuple[logging.Logger, io.StringIO], calm_seconds: float, *, ends: bool
) -> None:
    logger, text = log
    outage = logs.Outage(logger, "the cellar", calm_seconds=calm_seconds)
    outage.answered()
    for _ in range(3):
        outage.failed(OSError("flooded"))
    outage.answered()
    outage.answered()
    assert outage.is_on is not ends
    lines = [line.partition("tests.logs ")[2] for line in text.getvalue().splitlines()]
    told = ["the cellar is away: OSError('flooded')", "the cellar is back after 0.0 s"]
    assert lines == told[: 1 + ends]


def test_as_json_each_entry_is_one_object_that_says_whom_it_concerns() -> None:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logs.JsonFormatter())
    logger = logging.getLogger("tests.logs.json")
    logger.propagate = False
    logger.addHandler(handler)

    async def work() -> None:
        logs.about(session="s-1", run=7)
        try:
            refuse(f"no\u2028{FORGED}")
        except ValueError:
            logger.exception("failed: %s", f"a\n{FORGED}")

    asyncio.run(work())
    (line,) = text.getvalue().splitlines()
    entry = json.loads(line)
    assert entry["message"] == f"failed: a\n{FORGED}"
    assert (entry["session"], entry["run"], entry["level"]) == ("s-1", "7", "ERROR")
    assert "ValueError: no" in entry["exception"]
    assert datetime.fromisoformat(entry["time"]).tzinfo is not None
