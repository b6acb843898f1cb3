"""What a WebUI's `chatbot_config` says of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chat.agents.chatbot_config import MAX_AVATAR_BYTES, read_config


def test_what_is_of_use_is_read_and_the_rest_left(tmp_path: Path) -> None:
    avatar = tmp_path / "face.png"
    avatar.write_bytes(b"png")
    config = read_config(
        {
            "prompt.suggestions": [
                "One?",
                {"text": "Two?", "files": ["a"]},
                [{"text": "3?"}],
            ],
            "input.placeholder": "Say something",
            "user.name": "Ada",
            "agent.avatar": str(avatar),
            "verbose": True,
        }
    )
    assert config.suggestions == ("One?", "Two?", "3?")
    assert (config.placeholder, config.user_name) == ("Say something", "Ada")
    assert config.avatar == "data:image/png;base64,cG5n"
    assert read_config({}) == read_config({"prompt.suggestions": None})


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"prompt.suggestions": "One?"}, "not a list"),
        ({"prompt.suggestions": [7]}, "no text"),
        ({"agent.avatar": "https://example.com/face.png"}, "no image file"),
        ({"agent.avatar": __file__}, "no image file"),
        ({"agent.avatar": "large.png"}, f"{MAX_AVATAR_BYTES // 1024} KiB"),
    ],
)
def test_a_value_of_another_form_is_named(
    given: dict[str, Any], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("large.png").write_bytes(bytes(MAX_AVATAR_BYTES + 1))
    with pytest.raises(ValueError, match=word):
        read_config(given)
