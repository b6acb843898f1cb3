"""A short, seeded version of the chaos suite; `make chaos` runs the whole one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.chaos.storm import Storm


@pytest.mark.timeout(300)  # a server that is killed takes its time to be back
def test_everybody_is_whole_after_a_storm(tmp_path: Path) -> None:
    report = asyncio.run(Storm(7, tmp_path, sessions=4, viewers=2, pages=1).run(15))
    assert report.is_whole, report.table()
    assert len(report.faults) == 14
