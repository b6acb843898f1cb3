"""Rows: constraints, indexes, orders."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from chat import store
from chat.models import Run, Step
from tests.rows import (
    is_postgresql,
    queued_run,
)

pytestmark = pytest.mark.django_db


def plan_of(query: Callable[[], object]) -> str:
    """How the database goes about the SELECTs of `query`."""
    asked: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        query()
    with connection.cursor() as cursor:
        explain = "EXPLAIN QUERY PLAN "
        if is_postgresql():
            explain = "EXPLAIN "
            # There are too few rows here to be worth an index.
            cursor.execute("SET LOCAL enable_seqscan = off")
        plans = []
        for sql, params in asked:
            cursor.execute(explain + sql, params)
            plans += [row[-1] for row in cursor.fetchall()]
    return "\n".join(plans)


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        (lambda: store.abandoned(8), ["run_process"]),
        (lambda: store.waiting_sessions(8, 8), ["run_waiting"]),
        (
            lambda: store.positions([uuid4(), uuid4()], timedelta(seconds=10)),
            ["run_end", "finished_at"],
        ),
        (lambda: store.compactable(8), ["run_uncompacted"]),
        (store.clean_up, ["session_deleted"]),
    ],
    ids=["abandoned", "waiting", "positions", "compactable", "cleaning"],
)
def test_what_is_asked_every_few_seconds_reads_no_finished_runs(
    query: Callable[[], object], indexes: list[str]
) -> None:
    queued_run()
    plan = plan_of(query)
    assert "SCAN chat_run\n" not in f"{plan}\n"
    assert "Seq Scan on chat_run" not in plan
    if not is_postgresql():  # which takes any index for a handful of rows
        for index in indexes:
            assert index in plan


@pytest.mark.parametrize("table", ["chat_event", "chat_step", "chat_run"])
def test_no_index_repeats_how_another_begins(table: str) -> None:
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, table).values()
    plain = [what["columns"] for what in found if what["index"] and not what["unique"]]
    assert ["run_id"] not in plain
    assert ["session_id"] not in plain


def test_no_order_of_runs_or_steps_joins_what_they_belong_to() -> None:
    for rows in (Run.objects.all(), Step.objects.all()):
        assert "JOIN" not in str(rows.query)
