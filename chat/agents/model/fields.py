"""What the fields of a chunk mean, in all the shapes that servers give them.

Pure: plain JSON in, values out. Whatever is of another type than it should be counts
as not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

Json = dict[str, Any]

MAX_EXTRAS: Final = 1024 * 1024  # characters of unknown fields that are kept

# Of a message, what is read elsewhere or says nothing.
_KNOWN: Final = frozenset(
    {"role", "content", "reasoning", "reasoning_content", "refusal", "tool_calls"}
    | {"function_call", "audio", "annotations", "name", "index", "token_ids"}
)
_KNOWN_OF_CALL: Final = frozenset({"index", "id", "type", "function"})
_ARGUMENTS: Final = ("arguments", "parameters", "input")
_KNOWN_OF_FUNCTION: Final = frozenset({"name", *_ARGUMENTS})
# Under which thoughts came; they go back as fields that nobody here knows.
_OTHER_THOUGHTS: Final = (
    *("thinking", "thinking_content", "reasoning_text"),
    *("thought", "thoughts", "thought_content"),
)
# An event of a message and no more: what gateways say when they give up.
_ONLY_WORDS: Final = frozenset(
    {"message", "id", "request_id", "requestId", "timestamp", "path"}
)
_CODES: Final = ("code", "status", "status_code", "statusCode")
# Strings that are said again with every piece instead of growing.
_LABELS: Final = frozenset({"type", "id", "format", "role", "name", "index", "status"})


class CallDelta(Struct, gc=False):
    """A piece of a tool call, as far as the server says what it belongs to.

    `arguments` is JSON text or a piece of it. `extras` are fields we do not know, as
    they came: on the call, and under `function` those of its function.
    """

    name: str = ""
    arguments: str = ""
    index: int | None = None
    id: str = ""
    extras: Json = {}


def call_delta(call: Mapping[str, Any]) -> CallDelta:
    """One entry of `tool_calls`."""
    function = call.get("function")
    if not isinstance(function, dict):
        # Some write name and arguments beside the index.
        named = {"name": function} if isinstance(function, str) else {}
        beside = {key: call[key] for key in _KNOWN_OF_FUNCTION if key in call}
        function = named | beside
    arguments = next((function[k] for k in _ARGUMENTS if function.get(k)), None)
    if arguments is None:
        arguments = ""
    elif not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    name = function.get("name")
    known = _KNOWN_OF_CALL if "function" in call else _KNOWN_OF_CALL | {*function}
    extras = {key: of for key, of in call.items() if key not in known and of}
    inner = {
        key: of for key, of in function.items() if key not in _KNOWN_OF_FUNCTION and of
    }
    if inner:
        extras["function"] = inner
    return CallDelta(
        clean(name) if isinstance(name, str) else "",
        clean(arguments),
        number(call.get("index")),
        _name(call.get("id")),
        extras,
    )


def number(value: Any) -> int | None:
    """A whole number, however it is written; None for anything else."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return None


def _name(value: Any) -> str:
    if type(value) is int:
        return str(value)
    return clean(value) if isinstance(value, str) else ""


def content_of(content: Any) -> tuple[str, str]:
    """Text and thought of a message's content: a text, or a list of parts."""
    if isinstance(content, str):
        return content, ""
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return "", ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            kind = part.get("type")
            if kind in {"thinking", "reasoning"}:
                inner = (
                    part.get("thinking") or part.get("reasoning") or part.get("text")
                )
                thoughts.append("".join(content_of(inner)))
            else:
                texts.append(_text_in(part) or _text(part.get("refusal")))
    return "".join(texts), "".join(thoughts)


