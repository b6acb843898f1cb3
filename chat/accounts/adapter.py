"""Where the site decides otherwise than allauth does."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from chat.auth import guessing

VERIFICATION = "allauth.account.stages.EmailVerificationStage"


class AccountAdapter(DefaultAccountAdapter):
    """Passwords, mail, and the steps of signing in."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": (
            "Please enter a correct username and password. "
            "Note that both may be case-sensitive."
        ),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Whether anybody may make an account."""
        return bool(settings.ALLOW_SIGNUP)

    def is_ajax(self, request: HttpRequest) -> bool:
        """No: these are pages."""
        return False

    def is_safe_url(self, url: str) -> bool:
        """Whether somebody may be sent there: on this host, and by its scheme."""
        return url_has_allowed_host_and_scheme(
            url, {self.request.get_host()}, require_https=self.request.is_secure()
        )

    def get_client_ip(self, request: HttpRequest) -> str:
        """As the server says: it knows which proxies to believe."""
        return guessing.address_of(request) or "127.0.0.1"  # a socket of this machine

    def get_login_stages(self) -> list[str]:
        """allauth's, but for who has to verify an email address."""
        ours = "chat.accounts.stages.VerificationStage"
        return [ours if s == VERIFICATION else s for s in super().get_login_stages()]

    def reauthenticate(self, user: AbstractBaseUser, password: str) -> bool:
        """Whether it is the user's password; a wrong one counts as a guess."""
        is_right = super().reauthenticate(user, password)
        if is_right:
            guessing.was_right(self.request, user.get_username())
        return is_right

    def respond_user_inactive(
        self, request: HttpRequest, user: AbstractBaseUser
    ) -> HttpResponse:
        """The page for who may not come in any more."""
        return render(request, "account/account_inactive.html", status=403)

    def send_password_reset_mail(
        self, user: AbstractBaseUser, email: str, context: dict[str, Any]
    ) -> None:
        """Send it to who has a password: others come in by another door."""
        if user.has_usable_password():
            super().send_password_reset_mail(user, email, context)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Back to the account."""
        return reverse("account")
