"""ASGI middleware: who opens a socket, and whether from a page of ours."""

from __future__ import annotations

from functools import partial
from typing import Any

from channels.middleware import BaseMiddleware

from chat.auth import visitors
from chat.auth.origin import origin_is_allowed
from chat.store.database import db


class VisitorMiddleware(BaseMiddleware):
    """Adds to a WebSocket's scope what a consumer needs to let somebody in, or not.

    `origin_is_allowed`: whether the page that opened the socket is ours.
    `visitor`: a function without arguments, to be awaited; see `visitors.of_scope`. A
    function, since it reads the database: who is refused anyway costs no query.
    `says_nothing`: whether a token may come as the first frame.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Call the inner application with the extended scope."""
        added = {
            "origin_is_allowed": origin_is_allowed(scope),
            "says_nothing": visitors.says_nothing(scope),
            "visitor": partial(db, visitors.of_scope, scope),
        }
        return await super().__call__(scope | added, receive, send)
