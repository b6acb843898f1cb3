"""What two transactions do to each other is no matter for whoever asked for one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connections, transaction
from django.db.backends.signals import connection_created

from chat.models import Run
from chat.store.database import MAX_CONFLICTS, db, settled
from tests.rows import is_postgresql, queued_run

pytestmark = pytest.mark.django_db(transaction=True)


def test_of_two_that_wait_for_each_other_both_get_through() -> None:
    if not is_postgresql():
        pytest.skip("on SQLite writers queue")
    first, second = queued_run().pk, queued_run().pk
    both_hold_one = threading.Barrier(2, timeout=20)
    tries: list[int] = []

    def both(order: Sequence[int]) -> None:
        tries.append(order[0])
        with transaction.atomic():
            Run.objects.select_for_update().get(id=order[0])
            if tries.count(order[0]) == 1:
                both_hold_one.wait()
            Run.objects.select_for_update().get(id=order[1])

    def in_thread(order: Sequence[int]) -> None:
        try:
            settled(both, order)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(in_thread, [(first, second), (second, first)]))
    assert len(tries) == 3


def test_what_fails_otherwise_or_for_ever_is_not_tried_for_ever() -> None:
    tries: list[object] = []

    def fail(cause: Exception) -> None:
        tries.append(cause)
        raise OperationalError from cause

    class Conflict(Exception):  # noqa: N818  (stands for psycopg's)
        sqlstate = "40001"

    with pytest.raises(OperationalError):
        settled(fail, Conflict())
    assert len(tries) == MAX_CONFLICTS + 1
    tries.clear()
    with pytest.raises(OperationalError):
        settled(fail, ValueError())
    assert len(tries) == 1


async def test_a_connection_to_a_file_is_opened_once_a_thread() -> None:
    opened: dict[int, int] = {}

    def connected(**_: object) -> None:
        thread = threading.get_ident()
        opened[thread] = opened.get(thread, 0) + 1

    connection_created.connect(connected)
    try:
        for _ in range(20):
            await db(Run.objects.count)
    finally:
        connection_created.disconnect(connected)
    if is_postgresql():  # where each query takes one from the pool and gives it back
        assert sum(opened.values()) == 20
    else:
        assert set(opened.values()) <= {1}
