"""Typed readers of the environment: a value that makes no sense stops the start."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

from django.core.exceptions import ImproperlyConfigured
from msgspec import Struct

from reasoning_site import addresses
from reasoning_site.addresses import Address

N = TypeVar("N", int, float)

MAX_WHOLE: Final = 2**31 - 1
MAX_SECONDS: Final = 30 * 24 * 60 * 60
POSTGRES_PORT: Final = 5432
SMTP_PORTS: Final = {"smtp": 25, "smtp+tls": 587, "smtps": 465}
_NAME: Final = r"[\w-]+(?:\.[\w-]+)*"
_IPV6: Final = r"\[[0-9a-fA-F:.]+\]"
_HOST: Final = re.compile(rf"\.?{_NAME}\.?|{_IPV6}")
_ORIGIN: Final = re.compile(rf"https?://(?:\*\.)?(?:{_NAME}|{_IPV6})(?::\d{{1,5}})?")
ENCODE: Final = (
    "special characters of a password are percent-encoded "
    "(# is %23, / is %2F, ? is %3F, @ is %40)"
)

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


def whole(
    name: str, default: int, *, at_least: int = 0, at_most: int = MAX_WHOLE
) -> int:
    """A whole number."""
    return _number(name, default, int, "a whole number", at_least, at_most)


def seconds(name: str, default: float, *, at_least: float = 0.05) -> float:
    """A time in seconds, fractions allowed."""
    kind = "a number of seconds"
    return _number(name, default, float, kind, at_least, MAX_SECONDS)


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
        return json.loads(text(name), parse_float=_finite, parse_constant=_finite)
    except ValueError:
        raise _nonsense(name, "JSON") from None


def _finite(text: str) -> float:
    """The number. Raises ValueError where it is none, or larger than any."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def path(name: str, default: Path) -> Path:
    """A file or folder; `~` is the home folder."""
    return Path(text(name, str(default))).expanduser().absolute()


def http_url(name: str) -> str:
    """An http or https address without a slash at its path's end, or nothing.

    It may have a query: `https://host/openai?api-version=2024-10-21`.
    """
    value = text(name)
    if not value:
        return ""
    address = _address(name, value, "an address such as http://localhost:11434/v1")
    if address.scheme not in {"http", "https"} or len(address.hosts) != 1:
        raise _nonsense(name, "an address such as http://localhost:11434/v1")
    base, has_query, query = value.partition("?")
    return base.rstrip("/") + has_query + query


def hosts(name: str, default: str) -> list[str]:
    """Names of hosts, `*` and `.example.com` among them, separated by commas."""
    found = words(name, default)
    for host in found:
        if host != "*" and not _HOST.fullmatch(host):
            raise _nonsense(name, "names of hosts, without scheme, port and path")
    return found


def origins(name: str) -> list[str]:
    """Origins such as `https://chat.example` or `https://*.example`."""
    found = words(name)
    for origin in found:
        if not _ORIGIN.fullmatch(origin):
            raise _nonsense(
                name, "origins such as https://chat.example, without a slash at the end"
            )
    return found


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
    _make_folder("DATA_DIR", file.parent)
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
    if not value:
        return _sqlite("DATA_DIR", sqlite_file)
    address = _address(name, value, "sqlite:////file or postgres://host/name")
    match address.scheme:
        case "sqlite" if not address.hosts:
            return _sqlite(name, Path(address.path or sqlite_file))
        case "postgres" | "postgresql":
            return _postgres(address, pool_size)
        case _:
            raise _nonsense(name, "sqlite:////file or postgres://host/name")


def direct_database(name: str) -> dict[str, Any] | None:
    """Django's description of a PostgreSQL database, without a pool; or None."""
    value = text(name)
    if not value:
        return None
    address = _address(name, value, "postgres://host/name")
    if address.scheme not in {"postgres", "postgresql"}:
        raise _nonsense(name, "postgres://host/name")
    described = _postgres(address, 1)
    del described["OPTIONS"]["pool"]
    return described


class MailServer(Struct, frozen=True):
    """Who sends the site's mail: Django's `smtp`, or `console`, which prints it."""

    backend: str
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    starts_tls: bool = False  # after a plain greeting
    is_tls: bool = False  # from the first byte


def mail_server(name: str, default: str = "") -> MailServer | None:
    """`smtp+tls://user:password@host:587` (STARTTLS), `smtps://` (TLS), `smtp://`.

    `console://` prints mail. None where there is none.
    """
    value = text(name, default)
    if not value:
        return None
    expected = "smtp+tls://user:password@host:587, smtps://… or smtp://…"
    address = _address(name, value, expected)
    if address.scheme == "console" and not address.hosts:
        return MailServer("console")
    if address.scheme not in SMTP_PORTS or len(address.hosts) != 1 or address.query:
        raise _nonsense(name, expected)
    (host, port) = address.hosts[0]
    return MailServer(
        "smtp",
        host,
        port or SMTP_PORTS[address.scheme],
        address.user,
        address.password,
        starts_tls=address.scheme == "smtp+tls",
        is_tls=address.scheme == "smtps",
    )


