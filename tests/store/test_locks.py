"""Several people at one chat at the same instant: nobody's command is aborted."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import uuid4

import pytest
from django.db import connections

from chat import store
from chat.log.batches import commit, make_batch
from chat.models import Run
from chat.store import Claimant, NotYoursError
from chat.wire.protocol import ProtocolError, RunFinished
from tests.rows import GUEST, HERE, ask, start_next

pytestmark = pytest.mark.django_db(transaction=True)


def test_asking_stopping_retrying_and_starting_at_once_in_one_chat() -> None:
    session_id = uuid4()
    ask(session_id)

    def finish() -> None:
        # As the journal does: two updates of the run in one transaction, so that
        # PostgreSQL looks at the session once more when it commits.
        for run in Run.objects.filter(session_id=session_id, status="running"):
            ended = RunFinished(reason="answered", duration_ms=1)
            commit([make_batch(run.pk, run.epoch, run.last_seq, [ended])])

    deeds: list[Callable[[], object]] = [
        lambda: ask(session_id, max_queued=50),
        lambda: ask(session_id, max_queued=50, claimant=Claimant(HERE, 100)),
        lambda: store.stop(session_id, GUEST, None, None),
        lambda: store.retry(session_id, GUEST, 1, 50),
        lambda: start_next(session_id),
        finish,
    ]

    def hammer(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(40):
                # Refused is fine, of course; aborted is not.
                with suppress(ProtocolError, NotYoursError):
                    chance.choice(deeds)()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(hammer, range(6)))
