"""The ASGI application: HTTP by Django, WebSockets by Channels, on any server."""

from __future__ import annotations

import os
import sys

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

application = ProtocolTypeRouter(
    {
        "http": health.Probes(django_application),
        "websocket": VisitorMiddleware(URLRouter(websocket_urlpatterns)),
        "lifespan": lifespan.application,
    }
)

if "twisted.internet.reactor" in sys.modules:  # Daphne, which knows no lifespan
    lifespan.follow_reactor()
