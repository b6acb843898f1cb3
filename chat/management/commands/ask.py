"""`manage.py ask "…"`: a question to the running site, its steps shown as they come."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand

from reasoning_client.terminal import ask


class Command(BaseCommand):
    """Asks as a guest, or with an access token in REASONING_TOKEN."""

    help = "Asks the running site and shows the steps as they come. Ctrl-C stops it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the question, and where and whom to ask."""
        parser.add_argument("message")
        parser.add_argument("--agent", help="whom to ask, if not the first one")
        parser.add_argument("--session", type=UUID, help="the chat to go on in")
        host, port = os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "8000")
        parser.add_argument("--url", default=f"http://{host}:{port}")

    def handle(
        self,
        message: str,
        *,
        url: str,
        agent: str | None,
        session: UUID | None,
        **_options: Any,
    ) -> None:
        """Ask, and exit as the run ended."""
        code = ask(
            url,
            message,
            token=os.environ.get("REASONING_TOKEN"),
            agent=agent,
            session=session,
        )
        if code:
            raise SystemExit(code)
