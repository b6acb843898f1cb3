"""`manage.py prepare` and `setup_admin`: safe to repeat, clear when they cannot."""

from __future__ import annotations

import io
import socket
import stat
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import CommandError, call_command
from pytest_django import Settings

from chat.agents import registry
from chat.agents.model.local import LocalServer, find_local_servers
from chat.management.commands import prepare
from tests.model_server.process import ModelServer
from tests.servers import free_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    settings.STATIC_ROOT = tmp_path / "static"
    return tmp_path


class Terminal(io.StringIO):
    """Somebody looks at it."""

    def isatty(self) -> bool:
        return True


def run(*arguments: str, out: io.StringIO | None = None) -> str:
    out = out or io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("command", ["setup_admin", "prepare"])
def test_a_log_is_told_where_the_password_is_kept_and_not_the_password(
    own_folder: Path, command: str
) -> None:
    said = run(command)
    file = own_folder / "admin-password.txt"
    assert str(file) in said
    assert file.read_text().strip() not in said


def test_the_administrator_can_sign_in_with_the_kept_password(own_folder: Path) -> None:
    said = run("setup_admin", out=Terminal())
    file = own_folder / "admin-password.txt"
    password = file.read_text().strip()
    assert password in said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    user = authenticate(username="admin", password=password)
    assert user is not None
    assert user.is_staff


def test_the_password_is_said_once() -> None:
    run("setup_admin")
    assert run("setup_admin") == ""
    assert get_user_model().objects.count() == 1


def test_an_administrator_of_another_name_will_do(own_folder: Path) -> None:
    get_user_model().objects.create_superuser("ada", password="x")
    assert run("setup_admin") == ""
    assert not (own_folder / "admin-password.txt").exists()


def test_prepare_collects_and_says_where_to_look(own_folder: Path) -> None:
    port = free_port()
    said = run("prepare", "--listen", f"0.0.0.0:{port}")
    assert f"Open http://127.0.0.1:{port}/" in said
    assert "admin" in said
    assert (own_folder / "static" / "admin").is_dir()
    assert "password" not in run("prepare", "--listen", f"0.0.0.0:{port}")


def test_prepare_offers_a_model_server_that_runs_here(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LLM_BASE_URL = ""
    port = free_port()
    with ModelServer() as model:
        monkeypatch.setattr(prepare, "find_local_servers", found_at(model.port))
        said = run("prepare", "--listen", f"127.0.0.1:{port}")
        assert "Ollama answers on this machine. To use it: LLM_BASE_URL=" in said
        assert f"LLM_BASE_URL={model.base_url} LLM_MODEL=" in said
        settings.LLM_BASE_URL = model.base_url
        assert "Ollama" not in run("prepare", "--listen", f"127.0.0.1:{port}")


@pytest.mark.parametrize("code", [0, 1])
def test_prepare_installs_what_agents_with_files_lack(
    monkeypatch: pytest.MonkeyPatch, own_folder: Path, code: int
) -> None:
    install = own_folder / "install.sh"
    install.write_text(f'#!/bin/sh\necho "$@" > {own_folder}/asked\nexit {code}\n')
    install.chmod(0o755)
    monkeypatch.setattr(prepare, "INSTALL", install)
    assert "files" not in run("prepare", "--install")
    monkeypatch.setattr(registry, "lacking_packages", lambda: ["pilot"])
    said = run("prepare", "--install")
    assert "pilot has files" in said
    assert ("Going on without: pilot out of order." in said) == bool(code)
    assert (own_folder / "asked").read_text().split() == [sys.prefix, "rag"]


def found_at(port: int) -> Callable[..., list[LocalServer]]:
    """As `find_local_servers`, with one usual port."""
    return partial(find_local_servers, {port: "Ollama"})


def test_prepare_names_a_way_out_when_the_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"PORT={port + 1}"):
            run("prepare", "--listen", f"127.0.0.1:{port}")


def test_an_address_without_a_port_is_refused() -> None:
    with pytest.raises(CommandError, match="host:port"):
        prepare.split("localhost")
