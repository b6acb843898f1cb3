"""Model servers that already run on this machine, on the ports they usually have."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from msgspec import Struct

# As their documentation says; llama.cpp's server and many others take 8080 or 8000.
PORTS: Final[Mapping[int, str]] = {
    11434: "Ollama",
    1234: "LM Studio",
    8000: "vLLM",
    8080: "llama.cpp",
}
SECONDS: Final = 0.5  # a server on this machine answers at once, or does not count
MAX_BYTES: Final = 1024 * 1024  # of a list of models
NOT_FOR_CHAT: Final = ("embed", "rerank", "bge-", "whisper", "tts")


class LocalServer(Struct, frozen=True):
    """A server that answers, and a model there that can chat."""

    name: str
    base_url: str
    model: str


def find_local_servers(
    ports: Mapping[int, str] = PORTS, *, but: int | None = None
) -> list[LocalServer]:
    """Ask the usual ports, all at once, for models; leave out the port `but`.

    Takes at most about `SECONDS`; a port where something else answers is no server.
    """
    asked = [port for port in ports if port != but]
    with ThreadPoolExecutor(max(1, len(asked))) as threads:
        models = threads.map(_first_model, asked)
        return [
            LocalServer(ports[port], f"http://127.0.0.1:{port}/v1", model)
            for port, model in zip(asked, models, strict=True)
            if model
        ]


def _first_model(port: int) -> str:
    """The first model of the server's list that can chat, or ""."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/v1/models", headers={"Accept": "application/json"})
        answer = connection.getresponse()
        listed = json.loads(answer.read(MAX_BYTES)) if answer.status == 200 else {}  # noqa: PLR2004
    except (OSError, http.client.HTTPException, ValueError):
        return ""
    finally:
        connection.close()
    names = [name for name in _ids(listed) if not _is_for_something_else(name)]
    return names[0] if names else ""


def _ids(listed: Any) -> list[str]:
    match listed:
        case {"data": [*models]}:
            return [str(m["id"]) for m in models if isinstance(m, dict) and "id" in m]
        case _:
            return []


def _is_for_something_else(name: str) -> bool:
    return any(part in name.lower() for part in NOT_FOR_CHAT)
