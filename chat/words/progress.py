"""How far something has come, as people read it; the twin of js/words/progress.js."""

from __future__ import annotations

import math
from typing import Any

from chat.words.terminal import terminal_text


def progress_words(progress: dict[str, Any]) -> str:
    """As "3 of 10 · sheep", with what there is of that; "" where there is nothing."""
    done, total, text = (progress.get(name) for name in ("done", "total", "text"))
    parts = []
    if done is not None:
        parts.append(amount(done) + ("" if total is None else f" of {amount(total)}"))
    if text:
        parts.append(terminal_text(text))
    return " · ".join(parts)


def share(progress: dict[str, Any]) -> dict[str, float] | None:
    """What a bar shows, `value` of `max`; None where the whole is not known."""
    done, total = progress.get("done"), progress.get("total")
    if done is None or not total:
        return None
    return {"value": min(done, total), "max": total}


def amount(number: float) -> str:
    """As "1,234.5": a number with at most two decimals."""
    rounded = f"{math.floor(number * 100 + 0.5) / 100:,.2f}"
    return rounded.rstrip("0").rstrip(".")
