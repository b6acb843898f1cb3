"""What programs are told where something cannot be done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import wraps
from http import HTTPStatus
from typing import Any, Concatenate, Final, ParamSpec

import msgspec
from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from chat.access import NotAllowedError, NotYoursError
from chat.auth.limits import TooManyError
from chat.programs.callers import caller_of
from chat.store import UnreadableError
from chat.streams import Caller, EndedError
from chat.wire.protocol import ErrorCode, Failure, ProtocolError, RunFinished

logger = logging.getLogger(__name__)

P = ParamSpec("P")
Answer = Coroutine[Any, Any, HttpResponseBase]
View = Callable[Concatenate[HttpRequest, P], Answer]

_STATUS: Final[dict[ErrorCode, int]] = {
    "bad_message": 400,
    "too_large": 413,
    "unknown_agent": 404,
    "not_found": 404,
    "forbidden": 403,
    "rate_limited": 429,
    "queue_full": 429,
    "model_unavailable": 503,
    "model_error": 502,
}
_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


class RequestError(Exception):
    """A request that cannot be met."""

    def __init__(
        self, status: int, message: str, code: str | None = None, wait: float = 0
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.wait = wait  # seconds after which it may be tried again

    @property
    def data(self) -> dict[str, Any]:
        """The error's body, as OpenAI's API has it."""
        type_ = _TYPES.get(self.status, "server_error")
        said = {"message": str(self), "type": type_, "param": None, "code": self.code}
        return {"error": said}

    def response(self) -> JsonResponse:
        """The answer that says so."""
        answer = JsonResponse(self.data, status=self.status)
        if self.wait:
            answer.headers["Retry-After"] = f"{self.wait:.0f}"
        return answer


def for_program(
    view: Callable[Concatenate[HttpRequest, Caller, P], Answer],
) -> View[P]:
    """Hand the view who is calling; whatever is refused is told it in JSON."""

    @wraps(view)
    async def wrapped(
        request: HttpRequest, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        try:
            return await view(request, await _known(request), *args, **kwargs)
        except Exception as error:  # noqa: BLE001  (what it does not know, it raises)
            return error_of(error).response()

    return wrapped  # type: ignore[return-value]  # wraps() hides that it is one


async def _known(request: HttpRequest) -> Caller:
    caller = await caller_of(request)
    if caller is None or not (caller.who.user_id or caller.who.guest_key):
        message = "Send an access token of the site: Authorization: Bearer …"
        raise RequestError(HTTPStatus.UNAUTHORIZED, message, "invalid_api_key")
    return caller


def error_of(error: Exception) -> RequestError:  # noqa: PLR0911  (a table of them)
    """How an exception is told; raises it again where it is nobody's to be told."""
    match error:
        case RequestError():
            return error
        case ProtocolError():
            data = error.data
            wait = data.retry_after if isinstance(data.retry_after, float) else 0.0
            code = "model_not_found" if data.code == "unknown_agent" else data.code
            return RequestError(_STATUS.get(data.code, 500), data.message, code, wait)
        case msgspec.DecodeError() | UnicodeDecodeError():
            return RequestError(HTTPStatus.BAD_REQUEST, f"Bad request: {error}.")
        case UnreadableError():
            return RequestError(HTTPStatus.BAD_REQUEST, f"What came before: {error}.")
        case NotYoursError():
            return RequestError(HTTPStatus.NOT_FOUND, "There is no such thing here.")
        case NotAllowedError():
            return RequestError(HTTPStatus.FORBIDDEN, str(error))
        case TooManyError():
            message = "Too many connections of yours are open."
            return RequestError(HTTPStatus.TOO_MANY_REQUESTS, message, wait=2)
        case EndedError() | DatabaseError():
            logger.warning("a program's request failed: %s", error)
            message = "Not now. Try again in a moment."
            return RequestError(HTTPStatus.SERVICE_UNAVAILABLE, message, wait=2)
        case _:
            raise error


def failure_of(finished: RunFinished) -> RequestError | None:
    """What a run that failed is told as; None where it did not."""
    if finished.reason not in {"failed", "server_lost"}:
        return None
    error = finished.error
    if not isinstance(error, Failure):
        return RequestError(500, "The agent's server was lost. Ask again.")
    return RequestError(_STATUS.get(error.code, 500), error.message, error.code)  # type: ignore[call-overload]
