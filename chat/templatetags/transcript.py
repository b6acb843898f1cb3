"""What the page's template says of a run before the script takes over.

The twin of static/chat/js/words/work.js and summary.js, as far as the first paint needs
it: the same elements, the same words.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from django import template

from chat.templatetags.readable import arguments_of
from chat.words.cut import cut
from chat.words.progress import progress_words, share
from chat.words.terminal import terminal_text
from chat.words.values import Entries, plainly

register = template.Library()

GIST_CHARS: Final = 140
HEADING_CHARS: Final = 80
QUESTION_CHARS: Final = 1_200  # a question with more is folded,
QUESTION_LINES: Final = 16  # or with more lines
GIST_SOURCE: Final = 8_000  # so much is looked at: much of it may be control codes
WORTH_SAYING_MS: Final = 100
SECOND: Final = 1_000  # milliseconds
MINUTE: Final = 60  # seconds
MAX_TICKS: Final = 24
FEW: Final = 8  # of a run with more steps the last ones stand open,
LAST: Final = 4  # so many of them
MAX_DEPTH: Final = 3  # steps inside steps are indented so often

KEPT: Final = "What was written is kept; Continue goes on from there."
FAULTS: Final = {
    "failed": ("Broken off", "Something went wrong."),
    "max_iterations": (
        "No answer yet",
        "The limit of rounds was reached before there was one.",
    ),
    "server_lost": ("Broken off", "The server working on this was lost."),
    "cut": ("Cut off", "The answer is not whole."),
}
CUTS: Final = {
    "length": "The model has written as much as it may at once.",
    "filter": "The model's provider withheld the rest (content filter).",
    "ended": "The model's server ended it in the middle.",
}
GISTS: Final = {
    ("tool_use", "running"): "Writing the call",
    ("tool_result", "running"): "Running",
    ("tool_result", "stopped"): "Stopped",
}

Step = dict[str, Any]
Group = list[Step]
Run = dict[str, Any]


# ---------------------------------------------------------------- the work


@register.filter
def work(run: Run) -> dict[str, Any]:
    """The steps on the way, gathered under one line."""
    groups = grouped([step for step in run["steps"] if not _is_outcome(step)])
    earlier = groups[:-LAST] if len(groups) > FEW else []
    is_running = run["status"] == "running"
    return {
        "words": _work_words(run, groups),
        "is_open": is_running and run["enable_reasoning"] and not _is_answering(run),
        "ticks": ticks(groups) if run["enable_reasoning"] else [],
        "cards": [
            {**_card(group, run["status"]), "depth": _depth(run, group[0])}
            for group in groups
        ],
        "earlier": earlier and {"ticks": ticks(earlier), "words": _earlier(earlier)},
    }


def _is_outcome(step: Step) -> bool:
    return step["type"] in {"final_answer", "error"}


def grouped(steps: list[Step]) -> list[Group]:
    """A tool's call and its result are one group, any other step is its own."""
    groups: list[Group] = []
    for step in steps:
        call = _call(groups, step) if step["type"] == "tool_result" else None
        if call is None:
            groups.append([step])
        else:
            call.append(step)
    return groups


def _call(groups: list[Group], result: Step) -> Group | None:
    """The group of the call that this is the result of."""
    for group in reversed(groups):
        first = group[0]
        is_call = first["type"] == "tool_use" and len(group) == 1
        if is_call and first.get("call_id") == result.get("call_id"):
            return group
    return None


def _depth(run: Run, step: Step) -> int:
    """How many steps a step is inside of, as far as the page shows it."""
    by_number = {each["step"]: each for each in run["steps"]}
    depth, at = 0, step
    while at.get("parent") is not None and depth < MAX_DEPTH:
        depth, at = depth + 1, by_number.get(at["parent"], {})
    return depth


def _tick(group: Group) -> str:
    if any(step["status"] == "error" for step in group):
        return "error"
    match group[0]["type"]:
        case "thought":
            return "thought"
        case "tool_result":
            return "result"
        case _:
            return "pair" if len(group) > 1 else "tool"


