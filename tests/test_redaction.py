"""What is secret is hidden, however it is cut; what people write stays as it is."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator
from html import escape
from typing import Any
from urllib.parse import quote

import pytest
from django.test import RequestFactory

from chat import redaction
from chat.redaction import (
    HIDDEN,
    Stream,
    known,
    redact,
    redact_error,
    secrets_in,
)
from reasoning_site.error_pages import Reporter

BASE64 = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEA"
OWN = "p8Qz_kfh/22-own"
FORMS = [
    ("sk-proj-a1b2c3d4e5f6g7h8i9j0", "sk-"),
    ("ghp_0123456789abcdefghijABCDEFGHIJ123456", "ghp_"),
    ("github_pat_0123456789abcdefghijABCDEFGHIJ", "github_pat_"),
    ("glpat-0123456789abcdefghij", "glpat-"),
    ("AKIAIOSFODNN7EXAMPLE", "AKIA"),
    ("AIzaSyA0123456789abcdefghijklmnopqrstu", "AIza"),
    ("xoxb-123456789012-abcdef", "xoxb-"),
    ("rst_0123456789abcdefghij-_ABCDEFGHIJ0123456", "rst_"),
    ("hf_abcdefghijklmnopqrstuvwxyzABCDEFGH", "hf_"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJ"),
    ("Bearer 0123456789abcdef-token", "Bearer "),
    ("Authorization: Bearer some-token-of-mine", "Authorization: "),
    ("authorization: Basic dXNlcjpwYXNzd29yZA==", "authorization: "),
    ('{"Authorization": "Bearer abcdefgh"}', '{"Authorization": "'),
    ("postgres://site:pw@db/site", "postgres://site:"),
    (
        f"-----BEGIN PRIVATE KEY-----\n{BASE64}\n{BASE64}\nAbc=\n"
        "-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----",
    ),
    (
        f"-----BEGIN RSA PRIVATE KEY-----\\n{BASE64}\\n{BASE64}",
        "-----BEGIN RSA PRIVATE KEY-----",
    ),
]
WORDS = [
    "The risk-averse task-2024-01-02-long-name-1234567 is a disk-1234567890123456789.",
    "sk-learn, sk-your-key-goes-here and sklearn are names; ghp_ is a prefix.",
    "A bearer of bad news: Bearer authentication-schemes are many.",
    "Authorization: the act of allowing. Authorization means: yes.",
    'headers = {"Authorization": f"Bearer {token}"}; "Bearer YOUR_TOKEN"',
    "Authorization: Bearer $TOKEN, Authorization: Bearer YOUR_API_KEY_1",
    "See https://example.org/a:b@c, mailto:a@b.c and http://127.0.0.1:8000/x@y",
    "It begins with -----BEGIN PRIVATE KEY----- and then comes the key, in base 64.",
    "AKIA is what the identifiers begin with; eyJ what tokens do. eyJ.a.b.",
    "Say ollama, EMPTY, password, postgres, lm-studio or 12345678 as you like.",
]


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "known", redaction._Known())
    own = [OWN, "EMPTY", "ollama", "password", "postgres", "lm-studio", "12345678"]
    redaction.known.learn(own)


@pytest.mark.parametrize(("secret", "kept"), FORMS)
def test_secrets_are_known_by_their_form(secret: str, kept: str) -> None:
    for before, after in (("", ""), ("say: ", ", he said"), ("(", ").")):
        shown = redact(f"{before}{secret}{after}")
        assert shown.startswith(f"{before}{kept}{HIDDEN}")
        assert shown.endswith(after)
        assert len(shown) < len(before) + len(kept) + len(HIDDEN) + len(after) + 9


@pytest.mark.parametrize("text", WORDS)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert redact(text) == text
    assert "".join(shown_in_pieces(text, [1] * len(text))) == text


@pytest.mark.parametrize(
    "written",
    [
        OWN,
        f"x{OWN}y",
        quote(OWN, safe=""),
        json.dumps({"key": OWN}),
        repr(OWN),
        f"redis://:{OWN}@h/0",
    ],
)
def test_an_own_secret_is_hidden_wherever_it_stands(written: str) -> None:
    assert OWN not in (shown := redact(written))
    assert "22" not in shown
    assert HIDDEN in shown


def shown_in_pieces(text: str, lengths: list[int]) -> Iterator[str]:
    """What is shown one after the other where a text comes in pieces so long."""
    stream, at = Stream(), 0
    for length in lengths:
        piece = text[at : at + length]
        if stream.may_show(piece):
            yield piece
        else:
            yield stream.feed(piece, text[:at][-1:])
        at += length
    yield stream.close()


@pytest.mark.parametrize("seed", range(20))
def test_however_a_text_is_cut_the_same_is_shown(seed: int) -> None:
    chance = random.Random(seed)
    parts = [secret for secret, _ in FORMS] + WORDS + [OWN, "\n", ". ", OWN[:7], "-"]
    text = " ".join(chance.choices(parts, k=12))
    lengths = [1] * len(text)
    if seed:
        lengths = [chance.randint(1, 9) for _ in text]
    shown = "".join(shown_in_pieces(text, lengths))
    # But for the first letters of what is known literally, where it is cut there.
    assert re.sub(r"p8?(?=\[secret)", "", shown) == redact(text)
    assert OWN[3:] not in shown


def shown_of(*pieces: str) -> str:
    return list(shown_in_pieces("".join(pieces), [len(piece) for piece in pieces]))[-2]


def test_no_more_is_held_back_than_could_begin_a_secret() -> None:
    assert shown_of("the end") == "the end"
    assert shown_of("it is a") == "it is a"
    assert shown_of(f"it is {OWN[:6]}") == f"it is {OWN[:2]}"
    assert shown_of("ask") == "ask"
    assert shown_of("a sk-") == "a sk"
    assert shown_of("a ta", "sk-") == "sk-"
    assert shown_of("ab\n-----BEGIN") == "ab\n--"
    assert shown_of("see https://example.org") == "see https://"
    assert shown_of("see https:/", "/ex", "ample.org/a") == "example.org/a"


def test_what_never_ends_is_not_held_for_ever() -> None:
    assert len(shown_of("eyJ" + "a" * redaction.MAX_HELD)) == redaction.MAX_HELD + 3


@pytest.mark.parametrize(
    "text",
    [
        "sk-" * 30_000,
        "sk-1" * 30_000,
        "eyJa-" * 30_000,
        "eyJa" * 30_000,
        "://" * 30_000,
        "-----BEGIN PRIVATE KEY-----\n" * 30_000,
        "-----BEGIN PRIVATE KEY-----" + "A" * 10**6,
        "authorization: " * 30_000,
        "Bearer " + "a" * 10**6,
        "ordinary words, no secret " * 40_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    began = time.perf_counter()
    redact(text)
    Stream().feed(text, "")
    assert time.perf_counter() - began < 1


def test_errors_lose_what_they_call_a_secret() -> None:
    assert redact_error("password=abc token: x") == (
        f"password={HIDDEN} token: {HIDDEN}"
    )


def test_settings_say_what_is_secret_by_name_and_address() -> None:
    settings: dict[str, Any] = {
        "SECRET_KEY": "one",
        "DATABASES": {"default": {"PASSWORD": "two", "NAME": "no"}},
        "REDIS": {"address": "redis://:three@h/0", "hosts": [("a", 1)]},
        "URL": "https://h/v1?api-key=four&version=no",
        "TOOLS": [{"mcpServers": {"x": {"env": {"GITHUB_TOKEN": "five"}}}}],
        "HEADERS": {"Authorization": "Bearer six"},
        "PASSWORD_HASHERS": ["no"],
    }
    found = ["one", "two", "three", "four", "five", "six"]
    assert list(secrets_in(settings)) == found


def fail(password: str) -> None:
    raise ValueError(f"cannot open redis://:{password}@h")


def test_pages_of_debug_show_no_secret(settings: Any) -> None:
    settings.DEBUG = True
    settings.SOME_ADDRESS = f"redis://:{OWN}@h/0"
    request = RequestFactory().get("/")
    cookie = "cookie&value-of-mine"
    request.COOKIES[settings.GUEST_COOKIE_NAME] = cookie
    local = {"jar": cookie}
    with pytest.raises(ValueError, match="cannot open") as raised:
        fail(OWN)
    reporter = Reporter(request, raised.type, raised.value, raised.tb)
    for page in (reporter.get_traceback_html(), reporter.get_traceback_text()):
        assert "SOME_ADDRESS" in page
        assert HIDDEN in page
        for secret in (OWN, escape(OWN), local["jar"], escape(cookie)):
            assert secret not in page


def test_the_site_knows_its_own_secrets_when_it_starts(settings: Any) -> None:
    assert settings.SECRET_KEY in known.own
