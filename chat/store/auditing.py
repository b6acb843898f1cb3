"""The audit log: who has done what with what is others', or for good."""

from __future__ import annotations

from uuid import UUID

from chat.models import AuditEntry

Action = AuditEntry.Action


def audit(
    action: AuditEntry.Action,
    actor: int | None,
    *,
    user: int | None = None,
    session: UUID | None = None,
    count: int | None = None,
) -> None:
    """Note that a user (None: a guest, or the site itself) does this.

    To be called before it is done, or in the same transaction. `user` and `session`:
    whose, and which; `count`: how many there were.
    """
    AuditEntry.objects.create(
        action=action, actor=actor, user=user, session=session, count=count
    )
