"""With what programs come in: the page of one's tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from chat import runtime, store
from chat.auth import tokens

MAX_TOKENS: Final = 50  # of a user, that open something
SCOPES: Final = (
    ("read", "Read: see the chats"),
    ("ask", "Ask: see them, ask and stop"),
    ("admin", "Admin: rename, share and delete them too"),
)
DAYS: Final = (
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "a year"),
    ("", "until it is revoked"),
)


class NewToken(forms.Form):
    """What is to be said of a new token."""

    name = forms.CharField(max_length=100)
    scope = forms.ChoiceField(choices=SCOPES, initial="read")
    days = forms.ChoiceField(choices=DAYS, initial="90", required=False)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def my_tokens(request: HttpRequest) -> HttpResponse:
    """GET: one's tokens. POST: a new one, which the answer tells and nobody again."""
    user_id = _user_id(request)
    form = NewToken(request.POST or None)
    new = None
    if request.method == "POST" and form.is_valid():
        if len(store.tokens_of(user_id)) >= MAX_TOKENS:
            form.add_error(None, f"You have {MAX_TOKENS} tokens. Revoke one first.")
        else:
            new = _add(user_id, form.cleaned_data)
            form = NewToken()
    context = {"form": form, "new": new, "tokens": store.tokens_of(user_id)}
    return render(request, "chat/tokens.html", context)


def _user_id(request: HttpRequest) -> int:
    assert request.user.pk is not None  # noqa: S101  (for the types: they are signed in)
    return request.user.pk


def _add(user_id: int, wanted: dict[str, Any]) -> str:
    days = wanted["days"]
    expires_at = timezone.now() + timedelta(days=int(days)) if days else None
    return tokens.add(
        user_id, name=wanted["name"], scope=wanted["scope"], expires_at=expires_at
    )


@login_required
@require_POST
def revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    """End one of one's tokens, and what programs have open with it."""
    if not store.revoke_token(token_id, _user_id(request)):
        raise Http404
    runtime.call_soon(lambda running: running.changed_hands.set())
    return redirect("tokens")
