"""The clock: what time it is somewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from chat.agents.tools.base import ToolError, in_short

# Cities and countries that are no names of time zones themselves.
_PLACES: Final = {
    "barcelona": "Europe/Madrid",
    "bangalore": "Asia/Kolkata",
    "beijing": "Asia/Shanghai",
    "bengaluru": "Asia/Kolkata",
    "boston": "America/New_York",
    "britain": "Europe/London",
    "california": "America/Los_Angeles",
    "cape town": "Africa/Johannesburg",
    "china": "Asia/Shanghai",
    "cologne": "Europe/Berlin",
    "delhi": "Asia/Kolkata",
    "deutschland": "Europe/Berlin",
    "england": "Europe/London",
    "france": "Europe/Paris",
    "frankfurt": "Europe/Berlin",
    "geneva": "Europe/Zurich",
    "germany": "Europe/Berlin",
    "hamburg": "Europe/Berlin",
    "hangzhou": "Asia/Shanghai",
    "hanoi": "Asia/Ho_Chi_Minh",
    "hyderabad": "Asia/Kolkata",
    "india": "Asia/Kolkata",
    "italy": "Europe/Rome",
    "japan": "Asia/Tokyo",
    "köln": "Europe/Berlin",
    "korea": "Asia/Seoul",
    "kyoto": "Asia/Tokyo",
    "las vegas": "America/Los_Angeles",
    "la": "America/Los_Angeles",
    "melbourne": "Australia/Melbourne",
    "miami": "America/New_York",
    "milan": "Europe/Rome",
    "montreal": "America/Toronto",
    "mumbai": "Asia/Kolkata",
    "moskau": "Europe/Moscow",
    "münchen": "Europe/Berlin",
    "munich": "Europe/Berlin",
    "new delhi": "Asia/Kolkata",
    "new york city": "America/New_York",
    "nyc": "America/New_York",
    "österreich": "Europe/Vienna",
    "osaka": "Asia/Tokyo",
    "peking": "Asia/Shanghai",
    "philadelphia": "America/New_York",
    "rio": "America/Sao_Paulo",
    "rio de janeiro": "America/Sao_Paulo",
    "rom": "Europe/Rome",
    "saint petersburg": "Europe/Moscow",
    "san francisco": "America/Los_Angeles",
    "seattle": "America/Los_Angeles",
    "shenzhen": "Asia/Shanghai",
    "spain": "Europe/Madrid",
    "st petersburg": "Europe/Moscow",
    "switzerland": "Europe/Zurich",
    "schweiz": "Europe/Zurich",
    "the uk": "Europe/London",
    "tokio": "Asia/Tokyo",
    "uk": "Europe/London",
    "washington": "America/New_York",
    "washington dc": "America/New_York",
    "wien": "Europe/Vienna",
    "zürich": "Europe/Zurich",
}


@cache
def _zones() -> Mapping[str, str]:
    """Names of time zones by what people call them, in lower case."""
    zones: dict[str, str] = {}
    for zone in sorted(available_timezones()):
        if zone.startswith(("posix/", "right/")):
            continue
        zones[zone.lower()] = zone
        area, _, city = zone.rpartition("/")
        if area and area not in {"Etc", "SystemV"}:
            zones.setdefault(city.lower().replace("_", " "), zone)
    zones.update(_PLACES)
    return zones


def find_zone(place: str) -> str | None:
    """The IANA name of the time zone that the place is, or is in."""
    name = re.sub(r"[.\s]+", " ", place.replace(".", "")).strip(" ,?!").lower()
    zones = _zones()
    found = zones.get(name) or zones.get(name.replace(" ", "_"))
    if found is None and "," in name:  # "Paris, France"
        found = zones.get(name.split(",")[0].strip())
    return found


def _utc_now() -> datetime:
    return datetime.now(UTC)


class CurrentTime:
    """Says what time it is."""

    name = "current_time"
    description = "Tell the current date and time in a time zone."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "timezone": {
                "type": "string",
                "description": "IANA name, for example “Asia/Tokyo”; UTC if left out.",
            }
        },
        "required": [],
    }
    repeatable = True
    time_limit: float | None = 5.0

    def __init__(self, now: Callable[[], datetime] = _utc_now) -> None:
        """Tell the time by this clock, which is asked for UTC."""
        self._now = now

    async def call(self, arguments: dict[str, Any]) -> str:
        """Date and time in `timezone`."""
        asked = arguments.get("timezone") or "UTC"
        zone = find_zone(asked) if isinstance(asked, str) else None
        if zone is None:
            raise ToolError(
                f"There is no time zone “{str(asked)[:60]}”. Use an IANA name such as "
                "“Europe/Paris”."
            )
        try:
            there = self._now().astimezone(ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError):
            raise ToolError(f"The time zone “{zone}” is not known here.") from None
        offset = there.strftime("%z")
        return (
            f"{there:%H:%M} on {there:%A}, {there.day} {there:%B %Y} "
            f"({zone}, UTC{offset[:3]}:{offset[3:]})"
        )

    def recognise(self, prompt: str) -> dict[str, Any] | None:
        """A question for the time, here (UTC) or at a place that has a zone."""
        asked = in_short(prompt)
        found = _ASKS.fullmatch(asked)
        if found is None or _PHILOSOPHY.fullmatch(asked):
            return None
        place = next((text for text in found.groups() if text), "")
        if not place:
            return {"timezone": "UTC"}
        zone = find_zone(place)
        return None if zone is None else {"timezone": zone}


_PHILOSOPHY: Final = re.compile(r"what(?:'s|’s| is) time[\s?!.]*", re.IGNORECASE)
_PLACE: Final = r"(?:in|at|for)\s+(?:the city of\s+)?([\w\s.,'/_+-]{2,40}?)"
_NOW: Final = (
    r"(?:\s+(?:right now|now|currently|today|at the moment|please|jetzt|gerade|heute"
    r"|bitte))*"
)
_WHERE: Final = rf"{_NOW}(?:\s+{_PLACE})?{_NOW}"
_END: Final = r"\s*(?:,?\s*(?:please|thanks|thank you|bitte|danke))?[\s?!.]*"
_ASKS: Final = re.compile(
    r"(?:(?:hi|hello|hey|please|so|ok|okay|hallo)\b[\s,!.]*)*"
    r"(?:(?:can|could) you\s+(?:please\s+)?)?(?:tell me\s+|do you know\s+)?"
    r"(?:please\s+)?"
    r"(?:"
    r"what(?:'s|’s| is)?\s+(?:the\s+)?(?:current\s+|local\s+)?(?:date and\s+)?time"
    rf"(?:\s+is it|\s+it is|\s+is)?{_WHERE}"
    rf"|(?:the\s+)?(?:current|local)\s+time{_WHERE}"
    rf"|time{_NOW}\s+{_PLACE}{_NOW}"
    r"|what(?:'s|’s| is)\s+(?:the\s+)?(?:current\s+|today(?:'s|’s)\s+)?date"
    rf"{_WHERE}"
    r"|(?:what|which)\s+(?:day(?: of the week)?|weekday|date|month|year)"
    rf"(?:\s+(?:is it|it is|is today|today is|do we have|is)){_WHERE}"
    r"|(?:today(?:'s|’s)|the current)\s+(?:date|day)"
    rf"|what\s+is\s+(?:it\s+)?today|wie\s+spät\s+(?:ist|haben)\s+(?:es|wir){_WHERE}"
    rf"|wie\s*viel\s+uhr\s+(?:ist|haben)\s+(?:es|wir){_WHERE}"
    rf"|(?:die\s+)?uhrzeit{_WHERE}"
    rf"|(?:welcher|was für ein)\s+(?:wochen)?tag\s+ist{_NOW}(?:\s+es)?{_WHERE}"
    rf"|(?:welches|was für ein)\s+datum\s+(?:ist|haben\s+wir){_WHERE}"
    rf"|(?:den\s+)?wievielten\s+haben\s+wir{_NOW}"
    r")" + _END,
    re.IGNORECASE,
)
