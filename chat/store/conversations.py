"""Which session goes on, where a program sends the whole conversation each time."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db.models import QuerySet
from msgspec import Struct

from chat.access import Act, Identity, NotYoursError
from chat.log.batches import wall_clock
from chat.models import Run, Step
from chat.store.asking import title_of
from chat.store.importing import session_with, storable_run
from chat.store.sessions import required_session
from chat.wire.protocol import RunView, StepView

MAX_CANDIDATES: Final = 20  # sessions whose latest question is the same


class Question(Struct, frozen=True):
    """What a run was asked, of whom, and when (Unix seconds)."""

    run_id: int
    prompt: str
    agent_name: str
    timestamp: float


def question(session_id: UUID, who: Identity, number: int) -> Question:
    """What a run was asked. Raises NotYoursError, also where there is no such run."""
    session = required_session(session_id, who, Act.READ)
    run = Run.objects.filter(session=session, number=number).first()
    if run is None:
        raise NotYoursError
    return Question(run.pk, run.prompt, run.agent_name, run.created_at.timestamp())


def known_question(who: Identity, client_id: str) -> tuple[UUID, int] | None:
    """The session and number of a question that was asked before under this name."""
    runs = Run.objects.filter(client_id=client_id, session__deleted_at=None)
    return _theirs(runs, who).values_list("session_id", "number").first()


def session_after(who: Identity, said: list[tuple[str, str]]) -> UUID | None:
    """One's newest session that holds just these questions and answers, if any."""
    if not said:
        return None
    prompt, answer = said[-1]
    runs = Run.objects.filter(
        number=len(said), prompt=prompt, session__deleted_at=None
    ).exclude(finished_at=None)
    newest = _theirs(runs, who).order_by("-id")
    for run in newest[:MAX_CANDIDATES]:
        if _questions(run.session_id) == [question for question, _ in said] and (
            _answer(run).strip() == answer.strip()
        ):
            return run.session_id
    return None


def begin_after(who: Identity, agent_name: str, said: list[tuple[str, str]]) -> UUID:
    """A new session of theirs that holds these questions and answers.

    Raises UnreadableError where one of them cannot be kept.
    """
    now = wall_clock()
    runs = [
        RunView(
            run=number,
            status="finished",
            seq=0,
            epoch=0,
            prompt=prompt,
            agent_name=agent_name,
            enable_reasoning=True,
            timestamp=now,
            reason="answered",
            duration_ms=0,
            steps=[StepView(0, "final_answer", 1, answer, "ok", now)],
        )
        for number, (prompt, answer) in enumerate(said, 1)
    ]
    stored = [storable_run(run) for run in runs]
    return session_with(who, title_of(said[0][0]), agent_name, stored).pk


def _theirs(runs: QuerySet[Run], who: Identity) -> QuerySet[Run]:
    if who.user_id is not None:
        return runs.filter(session__owner_id=who.user_id)
    return runs.filter(session__owner=None, session__guest_key=who.guest_key)


def _questions(session_id: UUID) -> list[str]:
    runs = Run.objects.filter(session_id=session_id).order_by("number")
    return list(runs.values_list("prompt", flat=True))


def _answer(run: Run) -> str:
    steps = Step.objects.filter(run=run, type="final_answer").order_by("step")
    return "\n\n".join(steps.values_list("content", flat=True))
