"""The ASGI application, as a server loads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.servers import Site

LOADED = """
import sys
import reasoning_site.asgi
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_twisted_is_loaded_by_daphne_alone(tmp_path: Path) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LOADED],
        env=Site(tmp_path).environment(),
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert "channels" in loaded
    assert not {"twisted", "daphne", "autobahn"} & set(loaded)
