"""Tool calls that a model writes into its text, in whichever form it writes them.

`calls_in` reads a text that is known to be calls (it stood in a tag). `CallGuess`
follows a text that may turn out to be one, character by character, and says as soon as
it cannot be. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from chat.agents.model import lenient
from chat.agents.model.fields import clean

# Names of the offered tools, and the JSON schemas of their parameters.
Tools = Mapping[str, Mapping[str, Any]]

MAX_EXTRA: Final = 3  # brackets too many after a call
MAX_GUESS: Final = (
    1024 * 1024
)  # characters that are held back because they may be a call

NAME_KEYS: Final = ("name", "tool_name", "tool", "function_name", "recipient_name")
ARGUMENT_KEYS: Final = (
    *("arguments", "parameters", "args", "params", "input"),
    *("tool_input", "action_input", "kwargs", "tool_args"),
)
LIST_KEYS: Final = ("tool_calls", "calls", "function_calls")
CALL_KEYS: Final = ("function", "function_call", "tool_call")
_NONE: Final = object()
# With these an object may begin that is a call.
FIRST_KEYS: Final = frozenset(
    {*NAME_KEYS, *ARGUMENT_KEYS, *LIST_KEYS, "function", "action", "type", "id"}
)

_FUNCTION = re.compile(
    r"<function=\s*[\"']?([^>\"'\n]+?)[\"']?\s*>(.*?)(?:</function>|(?=<function=)|\Z)",
    re.DOTALL,
)
_PARAMETER = re.compile(
    r"<parameter=\s*[\"']?([^>\"'\n]+?)[\"']?\s*>(.*?)"
    r"(?:</parameter>|(?=<parameter=)|(?=</function>)|\Z)",
    re.DOTALL,
)
_INVOKE = re.compile(
    r"<invoke\s+name=[\"']([^\"'>]+)[\"']\s*>(.*?)(?:</invoke>|(?=<invoke\s)|\Z)",
    re.DOTALL,
)
_INVOKE_PARAMETER = re.compile(
    r"<parameter\s+name=[\"']([^\"'>]+)[\"'][^>]*>(.*?)"
    r"(?:</parameter>|(?=<parameter\s)|\Z)",
    re.DOTALL,
)
_KEYED = re.compile(
    r"<arg_key>\s*(.*?)\s*</arg_key>\s*<arg_value>(.*?)(?:</arg_value>|(?=<arg_key>)|\Z)",
    re.DOTALL,
)
_NAMED_JSON = re.compile(
    r"\s*([A-Za-z_][\w.:-]*)\s*(?:\[CALL_ID\]\s*[\w.:-]+\s*)?"
    r"(?:\[ARGS\]|[(:=>])?\s*(?=\{)"
)
_MISTRAL: Final = "[TOOL_CALLS]"  # stands before each of several calls
_DSML: Final = "｜DSML｜"  # DeepSeek's mark within tags that are else as others'
_FENCE = re.compile(r"\A\s*(`{3,}|~{3,})[^\n`]*\n?(.*?)(?:\1\s*)?\Z", re.DOTALL)


class TextCall(Struct, frozen=True):
    """A call read from a text; `arguments` is JSON text where they were understood."""

    name: str
    arguments: str


def calls_in(text: str, tools: Tools) -> list[TextCall]:
    """The calls that the text consists of; one without a name if it makes no sense."""
    fenced = _FENCE.match(text)
    inner = (fenced[2] if fenced else text).strip()
    found = (
        list(_in_tokens(inner, tools))
        or list(_in_xml(inner.replace(_DSML, ""), tools))
        or list(_in_json(inner, tools))
    )
    return found or [TextCall("", text.strip())]


def offered_calls_in(text: str, tools: Tools) -> list[TextCall]:
    """As `calls_in`, but none at all where one of them names no offered tool."""
    found = calls_in(text, tools)
    return found if all(call.name in tools for call in found) else []


def _in_tokens(text: str, tools: Tools) -> Iterator[TextCall]:
    """Calls between the tokens of Kimi's and of DeepSeek's models."""
    for piece in text.split("<|tool_call_begin|>")[1:]:
        head, _, given = piece.partition("<|tool_call_argument_begin|>")
        yield _named(head, given.partition("<|tool_call_end|>")[0], tools)
    for piece in text.split("<｜tool▁call▁begin｜>")[1:]:
        body = piece.partition("<｜tool▁call▁end｜>")[0]
        head, _, given = body.partition("<｜tool▁sep｜>")
        if not given.lstrip().startswith("{"):  # a kind, then the name on a line
            head, _, given = given.partition("\n")
        yield _named(head, given, tools)


def _named(name: str, given: str, tools: Tools) -> TextCall:
    """A call of a name, and of arguments in JSON, maybe in a code block."""
    fenced = _FENCE.match(given)
    text = (fenced[2] if fenced else given).strip()
    try:
        arguments = _arguments(lenient.read(text or "{}"))
    except ValueError:
        arguments = text
    return TextCall(known_name(name.strip(), tools), arguments)


def _in_xml(text: str, tools: Tools) -> Iterator[TextCall]:
    for whole, parameter in ((_FUNCTION, _PARAMETER), (_INVOKE, _INVOKE_PARAMETER)):
        for name, body in whole.findall(text):
            if body.lstrip().startswith("{"):
                yield _named(name, body, tools)
            else:
                yield _call(name, dict(parameter.findall(body)), tools)
    if (pairs := _KEYED.findall(text)) and "<arg_key>" in text:
        name = text.partition("<arg_key>")[0]
        yield _call(name, dict(pairs), tools)


def _call(name: str, values: dict[str, str], tools: Tools) -> TextCall:
    """A call of arguments that were written as texts."""
    name = known_name(name.strip(), tools)
    properties = tools.get(name, {}).get("properties", {})
    arguments = {
        key.strip(): _typed(value, properties.get(key.strip(), {}))
        for key, value in values.items()
    }
    return TextCall(name, clean(json.dumps(arguments, ensure_ascii=False)))


def _typed(value: str, schema: Any) -> Any:
    """The value, read as JSON where the tool wants something else than a text."""
    value = value.removeprefix("\n").removesuffix("\n")
    wanted = schema.get("type") if isinstance(schema, dict) else None
    if wanted in {None, "string"}:
        return value
    try:
        return lenient.read(value.strip())
    except ValueError:
        return value


def _in_json(text: str, tools: Tools) -> Iterator[TextCall]:
    at = 0
    while at < len(text):
        if text[at].isspace() or text[at] in ",;}])":
            at += 1
            continue
        if text.startswith(_MISTRAL, at):
            at += len(_MISTRAL)
            continue
        name = ""
        if text[at] not in "{[":
            named = _NAMED_JSON.match(text, at)
            if named is None:
                return
            name, at = named[1], named.end()
        try:
            value, at = lenient.read_at(text, at)
        except ValueError:
            return
        if name:
            yield TextCall(known_name(name, tools), _arguments(value))
        else:
            yield from _calls_of(value, tools)


def _calls_of(value: Any, tools: Tools) -> Iterator[TextCall]:
    """The calls that a JSON value is."""
    if isinstance(value, list):
        for item in value:
            yield from _calls_of(item, tools)
    elif isinstance(value, dict):
        inner = next((value[k] for k in LIST_KEYS if isinstance(value.get(k), list)), 0)
        inner = inner or next(
            (value[k] for k in CALL_KEYS if isinstance(value.get(k), dict)), None
        )
        if inner:
            yield from _calls_of(inner, tools)
        else:
            yield from _call_of(value, tools)


def _call_of(value: dict[str, Any], tools: Tools) -> Iterator[TextCall]:
    """The call that an object is, if it is one."""
    keys = (*NAME_KEYS, "function", "action")
    name_key = next((key for key in keys if isinstance(value.get(key), str)), None)
    if name_key is None:
        if len(value) == 1 and (key := next(iter(value))) in tools:
            yield TextCall(key, _arguments(value[key]))
        return
    name = known_name(value[name_key], tools)
    given = next((value[key] for key in ARGUMENT_KEYS if key in value), _NONE)
    if given is _NONE:  # they stand beside the name
        given = {k: of for k, of in value.items() if k not in {name_key, "type", "id"}}
    yield TextCall(name, _arguments(given))


def _arguments(value: Any) -> str:
    if value is None:
        return "{}"
    if isinstance(value, str):
        return value
    return clean(json.dumps(value, ensure_ascii=False))


def known_name(name: str, tools: Tools) -> str:
    """The name without the name space before it, and the number after it, of some."""
    if name in tools:
        return name
    parts = re.split(r"[.:/]", name)
    if parts[-1].isdigit():
        parts.pop()
    return parts[-1] if parts and parts[-1] in tools else name


class CallGuess:
    """Follows a text that may be calls in JSON and nothing else.

    `closer` is what ends them, where they stand between marks ("```"): then only white
    space may follow. Decided by what came so far, wherever that was cut.
    """

    def __init__(self, tools: Tools, closer: str = "") -> None:
        self._tools = tools
        self._closer = closer
        self._closed = 0  # characters of the closer that have come
        self._size = 0
        self._stack: list[str] = []
        self._quote = ""
        self._escape = False
        self._word: list[str] = []  # the key or the value that is being read
        self._key: str | None = None  # None: a key is next
        self._is_key = False
        self._keys = 0
        self._values = 0
        self._extra = 0

    @property
    def closed(self) -> bool:
        """Whether what ends them has come."""
        return bool(self._closer) and self._closed >= len(self._closer)

    @property
    def in_string(self) -> bool:
        """Whether the text stops in the middle of a string."""
        return bool(self._quote)

    def feed(self, text: str) -> int:
        """Take more. Returns where it turned out to be no call, or -1."""
        for at, char in enumerate(text):
            if not self._take(char):
                return at
        self._size += len(text)
        return 0 if self._size > MAX_GUESS else -1

    def _take(self, char: str) -> bool:
        if self._quote:
            return self._take_in_string(char)
        if self._stack:
            return self._take_in_value(char)
        return self._take_between(char)

    def _take_between(self, char: str) -> bool:
        """Before and after the calls, and between them."""
        if self._closed:
            return self._take_after(char)
        if char.isspace() or (self._values and char in ",;"):
            return True
        if char in "{[":
            self._stack.append(char)
            self._values += 1
            self._keys, self._key = 0, None
            return True
        if self._values and char in "}]":
            self._extra += 1
            return self._extra <= MAX_EXTRA
        self._closed = int(bool(self._values) and char == self._closer[:1])
        return bool(self._closed)

    def _take_after(self, char: str) -> bool:
        if self._closed < len(self._closer):
            self._closed += 1
            return char == self._closer[self._closed - 1]
        return char.isspace()

    @property
    def _at_call(self) -> bool:
        """Whether this is the object that would be the call, or one of a list's."""
        return self._stack in (["{"], ["[", "{"])

    def _take_in_value(self, char: str) -> bool:
        if self._stack == ["["] and char not in "{],\n\r\t ":
            return False
        if char in "\"'":
            self._quote = char
            self._word.clear()
            self._is_key = self._at_call and self._key is None
        elif char in "{[":
            self._stack.append(char)
            if self._at_call:
                self._keys, self._key = 0, None
        elif char in "}]":
            if self._at_call and not self._keys:
                return False
            self._stack.pop()
        elif self._at_call:
            return self._take_in_call(char)
        return True

    def _take_in_call(self, char: str) -> bool:
        """What stands between the strings of the object that would be the call."""
        if char == ",":
            self._key = None
            self._word.clear()
        elif self._key is None and char == ":":
            return self._take_key()  # it was not quoted
        elif self._key is None and not char.isspace():
            self._word.append(char)
            return char.isalnum() or char in "_$/*-"
        return True

    def _take_in_string(self, char: str) -> bool:
        if self._escape:
            self._escape = False
        elif char == "\\":
            self._escape = True
        elif char == self._quote:
            self._quote = ""
            if self._is_key:
                return self._take_key()
            if self._at_call and self._key in NAME_KEYS:
                return known_name("".join(self._word), self._tools) in self._tools
            return True
        if self._at_call:
            self._word.append(char)
        return True

    def _take_key(self) -> bool:
        self._key = "".join(self._word).strip()
        self._word.clear()
        self._keys += 1
        return self._keys > 1 or self._key in FIRST_KEYS or self._key in self._tools
