"""What a full database costs: begin, list, search, delete and look among many runs.

    python -m bench.scale --runs 1000000 --vendor postgresql

The database is seeded by SQL: ten runs a chat, a step of 600 characters each, a
hundred chats for each person, and one who has thirty times as many. The log's rows are
seeded for some runs only: nothing here reads another run's. Printed is the median of
some calls, in milliseconds, of the store's own functions.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from tests.servers import Databases, Postgres

RUNS_A_SESSION: Final = 10
SESSIONS_A_PERSON: Final = 100
OF_THE_BUSIEST: Final = 3_000
REPEATS: Final = 7

# Words with which a text is made; `n` is the row's number.
_WORDS: Final = (
    "'the ' || n || ' answer of a model is quite long and says '"
    " || (n * 7919 % 99991) || ' things about ' || (n * 104729 % 1000003) || ' '"
)

_POSTGRES: Final = (
    """
    INSERT INTO chat_session
      (id, guest_key, title, agent_name, pinned, archived, created_at, updated_at)
    SELECT md5(n::text)::uuid, KEY, 'Chat ' || n || ' about something', 'researcher',
      false, false, now(), now() - n * interval '1 second'
    FROM generate_series(0::bigint, SESSIONS - 1) n
    """,
    """
    INSERT INTO chat_run
      (id, session_id, number, prompt, agent_name, enable_reasoning, status, reason,
       epoch, last_seq, takeovers, is_compacted, created_at, started_at, finished_at)
    SELECT n + 1, md5((n / PER)::text)::uuid, n % PER + 1,
      'What is question ' || n || ' about?', 'researcher', true, 'finished', 'answered',
      1, 8, 0, true, now(), now(), now() - (RUNS - n) * interval '1 second'
    FROM generate_series(0::bigint, RUNS - 1) n
    """,
    """
    INSERT INTO chat_step
      (run_id, step, seq, type, iteration, content, tool_name, call_id, status,
       started_at, duration_ms, digest)
    SELECT n + 1, 0, 7, 'final_answer', 1, repeat(WORDS, 8), '', '', 'ok', now(), 1,
      repeat('0', 64)
    FROM generate_series(0::bigint, RUNS - 1) n
    """,
    "SELECT setval(pg_get_serial_sequence('chat_run', 'id'), RUNS)",
    "ANALYZE",
)

# SQLite's own generate_series is not compiled into Python's.
_SERIES: Final = "WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s"
_SQLITE: Final = (
    """
    SERIES WHERE n < SESSIONS - 1)
    INSERT INTO chat_session
      (id, guest_key, title, agent_name, pinned, archived, created_at, updated_at)
    SELECT printf('%032x', n), KEY, 'Chat ' || n || ' about something', 'researcher',
      0, 0, datetime('now'), datetime('now', -n || ' seconds') FROM s
    """,
    """
    SERIES WHERE n < RUNS - 1)
    INSERT INTO chat_run
      (id, session_id, number, prompt, agent_name, enable_reasoning, status, reason,
       epoch, last_seq, takeovers, is_compacted, created_at, started_at, finished_at)
    SELECT n + 1, printf('%032x', n / PER), n % PER + 1,
      'What is question ' || n || ' about?', 'researcher', 1, 'finished', 'answered',
      1, 8, 0, 1, datetime('now'), datetime('now'),
      datetime('now', (n - RUNS) || ' seconds') FROM s
    """,
    """
    SERIES WHERE n < RUNS - 1)
    INSERT INTO chat_step
      (run_id, step, seq, type, iteration, content, tool_name, call_id, status,
       started_at, duration_ms, digest)
    SELECT n + 1, 0, 7, 'final_answer', 1,
      replace(hex(zeroblob(4)), '00', WORDS || WORDS), '', '', 'ok', datetime('now'), 1,
      hex(zeroblob(32)) FROM s
    """,
    "ANALYZE",
)


def seed(runs: int, vendor: str) -> None:
    """Fill the database that Django is connected to."""
    from django.db import connection  # noqa: PLC0415  (its settings are made first)

    key = (
        f"CASE WHEN n < {OF_THE_BUSIEST} THEN 'busiest'"
        f" ELSE 'person-' || (n / {SESSIONS_A_PERSON}) END"
    )
    words = {
        "SERIES": _SERIES,
        "SESSIONS": str(runs // RUNS_A_SESSION),
        "RUNS": str(runs),
        "PER": str(RUNS_A_SESSION),
        "KEY": key,
        "WORDS": f"({_WORDS})",
    }
    connection.ensure_connection()
    for template in _POSTGRES if vendor == "postgresql" else _SQLITE:
        statement = template
        for word, meaning in words.items():
            statement = statement.replace(word, meaning)
        connection.connection.execute(statement)


def measure(runs: int) -> dict[str, float]:
    """Median milliseconds of what a site does."""
    from datetime import timedelta  # noqa: PLC0415

    from chat import store  # noqa: PLC0415  (Django is set up by now)
    from chat.models import Session  # noqa: PLC0415

    sessions = runs // RUNS_A_SESSION
    key = f"person-{sessions // SESSIONS_A_PERSON - 1}"
    busiest, person = store.Identity(None, "busiest"), store.Identity(None, key)

    def ask(session_id: UUID, who: store.Identity) -> store.Asked:
        return store.ask(
            session_id,
            who,
            prompt="What?",
            agent_name=None,
            enable_reasoning=True,
            client_id=uuid4().hex,
            max_queued=100,
            claimant=store.Claimant(1, 100),
        )

    theirs = Session.objects.filter(guest_key=key)
    ids = list(theirs.values_list("id", flat=True)[: 3 * REPEATS])
    session_ids = iter(ids * 2)
    deeds: dict[str, Callable[[], Any]] = {
        "begin a run, first of a chat": lambda: ask(uuid4(), person),
        "begin a run, eleventh": lambda: ask(next(session_ids), person),
        "what waits": lambda: store.waiting_sessions(8, 8),
        "what was abandoned": lambda: store.abandoned(8),
        "what has moved": lambda: store.positions(ids, timedelta(seconds=60)),
        "what can be compacted": lambda: store.compactable(100),
        "list": lambda: store.list_sessions(person),
        "list of the busiest": lambda: store.list_sessions(busiest),
        "search, found": lambda: store.list_sessions(
            person, query=f"Chat {sessions - 9}"
        ),
        "search, not found": lambda: store.list_sessions(person, query="xyzzy"),
        "search of the busiest": lambda: store.list_sessions(busiest, query="xyzzy"),
        "the same, of a common word": lambda: store.list_sessions(
            busiest, query="long"
        ),
        "open a chat": lambda: store.latest_runs(ids[-1], 20),
        "delete a chat": lambda: store.delete_session(next(session_ids), person),
        "daily cleaning": store.clean_up,
    }
    return {name: _median(deed) for name, deed in deeds.items()}


def _median(deed: Callable[[], Any]) -> float:
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        deed()
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def main() -> None:
    """Seed one database and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1_000_000, help="at least 100,000")
    parser.add_argument("--vendor", default="postgresql")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Postgres() as postgres:
        databases = Databases(Path(name), lambda: postgres)
        os.environ["DATABASE_URL"] = databases.new(given.vendor)
        os.environ["DATA_DIR"] = name
        os.environ["DJANGO_SETTINGS_MODULE"] = "reasoning_site.settings"
        import django  # noqa: PLC0415  (its settings are made first)

        django.setup()
        started = time.monotonic()
        seed(given.runs, given.vendor)
        sys.stderr.write(f"seeded in {time.monotonic() - started:.0f} s\n")
        lines = [f"{given.runs:,} runs in {given.vendor}, ms"]
        for what, milliseconds in measure(given.runs).items():
            lines.append(f"{what:30} {milliseconds:9.1f}")
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
