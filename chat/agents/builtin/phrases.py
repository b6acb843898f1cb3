"""Wordings for a model too small to find good ones: grammars it has to keep to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

MAX_WRITTEN: Final = 200  # characters of a result the model is made to write itself
ERROR: Final = "Error: "  # how a failed call begins, see `LibraryRun.tool_call`


TEMPLATE: Final = " (The built-in model is too small to think: this is a template.)"

# What one sentence may be: one of each, one after the other.
Choices = tuple[Sequence[str], ...]


def thought(name: str, arguments: dict[str, Any]) -> Choices:
    """Sensible thoughts before a call of the tool."""
    about = next((str(value) for value in arguments.values()), "")
    what = {
        "calculator": f"the result of {about}",
        "current_time": f"the current time in {about}",
    }.get(name, f"something for {spoken(name)}")
    return (
        ["The question asks for ", "I am asked for ", "This is about "],
        [f"{what}. "],
        ["I could be wrong about it, so ", "To be sure, ", "To be exact, ", ""],
        ["I will use ", "I will ask ", "let me use ", "let me ask "],
        [f"{spoken(name)}."],
    )


def answer(result: str) -> Choices:
    """Answers that hold the result."""
    if result.startswith(ERROR):
        openings = ["That did not work. ", "I could not find out. "]
        return openings, [result.removeprefix(ERROR)]
    if len(result) > MAX_WRITTEN:
        return (["That is the answer.", "This is what the tool found."],)
    return (
        ["The answer is ", "It is ", "The tool says that it is "],
        [result],
        [".", ". I looked it up to be sure.", ". I did not have to guess."],
    )


def in_turn(sentences: Iterable[Choices]) -> str:
    """A grammar (GBNF) of these sentences, one after the other."""
    spaced = [choices for each in sentences for choices in ([" "], *each)][1:]
    groups = (
        " | ".join(json.dumps(word, ensure_ascii=False) for word in words)
        for words in spaced
    )
    return "root ::= " + " ".join(f"({group})" for group in groups)


def spoken(name: str) -> str:
    """What the tool is called in a sentence."""
    return {"current_time": "the clock"}.get(name, f"the {name.replace('_', ' ')}")
