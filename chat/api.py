"""The list of sessions over HTTP, in JSON, only one's own.

For pages of this origin, by cookie and CSRF-checked; and for programs, by token.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from uuid import UUID

import msgspec
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from chat import exports, runtime, store
from chat.access import Identity, NotAllowedError, NotYoursError, Share
from chat.auth import visitors
from chat.models import Session
from chat.store import PAGE_SESSIONS, SessionChange
from chat.store.database import settled
from chat.wire.protocol import ProtocolError

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def _error(status: int, code: str, message: str) -> JsonResponse:
    return JsonResponse({"error": {"code": code, "message": message}}, status=status)


def for_somebody(
    view: Callable[Concatenate[HttpRequest, Identity, P], HttpResponse],
) -> View[P]:
    """Hand the view who is asking; 401, 403 and 404 as JSON."""

    @wraps(view)
    def wrapped(
        request: HttpRequest, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponse:
        visitor = visitors.of_api_request(request)
        if visitor is None:
            return _error(401, "forbidden", "Sign in, or bring a token that holds.")
        visitors.renew(request)
        try:
            return view(request, visitor.who, *args, **kwargs)
        except NotYoursError:
            return _error(404, "not_found", "There is no such session.")
        except NotAllowedError as error:
            return _error(403, "forbidden", str(error))
        except (msgspec.DecodeError, ValueError) as error:
            return _error(400, "bad_message", f"Bad request: {error}.")

    return wrapped  # type: ignore[return-value]  # wraps() hides that it is one


@require_http_methods(["GET", "POST"])
@for_somebody
def sessions(request: HttpRequest, who: Identity) -> HttpResponse:
    """One's sessions, pinned ones first, then newest first.

    Query: `q` searches titles, prompts and answers; `archived=1`; `before=<cursor>`;
    `limit` (50, at most 500). POST: a new one from what `export` wrote as JSON.
    """
    if request.method == "POST":
        return _import(request, who)
    page = store.list_sessions(
        who,
        query=request.GET.get("q", "").strip()[:200],
        archived=request.GET.get("archived") == "1",
        cursor=request.GET.get("before", ""),
        limit=int(request.GET.get("limit", PAGE_SESSIONS)),
    )
    found = [session_json(session) for session in page.sessions]
    return JsonResponse({"sessions": found, "next": page.next})


def _import(request: HttpRequest, who: Identity) -> HttpResponse:
    try:
        runtime.call(lambda running: running.limits.message(who))
    except ProtocolError as error:
        return _error(429, error.data.code, error.data.message)
    data = request.read(exports.MAX_JSON_BYTES + 1)
    try:
        made = store.import_session(who, exports.read_json(data))
    except store.TooLongError:
        return _error(413, "too_large", "This chat is too long to be imported.")
    except store.UnreadableError as error:
        return _error(400, "bad_message", f"This is no exported chat: {error}.")
    return JsonResponse(session_json(made), status=201)


@require_http_methods(["PATCH", "DELETE"])
@for_somebody
def session(request: HttpRequest, who: Identity, session_id: UUID) -> HttpResponse:
    """PATCH: rename, pin, archive. DELETE: out of sight, until restored."""
    if request.method == "DELETE":
        ended = settled(store.delete_session, session_id, who)
        runtime.call_soon(lambda running: _deleted(running, session_id, ended))
        return HttpResponse(status=204)
    change = msgspec.json.decode(request.body, type=SessionChange)
    changed = store.change_session(session_id, who, change)
    if fields := change.fields():
        _announce(session_id, fields)
    return JsonResponse(session_json(changed))


def _announce(session_id: UUID, fields: dict[str, Any]) -> None:
    """Tell every screen that has the session open."""
    runtime.call_soon(lambda running: running.hub.announce(session_id, fields))


def _deleted(running: runtime.Runtime, session_id: UUID, ended: list[int]) -> None:
    """Shut its screens, and have whoever drives its runs give them up."""
    running.hub.end(session_id)
    running.scheduler.give_up_everywhere(ended)


@require_POST
@for_somebody
def restore(_request: HttpRequest, who: Identity, session_id: UUID) -> HttpResponse:
    """Undo a deletion."""
    return JsonResponse(session_json(store.restore_session(session_id, who)))


@require_GET
@for_somebody
def shares(_request: HttpRequest, who: Identity, session_id: UUID) -> HttpResponse:
    """With whom the session is shared, and for what."""
    found = [
        {"name": name, "right": right}
        for name, right in store.shares_of(session_id, who)
    ]
    return JsonResponse({"shares": found})


class ShareChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a session is to be shared for."""

    right: Share


@require_http_methods(["PUT", "DELETE"])
@for_somebody
def share(
    request: HttpRequest, who: Identity, session_id: UUID, name: str
) -> HttpResponse:
    """PUT `{"right": "read" | "ask"}`: share it with a user. DELETE: no more."""
    try:
        if request.method == "DELETE":
            store.withdraw(session_id, who, name)
        else:
            change = msgspec.json.decode(request.body, type=ShareChange)
            store.share(session_id, who, name, change.right)
    except store.NobodyError:
        return _error(404, "not_found", "There is nobody of that name to share with.")
    runtime.call_soon(lambda running: running.changed_hands.set())
    return HttpResponse(status=204)


@require_GET
@for_somebody
def export(request: HttpRequest, who: Identity, session_id: UUID) -> HttpResponse:
    """The session as a file to keep. Query: `as`, `markdown` or `json` (the log)."""
    chosen = exports.FORMATS.get(request.GET.get("as", ""))
    if chosen is None:
        return _error(400, "bad_message", "Export as markdown or as json.")
    ending, content_type, write = chosen
    try:
        log = store.session_log(session_id, who)
    except store.TooLongError:
        return _error(413, "too_large", "This chat is too long to be exported.")
    store.audit(
        store.Action.EXPORTED,
        who.user_id,
        user=log.facts.owner_id,
        session=session_id,
    )
    name = exports.file_name(log.facts.title, ending)
    response = HttpResponse(write(log), content_type=content_type)
    response["Content-Disposition"] = (
        content_disposition_header(as_attachment=True, filename=name) or ""
    )
    return response


def session_json(session: Session) -> dict[str, Any]:
    """A session as lists show it."""
    active = getattr(session, "active", None)
    finished = getattr(session, "last_finished", None)
    return {
        "session_id": str(session.pk),
        "title": session.title,
        "agent_name": session.agent_name,
        "pinned": session.pinned,
        "archived": session.archived,
        "timestamp": session.updated_at.timestamp(),
        "status": active or "idle",
        "reason": getattr(session, "last_reason", None) or None,
        "finished": finished.timestamp() if finished else None,
    }
