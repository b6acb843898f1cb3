"""How far the logs of runs go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chat import store
from chat.models import Run
from chat.store import Position
from tests.rows import (
    ask,
    finish,
    running_run,
)

pytestmark = pytest.mark.django_db


def test_positions_are_of_runs_that_are_or_just_were_unfinished() -> None:
    run = running_run()
    ask(run.session_id)
    elsewhere = running_run()
    since = timedelta(seconds=60)
    under_way = (run.session_id, Position(1, 2, 1, finished=False))
    waiting = (run.session_id, Position(2, 1, 0, finished=False))
    found = store.positions([run.session_id], since)
    assert sorted(found, key=lambda each: each[1].number) == [under_way, waiting]
    finish(run)
    over = (run.session_id, Position(1, 3, 1, finished=True))
    assert over in store.positions([run.session_id], since)
    Run.objects.filter(id=run.pk).update(finished_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert store.positions([run.session_id], since) == [waiting]
    assert store.positions([elsewhere.session_id], since) == [
        (elsewhere.session_id, Position(1, 2, 1, finished=False))
    ]
