"""What an agent remembers of earlier runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from msgspec import Struct, structs

from chat.agents.base import Exchange, Part
from chat.models import Run
from chat.store.sql import fetch, numbers

ANSWERED: Final = Run.Reason.ANSWERED
MAX_EXCHANGES: Final = 50  # handed to an agent, which cuts them to its model
MAX_TRIES: Final = 20  # runs that were continued, whose parts one run begins with
MAX_CHARS: Final = 8 * 1024 * 1024  # of earlier parts; more than any model reads

Parts = dict[int, list[Part]]  # by run


class Memory(Struct, frozen=True):
    """What an agent is told before it begins a run, oldest first."""

    exchanges: list[Exchange]  # with earlier runs
    continued: list[Part]  # of the run that this one goes on from


_TRIES: Final = """
SELECT id, number, COALESCE(retry_of_id, 0), reason FROM chat_run
WHERE session_id = %s AND number <= %s ORDER BY number
"""

_PROMPTS: Final = """
SELECT id, prompt,
  (SELECT COALESCE(SUM(LENGTH(content)), 0) FROM chat_step WHERE run_id = chat_run.id)
FROM chat_run WHERE id IN (RUNS)
"""

# No errors, and of what was cut short only answers and tools' results.
_PARTS: Final = """
SELECT run_id, type, iteration, content, status, tool_name, call_id, tool_input,
  agent, step, server_fields, parent
FROM chat_step WHERE run_id IN (RUNS)
AND type <> 'error' AND (status = 'ok' OR type IN ('tool_result', 'final_answer'))
ORDER BY run_id, step
"""


def recall(run: Run, limit: int = MAX_EXCHANGES) -> Memory:
    """Earlier finished runs, and what `run` goes on from.

    Of all tries at one prompt, the last that was answered, or where none was the last
    that was not withdrawn; none of those at `run`'s own, which must not remember its
    first try. One that continues another is
    remembered with what the other had done. A rerun goes on from nothing.
    """
    if run.number == 1:
        return Memory([], [])
    tries = _tries(run.session_id, run.number)
    last: dict[int, _Try] = {}  # at each prompt
    for each in tries.values():
        if each.reason in {"", Run.Reason.WITHDRAWN}:
            continue
        before = last.get(each.first)
        if not before or before.reason != ANSWERED or each.reason == ANSWERED:
            last[each.first] = each
    last.pop(tries[run.pk].first, None)
    latest = sorted(last.values(), key=lambda each: each.number)[-limit:]
    runs = {each.run_id: [*_continued(each, tries), each.run_id] for each in latest}
    prompts, runs = _newest_that_fit(runs)
    continued = _continued(tries[run.pk], tries)
    parts = _parts([*continued, *(run_id for of in runs.values() for run_id in of)])
    exchanges = [
        Exchange(prompts[run_id], tuple(_joined(of, parts)))
        for run_id, of in runs.items()
    ]
    done = [structs.replace(part, step=-1) for part in _joined(continued, parts)]
    return Memory(exchanges, done)


def done_in(run_id: int) -> list[Part]:
    """The parts of the run that have been finished."""
    return _parts([run_id]).get(run_id, [])


class _Try(Struct, frozen=True):
    """A run among the tries at its prompt."""

    run_id: int
    number: int
    retry_of: int  # its id, or 0
    reason: str
    first: int  # the first try's id


def _tries(session_id: UUID, until: int) -> dict[int, _Try]:
    """The session's runs up to number `until`, in order, by id."""
    tries: dict[int, _Try] = {}
    for run_id, number, retry_of, reason in fetch(_TRIES, session_id, until):
        first = tries[retry_of].first if retry_of in tries else run_id
        tries[run_id] = _Try(run_id, number, retry_of, reason, first)
    return tries


def _continued(run: _Try, tries: Mapping[int, _Try]) -> list[int]:
    """The runs, oldest first, that `run` goes on from; an answered one is over."""
    chain: list[int] = []
    old = tries.get(run.retry_of)
    while old and old.reason != ANSWERED and len(chain) < MAX_TRIES:
        chain.append(old.run_id)
        old = tries.get(old.retry_of)
    return chain[::-1]


def _newest_that_fit(
    runs: dict[int, list[int]],
) -> tuple[dict[int, str], dict[int, list[int]]]:
    """The prompts; and the runs, without the oldest if that is too much text."""
    if not runs:
        return {}, runs
    ids = numbers(run_id for of in runs.values() for run_id in of)
    rows = fetch(_PROMPTS.replace("RUNS", ids))
    prompts = {run_id: prompt for run_id, prompt, _ in rows}
    sizes = {run_id: size for run_id, _, size in rows}
    left = MAX_CHARS
    fit: list[int] = []
    for run_id in reversed(runs):
        left -= sum(sizes[each] for each in runs[run_id])
        if left < 0:
            break
        fit.append(run_id)
    return prompts, {run_id: runs[run_id] for run_id in reversed(fit)}


def _parts(run_ids: Iterable[int]) -> Parts:
    parts: Parts = {}
    ids = list(run_ids)
    if not ids:
        return parts
    for row in fetch(_PARTS.replace("RUNS", numbers(ids))):
        run_id, type_, iteration, content, status, tool_name, call_id = row[:7]
        tool_input, agent, step, server_fields, parent = row[7:]
        parts.setdefault(run_id, []).append(
            Part(
                type_,
                iteration,
                content,
                status,
                tool_name,
                call_id,
                _from_json(tool_input),
                agent,
                step,
                _from_json(server_fields),
                parent,
            )
        )
    return parts


def _from_json(value: Any) -> Any:
    """What a column of JSON holds, which Django's cursors leave as text."""
    return json.loads(value) if isinstance(value, str) else value


def _joined(run_ids: Iterable[int], parts: Parts) -> list[Part]:
    return [part for run_id in run_ids for part in parts.get(run_id, ())]
