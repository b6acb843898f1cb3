"""What is kept of somebody: to take away, and to delete. For guests too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

from allauth.account.decorators import reauthentication_required
from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth import get_user_model, logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.views import redirect_to_login
from django.db import connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import (
    require_GET,
    require_http_methods,
    require_POST,
    require_safe,
)
from msgspec import json

from chat import exports, runtime, store
from chat.access import Identity
from chat.auth import visitors
from chat.auth.forgetting import forget
from chat.store.database import db

P = ParamSpec("P")

FILE_NAME: Final = "chats.jsonl"
UNSURE: Final = "Say that you are sure first."
LAST: Final = (
    "You are the only administrator. Make somebody else one before you delete this "
    "account."
)


def for_somebody(
    view: Callable[Concatenate[HttpRequest, Identity, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Hand the view who is asking; who is nobody, or nobody any more, signs in."""

    @wraps(view)
    def wrapped(
        request: HttpRequest, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        who = visitors.of_request(request)
        if who is None or visitors.has_ended(request):
            return redirect_to_login(request.get_full_path())
        return view(request, who, *args, **kwargs)

    return wrapped  # type: ignore[return-value]  # wraps() hides that it is one


@require_safe
@for_somebody
def data(request: HttpRequest, who: Identity) -> HttpResponse:
    """What there is, how long it is kept, and what can be done with it."""
    return _page(request, who)


def _page(request: HttpRequest, who: Identity, **more: Any) -> HttpResponse:
    context = {"owned": store.owned(who), "days": store.retention_of(who)}
    status = 400 if more else 200
    return render(request, "account/data.html", context | more, status=status)


@require_GET
async def export(request: HttpRequest) -> HttpResponseBase:
    """All chats, one a line, as the log has them; before them, who has them."""
    who, head = await sync_to_async(_exporting)(request)
    if who is None:
        return redirect_to_login(request.get_full_path())
    response = StreamingHttpResponse(
        _lines(who, head), content_type="application/x-ndjson"
    )
    response["Content-Disposition"] = f'attachment; filename="{FILE_NAME}"'
    return response


def _exporting(request: HttpRequest) -> tuple[Identity | None, bytes]:
    """Who asks, and the file's first line."""
    try:
        who = visitors.of_request(request)
        if who is None or visitors.has_ended(request):
            return None, b""
        store.audit(store.Action.ALL_EXPORTED, who.user_id)
        return who, json.encode(_about(request, who)) + b"\n"
    finally:
        # The file may take minutes: it must not hold a connection of the pool's.
        connections.close_all()


def _about(request: HttpRequest, who: Identity) -> dict[str, Any]:
    user = request.user
    account = None
    if user.is_authenticated:
        account = {
            "name": user.get_username(),
            "email": user.email,
            "joined": user.date_joined.timestamp(),
        }
    return {"format": "reasoning-site-data", "version": 1, "account": account}


async def _lines(who: Identity, head: bytes) -> AsyncIterator[bytes]:
    yield head
    for session_id in await db(store.owned_ids, who):
        # A part at a time: a long chat does not fit into memory.
        parts = store.take(who, session_id)
        while (taken := await db(next, parts, None)) is not None:
            yield await db(exports.as_line, taken)


@require_POST
@for_somebody
def delete_chats(request: HttpRequest, who: Identity) -> HttpResponse:
    """Delete all chats, for good; what is being answered in them ends."""
    if "sure" not in request.POST:
        return _page(request, who, unsure=UNSURE)
    _erase_all(who)
    messages.success(request, "All your chats are deleted.")
    return redirect("account_data")


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@reauthentication_required
def delete_account(request: HttpRequest) -> HttpResponse:
    """Delete the account, with all that is its."""
    user = request.user
    problem = LAST if _is_last_administrator(user) else ""
    if request.method == "POST" and not problem:
        problem = "" if "sure" in request.POST else UNSURE
        if not problem:
            _delete(request, Identity(user.pk, ""))
            return redirect("account_login")
    status = 400 if request.method == "POST" else 200
    context = {"problem": problem, "is_last": problem == LAST}
    return render(request, "account/delete.html", context, status=status)


def _delete(request: HttpRequest, who: Identity) -> None:
    # First chat by chat, since that may take a while; then what came meanwhile.
    _erase_all(who)
    assert who.user_id is not None  # noqa: S101 - who is signed in
    store.audit(store.Action.ACCOUNT_DELETED, who.user_id, user=who.user_id)
    erased = forget([who.user_id])
    _tell(erased)
    runtime.call_soon(
        lambda running: running.shut_out(lambda ticket: ticket.user_id == who.user_id)
    )
    logout(request)


def _erase_all(who: Identity) -> None:
    session_ids = store.owned_ids(who)
    if session_ids:
        count = len(session_ids)
        store.audit(store.Action.DELETED, who.user_id, user=who.user_id, count=count)
    for session_id in session_ids:
        _tell(store.erase_owned(who, session_id))


def _tell(erased: store.Erased) -> None:
    """Whoever watches there, or drives runs, ends."""
    runtime.call_soon(lambda running: running.erased(erased))


def _is_last_administrator(user: User | AnonymousUser) -> bool:
    if not user.is_superuser:
        return False
    others = get_user_model().objects.filter(is_superuser=True, is_active=True)
    return not others.exclude(pk=user.pk).exists()
