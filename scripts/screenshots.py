"""Photographs the real page in its eight states into docs/screenshots/.

    make screenshots

Light and dark, as on a desk and on a phone. The model is the scripted one of the tests.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import sync_playwright  # noqa: E402

from tests.browser.drive import DESK, PHONE, Screens, launch  # noqa: E402
from tests.browser.states import MODEL, STATES, in_state  # noqa: E402
from tests.model_server import ModelServer  # noqa: E402
from tests.servers import Site  # noqa: E402

TARGET = ROOT / "docs" / "screenshots"


def start(stack: ExitStack) -> tuple[ModelServer, Site]:
    """A fresh site with the scripted model, as `make serve` would run it."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    model = stack.enter_context(ModelServer())
    settings: dict[str, Any] = {
        "LLM_BASE_URL": model.base_url,
        "LLM_MODEL": MODEL,
        "STATIC_ROOT": folder / "static",
        "MAX_MESSAGES_PER_MINUTE": 10_000,
    }
    site = Site(folder, "uvicorn", **settings)
    site.manage("migrate", "--verbosity", "0")
    site.manage("collectstatic", "--no-input", "--verbosity", "0")
    stack.enter_context(site)
    return model, site


def main(wanted: list[str]) -> None:
    """All states, or those named."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack, sync_playwright() as playwright:
        model, site = start(stack)
        browser = launch(playwright)
        for state in wanted or STATES:
            for scheme in ("light", "dark"):
                for size in (DESK, PHONE):
                    screens = Screens(browser, site.url)
                    chat = screens.chat(color_scheme=scheme, viewport=size)
                    name = f"{state}-{scheme}-{size['width']}.png"
                    with in_state(state, chat, model):
                        chat.page.screenshot(path=TARGET / name, animations="disabled")
                    screens.close()
                    sys.stdout.write(f"{name}\n")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
