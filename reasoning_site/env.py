"""Typed readers of the environment: a value that makes no sense stops the start."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def text(name: str, default: str = "") -> str:
    """The variable as it is, without surrounding space; empty counts as unset."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, default: bool) -> bool:  # noqa: FBT001 - reads as a default
    """A yes or no."""
    value = text(name).lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    if value:
        raise _nonsense(name, "1 or 0 (also true/false, yes/no, on/off)")
    return default


def whole(name: str, default: int, *, at_least: int = 0) -> int:
    """A whole number."""
    return _number(name, default, int, "a whole number", at_least)


def seconds(name: str, default: float, *, at_least: float = 0.05) -> float:
    """A time in seconds, fractions allowed."""
    return _number(name, default, float, "a number of seconds", at_least)


def choice(name: str, default: str, allowed: Iterable[str]) -> str:
    """One of a few words."""
    value = text(name, default)
    if value not in (options := tuple(allowed)):
        raise _nonsense(name, "one of " + ", ".join(options))
    return value


def words(name: str, default: str = "") -> list[str]:
    """A list separated by commas."""
    return [word for part in text(name, default).split(",") if (word := part.strip())]


def tools(name: str) -> list[str | dict[str, Any]]:
    """Names separated by commas; or, in JSON, a list of names and objects, or one."""
    value = text(name)
    if not value.startswith(("[", "{")):
        return list(words(name))
    listed = _json(name)
    found = listed if isinstance(listed, list) else [listed]
    if not all(isinstance(each, str | dict) for each in found):
        raise _nonsense(name, "names, or a JSON list of names and objects")
    return found


def json_object(name: str) -> dict[str, Any]:
    """A JSON object; empty where there is none."""
    if not text(name):
        return {}
    value = _json(name)
    if not isinstance(value, dict):
        raise _nonsense(name, 'a JSON object such as {"temperature": 0.6}')
    return value


def _json(name: str) -> Any:
    try:
        return json.loads(text(name))
    except ValueError:
        raise _nonsense(name, "JSON") from None


def path(name: str, default: Path) -> Path:
    """A file or folder; `~` is the home folder."""
    return Path(text(name, str(default))).expanduser().absolute()


def http_url(name: str) -> str:
    """An http or https address without a slash at the end, or nothing."""
    value = text(name).rstrip("/")
    if value and (
        urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname
    ):
        raise _nonsense(name, "an address such as http://localhost:11434/v1")
    return value


def url_path(name: str) -> str:
    """A path such as /agents, without a slash at the end, or nothing."""
    value = text(name).rstrip("/")
    if value and not re.fullmatch(r"(/[\w.~-]+)+", value, re.ASCII):
        raise _nonsense(name, "a path such as /agents")
    return value


def secret(name: str, file: Path) -> str:
    """The variable, or else the content of `file`, which is made on first need."""
    if value := text(name):
        return value
    file.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and linked into place: two processes that start at the same
    # moment end up with one key, and nobody reads half of it.
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(50), encoding="ascii")
    try:
        file.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return file.read_text(encoding="ascii")


def database(name: str, sqlite_file: Path, pool_size: int) -> dict[str, Any]:
    """Django's description of the database that a URL names; SQLite if there is none.

    `sqlite:////absolute/file` or `postgres://user:password@host:5432/name`; what
    follows a `?` goes to PostgreSQL as it is (`sslmode=require`, `host=/a/socket`).
    """
    value = text(name)
    url = urlsplit(value)
    match url.scheme:
        case "":
            if value:
                raise _nonsense(name, "sqlite:////file or postgres://host/name")
            return _sqlite(sqlite_file)
        case "sqlite":
            return _sqlite(Path(unquote(url.path.removeprefix("/")) or sqlite_file))
        case "postgres" | "postgresql":
            return _postgres(value, pool_size)
        case _:
            raise _nonsense(name, "sqlite:////file or postgres://host/name")


def direct_database(name: str) -> dict[str, Any] | None:
    """Django's description of a PostgreSQL database, without a pool; or None."""
    value = text(name)
    if not value:
        return None
    if urlsplit(value).scheme not in {"postgres", "postgresql"}:
        raise _nonsense(name, "postgres://host/name")
    described = _postgres(value, 1)
    del described["OPTIONS"]["pool"]
    return described