def _make_folder(name: str, folder: Path) -> None:
    """Make the folder that the setting leads to, where something is to be kept."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError):
        raise _nonsense(name, "a place where folders can be made") from None


def _sqlite(name: str, file: Path) -> dict[str, Any]:
    _make_folder(name, file.parent)
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


def _postgres(address: Address, pool_size: int) -> dict[str, Any]:
    extra = dict(address.query)
    # libpq takes several hosts, and then as many ports.
    host = ",".join(host for host, _ in address.hosts)
    ports = [port for _, port in address.hosts]
    port = ""
    if any(ports):
        port = ",".join(str(each or POSTGRES_PORT) for each in ports)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": address.path or extra.pop("dbname", "postgres"),
        "USER": address.user or extra.pop("user", ""),
        "PASSWORD": address.password or extra.pop("password", ""),
        "HOST": host or extra.pop("host", ""),
        "PORT": port or extra.pop("port", ""),
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
                # Then whoever asks for a connection has the pool try at once. By itself
                # it waits twice as long each time, so that the site would be away for
                # up to twice as long as PostgreSQL.
                "reconnect_timeout": 2,
            },
            **extra,
        },
    }


def redis_host(name: str) -> dict[str, Any] | None:
    """The host entry channels_redis wants, or None when there is no Redis.

    `redis://`, `rediss://` or `unix://`, or Sentinels:
    `sentinel://user:password@one:26379,[::1]:26379/master-name?db=0`. The credentials
    are those of the Redis that they watch over; their own are `sentinel_username` and
    `sentinel_password` in the query.
    """
    value = text(name)
    if not value:
        return None
    expected = "redis://host:6379/0 or sentinel://a:26379,b:26379/master"
    address = _address(name, value, expected)
    # A hung Redis may cost a publisher a second or two, not more.
    limits = {
        "socket_timeout": 2,
        "socket_connect_timeout": 1,
        "health_check_interval": 15,
    }
    match address.scheme:
        case "redis" | "rediss" if len(address.hosts) == 1:
            _database_number(name, address.path or address.query.get("db", "0"))
            return {"address": value, **limits}
        case "unix" if address.path and not address.hosts:
            _database_number(name, address.query.get("db", "0"))
            return {"address": value, **limits}
        case "sentinel" if address.hosts and address.path:
            return {**_sentinels(name, address, limits), **limits}
        case _:
            raise _nonsense(name, expected)


def _sentinels(name: str, address: Address, limits: dict[str, int]) -> dict[str, Any]:
    query = dict(address.query)
    if not all(port for _, port in address.hosts):
        raise _nonsense(name, "sentinels written as machine:port")
    own = {
        key: query.pop(f"sentinel_{key}")
        for key in ("username", "password")
        if f"sentinel_{key}" in query
    }
    host: dict[str, Any] = {
        "sentinels": address.hosts,
        "master_name": address.path,
        "sentinel_kwargs": {**limits, **own},
    }
    if address.user or address.password:
        host |= {"username": address.user or None, "password": address.password}
    if "db" in query:
        host["db"] = _database_number(name, query.pop("db"))
    if query:
        raise _nonsense(name, "db, sentinel_username, sentinel_password and no more")
    return host


def _database_number(name: str, value: str) -> int:
    if not value.isdecimal():
        raise _nonsense(name, "a whole number for the database")
    return int(value)


def _address(name: str, value: str, expected: str) -> Address:
    try:
        return addresses.parse(value)
    except ValueError:
        # From nothing: what was wrong with it may be a part of a password.
        raise _nonsense(name, f"{expected}; {ENCODE}") from None


def _number(
    name: str,
    default: N,
    read: Callable[[str], N],
    kind: str,
    at_least: float,
    at_most: int,
) -> N:
    value = text(name)
    if not value:
        return default
    try:
        number = read(value.replace("_", ""))
    except ValueError:
        raise _nonsense(name, kind) from None
    if not at_least <= number <= at_most:  # nor is NaN
        raise _nonsense(name, f"{kind}, from {at_least:g} to {at_most:,}")
    return number


def _nonsense(name: str, expected: str) -> ImproperlyConfigured:
    # The value is left out: it may hold a password.
    return ImproperlyConfigured(f"The setting {name} makes no sense: give {expected}.")
