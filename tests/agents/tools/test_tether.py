"""A tethered program is as it is without. That it cannot outlive the site: test_mcp."""

from __future__ import annotations

import signal
import subprocess

import pytest

from chat.agents.tools.tether import tethered


@pytest.mark.parametrize(
    ("command", "code"),
    [("cat", 0), ("cat; exit 3", 3), ("cat; kill -9 $$", 128 + signal.SIGKILL)],
)
def test_its_streams_and_its_end_are_the_programs(command: str, code: int) -> None:
    ended = subprocess.run(
        tethered("sh", "-c", command),
        input=b"through",
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == (b"through", b"", code)


def test_it_ends_when_it_is_told_to() -> None:
    command = tethered("sh", "-c", "echo started; exec sleep 60")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"started\n"
        running.terminate()
        assert running.wait(20) == 128 + signal.SIGTERM
