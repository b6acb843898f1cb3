"""Reads JSON as language models write it.

Besides JSON: texts in single quotes, with raw line breaks in them, keys without quotes,
commas too many, comments, Python's True, False and None, and brackets that are missing
at the end. Linear in the text. Pure.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

MAX_DEPTH: Final = 100

_strict = json.JSONDecoder(strict=False)
_SPACE = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(r"[^\s,:{}\[\]\"']+")
_PLAIN: Final = {q: re.compile(rf"[^{q}\\]*") for q in "\"'"}
_WORDS: Final[dict[str, Any]] = {
    "true": True,
    "false": False,
    "null": None,
    "True": True,
    "False": False,
    "None": None,
    "undefined": None,
}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}


def read(text: str) -> Any:
    """The value that the whole text is. Raises ValueError."""
    value, end = read_at(text, 0)
    if text[end:].strip():
        message = "something follows the value"
        raise ValueError(message)
    return value


def read_at(text: str, at: int) -> tuple[Any, int]:
    """The value that begins at `at`, and where it ends. Raises ValueError."""
    at = _skip(text, at)
    try:
        return _strict.raw_decode(text, at)
    except (ValueError, RecursionError):
        return _value(text, at, 0)


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _value(text: str, at: int, depth: int) -> tuple[Any, int]:
    at = _skip(text, at)
    if depth > MAX_DEPTH:
        message = "nested too deeply"
        raise ValueError(message)
    match text[at : at + 1]:
        case "{":
            return _object(text, at + 1, depth)
        case "[":
            return _list(text, at + 1, depth)
        case "'" | '"':
            return _string(text, at)
        case _:
            return _bare(text, at)


def _object(text: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while True:
        at = _skip(text, at)
        if at >= len(text):
            return found, at  # its end is missing
        char = text[at]
        if char == "}":
            return found, at + 1
        if char == ",":
            at += 1
            continue
        key, at = _string(text, at) if char in "\"'" else _word(text, at)
        at = _skip(text, at)
        if text[at : at + 1] not in {":", "="}:
            message = "a key without a value"
            raise ValueError(message)
        found[key], at = _value(text, at + 1, depth + 1)


def _list(text: str, at: int, depth: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    while True:
        at = _skip(text, at)
        if at >= len(text):
            return found, at  # its end is missing
        if text[at] == "]":
            return found, at + 1
        if text[at] == ",":
            at += 1
            continue
        value, at = _value(text, at, depth + 1)
        found.append(value)


def _string(text: str, at: int) -> tuple[str, int]:
    quote = text[at]
    pieces: list[str] = []
    at += 1
    while True:
        plain = _PLAIN[quote].match(text, at)
        assert plain is not None  # noqa: S101 - it matches nothing, too
        pieces.append(plain[0])
        at = plain.end()
        if at >= len(text):
            message = "a text without end"
            raise ValueError(message)
        if text[at] == quote:
            return "".join(pieces), at + 1
        piece, at = _escaped(text, at + 1)
        pieces.append(piece)


def _escaped(text: str, at: int) -> tuple[str, int]:
    sign = text[at : at + 1]
    if sign == "u":
        try:
            return chr(int(text[at + 1 : at + 5], 16)), at + 5
        except ValueError:
            return "\\u", at + 1
    return _ESCAPES.get(sign, sign), at + 1


def _word(text: str, at: int) -> tuple[str, int]:
    word = _WORD.match(text, at)
    if word is None:
        message = "a key is missing"
        raise ValueError(message)
    return word[0], word.end()


def _bare(text: str, at: int) -> tuple[Any, int]:
    word, end = _word(text, at)
    if word in _WORDS:
        return _WORDS[word], end
    try:
        return json.loads(word.lstrip("+")), end
    except ValueError:
        message = "a word that is no value"
        raise ValueError(message) from None
