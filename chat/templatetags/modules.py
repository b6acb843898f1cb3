"""The page's scripts and style sheets: as bundles, or one by one where DEBUG is on."""

from __future__ import annotations

from functools import cache

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from reasoning_site import bundle

register = template.Library()


@cache
def modules() -> bundle.Bundle:
    """What the page starts with."""
    return bundle.script(bundle.source)


@register.simple_tag
def page_styles() -> SafeString:
    """The page's style sheets."""
    names = bundle.STYLES if settings.DEBUG else (bundle.STYLE,)
    return _each('<link rel="stylesheet" href="{}" />', names)


@register.simple_tag
def page_script() -> SafeString:
    """The page's script, and what it imports, to be fetched at the same time."""
    found = modules()
    preloaded = [*found.modules, *found.vendor] if settings.DEBUG else found.vendor
    main = bundle.MAIN if settings.DEBUG else bundle.SCRIPT
    links = _each('<link rel="modulepreload" href="{}" />', preloaded)
    script = format_html('<script type="module" src="{}"></script>', static(main))
    return format_html("{}\n    {}", links, script)


def _each(markup: str, names: tuple[str, ...] | list[str]) -> SafeString:
    return format_html_join("\n    ", markup, ((static(name),) for name in names))
