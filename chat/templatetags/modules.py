"""The page's ES modules, so that the browser fetches them all at once.

Without a build step each import would be found only when its importer has come.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

register = template.Library()

STATIC: Final[Path] = settings.BASE_DIR / "static"
CLASSIC: Final = {"theme.js", "first_paint.js"}  # not modules: they run before paint
EARLY_VENDOR: Final = ("marked.js", "dompurify.js")  # the others come when needed


@cache
def module_paths() -> tuple[str, ...]:
    """Every module that the page starts with, as `static` names it."""
    own = (STATIC / "chat" / "js").rglob("*.js")
    vendor = (STATIC / "chat" / "vendor" / name for name in EARLY_VENDOR)
    files = [*(file for file in own if file.name not in CLASSIC), *vendor]
    return tuple(sorted(file.relative_to(STATIC).as_posix() for file in files))


@register.simple_tag
def modulepreloads() -> SafeString:
    """A link for each."""
    links = ((static(path),) for path in module_paths())
    return format_html_join("\n    ", '<link rel="modulepreload" href="{}" />', links)
