"""Arithmetic in words: what makes up a whole prompt is recognised, no more."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from chat.agents.tools.base import ToolError
from chat.agents.tools.calculator import Calculator, calculate


@pytest.mark.parametrize(
    ("prompt", "expression"),
    [
        ("What is 15% of 340?", "15% of 340"),
        ("23*47", "23*47"),
        ("What is 23 * 47?", "23 * 47"),
        ("what is 23 * 47", "23 * 47"),
        ("Please calculate (1 + 2) * 3.", "(1 + 2) * 3"),
        ("How much is 12 plus 30?", "12 + 30"),
        ("What's 7 times 8, please?", "7 * 8"),
        ("Hi! What is 100 divided by 8?", "100 / 8"),
        ("2+2=", "2+2"),
        ("Can you tell me what 6 x 7 is?", None),
        ("what is 1/0?", "1/0"),
        ("In 2023, 40 people visited", None),
        ("What is 5?", None),
        ("What is love?", None),
        ("2023-10-01", None),
        ("1/2/2023", None),
        ("call 555-1234", None),
        ("Who won 3-2?", None),
        ("solve x^2 = 4", None),
        ("3 apples and 4 pears", None),
        ("Tell me about the 50% rule", None),
        ("e", None),
        ("of", None),
        ("", None),
        ("sqrt of 144", "sqrt 144"),
        ("What is the square root of 144?", "sqrt 144"),
        ("what is 20 percent of 50", "20 % of 50"),
        ("ten percent of fifty", "10 % of 50"),
        ("What's 15 percent off 80?", "80 - 15%"),
        ("increase 80 by 15%", "80 + 15%"),
        ("seven times eight", "7 * 8"),
        ("what is twenty-three plus one hundred and five", "23 + 105"),
        ("two three plus 1", None),
        ("the sum of 3 and 4", "3 + 4"),
        ("subtract 5 from 20", "20 - 5"),
        ("the average of 3 and 4", "(3 + 4) / 2"),
        ("What is half of 30?", "30 / 2"),
        ("one third of 90", "90 / 3"),
        ("half of the people", None),
        ("What is one?", None),
        ("Was ist 12 mal 7?", "12 * 7"),
        ("Wie viel ist 20 Prozent von 50?", "20% of 50"),
        ("Was ist die Wurzel aus 144?", "sqrt 144"),
        ("die Hälfte von 90", "90 / 2"),
        ("Was ist 2 hoch 10?", "2 ^ 10"),
        ("Was ist Liebe?", None),
    ],
)
def test_the_calculator_recognises_its_prompts(
    prompt: str, expression: str | None
) -> None:
    wanted = None if expression is None else {"expression": expression}
    assert Calculator().recognise(prompt) == wanted


@given(st.text(alphabet="0123456789 +-*/%()ofandby percentsqrtimesfeuvon", max_size=80))
def test_what_is_recognised_can_be_calculated(prompt: str) -> None:
    found = Calculator().recognise(prompt)
    if found is not None:
        with suppress(ToolError):
            assert calculate(found["expression"])


@given(st.integers(0, 999_999))
def test_numbers_in_words_are_read(number: int) -> None:
    words = spelled(number)
    assert Calculator().recognise(f"{words} plus 1") == {"expression": f"{number} + 1"}


def spelled(number: int) -> str:
    """The number in English words."""
    if number < 20:
        return SMALL[number]
    if number < 100:
        ten, unit = divmod(number, 10)
        return TENS[ten - 2] + (f"-{SMALL[unit]}" if unit else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    head, rest = divmod(number, size)
    return f"{spelled(head)} {name}" + (f" and {spelled(rest)}" if rest else "")


SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
