"""Addresses: which a link may lead to, and where bare ones begin and end.

A bare address (`https://…`, `www.…`, `name@host`) ends before punctuation of CJK text,
and its host is ASCII: a link never leads to a host other than the one written.

The twin of static/chat/js/view/markdown/grammar/addresses.js.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from markdown_it.common.utils import unescapeAll
from markdown_it.rules_inline import StateInline

from chat.markdown.characters import CJK, goes_on_as_word, is_punctuation

MAX_PORT: Final = 65_535

_PLAIN: Final = re.compile(
    r"(?<![A-Za-z0-9_])https?://|(?<![A-Za-z0-9_./@:-])www\.|"
    r"(?<![A-Za-z0-9._%+/-])[A-Za-z0-9._%+-]{1,64}@(?=[A-Za-z0-9])|"
    r"\\(?=[!-/:-@[-`{-~\n])|[\n`*_~[\]!<&$]",
    re.IGNORECASE | re.ASCII,
)
_ADDRESS: Final = re.compile(
    r"(https?://|www\.)|([A-Za-z0-9._%+-]{1,64}@)", re.IGNORECASE | re.ASCII
)
_HOST: Final = re.compile(r"[A-Za-z0-9._-]*")
_PORT: Final = re.compile(r":[0-9]{1,5}(?![0-9])")
# A reference to a character ends a path, unless it is `&amp;`.
_PATH: Final = re.compile(
    '[/?#](?:[^\\s<>"`\\\\[\\]&\u2018-\u201f\u2026\u2014\u2015«»‹›\0-\x1f\x7f-\x9f]'
    r"|&(?!(?!amp;)(?:[a-z][a-z0-9]{1,31}|#[0-9]{1,7}|#x[0-9a-f]{1,6});)"
    r"|\[[a-z0-9_.:-]*\](?!\())*",
    re.IGNORECASE,
)
_KATAKANA: Final = re.compile("[\u30a1-\u30ff]")
_TAIL: Final = frozenset("?!.,:;*_~'\"|")

_LINK: Final = re.compile(
    r"(https?)://(?:([^/?#@]*)@)?([^/?#@:[\]]+)(?::([0-9]{0,5}))?([/?#].*)?",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
_MAIL: Final = re.compile(r"mailto:(\S+)", re.IGNORECASE)
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BYTE: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}")
# Characters that are not seen, or that turn the order of others.
_INVISIBLE: Final = re.compile(
    "[\0-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
)
_SCHEME: Final = re.compile(r"https?://", re.IGNORECASE)


class Target(NamedTuple):
    """Where a link leads."""

    href: str
    place: str  # what a person should see of it: its host, or its mailbox
    is_plain: bool  # nothing stands before the host that could be taken for it


def target_of(address: str) -> Target | None:
    """The address, if it is one that a person may be sent to.

    It is given as Markdown's rules leave it: encoded, ASCII.
    """
    if mail := _MAIL.fullmatch(address):
        return Target(f"mailto:{mail[1]}", mail[1].split("?", 1)[0], is_plain=True)
    link = _LINK.fullmatch(address)
    if link is None:
        return None
    scheme, user, host, port, rest = link.groups()
    host = host.lower()
    if not _is_host(host) or int(port or 0) > MAX_PORT:
        return None
    place = f"{host}:{port}" if port else host
    rest = rest or ""
    path = rest if rest.startswith("/") else f"/{rest}"
    before = "" if user is None else f"{user}@"
    href = f"{scheme.lower()}://{before}{place}{path}"
    return Target(href, place, is_plain=user is None)


def says_where(text: str, target: Target) -> bool:
    """Whether the text of a link says itself, and first, where the link goes."""
    said = _SCHEME.sub("", text, count=1) if _SCHEME.match(text) else text
    place = target.place
    return (
        target.is_plain
        and said[: len(place)].lower() == place.lower()
        and said[len(place) : len(place) + 1] in {"", "/", "?", "#"}
        and not _INVISIBLE.search(text)
    )


def _is_host(host: str) -> bool:
    """Whether it means the same to everybody: numbers are written in one way only."""
    labels = host.removesuffix(".").split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        return False
    return not _NUMBER.fullmatch(labels[-1]) or _IPV4.fullmatch(host) is not None


def text(state: StateInline, silent: bool) -> bool:
    """Text up to where another rule may begin: a marker, or a bare address."""
    start = state.pos
    found = _PLAIN.search(state.src, start)
    end = min(found.start() if found else state.posMax, state.posMax)
    if end == start:
        return False
    if not silent:
        state.append_pending(state.src[start:end])
    state.pos = end
    return True


def bare_address(state: StateInline, silent: bool) -> bool:
    """An address as it is written in a text."""
    if state.linkLevel > 0:
        return False
    src, start = state.src, state.pos
    match = _ADDRESS.match(src, start)
    if match is None or (start and goes_on_as_word(src[start - 1])):
        return False
    if match[1]:
        end = _address_end(src, match.end(), state.posMax, match[1])
    else:
        end = _mail_host_end(src, match.end(), state.posMax)
    if end < 0:
        return False
    if not silent:
        _push_link(state, src[start:end])
    state.pos = end
    return True


def _push_link(state: StateInline, source: str) -> None:
    address = written = unescapeAll(source)
    if not written.lower().startswith(("http:", "https:")):
        scheme = "http://" if written.lower().startswith("www.") else "mailto:"
        address = scheme + written
    state.push("link_open", "a", 1).attrSet("href", state.md.normalizeLink(address))
    state.push("text", "", 0).content = written
    state.push("link_close", "a", -1)


def _address_end(src: str, start: int, end: int, prefix: str) -> int:
    """Where an address ends, host, port, path and all; -1: it is none.

    `start` is where its host begins, or behind its `www.`.
    """
    is_named = prefix.endswith("/")
    host = _host_end(src, start, end)
    if host < 0 or src[host : host + 1] == "@":
        return -1
    if is_named and not _is_name(src, start, host, end):
        return -1
    port = host
    if is_named and (match := _PORT.match(src, host)):
        port = match.end()
    path = _PATH.match(src, port)
    stop = min(path.end() if path else port, end)
    return _without_tail(src, port, _cjk_end(src, port, stop))


def _host_end(src: str, start: int, end: int) -> int:
    """Where a host ends; -1: it is none, or goes on in another alphabet."""
    host = _host_run(src, start, end).rstrip("._-").lower()
    after = start + len(host)
    if not host or not _is_host(host):
        return -1
    return -1 if after < end and goes_on_as_word(src[after]) else after


def _host_run(src: str, start: int, end: int) -> str:
    match = _HOST.match(src, start, max(start, end))
    return match[0] if match else ""


def _mail_host_end(src: str, start: int, end: int) -> int:
    after = _host_end(src, start, end)
    if after < 0 or "." not in src[start:after] or src[after : after + 1] == "@":
        return -1
    return after


def _is_name(src: str, start: int, host_end: int, end: int) -> bool:
    """Whether a host behind `http://` is one: a single word may be a machine's name.

    Before letters of CJK, or a dot, who knows.
    """
    host = src[start:host_end].lower()
    if "." in host or host == "localhost":
        return True
    if len(_host_run(src, start, end)) > len(host):
        return False
    return not (host_end < end and CJK.match(src[host_end]))


def _cjk_end(src: str, start: int, end: int) -> int:
    """Where CJK punctuation ends an address. (`ジョン・レノン` is one word.)"""
    for at in range(start, end):
        character = src[at]
        if character > "\x7f" and CJK.match(character) and is_punctuation(character):
            is_dot = (
                character == "・"
                and _KATAKANA.match(src, at - 1)
                and _KATAKANA.match(src, at + 1)
            )
            if not is_dot:
                return at
    return end


def _without_tail(src: str, start: int, end: int) -> int:
    """Without what rather belongs to the sentence: its full stop, the parenthesis."""
    opened = src.count("(", start, end) - src.count(")", start, end)
    while end > start:
        if src[end - 1] == ")" and opened < 0:
            opened += 1
        elif src[end - 1] not in _TAIL:
            break
        end -= 1
    return end
