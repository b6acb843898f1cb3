"""What an agent remembers: roles alternate, and the question always fits."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st

from chat.agents.base import AgentError, Exchange, Part
from chat.agents.qwen.history import (
    CUT_OFF,
    UNANSWERED,
    as_openai,
    cut_to,
    estimate_tokens,
    messages_of,
)


def call(number: int, result: str = "4", status: Any = "ok") -> list[Part]:
    """A call and its result."""
    named: dict[str, Any] = {"tool_name": "calculator", "call_id": f"c{number}"}
    use = Part("tool_use", number, '{"x": 1}', tool_input={"x": 1}, **named)
    return [use, Part("tool_result", number, result, status=status, **named)]


parts = st.lists(
    st.one_of(
        st.builds(
            Part,
            st.sampled_from(["thought", "final_answer"]),
            st.just(1),
            st.text(max_size=5),
            st.sampled_from(["ok", "error", "stopped"]),
        ),
        st.builds(
            Part,
            st.sampled_from(["tool_use", "tool_result"]),
            st.just(1),
            st.just("{}"),
            st.sampled_from(["ok", "error", "stopped"]),
            st.just("calculator"),
            st.sampled_from(["a", "b"]),
        ),
    ),
    max_size=6,
)


@given(
    st.lists(st.builds(Exchange, st.text(max_size=5), parts.map(tuple)), max_size=4),
    parts,
    st.booleans(),
)
def test_user_and_assistant_alternate_whatever_was_broken_off(
    history: list[Exchange],
    done: list[Part],
    with_tools: bool,  # noqa: FBT001  (hypothesis gives it)
) -> None:
    said = as_openai(messages_of("Now?", history, done, with_tools=with_tools))
    roles = [message["role"] for message in said]
    assert roles[0] == "user"
    assert roles[-1] in {"user", "tool"}
    for before, after in pairwise(roles):
        assert (before, after) not in {
            *(("user", "user"), ("assistant", "assistant")),
            *(("tool", "user"), ("user", "tool")),
        }
    calls = [c["id"] for m in said for c in m.get("tool_calls", ())]
    results = [m["tool_call_id"] for m in said if m["role"] == "tool"]
    assert sorted(calls) == sorted(set(calls))
    assert set(results) == set(calls)


def test_what_was_cut_off_is_marked_and_what_was_not_answered_said_so() -> None:
    history = [
        Exchange("One?", (Part("final_answer", 1, "On", "stopped"),)),
        Exchange("Two?", tuple(call(1))),
    ]
    said = messages_of("Three?", history, [], with_tools=True)
    assert said[1]["content"] == f"On\n\n{CUT_OFF}"
    assert said[-2]["content"] == UNANSWERED


def test_an_agent_without_tools_is_told_only_what_was_said() -> None:
    done = [*call(1), Part("final_answer", 2, "Four.")]
    said = messages_of("And?", [Exchange("2+2?", tuple(done))], [], with_tools=False)
    assert [m["role"] for m in said] == ["user", "assistant", "user"]


def test_the_oldest_exchanges_go_first_and_the_question_stays() -> None:
    history = [Exchange(f"{n}?", (Part("final_answer", 1, "x" * 300),)) for n in "abc"]
    said = messages_of("Now?", history, [], with_tools=True)
    cut = cut_to(said, [], 400)
    assert cut[-1]["content"] == "Now?"
    assert [m["content"] for m in cut if m["role"] == "user"] == ["b?", "c?", "Now?"]


def test_in_a_tool_loop_older_results_are_shortened_and_the_question_stays() -> None:
    done = [part for number in range(4) for part in call(number, "y" * 3_000)]
    said = messages_of("Now?", [], done, with_tools=True)
    cut = cut_to(said, [], 3_000)
    assert cut[0]["content"] == "Now?"
    assert cut[-1]["content"] == "y" * 3_000
    assert "more characters left out" in cut[2]["content"]
    with pytest.raises(AgentError, match="too long"):
        cut_to(said, [], 100)


@given(st.text())
def test_tokens_are_rather_guessed_too_many(text: str) -> None:
    assert estimate_tokens(text) >= len(text) / 4
