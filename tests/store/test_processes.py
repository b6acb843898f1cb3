"""The rows of processes: who lives, who is late, whose runs are whose."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chat.models import Process
from chat.store import processes
from chat.store.processes import DeclaredDeadError
from tests.rows import (
    bury_process_of,
    claimed_run,
    finish,
    living_process,
    running_run,
)

pytestmark = pytest.mark.django_db


def test_a_heartbeat_tells_which_runs_are_ones_own() -> None:
    here = living_process()
    mine, done = claimed_run(process=here).run, claimed_run(process=here).run
    running_run()
    finish(done)
    assert processes.beat(here, 2, 8) == {mine.pk}
    assert Process.objects.get(id=here).running == 2
    bury_process_of(mine.pk)
    with pytest.raises(DeclaredDeadError):
        processes.beat(here, 2, 8)


def test_only_who_is_late_is_declared_late() -> None:
    well, late = living_process(), living_process()
    heartbeat = Process.objects.get(id=late).heartbeat - timedelta(seconds=11)
    Process.objects.filter(id=late).update(heartbeat=heartbeat)
    ten_seconds = timedelta(seconds=10)
    found = processes.neighbours(0, ten_seconds)
    assert {(other.id, other.late) for other in found} == {(well, False), (late, True)}
    declared = [
        other.id for other in found if processes.declare_late(other, ten_seconds)
    ]
    assert declared == [late]
    assert [other.id for other in processes.neighbours(0, ten_seconds)] == [well]
