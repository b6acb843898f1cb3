"""System checks: settings that cannot work together, each with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning as Doubt, register
from django.db import DatabaseError

from chat import store
from chat.agents import registry
from chat.work.leases import is_behind_a_pooler

Check = Callable[[], Iterable[CheckMessage]]

# File systems over a network, where SQLite's locks and shared memory do not hold.
NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone"}
)
MOUNTS: Final = Path("/proc/mounts")
LOCAL: Final = frozenset({"", "localhost", "127.0.0.1", "::1"})


def site_check(check: Check) -> Check:
    """Register `check` with Django."""

    def run(
        app_configs: Sequence[AppConfig] | None,
        **_kwargs: Any,
    ) -> list[CheckMessage]:
        return list(check())

    register(run, Tags.compatibility)
    return check


@site_check
def processes_share_a_channel_layer() -> Iterator[CheckMessage]:
    """The in-memory layer reaches one process only."""
    if settings.WEB_CONCURRENCY > 1 and not settings.REDIS_HOST:
        yield Error(
            f"WEB_CONCURRENCY is {settings.WEB_CONCURRENCY}, but the processes have no "
            "channel layer in common: viewers would see tokens seconds late.",
            hint="Set REDIS_URL to a Redis or Valkey server, or WEB_CONCURRENCY to 1.",
            id="chat.E001",
        )


@site_check
def agents_and_tools_are_there() -> Iterator[CheckMessage]:
    """A name that leads nowhere would be noticed by the first who asks."""
    for problem in registry.problems():
        yield Error(
            problem,
            hint="README and docs/agents.md say what these settings take.",
            id="chat.E006",
        )


@site_check
def sqlite_is_on_a_local_disk() -> Iterator[CheckMessage]:
    """SQLite in WAL mode needs shared memory: one machine, a local file system."""
    file = sqlite_file()
    if file is None:
        return
    kind = file_system(file, read_mounts())
    if kind in NETWORK_FILE_SYSTEMS:
        yield Error(
            f"The SQLite database lies on a network file system ({kind}), "
            "where it can be damaged.",
            hint="Set DATA_DIR to a local disk, or DATABASE_URL to PostgreSQL.",
            id="chat.E002",
        )


@site_check
def machines_share_a_database() -> Iterator[CheckMessage]:
    """A Redis elsewhere means several machines; a SQLite file is on one of them."""
    if sqlite_file() is not None and not redis_hosts() <= LOCAL:
        yield Doubt(
            "REDIS_URL names another machine, but the database is a SQLite file on "
            "this one: other machines would have other sessions.",
            hint="Set DATABASE_URL to PostgreSQL, or use a Redis on this machine.",
            id="chat.W001",
        )


def somebody_works(
    app_configs: Sequence[AppConfig] | None, **_kwargs: Any
) -> list[CheckMessage]:
    """Where processes serve pages only, others must run the agents."""
    if settings.ROLE != "web":
        return []
    try:
        if store.load().processes:
            return []
    except DatabaseError:
        return []  # it may be another machine's, or not be there yet
    return [
        Doubt(
            "ROLE is web, and no process runs agents: messages would wait for ever.",
            hint="Start `python manage.py work` somewhere, or leave ROLE unset.",
            id="chat.W007",
        )
    ]


register(somebody_works, Tags.compatibility, deploy=True)


@site_check
def machines_share_a_secret_key() -> Iterator[CheckMessage]:
    """A generated key is this machine's own."""
    if settings.SECRET_KEY_GENERATED and not redis_hosts() <= LOCAL:
        yield Doubt(
            "SECRET_KEY is not set, and REDIS_URL names another machine: each machine "
            "would generate a key of its own, and people be signed out at every turn.",
            hint="Set SECRET_KEY to one long random text on all machines.",
            id="chat.W002",
        )


@site_check
def hosts_are_known() -> Iterator[CheckMessage]:
    """Any host name lets other sites' pages in: the Origin check goes by it."""
    if "*" in settings.ALLOWED_HOSTS and not settings.DEBUG:
        yield Doubt(
            "ALLOWED_HOSTS is *: pages of any origin may open sockets here.",
            hint="List the names under which people reach this site.",
            id="chat.W003",
        )


@site_check
def takeover_waits_for_heartbeats() -> Iterator[CheckMessage]:
    """One late heartbeat must not cost a live process its runs."""
    if settings.TAKEOVER_SECONDS < 2 * settings.HEARTBEAT_SECONDS:
        yield Error(
            f"TAKEOVER_SECONDS ({settings.TAKEOVER_SECONDS:g}) is less than two "
            f"HEARTBEAT_SECONDS ({settings.HEARTBEAT_SECONDS:g}): live processes "
            "would take each other's runs.",
            hint="Leave both unset, or set TAKEOVER_SECONDS to three heartbeats.",
            id="chat.E003",
        )


