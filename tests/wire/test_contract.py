"""The golden streams: files as generated, and the fold reaches what they say."""

from __future__ import annotations

import json

import pytest
from msgspec import convert, to_builtins

from chat.wire.protocol import Event
from chat.wire.transcript import fold, merged, view
from tests.contract.generate import FOLDER, stories, text

FILES = sorted(FOLDER.glob("*.json"))


def test_files_are_as_generated() -> None:
    """After a change: python -m tests.contract.generate."""
    written = {file.stem: file.read_text("utf-8") for file in FILES}
    assert written == {name: text(name, story) for name, story in stories().items()}


@pytest.mark.parametrize("name", [file.stem for file in FILES])
def test_the_fold_reaches_the_view(name: str) -> None:
    """Merged or not."""
    stream = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    events = convert(stream["events"], list[Event])
    assert to_builtins(view(fold(stream["run"], events))) == stream["view"]
    assert to_builtins(view(fold(stream["run"], merged(events)))) == stream["view"]
