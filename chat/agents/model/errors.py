"""What can go wrong with a model server, in words for people.

Each says what happened, and whether trying again can help; none holds a key, an
address or what the server wrote, which go to the log.
"""

from __future__ import annotations

import aiohttp

from chat.agents.base import AgentError


class ModelError(AgentError):
    """The model could not be asked, or its answer broke off.

    `transient` means that the same request may succeed a little later; `retry_after`
    is when the server asked to be tried again, in seconds.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        transient: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message, retryable=retryable)
        self.transient = transient
        self.retry_after = retry_after


def refusal(
    status: int, body: str, retry_after: float | None, model: str
) -> ModelError:
    """What an HTTP status of a model server means."""
    low = body.lower()
    if status >= 500 or status in {408, 409, 425, 429}:  # noqa: PLR2004
        if "insufficient_quota" not in low:
            return _later(status, retry_after)
        message = (
            "The site's budget with the model's provider is used up. Trying again "
            "will not help until the site's owner raises it."
        )
    elif status in {401, 403}:
        message = (
            f"The model server refused the site's key ({status}). Trying again will "
            "not help until the site's owner sets a valid LLM_API_KEY."
        )
    elif status == 404:  # noqa: PLR2004
        message = (
            f"The model server does not know the model “{model}” (404). Trying again "
            "will not help until the site's owner corrects LLM_MODEL or LLM_BASE_URL."
        )
    elif _is_too_long(low):
        return too_long()
    else:
        message = (
            f"The model server did not accept the request ({status}). Trying again "
            "will probably not help."
        )
        return ModelError("model_error", message)
    return ModelError("model_unavailable", message)


def _later(status: int, retry_after: float | None) -> ModelError:
    """The server is busy or has a problem: it may pass."""
    what = "is busy" if status == 429 else "server has a problem"  # noqa: PLR2004
    wait = f"in {retry_after:.0f} seconds" if retry_after else "in a moment"
    return ModelError(
        "model_unavailable",
        f"The model {what} ({status}). Please try again {wait}.",
        retryable=True,
        transient=True,
        retry_after=retry_after,
    )


def too_long() -> ModelError:
    """The server says that the conversation does not fit in the model's context."""
    return ModelError(
        "model_error",
        "The conversation is too long for the model. Please start a new session or "
        "shorten the message.",
    )


def _is_too_long(text: str) -> bool:
    words = ("context length", "context size", "context_length", "too long")
    return any(word in text for word in words)


def silent(limit: float, *, started: bool) -> ModelError:
    """Nothing came for the whole time limit."""
    if started:
        return ModelError(
            "model_error",
            f"The model fell silent in the middle of its answer (nothing came for "
            f"{limit:.0f} seconds). Please try again.",
            retryable=True,
        )
    # Not transient: after a whole time limit people should decide themselves.
    return ModelError(
        "model_unavailable",
        f"The model did not begin to answer within {limit:.0f} seconds. Please try "
        "again in a moment.",
        retryable=True,
    )


def cut(*, started: bool) -> ModelError:
    """The connection broke."""
    return ModelError(
        "model_error",
        "The connection to the model broke in the middle of its answer. Please try "
        "again."
        if started
        else "The model server closed the connection without an answer. Please try "
        "again.",
        retryable=True,
        transient=True,
    )


def broken(error: aiohttp.ClientError, *, started: bool) -> ModelError:
    """What aiohttp raised means."""
    if isinstance(error, aiohttp.InvalidURL):
        return ModelError(
            "model_unavailable",
            "The address of the model server is not valid. Trying again will not "
            "help until the site's owner corrects LLM_BASE_URL.",
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return ModelError(
            "model_unavailable",
            "The model server cannot be reached. Please try again in a moment; if it "
            "stays so, the site's owner must check LLM_BASE_URL.",
            retryable=True,
            transient=True,
        )
    return cut(started=started)


def stream_error(text: str, *, started: bool) -> ModelError:
    """The server sent an error where the answer should have been."""
    if _is_too_long(text.lower()):
        return too_long()
    return ModelError(
        "model_error",
        "The model server reported an error in the middle of its answer. Please try "
        "again."
        if started
        else "The model server reported an error. Please try again.",
        retryable=True,
        transient=True,
    )
