"""The tests of the store and the journal, once more, on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.servers import ROOT, Postgres

MODULES = ["tests/log", "tests/store", "tests/test_models.py"]


@pytest.mark.timeout(300)
def test_store_and_journal_hold_on_postgresql(postgres: Postgres) -> None:
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-x", "--no-header"),
            # Nothing is dropped at the end: threads of the pools may still be there.
            *("-p", "no:cacheprovider", "--reuse-db", *MODULES),
        ],
        cwd=ROOT,
        env=os.environ | {"TEST_DATABASE_URL": postgres.url()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-8000:]
