"""Signing in and up, and the pages of one's own account."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from allauth.account import views
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render, resolve_url
from django.urls import reverse_lazy
from django.views.decorators.http import require_safe

from chat.accounts.forms import PasswordForm, SignInForm

View = Callable[..., HttpResponseBase]


def offered(setting: str, view: View) -> View:
    """The view; not there where the setting is off."""

    @wraps(view)
    def respond(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not getattr(settings, setting):
            raise Http404
        return view(request, *args, **kwargs)

    return respond


class SignIn(views.LoginView):
    """The form. Who is signed in already goes on at once."""

    form_class = SignInForm

    def get_success_url(self) -> str:
        """Where they came from; but not here, that would be for ever."""
        address: str | None = super().get_success_url()
        if not address or urlsplit(address).path == self.request.path:
            return resolve_url(settings.LOGIN_REDIRECT_URL)
        return address

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Besides the form: where to go on, and the other ways in."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return context | {
            "next": self.get_next_url(),
            "guests": settings.ALLOW_GUESTS,
            "has_signup": settings.ALLOW_SIGNUP,
            "has_mail": settings.HAS_MAIL,
            "oidc_name": settings.OIDC_NAME if settings.OIDC_ISSUER else "",
        }


class SignUp(views.SignupView):
    """The form, where anybody may make an account."""

    def closed(self) -> HttpResponse:
        """Not there."""
        raise Http404

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Besides the form: where to go on."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return context | {"next": self.get_next_url()}


class ResetPassword(views.PasswordResetFromKeyView):
    """A new password, with the key from a mail; then one signs in with it."""

    success_url = reverse_lazy("account_login")


class ChangePassword(views.PasswordChangeView):
    """A new password, for who knows the one of now."""

    form_class = PasswordForm

    def dispatch(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Not there for who has no password: they come in by another door."""
        if request.user.is_authenticated and not request.user.has_usable_password():
            raise Http404
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response


@require_safe
@login_required
def account(request: HttpRequest) -> HttpResponse:
    """What there is to one's account."""
    has_password = request.user.has_usable_password()  # type: ignore[union-attr]  # who is signed in
    directory = settings.OIDC_NAME if settings.OIDC_ISSUER and not has_password else ""
    return render(request, "account/account.html", {"directory": directory})
