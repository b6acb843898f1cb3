"""Markdown for the first paint, as the script will show it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from chat.markdown.html import render

register = template.Library()

LIMIT: Final = 20_000  # characters; what is longer is shown as plain text


@lru_cache(maxsize=256)
def _rendered(text: str) -> str:
    return render(text)


@register.filter
def prose(text: str) -> SafeString:
    """The text as elements, if it is not too long for a first paint."""
    if len(text) > LIMIT:
        return SafeString(f'<p class="is-plain">{escape(text)}</p>')
    return mark_safe(_rendered(text))  # noqa: S308  (text is escaped as it is written)
