"""What is secret leaves in no text: one place says what that is, and hides it.

The site's own secrets are known literally (`learn`); others' are known by their form:
Authorization headers, passwords in addresses, tokens of well-known services, private
keys. Everything that agents say passes here on its way into the log of a run, and
every line on its way into the site's own log.

A stream is cut anywhere. So of a text that is to be continued only so much is held back
as could begin a secret (`Stream`); for most tokens one look says that there is nothing
to do.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

from msgspec import Struct

HIDDEN: Final = "[secret]"
MIN_CHARS: Final = 8  # a shorter key hides nothing, and may be a word
SHORT: Final = 1000  # characters: one look costs less than to search for each marker
MAX_HELD: Final = 8192  # characters: longer than any key
SHOWN: Final = 2  # characters of a secret at most, where it is cut there
CROWDED: Final = 100  # characters from one marker to the next: a match for each is dear

# What people set where no key is needed, and may write about.
_NO_SECRETS: Final = frozenset(
    {"lm-studio", "not-needed", "no-key-required", "sk-no-key-required", "your-api-key"}
)
_WORD: Final = re.compile(r"(?:[^\W\d_]{1,15}|\d{1,15})")
# How settings, variables and headers are called whose values are secret.
_NAME: Final = re.compile(r"(?:key|password|passwd|secret|token)$", re.IGNORECASE)
_PASSWORD_IN_ADDRESS: Final = re.compile(r"://[^\s/@:]*:([^\s/@]+)@")
_PARAMETER: Final = re.compile(r"[?&]([\w-]+)=([^&#\s]+)")
# In an error's text: what is called so.
_NAMED: Final = re.compile(
    r"(?i)\b(authorization|api[-_ ]?key|token|password|secret)\b(['\"]?\s*[:=]\s*)"
    r"(?:bearer\s+)?\S+"
)

# ------------------------------------------------------------------ well-known forms


class _Form(Struct, frozen=True):
    """A kind of secret: a marker, what follows and is shown, and what is not."""

    markers: tuple[str, ...]
    hidden: str
    begun: str  # all that can follow the marker while the secret goes on
    shown: str = ""
    after: str = r"(?<![A-Za-z0-9]{})"  # where a marker counts; {} is the marker

    def at(self, marker: str) -> str:
        """A pattern for the marker where it counts."""
        escaped = re.escape(marker)
        # What is before it is looked at last: `re` is quick where a letter comes first.
        return escaped + self.after.format(escaped)

    def compiled(self) -> re.Pattern[str]:
        """Its group is shown, the rest of a match is not."""
        at = "|".join(map(self.at, self.markers))
        return re.compile(f"((?:{at}){self.shown}){self.hidden}", re.ASCII)


_VALUE: Final = r"[\w.~+/=-]"
_BASE64: Final = r"[A-Za-z0-9+/=]"
_SPACE: Final = r"(?:\s|\\[nr])"  # line breaks of private keys may be escaped


def _key(*markers: str, of: str, at_least: int, digit: bool = False) -> _Form:
    """So many characters `of` a kind; a digit among them, where words look so."""
    ahead = rf"(?={of}{{0,60}}\d)" if digit else ""
    return _Form(markers, f"{ahead}{of}{{{at_least},}}", f"{of}*")


def _cases(word: str) -> tuple[str, ...]:
    return word, word.capitalize(), word.upper()


def _authorization() -> _Form:
    equals = r"[\"'\\]{0,3}\s{0,4}[:=]\s{0,4}[\"'\\]{0,3}"
    scheme = r"(?i:basic|bearer|token|apikey|negotiate)\s{1,4}"
    # Examples say what is to stand there instead: YOUR_TOKEN, $TOKEN, <token>.
    example = rf"(?:[A-Z_]+(?!{_VALUE})|(?i:your))"
    return _Form(
        _cases("authorization"),
        rf"(?:{scheme}(?!{example}){_VALUE}{{6,}}"
        rf"|(?={_VALUE}{{0,60}}\d){_VALUE}{{12,}})",
        rf"[\"'\\]{{0,3}}\s{{0,4}}(?:[:=]\s{{0,4}}[\"'\\]{{0,3}}"
        rf"{_VALUE}*(?:\s{{1,4}}{_VALUE}*)?)?",
        shown=equals,
    )


def _private_key() -> _Form:
    end = r"-----END [A-Z ]{0,30}PRIVATE KEY-----"
    headers = rf"(?:{_SPACE}*[A-Z][\w-]*: [^\s\\]+)*"
    return _Form(
        ("-----BEGIN ",),
        rf"{headers}{_SPACE}*{_BASE64}{{20,}}"
        rf"(?:(?:{_SPACE}+{_BASE64}{{1,80}})*{_SPACE}*{end}"
        rf"|(?:{_SPACE}+{_BASE64}{{20,}})*)",
        r"[A-Z ]{0,42}-{0,5}[\w+/=\s\\:,-]*",
        shown="[A-Z ]{0,30}PRIVATE KEY-----",
    )


_FORMS: Final = (
    _authorization(),
    _key(*_cases("bearer "), of=_VALUE, at_least=16, digit=True),
    _private_key(),
    _Form(  # the password in an address
        ("//",),
        r"[^\s/@\"'<>]{1,200}(?=@)",
        r"[^\s/@\"'<>]{0,400}",
        shown=r"[^\s/@:\"'<>]{0,200}:",
        after="(?<=:{})",
    ),
    _Form(  # a JSON Web Token
        ("eyJ",), r"[\w-]{5,250}\.[\w-]{5,}\.[\w-]{5,}", r"[\w.-]*"
    ),
    _key("sk-", of=r"[\w-]", at_least=20, digit=True),
    _key("sk_live_", "sk_test_", "rk_live_", "whsec_", of=r"\w", at_least=16),
    _key("ghp_", "gho_", "ghu_", "ghs_", "ghr_", of=r"\w", at_least=30),
    _key("github_pat_", of=r"\w", at_least=30),
    _key("glpat-", of=r"[\w-]", at_least=20),
    _key("AKIA", "ASIA", of="[0-9A-Z]", at_least=16),
    _key("AIza", of=r"[\w-]", at_least=30),
    _key("xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", of=r"[\w-]", at_least=10),
    _key("hf_", of="[A-Za-z0-9]", at_least=30),
    _key("rst_", of=r"[\w-]", at_least=30),  # see auth.tokens
)
_PATTERNS: Final = [(form.markers, form.compiled()) for form in _FORMS]
_MARKERS: Final = [marker for form in _FORMS for marker in form.markers]

# ------------------------------------------------------------------ own secrets


class _Known:
    """The secrets of this process, and how they are looked for."""

    def __init__(self) -> None:
        self.own: frozenset[str] = frozenset()
        self._prepare()

    def learn(self, secrets: Iterable[str]) -> None:
        """These are secret too, however they are written; but for words."""
        written = frozenset(
            form
            for secret in secrets
            if _is_secret(secret)
            for form in _spellings(secret)
        )
        if not written <= self.own:
            self.own |= written
            self._prepare()

    def _prepare(self) -> None:
        begins = _beginnings(_MARKERS, after_no_word=True)
        begins += _beginnings({own[:4] for own in self.own})
        # Whether a text holds a secret's beginning, or ends in a part of one. Each
        # alternative begins with a character, or `re` would try all at every place.
        self.may_begin = re.compile("|".join(begins)).search
        begun = [form.at(m) + form.begun for form in _FORMS for m in form.markers]
        begun += _beginnings(_MARKERS, after_no_word=True)
        begun += _beginnings(self.own, go_on=True)
        # Whether all from a place to the end can become one.
        self.has_begun = re.compile(rf"(?:{'|'.join(begun)})\Z", re.ASCII).match


def _is_secret(text: str) -> bool:
    return (
        len(text) >= MIN_CHARS
        and text.lower() not in _NO_SECRETS
        and not _WORD.fullmatch(text)
    )


def _spellings(secret: str) -> set[str]:
    """As it stands in texts, addresses, JSON and HTML."""
    plain = {secret, unquote(secret)}
    return {
        spelt
        for text in plain
        for spelt in (
            text,
            quote(text, safe=""),
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            html.escape(text),
        )
    }


def _beginnings(
    words: Iterable[str], *, after_no_word: bool = False, go_on: bool = False
) -> list[str]:
    """Patterns for the words, and for their beginnings where the text ends.

    Where one word begins another, the shorter is enough, unless they `go_on`.
    """
    tree: dict[str, Any] = {}
    for word in words:
        node = tree
        for letter in word:
            node = node.setdefault(letter, {})
        node[""] = {}
    return [
        re.escape(letter)
        + (rf"(?<![A-Za-z0-9]{re.escape(letter)})" if after_no_word else "")
        + _rest(node, go_on=go_on)
        for letter, node in sorted(tree.items())
    ]


def _rest(node: dict[str, Any], *, go_on: bool) -> str:
    if "" in node and not (go_on and len(node) > 1):
        return ""
    inner = [
        re.escape(at) + _rest(of, go_on=go_on) for at, of in sorted(node.items()) if at
    ]
    return rf"(?:{'|'.join(inner)}|\Z)"


known: Final = _Known()


def secrets_in(value: Any, name: str = "") -> Iterator[str]:
    """The secrets in settings: by what they are called, and passwords in addresses."""
    if isinstance(value, Mapping):
        for key, of in value.items():
            yield from secrets_in(of, str(key))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from secrets_in(each)
    elif isinstance(value, str):
        if name.lower().endswith("authorization"):
            yield value.rpartition(" ")[2]  # after the scheme
        elif _NAME.search(name):
            yield value
        yield from _PASSWORD_IN_ADDRESS.findall(value)
        for parameter, of in _PARAMETER.findall(value):
            if _NAME.search(parameter):
                yield of


# ------------------------------------------------------------------ hiding


class _Found(NamedTuple):
    """Where a secret is: its marker begins, what is hidden begins, all ends."""

    begin: int
    hidden: int
    end: int


def redact(text: str) -> str:
    """The text with `HIDDEN` in place of each secret."""
    if len(text) < SHORT and not known.may_begin(text):
        return text
    return _without(text, _find(text))


def redact_error(text: str) -> str:
    """As `redact`, and what the text calls a password, a token or a key."""
    return _NAMED.sub(rf"\1\2{HIDDEN}", redact(text))


def redact_json(value: Any) -> Any:
    """As `redact`, each text in a value of JSON."""
    match value:
        case str():
            return redact(value)
        case list():
            return [redact_json(item) for item in value]
        case dict():
            return {redact(key): redact_json(of) for key, of in value.items()}
        case _:
            return value


class Stream:
    """A text that goes on: what of it can be shown, and what is held back.

    The first `SHOWN` characters of what could begin a secret are never held back: most
    words that begin so are none, and whoever waits for the next token reads them.
    """

    __slots__ = ("_before", "_out", "_tail")

    def __init__(self) -> None:
        self._before = ""  # the character before the tail
        self._tail = ""  # what could begin a secret
        self._out = 0  # characters of the tail that were shown

    @property
    def held(self) -> str:
        """What is held back."""
        return self._tail[self._out :]

    def may_show(self, text: str) -> bool:
        """Whether all of `text`, which comes next, can be shown as it is."""
        return not self._tail and not known.may_begin(text)

    def feed(self, text: str, before: str) -> str:
        """What can be shown, of what was held back and `text`.

        `before` is the character before `text`, if any. To be asked where not
        `may_show`.
        """
        if not self._tail:
            self._before = before
        whole = self._before + self._tail + text
        start = len(self._before)
        end, is_suspect = _end_of_whole(whole, start)
        found = [*_find(whole)] if is_suspect else []
        while cut := [at.begin for at in found if at.begin < end < at.end]:
            end = max(start, min(cut))
        out = start + self._out
        free = max(out, min(end + SHOWN, len(whole)))
        shown = _without(whole[:free], (at for at in found if at.end <= end), out)
        self._before = whole[:end][-1:]
        self._tail, self._out = whole[end:], free - end
        return shown

    def close(self) -> str:
        """The rest."""
        whole = self._before + self._tail
        out = len(self._before) + self._out
        self._tail, self._out = "", 0
        return _without(whole, _find(whole), out)


def _end_of_whole(text: str, start: int) -> tuple[int, bool]:
    """From where on all could become a secret, and whether before that one may be."""
    is_suspect = False
    for candidate in _candidates(text, start):
        if len(text) - candidate <= MAX_HELD and known.has_begun(text, candidate):
            return candidate, is_suspect
        is_suspect = True
    return len(text), is_suspect


def _candidates(text: str, start: int) -> Iterator[int]:
    """Where a secret might be, or begin."""
    while (candidate := known.may_begin(text, start)) is not None:
        yield candidate.start()
        start = candidate.start() + 1


def _find(text: str) -> Iterator[_Found]:
    for own in known.own:
        at = text.find(own)
        while at >= 0:
            yield _Found(at, at, at + len(own))
            at = text.find(own, at + 1)
    for markers, pattern in _PATTERNS:
        for marker in markers:
            for match in _matches(pattern, marker, text):
                yield _Found(match.start(), match.end(1), match.end())


def _matches(
    pattern: re.Pattern[str], marker: str, text: str
) -> Iterator[re.Match[str]]:
    # By the marker: a large text without any is gone through in microseconds.
    if text.count(marker) * CROWDED > len(text):
        yield from pattern.finditer(text)
        return
    at = text.find(marker)
    while at >= 0:
        if match := pattern.match(text, at):
            yield match
        at = text.find(marker, match.end() if match else at + 1)


def _without(text: str, found: Iterable[_Found], done: int = 0) -> str:
    """The text from `done` on, without what was found."""
    shown: list[str] = []
    for _, hidden, end in sorted(found, key=itemgetter(1)):
        if end <= done:
            continue
        if hidden >= done:
            shown += [text[done:hidden], HIDDEN]
        elif not shown:  # else it goes on from the one before
            shown = [HIDDEN]
        done = end
    return "".join([*shown, text[done:]])
