"""`manage.py runserver`: Daphne's, so that it speaks WebSockets."""

from __future__ import annotations

from typing import Any

from daphne.management.commands.runserver import Command as DaphneCommand
from django.conf import settings

from reasoning_site.storage import collect_static_files


class Command(DaphneCommand):  # type: ignore[misc]  # untyped
    """The embedded server.

    A command of the site's own: with Daphne among INSTALLED_APPS every process,
    whatever its server, would load Twisted.
    """

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve, static files too, whether or not `prepare` has run."""
        if not settings.DEBUG:
            collect_static_files()
        super().handle(*args, **options)
