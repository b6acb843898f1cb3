"""The site; and `serve`, which shows a program's own agents on it."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """`serve`, imported when it is asked for: it listens to Qwen-Agent from then on."""
    if name == "serve":
        from reasoning_site.serving import serve  # noqa: PLC0415

        return serve
    raise AttributeError(name)
