"""The steps between a right password and being signed in."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.stages import EmailVerificationStage


class VerificationStage(EmailVerificationStage):
    """Who has signed up verifies their email address before they come in first.

    Others do not have to: their accounts were made by somebody who knows them.
    """

    def handle(self) -> tuple[Any, bool]:
        """A response, where there is more to do, and whether to go on after it."""
        user = self.login.user
        if user is not None and not _has_yet_to_verify(user):
            return None, True
        response: tuple[Any, bool] = super().handle()
        return response


def _has_yet_to_verify(user: Any) -> bool:
    if user.last_login is not None:
        return False
    verified = EmailAddress.objects.filter(user=user).values_list("verified", flat=True)
    return bool(verified) and not any(verified)
