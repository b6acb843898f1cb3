"""What a token takes on disk: while its run goes on, and when it has been compacted.

Runs are written as the journal writes them, a row for each token of some 18 bytes, made
of words from the README by chance: what repeats, a database may compress. Then come
`store.compact` and VACUUM. A token's share is the whole database's growth.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from random import choices
from typing import Final
from uuid import uuid4

from bench.harness import House, table
from tests.servers import ROOT

RUNS: Final = 50
TOKENS: Final = 2_000
WORDS: Final = re.findall(r"\S+", (ROOT / "README.md").read_text("utf-8"))
WORDS_A_TOKEN: Final = 3


def write_run() -> tuple[int, int]:
    """One finished run: its id, and the bytes of its text."""
    from chat import store  # noqa: PLC0415  (Django is set up by now)
    from chat.log.batches import commit, make_batch  # noqa: PLC0415
    from chat.models import Run, Step  # noqa: PLC0415
    from chat.wire import protocol  # noqa: PLC0415
    from chat.wire.transcript import digest  # noqa: PLC0415

    asked = store.ask(
        uuid4(),
        store.Identity(None, "somebody"),
        prompt="What?",
        agent_name=None,
        enable_reasoning=True,
        client_id=uuid4().hex,
        max_queued=1,
        claimant=store.Claimant(1, 10**6),
    )
    run = Run.objects.get(id=asked.run_id)
    tokens = [
        " ".join(choices(WORDS, k=WORDS_A_TOKEN)) + " "  # noqa: S311  (no secret)
        for _ in range(TOKENS)
    ]
    content = "".join(tokens)
    ended = protocol.StepFinished(
        step=0, status="ok", duration_ms=1, digest=digest(content)
    )
    row = Step(
        run=run,
        step=0,
        type="final_answer",
        iteration=1,
        content=content,
        status="ok",
        started_at=run.created_at,
        duration_ms=1,
        digest=ended.digest,
    )
    begun = protocol.StepStarted(
        step=0, type="final_answer", iteration=1, timestamp=1.0
    )
    commit([make_batch(run.pk, 1, 2, [begun])])
    for start in range(0, TOKENS, 100):
        deltas = [
            protocol.StepDelta(step=0, text=token)
            for token in tokens[start : start + 100]
        ]
        ms = 20 * start
        commit([make_batch(run.pk, 1, 3 + start, deltas, (), ms)])
    finished = protocol.RunFinished(reason="answered", duration_ms=1)
    commit([make_batch(run.pk, 1, 3 + TOKENS, [ended, finished], [row])])
    return run.pk, len(content.encode())


def database_bytes() -> int:
    """The size of the database, once what is free in it has been given back."""
    from django.db import connection  # noqa: PLC0415  (Django is set up by now)

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM FULL")
            cursor.execute("SELECT pg_database_size(current_database())")
        else:
            cursor.execute("VACUUM")
            cursor.execute(
                "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            )
        return int(cursor.fetchone()[0])


def measure() -> tuple[float, float, float]:
    """Bytes a token: of text, as written, and compacted."""
    from chat import store  # noqa: PLC0415  (Django is set up by now)

    empty = database_bytes()
    runs = [write_run() for _ in range(RUNS)]
    written = database_bytes() - empty
    for run_id, _ in runs:
        store.compact(run_id)
    compacted = database_bytes() - empty
    text = sum(size for _, size in runs)
    tokens = RUNS * TOKENS
    return text / tokens, written / tokens, compacted / tokens


async def log_size(house: House) -> None:
    """Both databases, each measured by a process of its own: Django knows one."""
    rows = []
    for vendor in ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory() as folder:
            settings = {"DATABASE_URL": house.database(vendor), "DATA_DIR": folder}
            measuring = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.log_size"),
                env={**os.environ, **settings},
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await measuring.communicate()
        rows.append((vendor, *output.decode().split()))
    head = ("database", "bytes of text a token", "as written", "compacted")
    table("A token on disk", head, rows)


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "reasoning_site.settings"
    import django

    django.setup()
    sys.stdout.write(" ".join(f"{size:.0f}" for size in measure()) + "\n")
