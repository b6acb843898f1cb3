"""`manage.py doctor`: asks everything that the site needs, and says what to mend."""

from __future__ import annotations

import asyncio
import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from chat.doctor import examine


class Command(BaseCommand):
    """Exits with 1 where something is to be done."""

    help = (
        "Asks the database, the channel layer and the agents; with --url also the site "
        "as people reach it, which is asked one question."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the public address."""
        parser.add_argument("--url", help="of the site as people reach it")

    def handle(self, *, url: str | None, **_options: Any) -> None:
        """Print each finding as it is made."""
        if not asyncio.run(self._examine(url)):
            raise SystemExit(1)

    async def _examine(self, url: str | None) -> bool:
        is_well = True
        async for finding in examine(url, os.environ.get("REASONING_TOKEN")):
            is_well &= finding.is_good
            style = self.style.SUCCESS if finding.is_good else self.style.ERROR
            mark = style("ok  " if finding.is_good else "BAD ")
            self.stdout.write(f"{mark} {finding.what}: {finding.text}")
            if finding.advice:
                self.stdout.write(f"     {finding.advice}")
        return is_well
