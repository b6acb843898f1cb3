"""A site with known secrets, and agents that give away all they can: nothing leaves."""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import quote

import psycopg
import redis
from psycopg import sql
from websockets.asyncio.client import connect

from tests.client import Person
from tests.conftest import StartSite
from tests.model_server import ModelServer
from tests.servers import Databases, Site, Valkey

MODEL_KEY: Final = "a-key/of=the models"
DATABASE_PASSWORD: Final = "database p@ss&word"
REDIS_PASSWORD: Final = "redis-pass-0815"
SECRET_KEY: Final = "the-secret-key-of-this-site-0123456789-abcdefghijklmn"
# Of others: what a model and a tool say.
TOKEN: Final = "ghp_0123456789abcdefghijABCDEFGHIJ123456"
BEARER: Final = "0123456789-abcdef-of-a-service"
SECRETS: Final = (
    *(MODEL_KEY, DATABASE_PASSWORD, REDIS_PASSWORD, SECRET_KEY),
    *(TOKEN[4:], BEARER),
)
SAID: Final = f"{MODEL_KEY} {TOKEN} Authorization: Bearer {BEARER}\n{SECRET_KEY} end"


def call(how: str) -> dict[str, Any]:
    arguments = {"how": how, "key": f"{TOKEN} {SECRET_KEY}"}
    return {"call": {"name": "leaky", "arguments": arguments, "piece": 3}}


SCENARIOS: Final[dict[str, Any]] = {
    "said": {
        "rounds": [
            {"actions": [{"reasoning": SAID, "piece": 1}, call("told")]},
            {"actions": [{"text": SAID, "piece": 5}, call("refused")]},
            {"actions": [call("broken")]},
            {"actions": [{"text": f"{SAID} {{result}}", "piece": 1}]},
        ]
    },
    "refused": {
        "rounds": [
            {"actions": [{"status": 401, "body": {"error": f"no: {SAID}"}}]},
        ]
    },
    "broken": {
        "rounds": [
            {"actions": [{"text": "Well"}, {"event": {"error": {"message": SAID}}}]}
        ]
    },
}


def written(secret: str) -> set[str]:
    """As it stands in texts, addresses and JSON."""
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}


def found_in(text: str) -> list[str]:
    return [secret for secret in SECRETS for form in written(secret) if form in text]


async def frames_of(site: Site, person: Person, scenario: str) -> str:
    """All that a socket gets until the answer has ended, as it is sent."""
    session_id = "00000000-0000-4000-8000-" + scenario.encode().hex().zfill(12)[:12]
    async with connect(
        site.ws_url(session_id), additional_headers={"Cookie": person.cookie}
    ) as socket:
        subscribe = {"type": "subscribe", "payload": {"protocol": 2}}
        ask = {"type": "chat", "payload": {"message": f"[scenario {scenario}]"}}
        await socket.send(json.dumps(subscribe))
        await socket.send(json.dumps(ask))
        text = ""
        while "run_finished" not in text:
            text += str(await socket.recv())
        return text


def dump(url: str) -> str:
    """Every row of every table but that of the cookie sessions."""
    with psycopg.connect(url) as database:
        tables = database.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = 'public' AND table_name <> 'django_session'"
        ).fetchall()
        return "\n".join(
            str(row)
            for (table,) in tables
            for row in database.execute(
                sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
            )
        )


async def test_no_secret_is_in_frames_logs_rows_and_pages(
    start_site: StartSite, own_valkey: Valkey, databases: Databases
) -> None:
    url = databases.new("postgresql")
    redis.Redis(port=own_valkey.port).config_set("requirepass", REDIS_PASSWORD)
    with ModelServer() as model:
        for name, scenario in SCENARIOS.items():
            model.add(name, scenario)
        site = start_site(
            DATABASE_URL=url.replace("@", f":{quote(DATABASE_PASSWORD)}@", 1),
            REDIS_URL=own_valkey.url.replace("//", f"//:{REDIS_PASSWORD}@"),
            SECRET_KEY=SECRET_KEY,
            LLM_BASE_URL=model.base_url,
            LLM_MODEL="hello",
            LLM_API_KEY=MODEL_KEY,
            EXTRA_TOOLS="tests.agents.leaky.Leaky",
            LOG_LEVEL="DEBUG",
        )
        person = Person(site.url)
        frames = [await frames_of(site, person, name) for name in SCENARIOS]
        tools = [r["request"]["messages"][-1]["content"] for r in model.requests()]
        assert model.requests()[0]["authorization"] == f"Bearer {MODEL_KEY}"
    ends = re.findall(r'"reason":"(\w+)"', "".join(frames))
    assert ends == ["answered", "failed", "failed"]
    assert "[secret]" in frames[0]
    assert SECRET_KEY in tools[1]  # what the model is told is what the tool said
    pages = [
        person.open(f"{site.url}/chat/{session_id}")
        for (session_id,) in site.rows("SELECT id FROM chat_session")
    ] + admin_pages(site)
    for text in (*frames, *pages, dump(url), site.log_text):
        assert text
        assert found_in(text) == []
    for cookie in person.cookies.values():
        assert cookie not in dump(url) + site.log_text + "".join(frames)


def admin_pages(site: Site) -> list[str]:
    """What a superuser sees of the chats."""
    site.add_user("root", "not a secret here", is_superuser=True)
    root = Person(site.url)
    root.open(f"{site.url}/sign-in")
    root.submit(f"{site.url}/sign-in", username="root", password="not a secret here")
    kinds = (("session", "chat_session"), ("run", "chat_run"))
    pages = [
        root.open(f"{site.url}/admin/chat/{kind}/{number}/change/")
        for kind, table in kinds
        for (number,) in site.rows(f"SELECT id FROM {table}")  # noqa: S608
    ]
    assert all('class="transcript"' in page for page in pages)
    return pages
