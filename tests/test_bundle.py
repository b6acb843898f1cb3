"""The page's modules and style sheets as one of each."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import brotli
import pytest
from django.test import Client, override_settings

from reasoning_site import bundle

NODE = shutil.which("node")
MAIN = "chat/js/main.js"


def linked(**files: str) -> str:
    """What these modules are together; `__` in a name stands for a slash."""
    named = {
        f"chat/js/{name.replace('__', '/')}.js": text for name, text in files.items()
    }
    return bundle.script(named.__getitem__).text()


def ran(tmp_path: Path, text: str) -> str:
    """What a module prints."""
    assert NODE is not None
    file = tmp_path / "bundle.mjs"
    file.write_text(text, "utf-8")
    command = [NODE, str(file)]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=30
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_every_way_to_export_arrives(tmp_path: Path) -> None:
    """Classes, functions, constants, lists, other names, and what others export."""
    text = linked(
        main='import { A, b as c, D, twice } from "./all.js";\n'
        'import * as all from "./all.js";\n'
        'import "./other/effect.js";\n'
        "console.log(new A().name, c, D(), twice(2), all.E, 'D' in all);\n",
        all='export class A {\n  name = "a";\n}\n'
        "export const b = 1;\nfunction d() {\n  return b + 1;\n}\n"
        'export { d as D };\nexport { twice } from "./other/twice.js";\n'
        'export * from "./other/more.js";\n',
        other__twice="// only for people\n/**\n * Twice.\n * @param {number} n\n */\n"
        "export function twice(n) {\n  return n * 2;\n}\n",
        other__more='export const E = "/** no comment */";\n',
        other__effect="globalThis.count = (globalThis.count ?? 0) + 1;\n",
    )
    assert "@param" not in text
    assert "only" not in text
    assert ran(tmp_path, text) == "a 1 2 4 /** no comment */ true"


def test_a_module_that_many_import_runs_once(tmp_path: Path) -> None:
    """And before those that import it; names of one are not seen by another."""
    text = linked(
        main='import { a } from "./a.js";\nimport { b } from "./b.js";\n'
        "const secret = 3;\nconsole.log(a, b, secret);\n",
        a='import { next } from "./next.js";\nconst secret = 1;\n'
        "export const a = next() + secret;\n",
        b='import { next } from "./next.js";\nconst secret = 2;\n'
        "export const b = next() + secret;\n",
        next="let n = 0;\nexport function next() {\n  n += 10;\n  return n;\n}\n",
    )
    assert ran(tmp_path, text) == "11 22 3"


@pytest.mark.parametrize(
    "text",
    [
        "export default 1;\n",
        "export let a = 1;\n",
        "await 1;\n",
        'import { b } from "./main.js";\nexport const b = 1;\n',
    ],
)
def test_what_it_does_not_know_it_refuses(text: str) -> None:
    with pytest.raises(bundle.BundleError):
        linked(main=text)


def test_what_is_needed_later_comes_later_and_shares_what_is_there(
    tmp_path: Path,
) -> None:
    """Once, however often it is asked for."""
    files = {
        "chat/js/main.js": 'import { count } from "./count.js";\ncount();\n'
        'const load = () => import("./view/panel.js");\n'
        "for (const panel of [load(), load()])\n"
        "  panel.then(({ open }) => console.log(open()));\n",
        "chat/js/count.js": "let n = 0;\nexport function count() {\n  n += 1;\n"
        "  return n;\n}\n",
        "chat/js/view/panel.js": 'import { count } from "../count.js";\n'
        'import { own } from "./own.js";\n'
        "const at = count();\n"
        "export function open() {\n  return `${own} ${at}`;\n}\n",
        "chat/js/view/own.js": 'export const own = "mine";\n',
    }
    made = bundle.script(files.__getitem__)
    assert list(made.modules) == ["chat/js/count.js", "chat/js/main.js"]
    assert "mine" not in made.text()
    late = made.late_text()
    assert "n += 1" not in late
    (tmp_path / "package.json").write_text('{"type": "module"}', "utf-8")
    (tmp_path / "late.js").write_text(late, "utf-8")
    assert ran(tmp_path, made.text()).splitlines() == ["mine 2", "mine 2"]


def test_what_comes_late_brings_nothing_that_comes_later_still() -> None:
    files = {
        "chat/js/main.js": 'const load = () => import("./a.js");\n',
        "chat/js/a.js": 'export const load = () => import("./b.js");\n',
    }
    with pytest.raises(bundle.BundleError):
        bundle.script(files.__getitem__).late_text()


def test_others_modules_stay_files_of_their_own() -> None:
    """Those that are needed at once are imported, the others when they are needed."""
    text = linked(
        main='import { parse } from "../vendor/early.js";\nparse();\n'
        'import { late } from "./view/late.js";\nlate();\n',
        view__late='export const late = () => import("../../vendor/late.js");\n',
    )
    assert 'import * as _vendor_early from "../vendor/early.js";\n' in text
    assert 'import("../vendor/late.js")' in text


def test_the_page_itself_can_be_linked(tmp_path: Path) -> None:
    """All that it has, and nothing that only examples and tests use."""
    made = bundle.script(bundle.source)
    assert MAIN in made.modules
    assert "chat/js/client/transcript.js" in made.modules
    assert all(name.startswith("chat/js/") for name in made.modules)
    (tmp_path / "page.mjs").write_text(made.text(), "utf-8")
    assert NODE is not None
    command = [NODE, "--check", str(tmp_path / "page.mjs")]
    assert subprocess.run(command, check=False).returncode == 0
    style = bundle.style(bundle.source)
    assert style.index("--paper:") < style.index(".composer {")


def test_the_page_comes_in_150_kilobytes() -> None:
    """With all faces, before the first code block: page, list and headers take 17."""
    made = bundle.script(bundle.source)
    texts = [made.text(), bundle.style(bundle.source)]
    texts += [bundle.source(name) for name in made.vendor]
    size = sum(len(brotli.compress(text.encode())) for text in texts)
    fonts = (bundle.STATIC / "chat" / "fonts").glob("*.woff2")
    size += sum(font.stat().st_size for font in fonts)
    assert size < 133_000


@pytest.mark.django_db
def test_with_debug_the_browser_gets_the_files_as_they_are_written(
    client: Client,
) -> None:
    """And else the bundles."""
    page = client.get("/").content.decode()
    assert bundle.SCRIPT in page
    assert bundle.STYLE in page
    assert MAIN not in page
    with override_settings(DEBUG=True):
        page = client.get("/").content.decode()
    assert bundle.SCRIPT not in page
    for name in (MAIN, "chat/js/view/dom.js", *bundle.STYLES):
        assert f"/static/{name}" in page
