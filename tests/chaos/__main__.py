"""Breaks everything while it runs, and checks that nobody notices. `make chaos`.

python -m tests.chaos --seed 7 --sessions 20 --pages 8 --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import django

from tests.chaos.report import Report


def storm(seed: int, seconds: float, **extent: Any) -> Report:
    """One storm, with everything it needs, in a folder of its own."""
    from tests.chaos.storm import Storm  # noqa: PLC0415 - it needs Django's settings

    with tempfile.TemporaryDirectory(prefix="reasoning-site-chaos-") as folder:
        return asyncio.run(Storm(seed, Path(folder), **extent).run(seconds))


def main() -> int:
    """Run the storms that were asked for and print what became of each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, nargs="*", default=[1, 2, 3, 4, 5])
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--viewers", type=int, default=3)
    parser.add_argument("--pages", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--pooled", action="store_true", help="behind PgBouncer, in transaction mode"
    )
    given = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    whole = True
    for seed in given.seed:
        report = storm(
            seed,
            given.seconds,
            sessions=given.sessions,
            viewers=given.viewers,
            pages=given.pages,
            pooled=given.pooled,
        )
        sys.stdout.write(report.table() + "\n\n")
        sys.stdout.flush()
        whole = whole and report.is_whole
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
