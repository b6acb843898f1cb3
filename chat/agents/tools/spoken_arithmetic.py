"""Arithmetic as people say it, in English and German, made an expression."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from chat.agents.tools.base import in_short


def expression_in(prompt: str, functions: Collection[str]) -> str:
    """The arithmetic that makes up the whole prompt, polite words aside; "" if none.

    `functions` may be called by name in it.
    """
    text = _POLITE.sub("", in_short(prompt).rstrip("?!. "))
    text = _QUESTION.sub("", text).strip().rstrip("?!.= ").strip()
    text = " ".join(_in_signs(text).split())
    names = {name.lower() for name in _NAMES.findall(text)}
    if not names <= {*functions, "pi", "tau", "e", "x", "of"}:
        return ""
    if not _SIGNS.fullmatch(_NAMES.sub("", text)):
        return ""
    if not _DOES_SOMETHING.search(text) or _DATE.fullmatch(text):
        return ""
    return text


_POLITE: Final = re.compile(
    r"^(?:(?:hi|hello|hey|please|ok|okay|so|now|and|then|hallo|bitte|und|also)\b"
    r"[\s,!.]*)+|"
    r"[\s,]*\b(?:please|thanks|thank you|bitte|danke)\b[\s!.]*$",
    re.IGNORECASE,
)
_QUESTION: Final = re.compile(
    r"^(?:(?:can|could|would) you\s+(?:please\s+)?(?:tell me|calculate|compute|"
    r"work out)?\s*)?(?:what(?:'s|’s| is| are| does)?|how much(?: is| are)?|"
    r"calculate|compute|evaluate|work out|solve|tell me|"
    r"was (?:ist|sind|ergibt|macht)|wie ?viel (?:ist|sind|ergibt|macht)|"
    r"(?:be)?rechne)?\s*"
    r"(?:what(?:'s|’s| is)?\s+)?(?:the (?:result|value) of\s+)?",
    re.IGNORECASE,
)


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE)


_OPERAND: Final = r"((?:sqrt )?-?[\d.,]*\d)"
# What stands before or around its numbers: whole phrases, most particular first.
_PHRASES: Final = (
    (rf"(?:the )?(?:sum of|adding|add) {_OPERAND} (?:and|to) {_OPERAND}", r"\1 + \2"),
    (rf"subtract {_OPERAND} from {_OPERAND}", r"\2 - \1"),
    (
        rf"(?:the )?difference (?:between|of) {_OPERAND} and {_OPERAND}",
        r"\1 - \2",
    ),
    (rf"(?:the )?product of {_OPERAND} and {_OPERAND}", r"\1 * \2"),
    (rf"multiply {_OPERAND} (?:by|and|with) {_OPERAND}", r"\1 * \2"),
    (rf"divide {_OPERAND} by {_OPERAND}", r"\1 / \2"),
    (rf"(?:the )?quotient of {_OPERAND} and {_OPERAND}", r"\1 / \2"),
    (rf"increase {_OPERAND} by {_OPERAND} ?%", r"\1 + \2%"),
    (rf"(?:decrease|reduce) {_OPERAND} by {_OPERAND} ?%", r"\1 - \2%"),
    (rf"{_OPERAND} ?% (?:off|less than) {_OPERAND}", r"\2 - \1%"),
    (rf"{_OPERAND} ?% (?:more than|on top of) {_OPERAND}", r"\2 + \1%"),
    (rf"{_OPERAND} ?% von {_OPERAND}", r"\1% of \2"),
    (rf"(?:the )?average of {_OPERAND} and {_OPERAND}", r"(\1 + \2) / 2"),
    (rf"(?:twice|double|das doppelte von) {_OPERAND}", r"2 * \1"),
    (rf"(?:half(?: of)?|die hälfte von) {_OPERAND}", r"\1 / 2"),
    (rf"(?:a|1) third of {_OPERAND}", r"\1 / 3"),
    (rf"(?:a|1) quarter of {_OPERAND}", r"\1 / 4"),
    (rf"(?:the )?factorial of {_OPERAND}", r"factorial(\1)"),
)
_REWRITTEN: Final = tuple(
    (_words(before.replace(" ", r"\s+").replace(r"\s+?", r"\s?")), after)
    for before, after in _PHRASES
)
_SIGN_WORDS: Final = (
    (_words("multiplied by|times|mal"), "*"),
    (_words("divided by|over|geteilt durch|durch"), "/"),
    (_words("plus"), "+"),
    (_words("minus"), "-"),
    (_words("(?:raised )?to the power of|hoch"), "^"),
    (_words("squared|zum quadrat"), "^2"),
    (_words("cubed"), "^3"),
    (_words("modulo|mod"), "%"),
    (
        _words(
            "(?:the )?square root of|sqrt of|root of|"
            "(?:die )?(?:quadrat)?wurzel (?:aus|von)"
        ),
        "sqrt ",
    ),
    (re.compile(r"\s*\b(?:equals?(?: to)?|ist gleich)$", re.IGNORECASE), ""),
    (_words("per ?cent|prozent"), "%"),
)
# The last digits of `log10`, `atan2` belong to the name.
_NAMES: Final = re.compile(
    r"(?<!\w)[a-z]+(?:10|2)?(?!\w)|(?<=\d)x(?=\d)", re.IGNORECASE
)
_SIGNS: Final = re.compile(r"[\d\s.,+\-*/%^()×÷⋅·−–π√²³]+")
_DOES_SOMETHING: Final = re.compile(
    r"[\d)%πe]\s*(?:[+*/^×÷⋅·−–-]|[xX]|%|of)\s*[\d(.a-zπ√+−-]|\d\s*%|[a-z]\s*\(|"
    r"sqrt\s|√|[²³]",
    re.IGNORECASE,
)
_DATE: Final = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}/\d{2,4}")

_UNITS: Final = {
    "zero": 0,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
    "thirteen": 13,
    "fourteen": 14,
    "fifteen": 15,
    "sixteen": 16,
    "seventeen": 17,
    "eighteen": 18,
    "nineteen": 19,
}
_TENS: Final = {
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
}
_VALUES: Final = {**_UNITS, **_TENS}
_SCALES: Final = {"hundred": 100, "thousand": 1000, "million": 10**6}
_FURTHER: Final = "|".join([*_VALUES, *_SCALES])
_SPELLED: Final = _words(
    rf"(?:{'|'.join(_VALUES)})(?:[\s-]+(?:and\s+)?(?:{_FURTHER}))*"
)


def _as_digits(spelled: str) -> str:
    """The number that words spell, "twenty-three"; as it was where they do not.

    Two numbers in a row, as in "two three", are no number.
    """
    total = part = 0
    for word in re.split(r"[\s-]+", spelled.lower()):
        if word in _VALUES:
            value = _VALUES[word]
            after_tens = part % 10 == 0 and 0 < value < 10 < part % 100  # noqa: PLR2004
            if part % 100 and not after_tens:
                return spelled
            part += value
        elif word == "hundred":
            part *= 100
        elif word in _SCALES:
            total, part = total + part * _SCALES[word], 0
    return str(total + part)


def _in_signs(text: str) -> str:
    """Numbers, operators and phrases that are written as words, as signs."""
    text = _SPELLED.sub(lambda found: _as_digits(found[0]), text)
    for word, sign in _SIGN_WORDS:
        text = word.sub(sign, text)
    for phrase, expression in _REWRITTEN:
        text = phrase.sub(expression, text)
    return text
