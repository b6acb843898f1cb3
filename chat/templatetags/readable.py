"""What a tool was given and what it returned, as people read it.

The twin of static/chat/js/view/transcript/result.js, but for tables and images, which
come with the script.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from chat.markdown.html import Attributes, element
from chat.words.cut import cut
from chat.words.terminal import terminal_text
from chat.words.values import Part, Value, json_value, laid_out

register = template.Library()

CUT_CHARS: Final = 3_000
CUT_LINES: Final = 40
SOURCE_CHARS: Final = 30_000  # of a longer text only so much is read
KILO: Final = 1_000

Step = dict[str, Any]


def arguments_of(step: Step) -> Value | None:
    """A tool's arguments as the model wrote them.

    Where that is not quite JSON, as they were understood.
    """
    value = json_value(step["content"])
    given = step.get("tool_input")
    return json_value(json.dumps(given)) if value is None and given else value


@register.filter
def arguments(step: Step) -> SafeString:
    """A tool's arguments, laid out."""
    value = None if step["status"] == "running" else arguments_of(step)
    return _html(step["content"], value)


@register.filter
def result(step: Step) -> SafeString:
    """What a tool returned: JSON laid out, the rest as a terminal would show it."""
    content = step["content"].strip()
    is_json = content.startswith(("{", "[")) and step["status"] != "running"
    return _html(step["content"], json_value(content) if is_json else None)


def _html(text: str, value: Value | None) -> SafeString:
    if value is None:
        parts = [Part(terminal_text(text[:SOURCE_CHARS]))]
        length = len(text)
    else:
        parts = laid_out(value)
        length = sum(len(part.text) for part in parts)
    shown = _beginning(parts)
    pre = element("pre", {"class": "plain", "tabindex": 0}, *map(_part, shown))
    if len(text) <= SOURCE_CHARS and shown == parts:
        return mark_safe(pre)  # noqa: S308  (its parts are escaped)
    more: Attributes = {"type": "button", "class": "pick", "disabled": True}
    label = f"Show all ({_size(length)})"
    return mark_safe(pre + element("button", more, label))  # noqa: S308


def _part(part: Part) -> str:
    # Half a pair can be in JSON, but not in a page.
    text = part.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return (
        element("span", {"class": "lines"}, escape(text))
        if part.is_lines
        else escape(text)
    )


def _beginning(parts: Sequence[Part]) -> list[Part]:
    """As much as is shown at first."""
    chars, lines = CUT_CHARS, CUT_LINES
    shown: list[Part] = []
    for part in parts:
        rows = cut(part.text, chars).split("\n")[:lines]
        start = "\n".join(rows)
        if len(start) < len(part.text):
            return [*shown, Part(f"{start}…", part.is_lines)]
        shown.append(part)
        chars -= len(part.text)
        lines -= len(rows) - 1
    return shown


def _size(chars: int) -> str:
    if chars < KILO:
        return f"{chars} B"
    if chars < KILO * KILO:
        return f"{int(chars / KILO + 0.5)} KB"
    return f"{chars / KILO / KILO:.1f} MB"
