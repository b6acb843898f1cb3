"""What models say, as it is told: text as it came, ReAct's form, snapshots."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from chat.agents.base import Flow
from chat.agents.model.fields import CallDelta
from chat.agents.model.rounds import Round

YOUR_TURN: Final = "It is your turn."
PENDING: Final = "<!-- INTERRUPT: PENDING_USER_INPUT"  # the library's sign for that
HOLD_BACK: Final = ("\nAction:", "\nFinal Answer:")  # what begins so is not shown yet
_THOUGHT: Final = re.compile(r".*</think>", re.DOTALL)


def last_text(messages: Sequence[Any]) -> str:
    """The text that the last of the library's messages says, if it is an agent's."""
    if not messages:
        return ""
    last = messages[-1]
    if last["role"] == "function" or last.get("function_call"):
        return ""
    text = _THOUGHT.sub("", _content(last), count=1).strip()
    return YOUR_TURN if text.startswith(PENDING) else text


def is_trimmed(text: str, of: str) -> bool:
    """Whether it is the other text without its end, or without signs around it."""
    before, found, after = of.partition(text)
    return (bool(found) and not any(map(str.isalnum, before + after))) or (
        of.lstrip().startswith(text)
    )


def same(one: str, other: str) -> bool:
    """Whether the two texts are the same to a reader."""
    return one.strip() == other.strip()


class Said:
    """What a model has said in a round: its text as it came, and what it meant."""

    def __init__(self, text: str, meant: Round) -> None:
        self.text = text
        self.meant = meant


class Ear:
    """Takes a model's deltas: keeps the text as it came, and tells the round."""

    def __init__(self, said: Round, feed: Callable[[str], object]) -> None:
        self.chunks: list[str] = []
        self.reasoning_fields = said.reasoning_fields
        self.reasoning = said.reasoning
        self.call = said.call
        keep = self.chunks.append

        def text(piece: str) -> None:
            keep(piece)
            feed(piece)

        self.text = text

    def so_far(self) -> str:
        """The text as it came."""
        return "".join(self.chunks)


class UpTo:
    """Passes text on until a sign comes, by which calls begin that others read."""

    def __init__(self, sign: str, feed: Callable[[str], object]) -> None:
        self._sign = sign
        self._pass_on = feed
        self._held = ""
        self._is_over = False

    def feed(self, text: str) -> None:
        """More text."""
        if self._is_over:
            return
        self._held += text
        before, found, _ = self._held.partition(self._sign)
        self._is_over = bool(found)
        keep = 0
        if not found:
            keep = next(
                (n for n in range(len(self._sign), 0, -1) if self._ends_in(n)), 0
            )
        shown, self._held = (
            before[: len(before) - keep],
            self._held[-keep:] * bool(keep),
        )
        if shown:
            self._pass_on(shown)

    def close(self) -> None:
        """That was all."""
        if self._held and not self._is_over:
            self._pass_on(self._held)

    def _ends_in(self, length: int) -> bool:
        return self._held.endswith(self._sign[:length])


class ReactText:
    """What a model says in the form Thought, Action, Final Answer, piece by piece."""

    def __init__(self, said: Round) -> None:
        self._said = said
        self._held = "\n"  # what begins a line may begin the text
        self._is_fresh = True  # nothing of this part was said
        self._part: Literal["thought", "action", "answer"] = "thought"

    def feed(self, text: str) -> None:
        """More text."""
        if self._part == "answer":
            self._say(text)
            return
        self._held += text
        if self._part == "thought":
            self._look()

    def _look(self) -> None:
        found = re.search(r"\n(Action|Final Answer):", self._held)
        if found is not None:
            self._think(self._held[: found.start()])
            self._is_fresh = True
            rest = self._held[found.end() :]
            if found[1] == "Action":
                self._part, self._held = "action", self._held[found.start() :]
            else:
                self._part, self._held = "answer", ""
                self._say(rest)
            return
        keep = self._held.rfind("\n")
        tail = self._held[keep:] if keep >= 0 else ""
        if not any(sign.startswith(tail) for sign in HOLD_BACK):
            tail = ""
        shown = self._held[: len(self._held) - len(tail)]
        self._held = tail
        self._think(shown)

    def close(self) -> None:
        """That was all. What has no form is the answer."""
        if self._part == "action":
            if "\nAction Input:" not in self._held:
                self._say(self._held)
        elif self._part == "thought":
            self._think(self._held)
            self._said.answer_after_all()

    def _think(self, text: str) -> None:
        if text := self._trimmed(text):
            self._said.think(text)

    def _say(self, text: str) -> None:
        if text := self._trimmed(text):
            self._said.say(text)

    def _trimmed(self, text: str) -> str:
        """Without the space at its part's beginning."""
        text = text.lstrip() if self._is_fresh else text
        self._is_fresh = self._is_fresh and not text
        return text


class Snapshots:
    """A round of a model of another kind, told by what it has said so far."""

    def __init__(self, begin: Callable[[], Round], flow: Flow) -> None:
        self.round: Round | None = None
        self._begin = begin
        self._flow = flow
        self._told = {"reasoning": "", "text": ""}
        self._last: Sequence[Any] = ()

    async def update(self, messages: Sequence[Any]) -> None:
        """All that the model has said so far, as the library has it."""
        if self.round is None:
            self.round = self._begin()
        self._last = messages
        reasoning = "".join(str(m.get("reasoning_content") or "") for m in messages)
        text = "".join(_content(m) for m in messages if not m.get("function_call"))
        sign = text.rfind("<")
        if sign >= 0 and "<tool_call>".startswith(text[sign:]):
            text = text[:sign]
        self._tell("reasoning", reasoning, self.round.reasoning)
        self._tell("text", text, self.round.text)
        if self._flow.crowded:
            await self._flow.committed()

    def text(self) -> str:
        """What of its text was told."""
        return self._told["text"]

    def _tell(self, kind: str, text: str, tell: Callable[[str], object]) -> None:
        told = self._told[kind]
        if text.startswith(told) and text != told:
            tell(text[len(told) :])
            self._told[kind] = text

    def finish(self) -> None:
        """That was all."""
        if self.round is None:
            return
        for index, message in enumerate(self._last):
            if call := message.get("function_call"):
                delta = CallDelta(call["name"], call["arguments"], index=index)
                self.round.call(delta)
        self.round.finish()


def _content(message: Any) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(str(item.get("text") or "") for item in content)
