"""The drawings of templates/chat/icons.html, by name, as view/dom.js makes them."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def drawing(name: str, classes: str) -> SafeString:
    """The drawing of that id."""
    return format_html(
        '<svg class="{}" aria-hidden="true"><use href="#{}" /></svg>', classes, name
    )


@register.simple_tag
def icon(name: str, classes: str = "icon icon--s") -> SafeString:
    """A drawing, beside words or in a button that has a name."""
    return drawing(f"icon-{name}", classes)


@register.simple_tag
def mark(kind: str) -> SafeString:
    """The mark of a step of this kind."""
    return format_html(
        '<span class="mark" aria-hidden="true">'
        '<svg aria-hidden="true"><use href="#mark-{}" /></svg></span>',
        kind,
    )


@register.simple_tag
def icon_button(label: str, name: str, action: str) -> SafeString:
    """A button that is a drawing."""
    return format_html(
        '<button type="button" class="icon-btn" data-action="{2}" aria-label="{0}"'
        ' title="{0}">{1}</button>',
        label,
        icon(name),
        action,
    )