def ticks(groups: list[Group]) -> list[str]:
    """A tick for each step; of too many some are left out, but none that failed."""
    every = [_tick(group) for group in groups]
    errors = every.count("error")
    others, room = len(every) - errors, max(0, MAX_TICKS - errors)
    if others <= room:
        return every
    kept, at = [], 0
    for tick in every:
        at += tick != "error"
        if tick == "error" or at * room // others > (at - 1) * room // others:
            kept.append(tick)
    return kept


def _earlier(groups: list[Group]) -> str:
    return ", ".join(
        filter(None, [count(len(groups), "earlier step"), _failed(groups)])
    )


def _failed(groups: list[Group]) -> str:
    failed = sum(_tick(group) == "error" for group in groups)
    return f"{failed} failed" if failed else ""


def _work_words(run: Run, groups: list[Group]) -> str:
    if run["status"] == "queued" or run.get("reason") == "withdrawn":
        return ""
    if run["status"] == "running":
        number = len(groups) + _is_answering(run)
        return _said(_activity(run, groups), f"step {number}" if number else "")
    if not groups:
        return _end_words(run) if run.get("reason") == "stopped" else ""
    if not run["enable_reasoning"]:
        return f"Show {count(len(groups), 'step')}"
    thoughts = sum(group[0]["type"] == "thought" for group in groups)
    return _said(
        _end_words(run),
        count(len(groups) - thoughts, "tool"),
        count(thoughts, "thought"),
        _failed(groups),
    )


def _said(*words: str) -> str:
    return " · ".join(filter(None, words))


def _end_words(run: Run) -> str:
    took = duration(run.get("duration_ms") or 0)
    if run.get("reason") == "stopped":
        return f"Stopped after {took}" if took else "Stopped"
    return f"Worked {took}" if took else "Worked"


def _is_answering(run: Run) -> bool:
    steps = run["steps"]
    return bool(steps) and steps[-1]["type"] == "final_answer"


def _activity(run: Run, groups: list[Group]) -> str:
    tools = [group for group in groups if _is_tool_running(group)]
    if len(tools) > 1:
        return f"Running {len(tools)} tools"
    step = tools[0][0] if tools else (run["steps"] or [{}])[-1]
    is_running = bool(tools) or step.get("status") == "running"
    name = step.get("tool_name") or "a tool"
    match step.get("type") if is_running else None:
        case "thought":
            return "Thinking"
        case "final_answer":
            return "Answering"
        case "tool_use" if step["status"] == "running":
            return f"Calling {name}"
        case "tool_use" | "tool_result":
            return f"Running {name}"
        case _:
            return "Working"


def _is_tool_running(group: Group) -> bool:
    """Whether a call still gets its result, in a run that goes on."""
    kind, status = group[-1]["type"], group[-1]["status"]
    if kind == "thought":
        return False
    return bool(status == "running" or (kind == "tool_use" and status == "ok"))


# ---------------------------------------------------------------- one step


def _card(group: Group, run_status: str) -> dict[str, Any]:
    first, last = group[0], group[-1]
    if first["type"] == "thought":
        return {"thought": first}
    is_running = run_status != "finished" and _is_tool_running(group)
    failed = any(step["status"] == "error" for step in group)
    is_result = last["type"] == "tool_result"
    return {
        "use": first if first["type"] == "tool_use" else None,
        "result": last if is_result else None,
        "status": "running" if is_running else last["status"],
        "kind": "error" if failed else "result" if is_result else "tool",
        "time": "" if is_running else duration(last.get("duration_ms") or 0),
    }


@register.filter
def thought_time(step: Step) -> str:
    """How long it took, if that is worth saying."""
    ms = step.get("duration_ms") or 0
    return duration(ms) if ms >= WORTH_SAYING_MS else ""


@register.filter
def gist(step: Step) -> str:
    """The step in a few words, once it is done."""
    if progressed := one_line(progress_words(step.get("progress") or {})):
        return progressed
    if words := GISTS.get((step["type"], step["status"])):
        return words
    if step["type"] == "tool_use":
        return _arguments(step)
    if step["type"] == "tool_result":
        return _content(step) or "Nothing"
    return "" if step["status"] == "running" else _content(step)


@register.filter
def progress(step: Step) -> dict[str, Any] | None:
    """How far it has come, while it is open: words, and what a bar shows."""
    told = step.get("progress") or {}
    words = progress_words(told)
    return {"words": words, "share": share(told)} if words else None


