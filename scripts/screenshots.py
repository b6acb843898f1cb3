"""Photographs the real page in all its states into docs/screenshots/, and films a run.

    make screenshots

Light and dark, as on a desk and on a phone. The model is the scripted one of the tests.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from tests.browser.drive import DESK, PHONE, Screens, launch  # noqa: E402
from tests.browser.states import (  # noqa: E402
    ANSWER,
    LONG_THOUGHT,
    MODEL,
    QUESTION,
    RATIO,
    STATES,
    THOUGHT,
    TOP,
    in_state,
)
from tests.model_server import ModelServer  # noqa: E402
from tests.servers import Site  # noqa: E402

TARGET = ROOT / "docs" / "screenshots"
FILM = "run.webp"
FILM_SIZE = {"width": 960, "height": 600}
FRAME_SECONDS = 0.1
LAST_FRAME_SECONDS = 4.0


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


class Film:
    """What a page shows over time, as one moving picture."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[Image.Image] = []
        self.times: list[float] = []

    def take(self) -> None:
        """The next frame, at most so many a second."""
        if self.times:
            wait = self.times[-1] + FRAME_SECONDS - time.monotonic()
            self.page.wait_for_timeout(max(0, wait * 1000))
        self.times.append(time.monotonic())
        with Image.open(io.BytesIO(self.page.screenshot())) as frame:
            self.frames.append(frame.convert("RGB"))

    def save(self, path: Path) -> None:
        """Each frame for as long as it took until the next."""
        ends = [*self.times[1:], self.times[-1] + LAST_FRAME_SECONDS]
        shown = [round((b - a) * 1000) for a, b in zip(self.times, ends, strict=True)]
        first, *rest = self.frames
        first.save(
            path,
            save_all=True,
            append_images=rest,
            duration=shown,
            loop=0,
            quality=60,
            method=4,
        )


def film(browser: Browser, url: str, model: ModelServer) -> None:
    """A question is typed, thought about, worked out, and answered."""
    rounds = [
        [{"reasoning": THOUGHT, "rate": 22}, {"call": RATIO["call"], "rate": 30}],
        [
            {"reasoning": LONG_THOUGHT.split("\n\n")[-1] + " see it.", "rate": 24},
            {"text": ANSWER, "rate": 30},
        ],
    ]
    model.add(MODEL, {"rounds": [{"actions": actions} for actions in rounds]})
    screens = Screens(browser, url)
    chat = screens.chat(color_scheme="light", viewport=FILM_SIZE).open()
    picture = Film(chat.page)
    picture.take()
    for start in range(0, len(QUESTION), 4):
        chat.page.keyboard.insert_text(QUESTION[start : start + 4])
        picture.take()
    chat.page.keyboard.press("Enter")
    over = chat.page.locator('#run-1[data-status="finished"]')
    while over.count() == 0:
        picture.take()
    for _ in range(15):
        picture.take()
    chat.page.eval_on_selector("#scroller", TOP)
    picture.take()
    picture.save(TARGET / FILM)
    screens.close()


def main(wanted: list[str]) -> None:
    """All states and the film, or those named."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack, sync_playwright() as playwright:
        model, site = start(stack)
        browser = launch(playwright)
        if not wanted or FILM in wanted:
            film(browser, site.url, model)
        for state in [each for each in STATES if not wanted or each in wanted]:
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
