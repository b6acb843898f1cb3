"""The ASGI application: HTTP by Django, WebSockets by Channels, on any server."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reasoning_site.settings")
django_application = get_asgi_application()

from channels.routing import (  # noqa: E402  (needs Django set up)
    ProtocolTypeRouter,
    URLRouter,
)

from chat import health, lifespan  # noqa: E402
from chat.auth.middleware import VisitorMiddleware  # noqa: E402
from chat.routing import websocket_urlpatterns  # noqa: E402


def below(prefix: str, site: Any) -> Callable[..., Awaitable[None]]:
    """The site as it is asked by a proxy that takes `prefix` off the paths.

    Put on again here, as ASGI has it: what a request's path is, is what people see.
    """

    async def respond(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if "path" in scope and scope.get("root_path", "") != prefix:
            path = prefix + scope["path"]
            scope = {**scope, "path": path, "root_path": prefix}
        await site(scope, receive, send)

    return respond


application: Any = ProtocolTypeRouter(
    {
        "http": health.Probes(django_application),
        "websocket": VisitorMiddleware(URLRouter(websocket_urlpatterns)),
        "lifespan": lifespan.application,
    }
)
if settings.URL_PREFIX:
    application = below(settings.URL_PREFIX, application)

if "twisted.internet.reactor" in sys.modules:  # Daphne, which knows no lifespan
    lifespan.follow_reactor()
