"""The chat page."""

from __future__ import annotations

import secrets
import time
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render, resolve_url
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_POST, require_safe
from msgspec import to_builtins

from chat import store
from chat.access import Identity, NotYoursError
from chat.agents import registry
from chat.auth import visitors
from chat.models import Session
from chat.wire.protocol import HEARTBEAT_INTERVAL, SNAPSHOT_RUNS
from reasoning_site import headers


@require_safe
@ensure_csrf_cookie
def new_chat(request: HttpRequest) -> HttpResponse:
    """The page for a session that begins with its first message."""
    return _page(request, uuid4())


@require_safe
@ensure_csrf_cookie
def chat(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """The page of a session. One that is somebody else's is not there.

    Who was somebody until their session ended is asked to sign in again first.
    """
    if visitors.has_ended(request):
        return redirect_to_login(request.get_full_path())
    return _page(request, session_id)


@require_POST
@xframe_options_sameorigin
def image(request: HttpRequest) -> HttpResponse:
    """A page with one image from elsewhere, for a frame of the chat page.

    Only a person's press gets here (POST with the CSRF token): markup that a model
    might smuggle into the page could not. `address`: http or https, else 400.
    """
    address = request.POST.get("address", "")
    if not _is_web_address(address):
        return HttpResponseBadRequest("Not the address of an image.")
    nonce = secrets.token_urlsafe(16)
    context = {"address": address, "alt": request.POST.get("alt"), "nonce": nonce}
    response = render(request, "chat/image.html", context)
    response.headers[headers.POLICY] = headers.image_policy(nonce)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _is_web_address(text: str) -> bool:
    try:
        return urlsplit(text).scheme in {"http", "https"}
    except ValueError:
        return False


@require_safe
def favicon(_request: HttpRequest) -> HttpResponse:
    """Where browsers look on pages that name no icon, as the admin's."""
    return redirect(static("chat/img/icon.svg"))


def _page(request: HttpRequest, session_id: UUID) -> HttpResponse:
    who = visitors.of_request(request)
    if who is None:
        return redirect_to_login(request.get_full_path())
    try:
        session = store.find_session(session_id, who)
    except NotYoursError:
        raise Http404 from None
    runs, earlier = (
        store.latest_runs(session_id, SNAPSHOT_RUNS) if session else ([], False)
    )
    snapshot = {
        "session": store.session_data(session, session_id),
        "runs": to_builtins(runs),
        "earlier": earlier,
    }
    who = visitors.remember(request, who)
    config = _config(request, session_id, session, who)
    context = {
        "config": config,
        "snapshot": snapshot,
        "words": registry.page_config(),
    }
    return render(request, "chat/page.html", context)


def _config(
    request: HttpRequest, session_id: UUID, session: Session | None, who: Identity
) -> dict[str, Any]:
    user = request.user
    claim = visitors.claim(who)
    root = reverse("new_chat")
    return {
        "session_id": str(session_id),
        "new": session is None,
        "agents": [
            {"name": agent.name, "description": agent.description}
            for agent in registry.describe()
        ],
        "agent_name": session.agent_name if session else registry.default(),
        "model": to_builtins(registry.model_info()),
        "ws_path": f"{root}ws/chat/{session_id}" + (f"?for={claim}" if claim else ""),
        "user": {"name": user.get_username()} if user.is_authenticated else None,
        "login_url": resolve_url(settings.LOGIN_URL),
        "urls": {
            "new_chat": root,
            "sessions": reverse("sessions"),
            "chat": f"{root}chat/",
            "image": reverse("image"),
        },
        "csrf_cookie": settings.CSRF_COOKIE_NAME,
        "heartbeat_interval": HEARTBEAT_INTERVAL,
        "now": time.time(),
    }
