"""JSON as it was written: with each number's digits, and each key, in their order.

The twin of static/chat/js/words/values.js.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from chat.words.terminal import terminal_text

PARSE_LIMIT: Final = 1_000_000  # characters; what is longer is shown as text

_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Plain:
    """A number, true, false or null, as it was written."""

    text: str


@dataclass(frozen=True)
class Entries:
    """An object: keys may come twice."""

    entries: list[tuple[str, Value]]


Value = Plain | str | list[Any] | Entries


@dataclass
class Part:
    """A piece of a value that is laid out for people."""

    text: str
    is_lines: bool = False  # a string of several lines, shown as these


def json_value(text: str) -> Value | None:
    """The value, or None if this is not JSON."""
    if len(text) > PARSE_LIMIT:
        return None
    try:
        return _marked(
            json.loads(
                text,
                object_pairs_hook=Entries,
                parse_int=Plain,
                parse_float=Plain,
                parse_constant=_refuse,
            )
        )
    except (ValueError, RecursionError):
        return None


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)  # NaN is no JSON


def _marked(value: Any) -> Value:
    """True, false and null as they are written."""
    if value is None or value is True or value is False:
        return Plain(json.dumps(value))
    if isinstance(value, list):
        return [_marked(item) for item in value]
    if isinstance(value, Entries):
        return Entries([(key, _marked(item)) for key, item in value.entries])
    return value  # type: ignore[no-any-return]  # what the hooks made, or a string


def compact(value: Value) -> str:
    """A value on one line."""
    if isinstance(value, Plain):
        return value.text
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return f"[{','.join(map(compact, value))}]"
    pairs = (f"{_quoted(key)}:{compact(item)}" for key, item in value.entries)
    return f"{{{','.join(pairs)}}}"


def plainly(value: Value) -> str:
    """A value in a few words: a string without its quotes."""
    return terminal_text(value) if isinstance(value, str) else compact(value)


def laid_out(value: Value) -> list[Part]:
    """A value over lines. A string of several lines is a part of its own."""
    parts: list[Part] = []
    _lay(value, "", "", parts)
    if not parts[-1].is_lines:
        parts[-1].text = parts[-1].text[:-1]
    return parts


def _lay(value: Value, indent: str, end: str, parts: list[Part]) -> None:
    if isinstance(value, list) and value:
        _lay_rows("[", [("", item) for item in value], "]", (indent, end), parts)
    elif isinstance(value, Entries) and value.entries:
        rows = [(f"{_quoted(key)}: ", item) for key, item in value.entries]
        _lay_rows("{", rows, "}", (indent, end), parts)
    elif isinstance(value, str) and "\n" in value.rstrip():
        parts.append(Part(terminal_text(value), is_lines=True))
    else:
        _add(parts, f"{compact(value)}{end}\n")


def _lay_rows(
    opening: str,
    rows: list[tuple[str, Value]],
    closing: str,
    around: tuple[str, str],
    parts: list[Part],
) -> None:
    indent, end = around
    inner = f"{indent}  "
    _add(parts, f"{opening}\n")
    for number, (label, item) in enumerate(rows, 1):
        _add(parts, f"{inner}{label}")
        _lay(item, inner, "," if number < len(rows) else "", parts)
    _add(parts, f"{indent}{closing}{end}\n")


def _add(parts: list[Part], text: str) -> None:
    if parts and not parts[-1].is_lines:
        parts[-1].text += text
    else:
        parts.append(Part(text))


def _quoted(text: str) -> str:
    written = json.dumps(terminal_text(text), ensure_ascii=False)
    return _LONE_SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", written)
