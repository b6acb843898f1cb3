"""What a `chatbot_config`, as Qwen-Agent's WebUI takes one, says about the page."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

MAX_AVATAR_BYTES: Final = 256 * 1024


class ChatbotConfig(Struct, frozen=True):
    """`avatar` is the address of an image, as `data:`; `user_name` is for groups."""

    suggestions: tuple[str, ...] = ()
    placeholder: str = ""
    user_name: str = ""
    avatar: str = ""


def read_config(given: Mapping[str, Any]) -> ChatbotConfig:
    """What is of use here of `{'prompt.suggestions': […], 'input.placeholder': …}`.

    A suggestion is a text or `{'text': …}`. Raises ValueError where a value has
    another form.
    """
    suggestions = given.get("prompt.suggestions") or []
    if not isinstance(suggestions, list | tuple):
        raise ValueError("prompt.suggestions is not a list")  # noqa: TRY004
    texts = (_text(each) for each in suggestions)
    return ChatbotConfig(
        tuple(text for text in texts if text),
        str(given.get("input.placeholder") or ""),
        str(given.get("user.name") or ""),
        _picture(str(given.get("agent.avatar") or "")),
    )


def _text(suggestion: Any) -> str:
    """The text of one, which may stand in a list, as a row of Gradio's examples."""
    match suggestion:
        case str():
            return suggestion
        case {"text": text}:
            return str(text or "")
        case [first, *_]:
            return _text(first)
        case _:
            raise ValueError("an entry of prompt.suggestions has no text")


def _picture(path: str) -> str:
    """The file as an address that pages can hold."""
    if not path:
        return ""
    file = Path(path).expanduser()
    kind = mimetypes.guess_type(path)[0] or ""
    if not file.is_file() or not kind.startswith("image/"):
        raise ValueError("agent.avatar is no image file on this machine")
    if file.stat().st_size > MAX_AVATAR_BYTES:
        raise ValueError(f"agent.avatar has more than {MAX_AVATAR_BYTES >> 10} KiB")
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
