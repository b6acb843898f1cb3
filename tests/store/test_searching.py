"""Finding words whatever their case."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection

from chat import store
from chat.store import SessionChange
from tests.rows import (
    GUEST,
    STRANGER,
    answer,
    ask,
    claimed_run,
    finish,
    ids,
    is_postgresql,
)

pytestmark = pytest.mark.django_db


def test_search_looks_into_titles_prompts_and_answers() -> None:
    session_id = uuid4()
    claimed = claimed_run(session_id)
    answer(claimed.run, "secret reasoning", type_="thought")
    answer(claimed.run, "The answer is Forty-Two, 100% sure")
    finish(claimed.run)
    ask(session_id, prompt="And why so?")
    store.change_session(session_id, GUEST, SessionChange(title="Number question"))
    other = uuid4()
    ask(other, prompt="Something else")
    for query in ("number", "WHY SO", "forty-two", "100%"):
        assert ids(GUEST, query=query) == [session_id], query
    for query in ("secret", "_", "nothing of the kind"):
        assert ids(GUEST, query=query) == [], query
    assert ids(STRANGER, query="number") == []


@pytest.mark.parametrize("word", ["ÜBER", "über", "Über", "STRASSE NACH ÇEŞME"])
def test_search_knows_capitals_beyond_ascii(word: str) -> None:
    if is_postgresql() and not case_is_known():
        pytest.skip("this PostgreSQL's locale knows ASCII only")
    titled, prompted, answered = uuid4(), uuid4(), uuid4()
    text = "Die Größe der Strasse nach Çeşme, über alles"
    ask(titled, prompt="x")
    store.change_session(titled, GUEST, SessionChange(title=text))
    ask(prompted, prompt=f"x\n{text}")
    claimed = claimed_run(answered)
    answer(claimed.run, text)
    finish(claimed.run)
    ask(prompt="About something else")
    assert set(ids(GUEST, query=word)) == {titled, prompted, answered}
    assert ids(GUEST, query="ü%r") == []


def case_is_known() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT upper('ü') = 'Ü'")
        return bool(cursor.fetchone()[0])


def test_what_cannot_be_stored_is_not_found() -> None:
    session_id = uuid4()
    ask(session_id, prompt="Nothing of the kind")
    for query in ("\x00", "Noth\x00ing", "\ud800", "\ud83d"):
        assert ids(GUEST, query=query) == []
    assert ids(GUEST, query="nothing") == [session_id]
