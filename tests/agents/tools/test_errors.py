"""What is said of exceptions: their kind and message, nothing of the server's."""

from __future__ import annotations

import time

import pytest

from chat.agents.tools.errors import MAX_CHARS, cleaned, kind_and_message


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("No such city: Oz", "No such city: Oz"),
        ("cannot open /srv/site/data/db.sqlite3", "cannot open …"),
        ("'/home/ada/a b' and ~/x/y.py", "'… b' and …"),
        (r"C:\Users\ada\key.pem is missing", "… is missing"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("redis://:hunter2@db/0 refused", "redis://:[secret]@db/0 refused"),
        ("401 Authorization: Bearer sk-123", "401 Authorization: [secret]"),
        ("api_key=sk-123 is wrong", "api_key=[secret] is wrong"),
        ("1/2 and/or 3", "1/2 and/or 3"),
        ("a\n\n  b", "a b"),
        ('Traceback (most recent call last):\n  File "/x/y.py", line 3\nKeyError', ""),
        ("x" * 400, "x" * (MAX_CHARS - 1) + "…"),
    ],
)
def test_paths_secrets_and_tracebacks_are_left_out(message: str, said: str) -> None:
    assert cleaned(message) == said


def test_the_kind_of_an_error_is_said_also_without_a_message() -> None:
    assert kind_and_message(KeyError()) == "KeyError"
    assert kind_and_message(ValueError("no")) == "ValueError: no"


@pytest.mark.parametrize("text", ["/a" * 50_000, "a/" * 50_000, "C:\\" * 30_000])
def test_no_message_takes_long_to_be_cleaned(text: str) -> None:
    began = time.perf_counter()
    assert len(cleaned(text)) <= MAX_CHARS
    assert time.perf_counter() - began < 0.5
