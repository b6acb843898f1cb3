"""Each system check speaks up when it should, and only then."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import run_checks

from chat import checks
from tests.servers import ROOT, Site

POSTGRES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "site"}}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give the settings values; not by Django's fixture, which warns of DATABASES."""

    def give(**values: Any) -> None:
        for name, value in values.items():
            monkeypatch.setattr(django_settings, name, value)

    return give


def ids() -> set[str]:
    """The ids of what the site's checks say now."""
    return {m.id for m in run_checks() if m.id and m.id.startswith("chat.")}


def redis(host: str) -> dict[str, Any]:
    return {"address": f"redis://{host}:6379/0"}


def test_defaults_are_fine() -> None:
    assert ids() == set()


def test_every_message_has_a_hint(given: Callable[..., None]) -> None:
    given(WEB_CONCURRENCY=3, LLM_API_KEY="k")
    messages = [m for m in run_checks() if m.id and m.id.startswith("chat.")]
    assert len(messages) == 2
    assert all(m.hint for m in messages)


@pytest.mark.parametrize(
    ("expected", "values"),
    [
        ("chat.E001", {"WEB_CONCURRENCY": 2}),
        ("chat.W003", {"ALLOWED_HOSTS": ["*"]}),
        ("chat.E003", {"HEARTBEAT_SECONDS": 6.0}),
        ("chat.E004", {"LLM_BASE_URL": "http://model/v1"}),
        ("chat.E007", {"OIDC_ISSUER": "https://directory.example"}),
        ("chat.W009", {"OIDC_ISSUER": "http://d.example", "OIDC_CLIENT_ID": "x"}),
        ("chat.W008", {"LLM_BASE_URL": "http://model:8000", "LLM_MODEL": "m"}),
        ("chat.W008", {"LLM_BASE_URL": "http://model/?a=b", "LLM_MODEL": "m"}),
        ("chat.W004", {"LLM_MODEL": "qwen3:8b"}),
        ("chat.W004", {"LLM_API_KEY": "k"}),
        ("chat.E006", {"EXTRA_TOOLS": ["no.such.tool"]}),
        ("chat.E005", {"BUILTIN_MODEL_PATH": "/nowhere/model.gguf"}),
        ("chat.W005", {"DATABASES": POSTGRES, "DATABASE_POOL_SIZE": 2}),
        (
            "chat.W001",
            {"REDIS_HOST": redis("10.0.0.9"), "SECRET_KEY_GENERATED": False},
        ),
        ("chat.W002", {"REDIS_HOST": redis("10.0.0.9"), "DATABASES": POSTGRES}),
    ],
)
def test_what_cannot_work_is_named(
    expected: str, values: dict[str, Any], given: Callable[..., None]
) -> None:
    given(**values)
    assert ids() == {expected}


@pytest.mark.parametrize(
    "values",
    [
        {"WEB_CONCURRENCY": 2, "REDIS_HOST": redis("localhost")},
        {"REDIS_HOST": {"sentinels": [("localhost", 26379)], "master_name": "m"}},
        {"LLM_BASE_URL": "http://model/v1", "LLM_MODEL": "m", "LLM_API_KEY": "k"},
        {"BUILTIN_MODEL_PATH": __file__},
        {"ALLOWED_HOSTS": ["*"], "DEBUG": True},
    ],
)
def test_what_works_is_let_be(
    values: dict[str, Any], given: Callable[..., None]
) -> None:
    given(**values)
    assert ids() == set()


def test_sqlite_on_a_network_file_system_is_refused(
    given: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mounts = tmp_path / "mounts"
    folder = Path(django_settings.DATABASES["default"]["NAME"]).resolve().parent
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {folder} nfs4 rw 0 0\n")
    monkeypatch.setattr(checks, "MOUNTS", mounts)
    assert ids() == {"chat.E002"}
    monkeypatch.setattr(checks, "MOUNTS", tmp_path / "absent")
    assert ids() == set()
    given(DATABASES=POSTGRES)
    assert ids() == set()


def test_a_site_behind_tls_has_nothing_to_be_told(tmp_path: Path) -> None:
    site = Site(tmp_path, HTTPS=1, ALLOWED_HOSTS="chat.example")
    said = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env=site.environment(),
        check=False,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
