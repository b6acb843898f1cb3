"""What can go wrong with a model server, in words for people.

Each says what happened, what to do, and whether trying again can help; none holds a
key, an address or what the server wrote, which go to the log. What a server refuses
is told by what it says more than by its status: servers use those as they like.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

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


OWNER: Final = "Trying again will not help until the site's owner"

_TOKENS = (
    r"(?:tokens?|context|prompt|input length|input is|inputs|sequence|conversation)"
)
_EXCEEDS = (
    r"(?:exceed\w*|too (?:long|large|many)|longer than|larger than|maximum|limit)"
)
_TOO_LONG = re.compile(
    rf"{_TOKENS}\b[^.\n]{{0,100}}\b{_EXCEEDS}|{_EXCEEDS}[^.\n]{{0,100}}\b{_TOKENS}\b"
    r"|context[_ -]?(?:length|size|window)|n_ctx|reduce the length"
    r"|input length should|request entity too large"
    r"|(?:request|message|text|string|payload)s? (?:is |was |are )?too (?:long|large)"
    r"|(?:上下文|长度|token).{0,40}(?:超|过长)"
)
_NO_TOOLS = re.compile(
    r"support (?:for )?(?:tool|function)|tool choice requires|tools param requires"
    r"|(?:tool|function)[ _-]?(?:use|call\w*|choice)?s?\W{0,3}(?:is|are|does|do)?"
    r"\W{0,2}not (?:supported|support|available|enabled|allowed)"
    r"|(?:not|n't) support (?:the )?(?:\W?tools|function)"
    r"|tool[- ]call[- ]parser|enable-auto-tool-choice|--jinja"
)
_BUDGET = re.compile(
    r"insufficient[_ ](?:quota|credit|balance|fund)|arrear|overdue|good standing"
    r"|out of credits?|no credits?|billing|payment required|prepaid|top[- ]?up"
    r"|(?:credit|balance)s? (?:is |are )?(?:too low|exhausted|used up|depleted)"
    r"|余额不足|欠费"
)
_FILTERED = re.compile(
    r"content[_ ](?:filter|policy|management)|moderation|flagged|data_?inspection"
    r"|inappropriate|responsible ?ai|content exists risk"
    r"|safety (?:system|filter|polic)|(?:usage|content|safety) polic"
    r"|sensitive (?:content|word|information)|prohibited[_ ]content|内容安全|敏感"
)
_BAD_KEY = re.compile(
    r"(?:api|access|auth\w*)[ _-]?(?:key|token)\b[^.\n]{0,40}"
    r"(?:invalid|incorrect|not valid|missing|expired|wrong|disabled|revoked|required)"
    r"|(?:invalid|incorrect|missing|expired|wrong|no)[ _-](?:\w+ )?"
    r"(?:api|access|auth\w*)[ _-]?(?:key|token)|unauthori[sz]ed|authentication"
)
_NO_MODEL = re.compile(
    r"model[_ ]not[_ ](?:found|exist|supported)|not a valid model"
    r"|(?:no|unknown|invalid) (?:such )?model|deployment[^.\n]{0,40}not exist"
    r"|model\b[^.\n]{0,120}(?:not found|not exist|unknown|is not available"
    r"|not loaded|no access|not have access|not a valid|is not valid|not served)"
    r"|(?:not find|not serve|not have access to|try pulling)\b.{0,20}model"
)
_WRONG_ADDRESS = re.compile(
    r"unexpected endpoint|unknown endpoint|invalid url|no route|cannot (?:post|get) /"
    r"|unknown request url|method not allowed|<!doctype html|<html"
)

_LATER: Final = frozenset({408, 409, 425, 429})
_SERVERS_OWN: Final = 500  # and above: the server has a problem


def refusal(
    status: int, body: str, retry_after: float | None, model: str
) -> ModelError:
    """What an HTTP status of a model server, and what it says with it, mean."""
    low = _said(body)
    if status == 429:  # noqa: PLR2004 - too many requests
        passes = not _BUDGET.search(low) or "retry in" in low or "per minute" in low
        return _later(status, retry_after) if passes else budget()
    return _told(low, model) or _of_status(status, retry_after, model)


def _of_status(status: int, retry_after: float | None, model: str) -> ModelError:
    """What the status means, where the server did not say more."""
    match status:
        case 402:
            return budget()
        case 413:
            return too_long()
        case 401 | 403:
            return _bad_key(status)
        case 404 | 405 | 410 | 421:
            return _unknown(model, status)
        case _ if status >= _SERVERS_OWN or status in _LATER:
            return _later(status, retry_after)
        case _:
            pass
    return ModelError(
        "model_error",
        f"The model server did not accept the request ({status}). Trying again "
        "will probably not help.",
    )


def stream_error(text: str, model: str, *, started: bool) -> ModelError:
    """The server sent an error where the answer should have been, or in its middle."""
    status = _status_in(text)
    told = _told(_said(text), model)
    if told is not None:
        return told
    if status is not None and 400 <= status < _SERVERS_OWN and status not in _LATER:  # noqa: PLR2004
        return refusal(status, text, None, model)
    return failed(started=started)


def _told(low: str, model: str) -> ModelError | None:
    """What a server means by its words, whatever the status."""
    meanings: list[tuple[re.Pattern[str], Callable[[], ModelError]]] = [
        (_NO_TOOLS, no_tools),
        (_FILTERED, filtered),
        (_BUDGET, budget),
        (_BAD_KEY, lambda: _bad_key(None)),
        (_NO_MODEL, lambda: _unknown(model, None)),
        (_TOO_LONG, too_long),
        (_WRONG_ADDRESS, wrong_address),
    ]
    return next((meant() for words, meant in meanings if words.search(low)), None)


def _said(body: str) -> str:
    """The words of a body, without the names of its fields."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body.lower()
    return "\n".join(_texts(value)).lower()


