"""One round of the model, made into parts."""

from __future__ import annotations

import json

from hypothesis import given, strategies as st

from chat.agents.model.fields import CallDelta
from chat.agents.model.rounds import Round
from tests.agents.fold import Sink

OF_A_CALL = st.sampled_from(['{"a": 1}', '{"b": {"c": "}"}}', "{}", "not json", ""])

SAID = st.lists(
    st.one_of(
        st.tuples(st.just("text"), st.sampled_from(["Hello ", "you.", "\n", " "])),
        st.tuples(st.just("reasoning"), st.sampled_from(["Hm ", "so.", "\n"])),
        st.tuples(st.just("call"), st.integers(0, 3)),
    ),
    max_size=25,
)


@given(said=SAID, arguments=st.lists(OF_A_CALL, min_size=4, max_size=4))
def test_whatever_a_model_says_makes_well_formed_parts(
    said: list[tuple[str, str | int]], arguments: list[str]
) -> None:
    sink = Sink()
    round_ = Round(sink, 1)
    rest = dict(enumerate(arguments))
    named: set[int] = set()
    for kind, what in said:
        if isinstance(what, int):
            name = "" if what in named else f"tool{what}"
            named.add(what)
            round_.call(CallDelta(name, rest[what][:3], what))
            rest[what] = rest[what][3:]
        elif kind == "text":
            round_.text(what)
        else:
            round_.reasoning(what)
    for key in sorted(named):
        round_.call(CallDelta("", rest[key], key))
    round_.finish()
    told = sink.told

    # Calls: each once, whole, in the order in which they began.
    started = list(dict.fromkeys(what for _, what in said if isinstance(what, int)))
    assert [call.name for call in round_.calls] == [f"tool{key}" for key in started]
    for key, part in zip(
        started, (p for p in told.parts if p.type == "tool_use"), strict=True
    ):
        assert part.content == (arguments[key] or "{}")
        assert part.tool_name == f"tool{key}"
        valid = part.tool_input is not None
        assert valid == (arguments[key] != "not json")
        if valid:
            assert json.loads(part.content) == part.tool_input
    # Text: an answer where nothing is called, and nothing lost but white space.
    if named:
        assert not told.of("final_answer")
    assert round_.answer == told.answer
    wanted = bare("".join(str(what) for kind, what in said if kind != "call"))
    shown = bare("".join(p.content for p in told.parts if p.type != "tool_use"))
    # (A last remark that nothing but thoughts followed is said again as the answer.)
    assert shown in {wanted, wanted + bare(told.answer)}


def bare(text: str) -> str:
    """The text without white space."""
    return "".join(text.split())


def test_a_broken_off_round_closes_its_part() -> None:
    sink = Sink()
    round_ = Round(sink, 1)
    round_.call(CallDelta("tool", '{"a"', 0))
    round_.call(CallDelta("other", "{}", 1))
    round_.abort("error")
    told = sink.told
    assert [part.status for part in told.parts] == ["error"]


def test_a_remark_followed_by_thoughts_only_is_the_answer() -> None:
    sink = Sink()
    round_ = Round(sink, 1)
    round_.text("It is so.")
    round_.reasoning("Was that right?")
    round_.finish()
    told = sink.told
    assert told.types == ["thought", "thought", "final_answer"]
    assert told.answer == "It is so."


def test_a_call_in_text_that_is_no_json_is_still_a_call() -> None:
    sink = Sink()
    round_ = Round(sink, 1, text_protocol=True)
    round_.text("<tool_call>{broken</tool_call>")
    round_.finish()
    assert [(call.name, call.arguments) for call in round_.calls] == [("unknown", None)]
    told = sink.told
    assert told.parts[0].content == "{broken"
