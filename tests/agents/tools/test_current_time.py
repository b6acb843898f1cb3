"""The clock: what time it is, wherever people ask for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chat.agents.tools.base import ToolError
from chat.agents.tools.current_time import CurrentTime


def fixed() -> datetime:
    return datetime(2026, 3, 29, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("timezone", "said"),
    [
        ("UTC", "00:30 on Sunday, 29 March 2026 (UTC, UTC+00:00)"),
        ("Asia/Tokyo", "09:30 on Sunday, 29 March 2026 (Asia/Tokyo, UTC+09:00)"),
        ("asia/kolkata", "06:00 on Sunday, 29 March 2026 (Asia/Kolkata, UTC+05:30)"),
        (
            "New York",
            "20:30 on Saturday, 28 March 2026 (America/New_York, UTC-04:00)",
        ),
        ("Paris, France", "01:30 on Sunday, 29 March 2026 (Europe/Paris, UTC+01:00)"),
        (None, "00:30 on Sunday, 29 March 2026 (UTC, UTC+00:00)"),
    ],
)
async def test_the_clock_knows_time_zones(timezone: str | None, said: str) -> None:
    assert await CurrentTime(fixed).call({"timezone": timezone}) == said


@pytest.mark.parametrize("timezone", ["Narnia", "../../etc/passwd", 7, ["UTC"]])
async def test_a_time_zone_that_is_none_is_an_error(timezone: object) -> None:
    with pytest.raises(ToolError, match="no time zone"):
        await CurrentTime(fixed).call({"timezone": timezone})


@pytest.mark.parametrize(
    ("prompt", "timezone"),
    [
        ("what time is it in Tokyo?", "Asia/Tokyo"),
        ("What time is it?", "UTC"),
        ("What's the time in New York right now?", "America/New_York"),
        ("Tell me what time it is in San Francisco", "America/Los_Angeles"),
        ("current time in Asia/Kolkata", "Asia/Kolkata"),
        ("time in London", "Europe/London"),
        ("What is the date today?", "UTC"),
        ("tell me about time travel", None),
        ("What time is dinner?", None),
        ("What time is it in Narnia?", None),
        ("What is time?", None),
        ("What is the time complexity of quicksort?", None),
        ("It is time to go to Paris", None),
        ("", None),
        ("what day is it", "UTC"),
        ("What day of the week is it in Tokyo?", "Asia/Tokyo"),
        ("What day is it today?", "UTC"),
        ("What is today's date?", "UTC"),
        ("Do you know what time it is?", "UTC"),
        ("which year is it", "UTC"),
        ("Wie spät ist es?", "UTC"),
        ("Wie spät ist es in München?", "Europe/Berlin"),
        ("wieviel Uhr ist es", "UTC"),
        ("Welcher Tag ist heute?", "UTC"),
        ("Welches Datum haben wir heute?", "UTC"),
        ("Uhrzeit in Wien", "Europe/Vienna"),
        ("What day is Christmas?", None),
        ("Which day is best?", None),
        ("what year is the constitution from", None),
    ],
)
def test_the_clock_recognises_its_prompts(prompt: str, timezone: str | None) -> None:
    wanted = None if timezone is None else {"timezone": timezone}
    assert CurrentTime(fixed).recognise(prompt) == wanted
