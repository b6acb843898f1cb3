"""Markdown's tokens as HTML: the elements that the script would build.

Code and formulas are written from left to right, whatever the text around them.

The twin of static/chat/js/view/markdown: nodes.js, links.js and table.js.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from django.utils.html import escape
from markdown_it.token import Token

from chat.markdown.addresses import says_where, target_of
from chat.markdown.grammar import parse

FIRST_ROWS: Final = 200
ROWS_PER_CLICK: Final = 2_000
MAX_DEPTH: Final = 24  # of emphasis within emphasis
LANGUAGE_CHARS: Final = 30
INLINE_IMAGE_CHARS: Final = 4_000_000

Attributes = Mapping[str, str | float | bool | None]

_INLINE_IMAGE: Final = re.compile(
    r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+"
)
_EMPHASIS: Final = {"strong": "strong", "em": "em", "s": "del"}
_REMOTE_IMAGE: Final = '<button type="button" class="remote-image"'


def render(source: str) -> str:
    """The HTML of a text."""
    return _blocks(parse(source), {"dir": "auto"})


def element(tag: str, attributes: Attributes, *content: str) -> str:
    """An element around HTML. True is an empty attribute, False and None are none."""
    parts = [f"<{tag}"]
    for name, value in attributes.items():
        if value is True:
            parts.append(f' {name}=""')
        elif value is not False and value is not None:
            parts.append(f' {name}="{escape(str(value))}"')
    return "".join([*parts, ">", *content, f"</{tag}>"])


def _inside(tokens: Sequence[Token], at: int) -> Sequence[Token]:
    """What is between a token that opens something and the one that closes it."""
    start = at + 1
    depth: int = tokens[at].nesting
    while depth > 0:
        at += 1
        depth += tokens[at].nesting
    return tokens[start:at]


def _groups(tokens: Sequence[Token]) -> Iterator[tuple[Token, Sequence[Token]]]:
    """Each token that stands alone or opens something, and what is in that."""
    at = 0
    while at < len(tokens):
        token, content = tokens[at], _inside(tokens, at)
        yield token, content
        at += len(content) + 2 if token.nesting > 0 else 1


def _blocks(tokens: Sequence[Token], direction: Attributes | None = None) -> str:
    return "".join(
        _block(token, content, direction or {}) for token, content in _groups(tokens)
    )


def _block(token: Token, content: Sequence[Token], direction: Attributes) -> str:
    write = _BLOCKS.get(token.type, _container)
    return write(token, content, direction)


def _container(token: Token, content: Sequence[Token], direction: Attributes) -> str:
    """A paragraph, list or quotation."""
    if token.hidden:
        return _blocks(content)
    start = {"start": token.attrGet("start")}
    return element(token.tag, {**start, **direction}, _blocks(content))


def _heading(token: Token, content: Sequence[Token], direction: Attributes) -> str:
    """All of one level, under the question's."""
    depth = {"data-depth": token.tag[1:]}
    return element("h3", {**depth, **direction}, _blocks(content))


def _code(token: Token, *_: object) -> str:
    words = re.split("[ \t]+", token.info.strip(" \t"))
    language = words[0].lower()[:LANGUAGE_CHARS]
    label = element("span", {}, escape(language or "text"))
    acts = [
        _icon_button("Wrap lines", "wrap-text", "wrap-code", {"aria-pressed": "false"}),
        _icon_button("Download code", "download", "download-code"),
        _icon_button("Copy code", "copy", "copy-code"),
    ]
    code = element("code", {}, escape(token.content.removesuffix("\n")))
    return element(
        "figure",
        {"class": "code", "data-language": language, "dir": "ltr"},
        element("figcaption", {}, label, *acts),
        element("pre", {"tabindex": 0}, code),
    )


def _button(label: str, action: str, attributes: Attributes) -> str:
    """A button that the script will answer to; until then it cannot be pressed."""
    own: Attributes = {"type": "button", "class": "pick", "data-action": action}
    return element("button", {**own, **attributes, "disabled": True}, label)


def _icon_button(
    label: str, drawing: str, action: str, attributes: Attributes | None = None
) -> str:
    """The same as a drawing of templates/chat/icons.html."""
    use = element("use", {"href": f"#icon-{drawing}"})
    svg = element("svg", {"class": "icon icon--s", "aria-hidden": "true"}, use)
    named = {"class": "icon-btn", "aria-label": label, "title": label}
    return _button(svg, action, {**named, **(attributes or {})})


def _item(token: Token, content: Sequence[Token], *_: object) -> str:
    if not token.meta:
        return element("li", {}, _blocks(content))
    is_done = token.meta["is_done"]
    mark = element("span", {"class": "task__box", "data-done": is_done})
    said = "done: " if is_done else "to do: "
    label = element("span", {"class": "only-read"}, said)
    return element("li", {"class": "task"}, mark, label, _blocks(content))


def _formula(tag: str, token: Token) -> str:
    is_display = token.meta["is_display"]
    attributes = {"class": "formula", "data-block": is_display, "dir": "ltr"}
    return element(tag, attributes, escape(token.content))


