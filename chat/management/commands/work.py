"""`manage.py work`: a process that runs agents and serves no pages."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from prometheus_client import start_http_server

from chat import lifespan
from chat.checks import sqlite_file


class Command(BaseCommand):
    """Drives runs until it is told to end; then as a server, it drains."""

    help = "Runs agents, for processes that only serve pages (ROLE=web)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take where to answer Prometheus, if anywhere."""
        parser.add_argument("--metrics-port", type=int, help="on the loopback address")

    def handle(
        self, *_args: Any, metrics_port: int | None = None, **_options: Any
    ) -> None:
        """Work. On SQLite as well, where both are on one machine."""
        if not settings.REDIS_HOST:
            raise CommandError(
                "Without REDIS_URL nobody would see in time what is answered here."
                + (" On one machine, `make run` does both." if sqlite_file() else "")
            )
        if metrics_port is not None:
            start_http_server(metrics_port, "127.0.0.1")
        asyncio.run(lifespan.work())
