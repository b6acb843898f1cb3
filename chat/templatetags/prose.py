"""Markdown for the first paint, as the script will show it.

The twin of static/chat/js/view/markdown/: raw HTML is text, links only to http, https
and mailto, remote images are links. Where the two differ the script's rendering wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from django import template
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

register = template.Library()

LIMIT: Final = 20_000  # characters; what is longer is shown as plain text
SCHEMES: Final = {"http", "https", "mailto"}
OUTSIDE: Final = SafeString('target="_blank" rel="noopener noreferrer nofollow"')


class Renderer(RendererHTML):
    """Writes the elements that the script would build."""

    def link_open(self, tokens: Sequence[Token], at: int, *_: Any) -> str:
        """A link, or a marked text where its address is not safe."""
        address = str(tokens[at].attrGet("href") or "")
        if not _is_safe(address):
            return format_html('<span class="no-link" title="{}">', address)
        return format_html('<a href="{0}" {1} title="{0}">', address, OUTSIDE)

    def link_close(self, tokens: Sequence[Token], at: int, *_: Any) -> str:
        """Where the link goes, if its text does not say so."""
        opened = max(n for n in range(at) if tokens[n].type == "link_open")
        address = str(tokens[opened].attrGet("href") or "")
        if not _is_safe(address):
            return "</span>"
        parts = urlsplit(address)
        place = parts.netloc or parts.path
        said = "".join(token.content for token in tokens[opened:at])
        if place in said:
            return "</a>"
        return format_html('<span class="link-place"> {}</span></a>', place)

    def image(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any
    ) -> str:
        """A link that says that the image was not loaded."""
        address = str(tokens[idx].attrGet("src") or "")
        alt = self.renderInlineAsText(tokens[idx].children, options, env)
        if not _is_safe(address):
            return format_html(
                '<span class="no-link" title="{}">{}</span>', address, alt or address
            )
        return format_html(
            '<a class="remote-image" href="{0}" {1}><span aria-hidden="true">🖼 </span>'
            '<span>{2}</span><span class="link-place"> {0}</span>'
            '<span class="remote-image__how">Not loaded. Press to load</span></a>',
            address,
            OUTSIDE,
            alt or "Image",
        )

    def fence(
        self, tokens: Sequence[Token], idx: int, _options: OptionsDict, _env: Any
    ) -> str:
        """Code with its language."""
        language = (tokens[idx].info.split() or [""])[0].lower()[:30]
        return _code(tokens[idx].content, language)

    def code_block(
        self, tokens: Sequence[Token], idx: int, _options: OptionsDict, _env: Any
    ) -> str:
        """Indented code."""
        return _code(tokens[idx].content, "")

    def heading_open(self, tokens: Sequence[Token], at: int, *_: Any) -> str:
        """All of one level, under the question's."""
        token = tokens[at]
        return f'<h3 data-depth="{token.tag[1:]}"{self.renderAttrs(token)}>'

    def heading_close(self, *_: Any) -> str:
        """As it was opened."""
        return "</h3>"

    def table_open(self, tokens: Sequence[Token], at: int, *_: Any) -> str:
        """A box that scrolls."""
        return f'<div class="table"{self.renderAttrs(tokens[at])}><table>'

    def table_close(self, *_: Any) -> str:
        """As it was opened."""
        return "</table></div>"

    def td_open(self, tokens: Sequence[Token], at: int, *_: Any) -> str:
        """Aligned without inline styles, which the policy forbids."""
        token = tokens[at]
        align = str(token.attrGet("style") or "").removeprefix("text-align:")
        return format_html(
            SafeString("<{}{}>"),
            token.tag,
            format_html(' data-align="{}"', align) if align else "",
        )

    th_open = td_open


def _is_safe(address: str) -> bool:
    try:
        return urlsplit(address).scheme.lower() in SCHEMES
    except ValueError:
        return False


def _code(text: str, language: str) -> str:
    return format_html(
        '<figure class="code"><figcaption><span>{}</span>'
        '<button type="button" class="quiet" disabled>Copy</button></figcaption>'
        "<pre><code>{}</code></pre></figure>",
        language or "text",
        text.removesuffix("\n"),
    )


def _directions(state: StateCore) -> None:
    """Each outermost block is written in the direction of its first letter."""
    for token in state.tokens:
        if token.level == 0 and token.nesting == 1:
            token.attrSet("dir", "auto")


_markdown: Final = MarkdownIt(
    "commonmark", {"html": False}, renderer_cls=Renderer
).enable(["table", "strikethrough"])
_markdown.core.ruler.push("directions", _directions)
_markdown.disable(["html_block", "html_inline", "reference"])


@lru_cache(maxsize=256)
def _rendered(text: str) -> str:
    return str(_markdown.render(text))


@register.filter
def prose(text: str) -> SafeString:
    """The text as elements, if it is not too long for a first paint."""
    if len(text) > LIMIT:
        return SafeString(f'<p class="is-plain">{escape(text)}</p>')
    return mark_safe(_rendered(text))  # noqa: S308  (HTML in the text is escaped)
