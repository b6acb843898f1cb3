"""`manage.py compact`: merge the deltas of all runs that have finished."""

from __future__ import annotations

from typing import Any, Final

from django.core.management.base import BaseCommand

from chat import store

RUNS_AT_ONCE: Final = 500  # looked up; each is compacted by itself


class Command(BaseCommand):
    """Does at once what the site does by and by; beside it, or without it."""

    help = "Makes the log of finished runs smaller: their deltas become one row a step."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Compact, oldest runs first; safe to stop and to repeat."""
        total = 0
        while runs := store.compactable(RUNS_AT_ONCE):
            done = sum(store.compact(run_id) for run_id in runs)
            if not done:
                break  # somebody else is at it
            total += done
        self.stdout.write(f"Compacted {total} runs.")
