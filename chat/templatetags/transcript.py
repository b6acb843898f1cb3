"""What the page's template says of a run before the script takes over.

The twin of static/chat/js/words/summary.js, as far as the first paint needs it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from django import template

register = template.Library()

GIST_CHARS: Final = 140
HEADING_CHARS: Final = 80
RESULT_CHARS: Final = 3_000
WORTH_SAYING_MS: Final = 100
SECOND: Final = 1_000  # milliseconds
MINUTE: Final = 60 * SECOND

ICONS: Final = {
    "thought": "💭",
    "tool_use": "🔧",
    "tool_result": "📊",
    "final_answer": "✅",
    "error": "❌",
}

ENDINGS: Final = {
    "answered": "Answered",
    "stopped": "Stopped",
    "failed": "Failed",
    "max_iterations": "Ended without an answer: the limit of rounds was reached",
    "server_lost": "The server working on this was lost",
    "withdrawn": "Withdrawn before it began",
}

Step = dict[str, Any]
Card = dict[str, Any]


@register.filter
def cards(steps: list[Step]) -> list[Card]:
    """The steps as cards: a tool's use and its result are one."""
    found: list[Card] = []
    for step in steps:
        is_result = step["type"] == "tool_result"
        pair = _pair(found, step) if is_result else None
        if pair is not None:
            pair["result"] = step
        elif step["type"] == "tool_use":
            found.append({"use": step, "result": None})
        elif is_result:
            found.append({"use": None, "result": step})
        else:
            found.append({"text": step})
    return found


def _pair(found: list[Card], result: Step) -> Card | None:
    """The card of the call that this is the result of."""
    for card in reversed(found):
        use = card.get("use") or {}
        if card.get("result", 0) is None and use.get("call_id") == result.get(
            "call_id"
        ):
            return card
    return None


@register.filter
def status(card: Card, run_status: str) -> str:
    """Of a tool's card: running until there is a result, or will be none any more."""
    step: Step = card["result"] or card["use"]
    of_step = str(step["status"])
    if run_status == "finished":
        return of_step
    is_ended = step["type"] == "tool_result" or of_step != "ok"
    return of_step if is_ended else "running"


@register.filter
def icon(step: Step) -> str:
    """The sign of the step's type."""
    return ICONS[step["type"]]


@register.filter
def title(step: Step) -> str:
    """The heading of the step's card."""
    running = step["status"] == "running"
    match step["type"]:
        case "thought" if running:
            return "Thinking…"
        case "thought":
            ms = step.get("duration_ms") or 0
            return f"Thought for {duration(ms)}" if ms >= WORTH_SAYING_MS else "Thought"
        case "tool_use":
            return str(step.get("tool_name") or "tool")
        case "final_answer":
            return "Answering…" if running else "Answer"
        case _:
            return "Error"


@register.filter
def gist(step: Step) -> str:
    """The step in a few words, once it is done."""
    if step["type"] == "tool_use":
        return _arguments(step)
    if step["type"] == "tool_result" and step["status"] == "running":
        return "running…"
    if step["status"] == "running":
        return ""
    return one_line(step["content"])


def _arguments(step: Step) -> str:
    given = step.get("tool_input")
    if not isinstance(given, dict):
        return one_line(step["content"])
    if len(given) == 1:
        return one_line(_plain(*given.values()))
    pairs = (f"{key}: {one_line(_plain(value), 40)}" for key, value in given.items())
    return one_line(", ".join(pairs))


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@register.filter
def one_line(text: str, limit: int = GIST_CHARS) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(text[: limit * 4].split())
    return f"{line[:limit].rstrip()}…" if len(line) > limit else line


@register.filter
def heading(prompt: str) -> str:
    """The beginning of a prompt."""
    return one_line(prompt, HEADING_CHARS)


@register.filter
def beginning(content: str) -> str:
    """As much of a result as is shown at first."""
    return f"{content[:RESULT_CHARS]}…" if len(content) > RESULT_CHARS else content


@register.filter
def pretty(step: Step) -> str:
    """A tool's arguments, laid out."""
    given = step.get("tool_input")
    if given is None:
        return str(step["content"])
    return json.dumps(given, ensure_ascii=False, indent=2)


@register.filter
def duration(ms: float) -> str:
    """Milliseconds as people read them."""
    if ms < SECOND:
        return f"{round(ms)} ms"
    if ms < MINUTE:
        return f"{ms / 1000:.1f} s"
    seconds = round(ms / 1000)
    return f"{seconds // 60} min {seconds % 60} s"


@register.filter
def ending(run: dict[str, Any]) -> str:
    """How the run ended, or what it is doing."""
    if run["status"] == "queued":
        return "Waiting its turn"
    if run["status"] == "running":
        return "Working"
    return ENDINGS.get(run.get("reason", ""), "Finished")


@register.filter
def facts(run: dict[str, Any]) -> str:
    """Who answered, in what time, for how many tokens."""
    said = [run["agent_name"]]
    if run["status"] == "finished":
        if run.get("duration_ms") is not None:
            said.append(duration(run["duration_ms"]))
        if usage := run.get("usage"):
            said.append(f"{usage['input_tokens'] + usage['output_tokens']:,} tokens")
    return " · ".join(said)


@register.filter
def unsaid_error(run: dict[str, Any]) -> bool:
    """Whether the run has an error that no card shows."""
    last: Step = run["steps"][-1] if run["steps"] else {}
    error = run.get("error")
    return error is not None and last.get("content") != error["message"]
