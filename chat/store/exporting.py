"""A session's whole log, for taking it away."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db.models import Sum
from django.db.models.functions import Length
from msgspec import Struct

from chat.access import Act, Identity
from chat.models import Run, Step
from chat.store.events import read_events
from chat.store.sessions import SessionFacts, required_session
from chat.wire.protocol import Event
from chat.wire.transcript import merged

MAX_EXPORT_CHARS: Final = 8 * 1024 * 1024  # of steps: it is made in memory


class TooLongError(Exception):
    """The session holds more text than is exported at once."""


class SessionLog(Struct, frozen=True):
    """A session, and the log of each of its runs by number, oldest first.

    Neighbouring deltas of one step are merged. A run under way is there as far as it
    had been written.
    """

    facts: SessionFacts
    runs: dict[int, list[Event]]


def session_log(session_id: UUID, who: Identity) -> SessionLog:
    """All that was said in a session that they may read.

    Raises NotYoursError and TooLongError.
    """
    session = required_session(session_id, who, Act.READ)
    steps = Step.objects.filter(run__session=session).order_by()
    size = steps.aggregate(size=Sum(Length("content")))["size"] or 0
    if size > MAX_EXPORT_CHARS:
        raise TooLongError
    runs = Run.objects.filter(session=session).order_by("number")
    return SessionLog(
        SessionFacts(
            session.owner_id, session.guest_key, session.title, session.agent_name
        ),
        {
            number: merged(read_events(run_id))
            for run_id, number in runs.values_list("id", "number")
        },
    )