def _table(_: Token, content: Sequence[Token], direction: Attributes) -> str:
    rows = [
        _row(cells)
        for part, inner in _groups(content)
        for row, cells in _groups(inner)
        if part.type in {"thead_open", "tbody_open"} and row.type == "tr_open"
    ]
    head, body = rows[0], rows[1:]
    box: Attributes = {
        "class": "table",
        "tabindex": 0,
        "role": "group",
        "aria-label": "Table",
    }
    rest = len(body) - FIRST_ROWS
    table = element(
        "table",
        {},
        element("thead", {}, head),
        element("tbody", {}, *body[:FIRST_ROWS]),
    )
    label = f"Show {min(rest, ROWS_PER_CLICK):,} more of {rest:,} rows"
    more = _button(label, "more-rows", {}) if rest > 0 else ""
    acts = element(
        "div",
        {"class": "table__acts"},
        _icon_button("Copy table", "copy", "copy-table"),
        _icon_button("Download CSV", "download", "download-table"),
    )
    outer = {"class": "table-box", **direction}
    return element("div", outer, element("div", box, table), more, acts)


def _row(cells: Sequence[Token]) -> str:
    found: list[str] = []
    for cell, content in _groups(cells):
        # CommonMark's tables say this in a style, which the policy forbids.
        style = str(cell.attrGet("style") or "")
        align = style.removeprefix("text-align:") or None
        found.append(element(cell.tag, {"data-align": align}, _blocks(content)))
    return element("tr", {}, *found)


def _inlines(tokens: Sequence[Token], depth: int) -> str:
    found: list[str] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if depth >= MAX_DEPTH and token.type.rpartition("_")[0] in _EMPHASIS:
            found.append(escape(token.markup))
            at += 1
            continue
        content = _inside(tokens, at)
        write = _INLINES.get(token.type, _text)
        found.append(write(token, content, depth + 1))
        at += len(content) + 2 if token.nesting > 0 else 1
    return "".join(found)


def _text(token: Token, *_: object) -> str:
    return escape(token.content)


def _emphasis(token: Token, content: Sequence[Token], depth: int) -> str:
    tag = _EMPHASIS[token.type.removesuffix("_open")]
    return element(tag, {}, _inlines(content, depth))


def _link_or_text(token: Token, content: Sequence[Token], depth: int) -> str:
    address = str(token.attrGet("href") or "")
    return _link(address, _inlines(content, depth), _said_by(content))


def _image_or_text(token: Token, *_: object) -> str:
    return _image(str(token.attrGet("src") or ""), _said_by(token.children or []))


def _said_by(tokens: Iterable[Token]) -> str:
    """What some tokens say, without how it looks."""
    return "".join(
        _said_by(token.children or [])
        if token.type == "image"
        else "\n"
        if token.type.endswith("break")
        else token.content
        for token in tokens
    )


def _link(address: str, content: str, said: str) -> str:
    """A link around `content`, or that alone where the address is not safe."""
    target = target_of(address)
    if target is None:
        return element("span", {"class": "no-link", "title": address}, content)
    if _REMOTE_IMAGE in content:
        # A button inside a link would be both: the link comes after it.
        return element("span", {}, content, " ", _link(address, "", ""))
    attributes = {
        "href": target.href,
        "target": "_blank",
        "rel": "noopener noreferrer nofollow",
        "title": target.href,
    }
    place = "" if says_where(said, target) else _place(target.place)
    return element("a", attributes, content, place)


def _place(text: str) -> str:
    return element("span", {"class": "link-place", "dir": "ltr"}, f" {escape(text)}")


def _image(address: str, alt: str) -> str:
    """An image that the text brings with it, or one to be loaded when asked for."""
    is_inline = _INLINE_IMAGE.fullmatch(address) is not None
    if is_inline and len(address) < INLINE_IMAGE_CHARS:
        pressed = 'data-action="enlarge" role="button" tabindex="0"'
        return f'<img src="{escape(address)}" alt="{escape(alt)}" {pressed}>'
    target = target_of(address)
    if target is None or not target.href.startswith("http"):
        attributes = {"class": "no-link", "title": address}
        return element("span", attributes, escape(alt or address))
    return element(
        "button",
        {
            "type": "button",
            "class": "remote-image",
            "data-action": "load-image",
            "data-address": target.href,
            "data-alt": alt,
            "aria-expanded": "false",
            "disabled": True,
        },
        element("span", {"class": "remote-image__mark"}),
        element("span", {}, escape(alt or "Image")),
        _place(target.href),
        element("span", {"class": "remote-image__how"}, "Not loaded. Press to load"),
    )


_BLOCKS: Final[Mapping[str, Callable[[Token, Sequence[Token], Attributes], str]]] = {
    "inline": lambda token, *_: _inlines(token.children or [], 0),
    "fence": _code,
    "code_block": _code,
    "formula": lambda token, *_: _formula("div", token),
    "hr": lambda *_: "<hr>",
    "heading_open": _heading,
    "table_open": _table,
    "list_item_open": _item,
}
_INLINES: Final[Mapping[str, Callable[[Token, Sequence[Token], int], str]]] = {
    "strong_open": _emphasis,
    "em_open": _emphasis,
    "s_open": _emphasis,
    "plain": lambda token, *_: element(
        "span", {"class": "is-plain"}, escape(token.content)
    ),
    "code_inline": lambda token, *_: element(
        "code", {"dir": "ltr"}, escape(token.content)
    ),
    "softbreak": lambda *_: "<br>\n",
    "hardbreak": lambda *_: "<br>\n",
    "formula": lambda token, *_: _formula("span", token),
    "image": _image_or_text,
    "link_open": _link_or_text,
}