def _sqlite(file: Path) -> dict[str, Any]:
    file.parent.mkdir(parents=True, exist_ok=True)
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": file,
        # A file in tests too: the threads of a server each have their connection.
        "TEST": {"NAME": file.with_name(f"test-{file.name}")},
        "OPTIONS": {
            # Writers queue at BEGIN instead of failing in the middle.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": (
                "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;"
                "PRAGMA busy_timeout=20000;PRAGMA mmap_size=134217728;"
                "PRAGMA journal_size_limit=27103364;PRAGMA cache_size=2000;"
            ),
        },
    }


def _postgres(value: str, pool_size: int) -> dict[str, Any]:
    url = urlsplit(value)
    extra = dict(parse_qsl(url.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(url.path.removeprefix("/")) or extra.pop("dbname", "postgres"),
        "USER": unquote(url.username or "") or extra.pop("user", ""),
        "PASSWORD": unquote(url.password or "") or extra.pop("password", ""),
        "HOST": unquote(url.hostname or "") or extra.pop("host", ""),
        "PORT": str(url.port or extra.pop("port", "")),
        # Under ASGI a connection kept per thread leaks; the pool keeps them instead.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 5,
            # A server that vanishes without a word: not 15 minutes, as TCP has it.
            "tcp_user_timeout": 10_000,  # milliseconds until what was sent is received
            "keepalives_idle": 10,  # seconds of silence, then
            "keepalives_interval": 3,
            "keepalives_count": 3,
            "pool": {
                "min_size": 1,
                "max_size": pool_size,
                "timeout": 5,
                "max_lifetime": 1800,
            },
            **extra,
        },
    }


def redis_host(name: str) -> dict[str, Any] | None:
    """The host entry channels_redis wants, or None when there is no Redis.

    `redis://`, `rediss://` or `unix://`, or Sentinels:
    `sentinel://one:26379,two:26379/master-name?db=0`.
    """
    value = text(name)
    if not value:
        return None
    # A hung Redis may cost a publisher a second or two, not more.
    patience = {
        "socket_timeout": 2,
        "socket_connect_timeout": 1,
        "health_check_interval": 15,
    }
    scheme, _, rest = value.partition("://")
    if scheme in {"redis", "rediss", "unix"} and rest:
        return {"address": value, **patience}
    if scheme == "sentinel" and rest:
        return {**_sentinels(name, rest), **patience}
    raise _nonsense(name, "redis://host:6379/0 or sentinel://a:26379,b:26379/master")


def _sentinels(name: str, rest: str) -> dict[str, Any]:
    addresses, _, tail = rest.rpartition("@")[2].partition("/")
    credentials = rest.rpartition("@")[0]
    master, _, query = tail.partition("?")
    if not master:
        raise _nonsense(name, "sentinel://a:26379,b:26379/master-name")
    host: dict[str, Any] = {"sentinels": [], "master_name": master}
    for address in addresses.split(","):
        machine, _, port = address.strip().rpartition(":")
        if not machine or not port.isdigit():
            raise _nonsense(name, "sentinels written as machine:port")
        host["sentinels"].append((machine, int(port)))
    if credentials:
        user, _, password = credentials.partition(":")
        host |= {"username": unquote(user) or None, "password": unquote(password)}
    if db := dict(parse_qsl(query)).get("db"):
        host["db"] = int(db)
    return host


def _number(
    name: str, default: T, read: Callable[[str], T], kind: str, at_least: float
) -> T:
    value = text(name)
    if not value:
        return default
    try:
        number = read(value.replace("_", ""))
    except ValueError as error:
        raise _nonsense(name, kind) from error
    if not float(number) >= at_least:  # type: ignore[arg-type]  # int or float; and NaN
        raise _nonsense(name, f"{kind}, at least {at_least:g}")
    return number


def _nonsense(name: str, expected: str) -> ImproperlyConfigured:
    # The value is left out: it may hold a password.
    return ImproperlyConfigured(f"The setting {name} makes no sense: give {expected}.")
