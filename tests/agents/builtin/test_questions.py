"""Questions are taken apart, and what is beyond a tiny model is known as such."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chat.agents.builtin.questions import (
    Call,
    Plan,
    is_about_itself,
    is_beyond,
    is_small_talk,
    plan,
)
from chat.agents.tools.calculator import Calculator
from chat.agents.tools.current_time import CurrentTime

TOOLS = (Calculator(), CurrentTime())


def recognise(text: str) -> tuple[str, dict[str, Any]] | None:
    for tool in TOOLS:
        if (arguments := tool.recognise(text)) is not None:
            return tool.name, arguments
    return None


def sum_of(expression: str) -> Call:
    return Call("calculator", {"expression": expression})


def clock(zone: str) -> Call:
    return Call("current_time", {"timezone": zone})


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("What is 2+2?", Plan((sum_of("2+2"),), rest=False)),
        ("the sum of 3 and 4", Plan((sum_of("3 + 4"),), rest=False)),
        (
            "What is 12*7 and what time is it in Tokyo?",
            Plan((sum_of("12*7"), clock("Asia/Tokyo")), rest=False),
        ),
        (
            "What time is it in Tokyo and in Paris?",
            Plan((clock("Asia/Tokyo"), clock("Europe/Paris")), rest=False),
        ),
        (
            "Hello! What is 2+2? And what day is it?",
            Plan((sum_of("2+2"), clock("UTC")), rest=False),
        ),
        (
            "What is 23*47, and why is the sky blue?",
            Plan((sum_of("23*47"),), rest=True),
        ),
        (
            "Was ist 3 mal 4 und wie spät ist es in Wien?",
            Plan((sum_of("3 * 4"), clock("Europe/Vienna")), rest=False),
        ),
        ("Tell me about cats and dogs.", Plan((), rest=True)),
        ("Hello", Plan((), rest=True)),
        ("", Plan((), rest=True)),
        ("1+1, 2+2, 3+3, 4+4, 5+5", Plan((), rest=True)),
    ],
)
def test_a_question_is_taken_apart_into_what_tools_answer(
    prompt: str, expected: Plan
) -> None:
    assert plan(prompt, recognise) == expected


@pytest.mark.parametrize(
    "prompt",
    [
        "What is the phone number of the town hall?",
        "What's the weather in Paris?",
        "Who won the world cup?",
        "Write a story about a dragon.",
        "Translate this into French: good morning",
        "How many people live in Rome?",
        "Explain quantum computing",
        "Why is the sky blue?",
        "Warum ist der Himmel blau?",
        "¿Por qué es azul el cielo?",
        "天空为什么是蓝色的？",
        "What is the price of gold?",
        "How do I reset my router?",
    ],
)
def test_what_a_tiny_model_would_make_up_is_beyond_it(prompt: str) -> None:
    assert is_beyond(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "Hello",
        "How are you?",
        "Who are you?",
        "What can you do?",
        "What is the capital of France?",
        "Tell me about time travel.",
        "Tell me a joke",
        "Thank you!",
        "What is love?",
        "Is a tomato a fruit?",
    ],
)
def test_small_talk_is_not_beyond_it(prompt: str) -> None:
    assert not is_beyond(prompt)


@pytest.mark.parametrize(
    "prompt", ["Who are you?", "hi, what can you do?", "help", "Was kannst du?"]
)
def test_it_knows_when_it_is_asked_about_itself(prompt: str) -> None:
    assert is_about_itself(prompt)


def test_only_small_talk_is_answered_without_a_doubt() -> None:
    for prompt in ("Hello!", "Hi there, how are you today?", "Thank you very much"):
        assert is_small_talk(prompt)
    for prompt in ("Is a tomato a fruit?", "Tell me about time travel.", "Who am I?"):
        assert not is_small_talk(prompt)
        assert not is_about_itself(prompt)


@pytest.mark.parametrize("prompt", ["and " * 8_000, "? " * 16_000, ", " * 16_000])
def test_no_question_takes_long_to_be_taken_apart(prompt: str) -> None:
    began = time.perf_counter()
    assert plan(prompt, recognise) == Plan((), rest=True)
    is_beyond(prompt)
    assert time.perf_counter() - began < 0.5
