"""How far the logs of runs go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chat import store
from chat.models import Run
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
    found = store.positions([run.session_id], since)
    assert sorted(found) == [(run.session_id, 1, 2), (run.session_id, 2, 1)]
    finish(run)
    assert (run.session_id, 1, 3) in store.positions([run.session_id], since)
    Run.objects.filter(id=run.pk).update(finished_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert store.positions([run.session_id], since) == [(run.session_id, 2, 1)]
    assert store.positions([elsewhere.session_id], since) == [
        (elsewhere.session_id, 1, 2)
    ]
