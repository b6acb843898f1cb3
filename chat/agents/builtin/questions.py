"""What a question asks of a model that is too small for most: parts, and its limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from chat.agents.tools.base import in_short

MAX_PARTS: Final = 4  # of one question; with more it is not taken apart
MAX_CHARS: Final = 500  # of a question that is taken apart

Recognise = Callable[[str], tuple[str, dict[str, Any]] | None]

TOO_SMALL: Final = (
    "I am too small for that: I would make something up. Connect a real model, and ask "
    "again."
)
REST: Final = "For the rest I am too small: I would make something up."
ENOUGH: Final = "I am too small to say more about that without making something up."
DOUBT: Final = "I am a very small model and often wrong: please check this."
ABOUT: Final = (
    "I am SmolLM2-135M, a very small language model on this machine. I calculate and "
    "tell the time with real tools: ask “What is 23 * 47?” or “What time is it in "
    "Tokyo?”. For anything else I am too small to be trusted; connect a real model for "
    "that."
)


class Call(Struct, frozen=True):
    """A part of a question that a tool answers."""

    name: str
    arguments: dict[str, Any]


class Plan(Struct, frozen=True):
    """What of a question tools answer, and whether something is left over."""

    calls: tuple[Call, ...]
    rest: bool


def plan(prompt: str, recognise: Recognise) -> Plan:
    """Take a question apart into what tools recognise.

    `recognise` gives a tool's name and its arguments for a text that is wholly the
    tool's, or None.
    """
    if found := recognise(prompt):
        return Plan((Call(*found),), rest=False)
    parts = _parts(prompt)
    if not 1 < len(parts) <= MAX_PARTS:
        return Plan((), rest=True)
    calls: list[Call] = []
    rest = False
    for part in parts:
        found = recognise(part)
        if found is None and calls:
            # "What time is it in Tokyo and in Paris?"
            found = recognise(f"{_LIKE_BEFORE.get(calls[-1].name, '')} {part}")
        if found is None:
            rest = rest or not _GREETING.fullmatch(part)
        else:
            calls.append(Call(*found))
    return Plan(tuple(calls), rest)


def is_beyond(prompt: str) -> bool:
    """Whether an answer by a very small model would surely be made up.

    That is so for what has to be known exactly or changes every day, for long texts,
    and for languages that it does not speak.
    """
    return bool(_FACTS.search(prompt) or _WORK.search(prompt)) or not _is_english(
        prompt
    )


def is_about_itself(prompt: str) -> bool:
    """Whether it asks who answers here, and what for."""
    return bool(_ABOUT_ITSELF.fullmatch(in_short(prompt)))


def is_small_talk(prompt: str) -> bool:
    """Whether nobody would take the answer for knowledge."""
    return bool(_SMALL_TALK.fullmatch(in_short(prompt)))


_ABOUT_ITSELF: Final = re.compile(
    r"(?:(?:hi|hello|hey)[\s,!.]*)?(?:"
    r"(?:who|what) are you|what(?:'s|’s| is) your name|what can you do(?: for me)?|"
    r"what do you know|(?:can|could) you help(?: me)?|help|which model are you|"
    r"what model is this|introduce yourself|tell me about yourself|"
    r"wer bist du|was kannst du|hilfe)[\s?!.]*",
    re.IGNORECASE,
)
_SMALL_TALK: Final = re.compile(
    r"(?:(?:hi|hello|hey|hallo|good (?:morning|day|evening|night)|there|how are you|"
    r"how(?:'s|’s| is) it going|nice to meet you|thanks?(?: you)?|(?:very|so) much|bye|"
    r"goodbye|see you|ok(?:ay)?|great|cool|tell me a joke|please|doing|today|again)"
    r"[\s,?!.]*)+",
    re.IGNORECASE,
)

_SEPARATORS: Final = re.compile(
    r"[?;\n]+|\.\s+|,?\s+(?:and also|and then|and|also|then|plus also|und)\s+|,\s+",
    re.IGNORECASE,
)
_GREETING: Final = re.compile(
    r"(?:hi|hello|hey|hallo|good (?:morning|day|evening)|please|bitte|thanks|"
    r"thank you|danke)(?: there)?[\s!.]*",
    re.IGNORECASE,
)
_LIKE_BEFORE: Final[Mapping[str, str]] = {
    "current_time": "what time is it",
    "calculator": "what is",
}


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(patterns)})\b", re.IGNORECASE)


_FACTS: Final = _any(
    r"\d+",
    r"phone|telephone|fax|url|link|website|isbn|doi",
    r"(?:e-?mail|postal|street|web) ?address|address of",
    r"how (?:old|tall|long|far|big|high|deep|many|much|heavy|fast)",
    r"price|cost|salary|population|weather|forecast|news|score|stock",
    r"exchange rate|distance|schedule|opening hours|convert",
    r"who (?:is|was|won|invented|wrote|discovered)",
    r"when (?:is|was|did|does|will)|in (?:what|which) year",
    r"latest|newest|current|today|yesterday|tomorrow",
)
_WORK: Final = _any(
    r"write|draft|compose|translate|summari[sz]e|explain|compare|analy[sz]e|review",
    r"debug|implement|program|code|script|essay|story|article|letter|report|recipe",
    r"plan|itinerary|diagnos\w*|medicine|dose|dosage|legal|lawyer|invest\w*",
    r"step[- ]by[- ]step|list (?:of )?(?:all|the)|why|how (?:do|does|can|to)",
)
_OTHER_WORDS: Final = re.compile(
    r"\b(?:der|die|das|und|ist|nicht|ich|wie|warum|wer|wo|wann|kannst|eine?|mir|les?|est|"
    r"une?|pourquoi|comment|qui|quand|el|los|las|es|por|qué|cómo|quién|cuándo|che|"
    r"perché|chi|quando|per|het|een|niet|waarom|como|não)\b",
    re.IGNORECASE,
)
_MANY: Final = 2  # words of another language that make a text one of it


def _parts(prompt: str) -> list[str]:
    text = prompt if len(prompt) <= MAX_CHARS else ""
    return [part.strip() for part in _SEPARATORS.split(text) if part and part.strip()]


def _is_english(prompt: str) -> bool:
    """Whether it may be: plainly other languages and scripts are not."""
    letters = [letter for letter in prompt if letter.isalpha()]
    foreign = sum(not letter.isascii() for letter in letters)
    if letters and foreign > len(letters) / 4:
        return False
    return len(_OTHER_WORDS.findall(prompt)) < _MANY