@site_check
def model_server_is_complete() -> Iterator[CheckMessage]:
    """A model server needs its address and the model's name."""
    if settings.LLM_BASE_URL and not settings.LLM_MODEL:
        yield Error(
            "LLM_BASE_URL is set, but LLM_MODEL is not.",
            hint="Set LLM_MODEL to a name that the server knows, such as qwen3:8b.",
            id="chat.E004",
        )
    if settings.LLM_BASE_URL and urlsplit(settings.LLM_BASE_URL).path in {"", "/"}:
        yield Doubt(
            "LLM_BASE_URL has no path: most servers are found at one.",
            hint="End it in /v1, or in what the server's documents say.",
            id="chat.W008",
        )
    if not settings.LLM_BASE_URL and (settings.LLM_API_KEY or settings.LLM_MODEL):
        yield Doubt(
            "LLM_API_KEY or LLM_MODEL is set, but LLM_BASE_URL is not: "
            "the built-in model answers.",
            hint="Set LLM_BASE_URL to the server's address, such as "
            "http://localhost:11434/v1, or unset the others.",
            id="chat.W004",
        )


@site_check
def single_sign_on_is_complete() -> Iterator[CheckMessage]:
    """A provider has to know this site, and nobody else may read what it says."""
    issuer, client_id = settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID
    if bool(issuer) != bool(client_id):
        yield Error(
            "Of OIDC_ISSUER and OIDC_CLIENT_ID one is set, but not the other.",
            hint="Set both, and OIDC_CLIENT_SECRET, to what the provider gave you.",
            id="chat.E007",
        )
    address = urlsplit(issuer)
    if address.scheme == "http" and address.hostname not in LOCAL:
        yield Doubt(
            "OIDC_ISSUER begins with http: who is between the site and the provider "
            "could come in as anybody.",
            hint="Use its https address.",
            id="chat.W009",
        )


@site_check
def model_file_exists() -> Iterator[CheckMessage]:
    """The file named for the built-in model is there."""
    name = settings.BUILTIN_MODEL_PATH
    if name and not Path(name).expanduser().is_file():
        yield Error(
            f"BUILTIN_MODEL_PATH names no file: {name}",
            hint="Give the path of a GGUF file, or unset it for the model that "
            "was installed with the site.",
            id="chat.E005",
        )


@site_check
def pool_serves_every_thread() -> Iterator[CheckMessage]:
    """Each thread that talks to PostgreSQL holds a connection of the pool."""
    if sqlite_file() is None and settings.DATABASE_POOL_SIZE < MIN_POOL:
        yield Doubt(
            f"DATABASE_POOL_SIZE is {settings.DATABASE_POOL_SIZE}: the threads of "
            "one process will wait for each other.",
            hint=f"At least {MIN_POOL} are of use; 16 is the default.",
            id="chat.W005",
        )


MIN_POOL: Final = (
    12  # the threads of chat/store/database.py, the journal's, and a request's
)


def deaths_are_noticed_at_once(
    app_configs: Sequence[AppConfig] | None,
    **_kwargs: Any,
) -> list[CheckMessage]:
    """Behind a connection pooler a lock outlives its owner. Asks PostgreSQL."""
    if sqlite_file() is not None:
        return []
    try:
        is_pooled = is_behind_a_pooler()
    except DatabaseError:
        return []  # whatever comes next says that it cannot be reached
    if not is_pooled:
        return []
    doubt = Doubt(
        "A connection pooler is between the site and PostgreSQL: that a process has "
        f"died is noticed only after TAKEOVER_SECONDS ({settings.TAKEOVER_SECONDS:g}).",
        hint="Set LEASE_DATABASE_URL to the same database's address past the pooler.",
        id="chat.W006",
    )
    return [doubt]


register(deaths_are_noticed_at_once, Tags.compatibility, deploy=True)


def sqlite_file() -> Path | None:
    """The database's file, or None on PostgreSQL."""
    database = settings.DATABASES["default"]
    is_sqlite = database["ENGINE"].endswith("sqlite3")
    return Path(database["NAME"]) if is_sqlite else None


def redis_hosts() -> set[str]:
    """The machines that REDIS_URL names."""
    host = settings.REDIS_HOST
    if not host:
        return set()
    if "sentinels" in host:
        return {machine for machine, _ in host["sentinels"]}
    return {urlsplit(host["address"]).hostname or ""}


def read_mounts() -> list[tuple[Path, str]]:
    """Mount points of this machine with their kinds; empty where there is no /proc."""
    if not MOUNTS.exists():
        return []
    lines = (line.split() for line in MOUNTS.read_text("utf-8").splitlines())
    return [(Path(where.replace("\\040", " ")), kind) for _, where, kind, *_ in lines]


def file_system(file: Path, mounts: Iterable[tuple[Path, str]]) -> str:
    """The kind of file system that `file` is on: that of its deepest mount point."""
    above = [m for m in mounts if file.resolve().is_relative_to(m[0])]
    return max(above, key=lambda m: len(m[0].parts), default=(Path("/"), ""))[1]
