"""Which session goes on, where a program sends the whole conversation each time."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db.models import QuerySet
from msgspec import Struct

from chat.access import Act, Identity, NotYoursError
from chat.models import Run, Step
from chat.store.sessions import required_session

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
