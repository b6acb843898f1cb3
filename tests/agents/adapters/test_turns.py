"""Turns: whatever comes at the same time, each message is said in one piece."""

from __future__ import annotations

from hypothesis import given, strategies as st

from reasoning_site.adapters.turns import Turns


def test_who_comes_second_waits_until_the_first_has_ended() -> None:
    turns = Turns()
    assert list(turns.say("a", "1")) == ["1"]
    assert list(turns.say("b", "x")) == []
    assert list(turns.say("a", "2")) == ["2"]
    assert list(turns.say_after("b", "y")) == []
    assert list(turns.end("a")) == ["x", "y"]
    assert list(turns.say("b", "z")) == ["z"]
    assert list(turns.end("b")) == []
    assert list(turns.say_after("a", "late")) == ["late"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
def test_nothing_is_lost_and_messages_stay_in_one_piece(
    deeds: list[tuple[str, bool]],
) -> None:
    turns, heard = Turns(), ""
    spoken: dict[str, int] = {}
    for message, ends in [*deeds, *((message, True) for message in "abc")]:
        said = [*turns.say(message, message), *(turns.end(message) if ends else [])]
        spoken[message] = spoken.get(message, 0) + 1
        heard += "".join(map(str, said)) + ("|" if ends else "")
    for message, times in spoken.items():
        assert heard.count(message) == times
    for piece in heard.split("|"):
        runs = [sign for sign, before in zip(piece, " " + piece) if sign != before]  # noqa: B905
        assert len(runs) == len(set(runs))