def _arguments(step: Step) -> str:
    given = arguments_of(step)
    if not isinstance(given, Entries):
        return _content(step)
    if len(given.entries) == 1:
        return one_line(plainly(given.entries[0][1]))
    pairs = (f"{key}: {one_line(plainly(value), 40)}" for key, value in given.entries)
    return one_line(", ".join(pairs))


def _content(step: Step) -> str:
    return one_line(terminal_text(step["content"][:GIST_SOURCE]))


@register.filter
def one_line(text: str, limit: int = GIST_CHARS) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(cut(text, limit * 4).split())
    start = cut(line, limit)
    return line if start == line else f"{start.rstrip()}…"


@register.filter
def is_long_question(prompt: str) -> bool:
    """Whether it would take more than about a screen."""
    return len(prompt) > QUESTION_CHARS or prompt.count("\n") >= QUESTION_LINES


@register.filter
def heading(prompt: str) -> str:
    """The beginning of a prompt."""
    return one_line(prompt, HEADING_CHARS)


# ---------------------------------------------------------------- the end


@register.filter
def outcomes(run: Run) -> list[Step]:
    """Answers, and errors that something came after, in order."""
    found = [step for step in run["steps"] if _is_outcome(step)]
    last = (fault(run) or {}).get("step")
    return [step for step in found if step is not last]


@register.filter
def fault(run: Run) -> dict[str, Any] | None:
    """What went wrong, in words, and the way on."""
    if run["status"] != "finished" or run.get("reason") not in FAULTS:
        return None
    name, text = FAULTS[run["reason"]]
    error = run.get("error") or {}
    text = error.get("message", CUTS.get(run.get("cause", ""), text))
    last = run["steps"][-1] if run["steps"] else {}
    is_said = last.get("type") == "error" and last["content"] == text
    can_go_on = error.get("retryable", True)
    is_kept = can_go_on and any(step["type"] != "error" for step in run["steps"])
    sentence = text if text.endswith((".", "!", "?", "…")) else f"{text}."
    return {
        "name": name if is_kept else "Failed",
        "text": f"{sentence} {KEPT}" if is_kept else sentence,
        "way": "Continue" if is_kept else "Try again",
        "step": last if is_said else None,
    }


@register.filter
def by(run: Run, step: Step) -> str:
    """Who gave the answer, and whether it is whole."""
    is_cut = step["status"] not in {"running", "ok"}
    name = str(step.get("agent") or run["agent_name"])
    return f"{name}, not finished" if is_cut else name


@register.filter
def is_answered(run: Run) -> bool:
    """Whether there is an answer to be copied."""
    return any(step["type"] == "final_answer" for step in run["steps"])


@register.filter
def ended(run: Run) -> str:
    """When its last step ended. In whose time zone only the browser can say."""
    last = run["steps"][-1] if run["steps"] else {"timestamp": run["timestamp"]}
    return moment(last["timestamp"] + (last.get("duration_ms") or 0) / SECOND)


@register.filter
def moment(timestamp: float) -> str:
    """Unix seconds for a machine to read."""
    return datetime.fromtimestamp(int(timestamp), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@register.filter
def tokens(run: Run) -> str:
    """How many the run cost."""
    usage = run.get("usage")
    total = usage and usage["input_tokens"] + usage["output_tokens"]
    return f"{total:,} tokens" if usage else ""


@register.filter
def duration(ms: float) -> str:
    """Milliseconds as people read them; no time at all is nothing.

    In whole numbers all the way, so that the script says the same.
    """
    if ms < 0.5:  # noqa: PLR2004
        return ""
    if ms < SECOND - 0.5:
        return f"{int(ms + 0.5)} ms"
    tenths = int(ms + 50) // 100
    if tenths < 10 * 10:
        return f"{tenths // 10}.{tenths % 10} s".replace(".0", "")
    seconds = int(ms + 500) // SECOND
    if seconds < MINUTE:
        return f"{seconds} s"
    minutes = seconds // MINUTE
    if minutes < MINUTE:
        return f"{minutes} min {seconds % MINUTE} s"
    return f"{minutes // MINUTE} h {minutes % MINUTE} min"


def count(number: int, noun: str) -> str:
    """As "1 tool", "2 tools"; nothing for none."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}" if number else ""
