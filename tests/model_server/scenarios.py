"""What a scenario is: the actions of each round, and how they are chosen."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

SCENARIOS = Path(__file__).parents[1] / "scenarios"

_MARKER = re.compile(r"\[scenario ([\w.-]+)\]")
_STREAM = re.compile(r"\[stream((?: \w+=[\d.]+)*)\]")
_RESPONSE = "<tool_response>"

Scenario = dict[str, Any]


def load() -> dict[str, Scenario]:
    """All scenarios of tests/scenarios/, by file name."""
    return {
        file.stem: whole(json.loads(file.read_text(encoding="utf-8")))
        for file in sorted(SCENARIOS.glob("*.json"))
    }


def whole(scenario: Scenario | list[Any]) -> Scenario:
    """A scenario written as a mere list of actions, in full."""
    if isinstance(scenario, list):
        return {"rounds": [{"actions": scenario}]}
    return scenario


def choose(
    known: dict[str, Scenario], model: str, messages: list[dict[str, Any]]
) -> tuple[str, Scenario]:
    """The scenario for a request: by its last message, else by the model's name."""
    said = last_prompt(messages)
    marker = _MARKER.search(said)
    if marker and marker[1] in known:
        return marker[1], known[marker[1]]
    stream = _STREAM.search(said)
    if stream:
        wanted = dict(pair.split("=") for pair in stream[1].split())
        tokens = {
            "tokens": int(wanted.get("tokens", 100)),
            "rate": float(wanted.get("rate", 50)),
            "stamped": "stamped" in wanted,
        }
        thought = int(wanted.get("thought", 0))
        actions = [{**tokens, "tokens": thought, "to": "reasoning"}] if thought else []
        return "stream", whole([*actions, tokens])
    name = model if model in known else "hello"
    return name, known[name]


def last_prompt(messages: list[dict[str, Any]]) -> str:
    """What the person said last; a tool's response in the text protocol is not it."""
    for message in reversed(messages):
        if _is_prompt(message):
            return _text(message)
    return ""


def last_result(messages: list[dict[str, Any]]) -> str:
    """What the last tool returned, in either protocol."""
    for message in reversed(messages):
        text = _text(message)
        if message.get("role") == "tool":
            return text
        if message.get("role") == "user" and text.startswith(_RESPONSE):
            inner = text.rsplit(_RESPONSE, 1)[1]
            return inner.replace("</tool_response>", "").strip()
    return ""


def round_number(messages: list[dict[str, Any]]) -> int:
    """How many answers the model has given since the person spoke last."""
    answers = 0
    for message in reversed(messages):
        if message.get("role") == "assistant":
            answers += 1
        elif _is_prompt(message):
            break
    return answers


def _is_prompt(message: dict[str, Any]) -> bool:
    response = _text(message).startswith(_RESPONSE)
    return message.get("role") == "user" and not response


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else json.dumps(content)
