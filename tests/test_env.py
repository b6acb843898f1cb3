"""The readers of the environment: typed, with defaults, loud on nonsense."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from reasoning_site import env

NAME = "SOME_SETTING"
SQLITE_FILE = Path("/tmp/db.sqlite3")  # noqa: S108 - never opened


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda value: monkeypatch.setenv(NAME, value)


def test_unset_and_empty_mean_the_default(given: Callable[[str], None]) -> None:
    for _ in range(2):
        assert env.text(NAME, "x") == "x"
        assert env.flag(NAME, default=True) is True
        assert env.whole(NAME, 7) == 7
        assert env.seconds(NAME, 1.5) == 1.5
        assert env.words(NAME, "a, b,") == ["a", "b"]
        assert env.http_url(NAME) == ""
        assert env.url_path(NAME) == ""
        assert env.redis_host(NAME) is None
        given("  ")


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("Yes", True), ("off", False), ("0", False)]
)
def test_flag(value: str, expected: bool, given: Callable[[str], None]) -> None:  # noqa: FBT001
    given(value)
    assert env.flag(NAME, default=not expected) is expected


def test_numbers(given: Callable[[str], None]) -> None:
    given("200_000")
    assert env.whole(NAME, 1) == 200_000
    given("0.25")
    assert env.seconds(NAME, 1) == 0.25


def test_path_knows_home(given: Callable[[str], None]) -> None:
    given("~/site")
    assert env.path(NAME, Path("/x")) == Path.home() / "site"


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda: env.flag(NAME, default=True), "maybe"),
        (lambda: env.whole(NAME, 1), "many"),
        (lambda: env.whole(NAME, 1), "-1"),
        (lambda: env.whole(NAME, 1, at_least=1), "0"),
        (lambda: env.whole(NAME, 1), "1.5"),
        (lambda: env.seconds(NAME, 1), "nan"),
        (lambda: env.seconds(NAME, 1), "0"),
        (lambda: env.choice(NAME, "a", ("a", "b")), "c"),
        (lambda: env.http_url(NAME), "otherhost:11434"),
        (lambda: env.http_url(NAME), "ftp://host/"),
        (lambda: env.database(NAME, SQLITE_FILE, 4), "sqlite:////dev/null/x/db"),
        (lambda: env.url_path(NAME), "our/agents"),
        (lambda: env.url_path(NAME), "/a b"),
        (lambda: env.url_path(NAME), "/a?b"),
        (lambda: env.url_path(NAME), "//host"),
        (lambda: env.url_path(NAME), "https://a.example/b"),
        (lambda: env.redis_host(NAME), "otherhost:6379"),
        (lambda: env.redis_host(NAME), "sentinel://a:1,b:2"),
        (lambda: env.redis_host(NAME), "sentinel://a,b/master"),
        (lambda: env.database(NAME, SQLITE_FILE, 4), "mysql://host/x"),
        (lambda: env.database(NAME, SQLITE_FILE, 4), "/some/file"),
    ],
)
def test_nonsense_stops_the_start_and_shows_no_value(
    read: Callable[[], object], value: str, given: Callable[[str], None]
) -> None:
    given(value)
    with pytest.raises(ImproperlyConfigured, match=NAME) as failure:
        read()
    if len(value) > 3:
        assert value not in str(failure.value)


@pytest.mark.parametrize("folder", ["/dev/null/data", "/tmp/" + "a" * 5000])  # noqa: S108
def test_a_data_folder_that_cannot_be_made_is_named_where_it_is_needed(
    folder: str, given: Callable[[str], None]
) -> None:
    given("")
    for read in (
        lambda: env.secret(NAME, Path(folder, "key")),
        lambda: env.database(NAME, Path(folder, "db"), 4),
    ):
        with pytest.raises(ImproperlyConfigured, match="DATA_DIR"):
            read()
    given("a key")
    assert env.secret(NAME, Path(folder, "key")) == "a key"


def test_url_path_loses_its_last_slash(given: Callable[[str], None]) -> None:
    given("/our/agents/")
    assert env.url_path(NAME) == "/our/agents"


def test_http_url_loses_its_last_slash(given: Callable[[str], None]) -> None:
    given("http://localhost:11434/v1/")
    assert env.http_url(NAME) == "http://localhost:11434/v1"


def test_choice(given: Callable[[str], None]) -> None:
    given("b")
    assert env.choice(NAME, "a", ("a", "b")) == "b"


def test_sqlite_is_the_default_and_can_be_named(
    tmp_path: Path, given: Callable[[str], None]
) -> None:
    file = tmp_path / "deep" / "db.sqlite3"
    assert env.database(NAME, file, 4)["NAME"] == file
    assert file.parent.is_dir()
    given(f"sqlite:///{tmp_path}/other.sqlite3")
    database = env.database(NAME, file, 4)
    assert database["NAME"] == tmp_path / "other.sqlite3"
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_postgres_url(given: Callable[[str], None]) -> None:
    given("postgres://me:p%40ss@db.example:5433/site?sslmode=require")
    database = env.database(NAME, SQLITE_FILE, 12)
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["USER"], database["PASSWORD"]) == ("me", "p@ss")
    assert (database["HOST"], database["PORT"]) == ("db.example", "5433")
    assert database["NAME"] == "site"
    assert database["CONN_MAX_AGE"] == 0
    assert database["OPTIONS"]["sslmode"] == "require"
    assert database["OPTIONS"]["pool"]["max_size"] == 12


def test_a_postgres_that_vanishes_without_a_word_is_not_waited_for_long(
    given: Callable[[str], None],
) -> None:
    given("postgres://db.example/site?keepalives_idle=60")
    options = env.database(NAME, SQLITE_FILE, 12)["OPTIONS"]
    assert options["tcp_user_timeout"] <= 15_000  # milliseconds
    assert options["keepalives_interval"] * options["keepalives_count"] <= 15
    assert options["keepalives_idle"] == "60"  # who asks for more patience gets it
    given("postgres://db.example/site")
    assert env.database(NAME, SQLITE_FILE, 12)["OPTIONS"]["keepalives_idle"] <= 15


def test_postgres_by_socket(given: Callable[[str], None]) -> None:
    given("postgresql:///site?host=/run/postgresql&user=me")
    database = env.database(NAME, SQLITE_FILE, 12)
    assert (database["HOST"], database["USER"]) == ("/run/postgresql", "me")
    assert "host" not in database["OPTIONS"]


def test_redis_is_never_waited_for_long(given: Callable[[str], None]) -> None:
    given("redis://localhost:6379/1")
    host = env.redis_host(NAME)
    assert host is not None
    assert host["address"] == "redis://localhost:6379/1"
    assert host["socket_timeout"] <= 2


def test_sentinels(given: Callable[[str], None]) -> None:
    given("sentinel://me:s3@one:26379,two:26380/master?db=2")
    host = env.redis_host(NAME)
    assert host is not None
    assert host["sentinels"] == [("one", 26379), ("two", 26380)]
    assert (host["master_name"], host["db"]) == ("master", 2)
    assert (host["username"], host["password"]) == ("me", "s3")


def test_secret_is_made_once_for_its_owner_only(
    tmp_path: Path, given: Callable[[str], None]
) -> None:
    file = tmp_path / "data" / "secret-key.txt"
    secret = env.secret(NAME, file)
    assert len(secret) >= 50
    assert env.secret(NAME, file) == secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]
    given("mine")
    assert env.secret(NAME, file) == "mine"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        ("a, b", ["a", "b"]),
        ('["a", {"name": "b"}]', ["a", {"name": "b"}]),
        ('{"mcpServers": {}}', [{"mcpServers": {}}]),
    ],
)
def test_tools_are_names_or_json(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: list[object]
) -> None:
    monkeypatch.setenv("TOOLS", value)
    assert env.tools("TOOLS") == expected


@pytest.mark.parametrize("value", ["[1]", "[", "{]", '["a"'])
def test_tools_that_are_neither_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("TOOLS", value)
    with pytest.raises(ImproperlyConfigured, match="TOOLS"):
        env.tools("TOOLS")


@pytest.mark.parametrize("value", ["[1]", "7", "temperature=1", "{"])
def test_options_are_a_json_object(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OPTIONS", '{"temperature": 0.6}')
    assert env.json_object("OPTIONS") == {"temperature": 0.6}
    monkeypatch.delenv("OPTIONS")
    assert env.json_object("OPTIONS") == {}
    monkeypatch.setenv("OPTIONS", value)
    with pytest.raises(ImproperlyConfigured, match="OPTIONS"):
        env.json_object("OPTIONS")


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (
            lambda: env.database(NAME, SQLITE_FILE, 4),
            [
                "postgres://u:pa#ss@db.internal/site",
                "postgres://u:pa?ss@db.internal/site",
                "postgres://u:pa/ss@db.internal/site",
                "postgres://u:pa[ss@db.internal/site",
                "postgres://u:pa]ss@db.internal/site",
                "postgres://u:pa%ss@db.internal/site",
                "postgres://u:12/pass@db.internal/site",
                "postgres://u:12?pass@db.internal/site",
                "postgres://u:pa ss@db.internal/site",
                "postgres://u:pass@db.internal:99999/site",
                "postgres://u:pass@db.internal:0/site",
                "postgres://u:pass@db.internal:port/site",
                "postgres://u:pass@db1:5432,db2:x/site",
                "postgres://u:pass@[::1/site",
                "postgres://u:pass@db/site?sslmode",
            ],
        ),
        (
            lambda: env.redis_host(NAME),
            [
                "redis://:sec#ret@h:6379/0",
                "redis://:sec/ret@h:6379/0",
                "redis://:secret@h:70000/0",
                "redis://:secret@h:6379/zero",
                "redis://:secret@h:6379?db=x",
                "redis://a:1,b:2/0",
                "unix://",
                "sentinel://a:26379/m?db=x",
                "sentinel://:secret@a:26379/m?sentinel_pasword=hunter2",
                "sentinel://:sec#ret@a:26379/m",
            ],
        ),
        (
            lambda: env.http_url(NAME),
            [
                "http://[::1",
                "http://h:port/v1",
                "http://h:99999/v1",
                "https://user:pa#ss@host/v1",
                "https://a,b/v1",
            ],
        ),
        (
            lambda: env.hosts(NAME, ""),
            ["https://chat.example", "chat.example/", "chat.example:443", "a b"],
        ),
        (
            lambda: env.origins(NAME),
            ["https://own.site/", "own.site", "https://a.b/c", "https://*"],
        ),
        (
            lambda: env.mail_server(NAME),
            ["mail.example:25", "http://u:pass@mail", "smtp://a,b", "smtp://u:p#ss@m"],
        ),
        (
            lambda: env.seconds(NAME, 1),
            ["inf", "1e999", "-inf", "nan", "1e30", "-1e30", "2592001", "1e-9"],
        ),
        (
            lambda: env.whole(NAME, 1),
            ["1e30", "9" * 400, "9" * 5000, "-9", "2147483648", "0x10"],
        ),
        (lambda: env.whole(NAME, 1, at_most=65_535), ["70000"]),
        (
            lambda: env.json_object(NAME),
            ['{"temperature": 1e999}', '{"top_p": -1e999}', '{"a": [NaN]}'],
        ),
    ],
)
def test_addresses_that_cannot_be_meant_stop_the_start_without_a_secret(
    read: Callable[[], object], values: list[str], given: Callable[[str], None]
) -> None:
    for value in values:
        given(value)
        with pytest.raises(ImproperlyConfigured, match=NAME) as failure:
            read()
        # Nothing of it, nor in what a traceback would show.
        assert failure.value.__cause__ is None
        told = str(failure.value).replace("percent", "").replace("pass", "")
        assert "ss@" not in told
        assert "hunter" not in told
        assert value not in told


def test_several_postgresql_hosts_are_libpq_s_business(
    given: Callable[[str], None],
) -> None:
    given("postgres://u:p%2Fw@db1:5432,db2:5433/site?target_session_attrs=read-write")
    database = env.database(NAME, SQLITE_FILE, 4)
    assert database["HOST"] == "db1,db2"
    assert database["PORT"] == "5432,5433"
    assert database["PASSWORD"] == "p/w"
    assert database["OPTIONS"]["target_session_attrs"] == "read-write"
    given("postgres://u@db1,db2:6432/site")
    assert env.database(NAME, SQLITE_FILE, 4)["PORT"] == "5432,6432"
    given("postgres://u@[::1]:5432/site")
    assert env.database(NAME, SQLITE_FILE, 4)["HOST"] == "::1"


def test_sentinels_have_credentials_of_their_own(given: Callable[[str], None]) -> None:
    given("sentinel://:s3@[::1]:26379,two:26380/master?sentinel_password=s%23&db=1")
    host = env.redis_host(NAME)
    assert host is not None
    assert host["sentinels"] == [("::1", 26379), ("two", 26380)]
    assert host["password"] == "s3"
    assert host["sentinel_kwargs"]["password"] == "s#"
    assert host["db"] == 1


def test_a_base_address_may_have_a_query(given: Callable[[str], None]) -> None:
    given("https://me.openai.azure.com/openai/deployments/x/?api-version=2024-10-21")
    assert env.http_url(NAME) == (
        "https://me.openai.azure.com/openai/deployments/x?api-version=2024-10-21"
    )


def test_hosts_and_origins_as_people_write_them(given: Callable[[str], None]) -> None:
    given("localhost, 127.0.0.1,[::1],.example.com,*")
    assert len(env.hosts(NAME, "")) == 5
    given("https://chat.example, http://localhost:3000,https://*.example.com")
    assert len(env.origins(NAME)) == 3


def test_mail_goes_by_whom_the_address_names(given: Callable[[str], None]) -> None:
    given("")
    assert env.mail_server(NAME) is None
    assert env.mail_server(NAME, "console://") == env.MailServer("console")
    given("smtp+tls://ada%40a.example:p%2Fw@mail.example")
    assert env.mail_server(NAME) == env.MailServer(
        "smtp", "mail.example", 587, "ada@a.example", "p/w", starts_tls=True
    )
    given("smtps://mail.example:2465")
    server = env.mail_server(NAME)
    assert server == env.MailServer("smtp", "mail.example", 2465, is_tls=True)