def reasoning_in(delta: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The thought in a delta, and the names of the fields it came in."""
    names = [
        name for name in ("reasoning_content", "reasoning") if _as_text(delta.get(name))
    ]
    if names:
        return _as_text(delta[names[0]]), names
    details = delta.get("reasoning_details")
    if isinstance(details, list):
        return "".join(_text_in(item) for item in details if isinstance(item, dict)), []
    return _text_in(delta, _OTHER_THOUGHTS), []


def _as_text(value: Any) -> str:
    """A text, or the text in an object or a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return _text_in(value)
    text, thought = content_of(value)
    return thought + text


def _text_in(
    part: Mapping[str, Any],
    keys: Iterable[str] = ("text", "summary", "content", "thinking"),
) -> str:
    return next((part[key] for key in keys if _text(part.get(key))), "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


# ---------------------------------------------------------------- errors


def error_in(event: Mapping[str, Any], *, named_error: bool) -> str | None:
    """What an event says went wrong, as JSON text for the log; None if nothing did.

    `named_error` says that it came as `event: error` or the like. Values that are
    empty are no error, nor is a chunk that merely lacks choices.
    """
    if named_error or _is_error(event):
        return json.dumps(event, ensure_ascii=True, default=str)[:2000]
    return None


def _is_error(event: Mapping[str, Any]) -> bool:
    for error in (event.get("error"), event.get("errors")):
        # `{"code": 0, "message": ""}` says that there is none.
        if error and (not isinstance(error, dict) or any(error.values())):
            return True
    if event.get("choices"):
        return False
    inner = (of for of in event.values() if isinstance(of, dict))
    return (
        any(event.get(key) == "error" for key in ("object", "type", "status"))
        or any(event.get(key) is False for key in ("success", "ok"))
        or any(of and _is_error_key(key) for key, of in event.items())
        or any(map(_has_error_code, (event, *inner)))
        or (event.keys() <= _ONLY_WORDS and bool(_text(event.get("message"))))
    )


def _has_error_code(event: Mapping[str, Any]) -> bool:
    says = any(_text(event.get(key)) for key in ("message", "msg", "status_msg"))
    return says and any(_is_error_code(event.get(key)) for key in _CODES)


def _is_error_key(key: str) -> bool:
    low = key.lower()
    return low.startswith(("error_", "err_", "errno")) or low in {
        "errcode",
        "errmsg",
        "detail",
        "errorcode",
        "errormessage",
        "errormsg",
        "exception",
        "fault",
        "traceback",
    }


def _is_error_code(code: Any) -> bool:
    if isinstance(code, str):
        if code.isdecimal():
            code = int(code)
        else:
            return code.lower() not in {"", "ok", "success", "processing", "running"}
    return type(code) is int and code not in {0, 200}


# ---------------------------------------------------------------- the rest


class Extras:
    """Fields of a message that nobody here knows, put together from its pieces."""

    def __init__(self) -> None:
        self.message: Json = {}
        self._left = MAX_EXTRAS

    def add_message(self, delta: Mapping[str, Any]) -> None:
        """Take the unknown fields of one delta."""
        unknown = {key: of for key, of in delta.items() if key not in _KNOWN and of}
        if unknown:
            self._left -= len(str(unknown))
            if self._left > 0:
                self.message = merged(self.message, unknown)


def merged(old: Any, new: Any, key: str = "") -> Any:
    """Two pieces of a value as one: texts and lists grow, objects gain fields."""
    if isinstance(old, dict) and isinstance(new, dict):
        both = dict(old)
        for name, of in new.items():
            both[name] = merged(old[name], of, name) if name in old else of
        return both
    if isinstance(old, list) and isinstance(new, list):
        return _merged_lists(old, new)
    if isinstance(old, str) and isinstance(new, str):
        return new if key in _LABELS or old == new else old + new
    return old if new is None else new


def _merged_lists(old: list[Any], new: list[Any]) -> list[Any]:
    """Items with the index and type of the last one go on with it."""
    items = list(old)
    for item in new:
        last = items[-1] if items else None
        same = (
            isinstance(last, dict)
            and isinstance(item, dict)
            and item.get("index") is not None
            and last.get("index") == item["index"]
            and last.get("type") == item.get("type")
        )
        if same:
            items[-1] = merged(last, item)
        else:
            items.append(item)
    return items


# ---------------------------------------------------------------- characters

_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_ESCAPED: Final = re.compile("[\udc80-\udcff]+")


class PieceJoiner:
    """Puts characters together that were cut in two between pieces of a text.

    A half is a high surrogate, or bytes of UTF-8 (as `surrogateescape` has them).
    """

    def __init__(self) -> None:
        self.held = ""

    def feed(self, text: str) -> str:
        """The text, less a half at its end, which waits for what comes next."""
        text = self.held + text
        keep = _half_at_end(text)
        self.held = text[len(text) - keep :]
        return clean(text[: len(text) - keep])

    def close(self) -> str:
        """What was held back, as it can be shown."""
        held, self.held = self.held, ""
        return clean(held)


def _half_at_end(text: str) -> int:
    """How many characters at the end may be the beginning of one."""
    if text[-1:] and "\ud800" <= text[-1] <= "\udbff":
        return 1
    for size in range(1, 4):
        first = text[-size : len(text) - size + 1] if size <= len(text) else ""
        if not ("\udc80" <= first <= "\udcff"):
            return 0
        lead = ord(first) - 0xDC00
        if lead >= 0xC0:  # the first byte of a character  # noqa: PLR2004
            wanted = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4  # noqa: PLR2004
            return size if size < wanted else 0
    return 0


def clean(text: str) -> str:
    """The text as it can be stored: halves joined where they fit, or replaced."""
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = _PAIR.sub(lambda pair: _joined(pair[0]), text)
        text = _ESCAPED.sub(lambda run: _decoded(run[0]), text)
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _joined(pair: str) -> str:
    return pair.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _decoded(run: str) -> str:
    return run.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
