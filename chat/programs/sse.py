"""Server-sent events: what each says, and the response that carries them.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from django.http import StreamingHttpResponse

KEEP_ALIVE_SECONDS: Final = 15.0  # proxies take a stream for dead after a minute or so
KEEP_ALIVE: Final = b": still here\n\n"


def event(data: str, *, name: str = "", id_: str = "") -> bytes:
    """One event. `data` is one line, as JSON is."""
    head = f"id: {id_}\n" if id_ else ""
    if name:
        head += f"event: {name}\n"
    return f"{head}data: {data}\n\n".encode()


def response(events: AsyncIterator[bytes]) -> StreamingHttpResponse:
    """A stream that neither the site nor a proxy in front holds back or keeps."""
    answer = StreamingHttpResponse(events, content_type="text/event-stream")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Accel-Buffering"] = "no"  # nginx
    answer.headers["Content-Encoding"] = "identity"  # or GZipMiddleware would gather
    return answer
