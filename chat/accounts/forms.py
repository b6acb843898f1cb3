"""allauth's forms, where the site has something to add."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import ChangePasswordForm, LoginForm
from django.http import HttpRequest, HttpResponse

from chat.auth import sessions


class SignInForm(LoginForm):
    """Name and password; the name is in the field `username`."""

    def add_prefix(self, field_name: str) -> str:
        """What the field is called in the page."""
        return super().add_prefix("username" if field_name == "login" else field_name)

    def login(self, request: HttpRequest, redirect_url: str | None = None) -> Any:
        """Sign in, or go on to the next step. Returns the response."""
        response: HttpResponse = super().login(request, redirect_url)
        # allauth has just given all sessions the same time to live.
        sessions.limit(request.session, request.user)
        return response


class PasswordForm(ChangePasswordForm):
    """The password now, and a new one twice."""

    def clean_oldpassword(self) -> str:
        """Wrong ones count as guesses."""
        password: str = self.cleaned_data["oldpassword"]
        adapter = get_adapter()
        if self.user is None or not adapter.reauthenticate(self.user, password):
            raise adapter.validation_error("enter_current_password")
        return password
