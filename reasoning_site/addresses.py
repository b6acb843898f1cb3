"""Addresses of databases and other servers, taken apart strictly.

`urllib.parse` takes what cannot be meant (a password with a `/` in it becomes a host),
knows one host only, and shows parts of a password in its errors. Here whatever is not
plainly an address is a ValueError without a word of it.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

MAX_PORT: Final = 65_535

_ADDRESS: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#]*)"
    r"(?P<path>/[^?#@]*)?(?:\?(?P<query>[^#@]*))?",
    re.IGNORECASE,
)
_HOST: Final = re.compile(
    r"(?P<host>[\w.%~-]+|\[(?P<ipv6>[0-9a-f:.]+(?:%\w+)?)\])(?::(?P<port>[0-9]{1,5}))?",
    re.IGNORECASE,
)


class Address(Struct, frozen=True):
    """The parts of an address, decoded. `path` has no slash before it."""

    scheme: str
    user: str
    password: str
    hosts: list[tuple[str, int | None]]
    path: str
    query: dict[str, str]


def parse(text: str) -> Address:
    """`scheme://user:password@host:port,host:port/path?name=value`.

    What is special (`# / ? @ [ ] %`) is percent-encoded where it is not meant so.
    Raises ValueError.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError("no address")
    credentials, has_user, machines = found["authority"].rpartition("@")
    if re.search(r"[\[\]\s]", credentials) or re.search(r"\s", text):
        raise ValueError("a sign that must be encoded")
    user, _, password = credentials.partition(":")
    if has_user and re.search(r"%(?![0-9a-fA-F]{2})", credentials):
        raise ValueError("a percent sign that must be encoded")
    return Address(
        found["scheme"].lower(),
        unquote(user),
        unquote(password),
        [_host(each) for each in machines.split(",")] if machines else [],
        unquote((found["path"] or "/")[1:]),
        _query(found["query"] or ""),
    )


def _host(text: str) -> tuple[str, int | None]:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError("no host")
    port = None if found["port"] is None else int(found["port"])
    if port is not None and not 0 < port <= MAX_PORT:
        raise ValueError("no port")
    return found["ipv6"] or unquote(found["host"]), port


def _query(text: str) -> dict[str, str]:
    pairs = {}
    for part in filter(None, text.split("&")):
        name, is_pair, value = part.partition("=")
        if not is_pair or not name:
            raise ValueError("no query")
        pairs[unquote(name)] = unquote(value)
    return pairs