def _texts(value: Any, depth: int = 0) -> list[str]:
    if isinstance(value, str):
        return [value]
    if depth > 6:  # noqa: PLR2004 - deeper than any server nests what it says
        return []
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return []
    return [text for item in inner for text in _texts(item, depth + 1)]


def _status_in(text: str) -> int | None:
    """The HTTP status that an error in a stream names."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        value = value["error"]
    if not isinstance(value, dict):
        return None
    for key in ("status", "status_code", "code"):
        number = value.get(key)
        if isinstance(number, str) and number.isdecimal():
            number = int(number)
        if type(number) is int and 400 <= number < 600:  # noqa: PLR2004 - statuses
            return number
    return None


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


def no_tools() -> ModelError:
    """The model, or the server as it was started, cannot call tools."""
    return ModelError(
        "model_unavailable",
        f"This model cannot call tools the way it was asked to. {OWNER} sets "
        "LLM_TOOL_PROTOCOL=nous, lets the server call tools, or chooses another model.",
    )


def budget() -> ModelError:
    """There is no money left."""
    return ModelError(
        "model_unavailable",
        "The site's budget with the model's provider is used up, or its account is "
        f"not in order. {OWNER} settles that.",
    )


def filtered() -> ModelError:
    """A provider's filter refused the question, or withheld the answer."""
    return ModelError(
        "model_error",
        "The model's provider refused this (content filter). Please put the question "
        "differently.",
    )


def _bad_key(status: int | None) -> ModelError:
    shown = f" ({status})" if status else ""
    return ModelError(
        "model_unavailable",
        f"The model server refused the site's key{shown}. {OWNER} sets a valid "
        "LLM_API_KEY.",
    )


def _unknown(model: str, status: int | None) -> ModelError:
    shown = f" ({status})" if status else ""
    return ModelError(
        "model_unavailable",
        f"The model server does not know the model “{model}”{shown}. {OWNER} corrects "
        "LLM_MODEL or LLM_BASE_URL.",
    )


def wrong_address() -> ModelError:
    """There is something at that address, but no model."""
    return ModelError(
        "model_unavailable",
        "There is no model at the address that is set for it. "
        f"{OWNER} corrects LLM_BASE_URL, which usually ends in /v1.",
    )


def moved() -> ModelError:
    """The server sends us elsewhere, where neither question nor key should go."""
    return ModelError(
        "model_unavailable",
        f"The model server has moved to another address. {OWNER} sets LLM_BASE_URL to "
        "that, which is in the site's log.",
    )


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


def failed(*, started: bool) -> ModelError:
    """The server says that something went wrong with it."""
    return ModelError(
        "model_error",
        "The model server reported an error in the middle of its answer. Please try "
        "again."
        if started
        else "The model server reported an error. Please try again.",
        retryable=True,
        transient=True,
    )


def broken(error: aiohttp.ClientError, *, started: bool) -> ModelError:
    """What aiohttp raised means."""
    if isinstance(error, aiohttp.InvalidURL):
        return ModelError(
            "model_unavailable",
            f"The address of the model server is not valid. {OWNER} corrects "
            "LLM_BASE_URL.",
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
