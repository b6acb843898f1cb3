"""The admin: everything can be found and read, nothing changed, nothing trusted."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from chat import store
from chat.log.batches import make_batch, write
from chat.models import AuditEntry, Process, Run, Session, Step
from chat.store import Identity
from chat.wire.protocol import Failure, RunFinished
from chat.wire.transcript import digest
from tests.rows import ask, running_run

pytestmark = pytest.mark.django_db

HOSTILE = '</pre><script>alert(1)</script><img src=x onerror="alert(1)">'
SESSIONS = "/admin/chat/session/"
RUNS = "/admin/chat/run/"
USERS = "/admin/auth/user/"
AUDIT = "/admin/chat/auditentry/"


@pytest.fixture
def run(admin_user: User) -> Run:
    """A finished run with four steps, full of markup."""
    run = running_run(who=Identity(admin_user.pk, ""))
    for number, (type_, text) in enumerate(
        [
            ("thought", f"Hm {HOSTILE}"),
            ("tool_use", f'{{"expression": "{HOSTILE}"}}'),
            ("tool_result", f"2 {HOSTILE}"),
            ("final_answer", f"The answer is Forty-Two {HOSTILE}"),
        ]
    ):
        Step.objects.create(
            run=run,
            step=number,
            seq=number + 3,
            type=type_,
            iteration=1,
            content=text,
            tool_name=HOSTILE[:50] if type_.startswith("tool") else "",
            status="ok",
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
            duration_ms=1,
            digest=digest(text),
        )
    Run.objects.filter(id=run.pk).update(prompt=f"What? {HOSTILE}")
    Session.objects.filter(id=run.session_id).update(title=f"Title {HOSTILE}")
    run.refresh_from_db()
    with transaction.atomic():
        end = RunFinished(
            reason="failed",
            duration_ms=1500,
            error=Failure("internal", HOSTILE, retryable=True),
        )
        write([make_batch(run.pk, run.epoch, run.last_seq, [end])])
    return run


def page(client: Client, path: str, query: dict[str, str] | None = None) -> str:
    answer: Any = client.get(path, query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def found(client: Client, path: str, **query: str) -> int:
    answer: Any = client.get(path, query)
    assert answer.status_code == 200, answer.headers
    return int(answer.context["cl"].result_count)


def test_sessions_and_runs_are_listed(admin_client: Client, run: Run) -> None:
    sessions = page(admin_client, SESSIONS)
    assert "Title " in sessions
    assert ">admin</td>" in sessions
    runs = page(admin_client, RUNS)
    assert "1.5 s" in runs
    assert "What? " in runs


def test_a_guests_key_is_a_secret(admin_client: Client) -> None:
    session = running_run(who=Identity(None, "very-secret-key")).session
    for path in (SESSIONS, f"{SESSIONS}{session.pk}/change/", RUNS):
        assert "very-secret-key" not in page(admin_client, path)


@pytest.mark.parametrize(
    ("words", "path", "count"),
    [
        ("title", SESSIONS, 1),
        ("WHAT?", SESSIONS, 1),
        ("forty-two", SESSIONS, 1),
        ("forty-two title", SESSIONS, 1),
        ("forty-two nothing", SESSIONS, 0),
        ("what?", RUNS, 1),
        ("forty-two", RUNS, 1),
        ("nothing", RUNS, 0),
        ("100%", RUNS, 0),
        ("' OR 1=1 --", RUNS, 0),
    ],
)
def test_search_finds_titles_prompts_and_answers(
    admin_client: Client, run: Run, words: str, path: str, count: int
) -> None:
    ask()
    assert found(admin_client, path, q=words) == count


def test_search_finds_a_session_by_its_id(admin_client: Client, run: Run) -> None:
    ask()
    assert found(admin_client, SESSIONS, q=str(run.session_id)) == 1


@pytest.mark.parametrize(
    ("path", "query", "count"),
    [
        (SESSIONS, {"agent_name": "researcher"}, 2),
        (SESSIONS, {"agent_name": "assistant"}, 0),
        (SESSIONS, {"runs__status__exact": "finished"}, 1),
        (SESSIONS, {"runs__reason__exact": "failed"}, 1),
        (SESSIONS, {"runs__reason__exact": "answered"}, 0),
        (SESSIONS, {"updated_at__year": "2000"}, 0),
        (SESSIONS, {"deleted_at__isempty": "1"}, 2),
        (RUNS, {"status__exact": "queued"}, 1),
        (RUNS, {"reason__exact": "failed"}, 1),
        (RUNS, {"agent_name": "researcher"}, 2),
        (RUNS, {"created_at__year": "2000"}, 0),
    ],
)
def test_filters_narrow_the_list(
    admin_client: Client, run: Run, path: str, query: dict[str, str], count: int
) -> None:
    ask()
    assert found(admin_client, path, **query) == count


@pytest.mark.parametrize(
    "lookup",
    [
        *("guest_key__startswith", "guest_key", "guest_key__exact", "guest_key__gt"),
        *("owner__password__startswith", "owner__session__guest_key", "title__regex"),
        *("runs__session__guest_key__startswith", "agent_name__startswith"),
    ],
)
def test_nothing_can_be_guessed_letter_by_letter(
    admin_client: Client, lookup: str
) -> None:
    session = running_run(who=Identity(None, "very-secret-key")).session
    answers = [
        admin_client.get(path, {name: value})
        for path, name in ((SESSIONS, lookup), (RUNS, f"session__{lookup}"))
        for value in ("v", "w")
    ]
    assert str(session.pk) not in "".join(map(str, answers))
    assert {answer.status_code for answer in answers} == {400}


@pytest.mark.parametrize("path", [SESSIONS, RUNS, USERS])
@pytest.mark.parametrize("name", ["q", "agent_name", "username", "o", "\0"])
def test_a_nul_is_refused_wherever_it_stands(
    admin_client: Client, path: str, name: str
) -> None:
    assert admin_client.get(path, {name: "a\0"}).status_code == 400
    assert admin_client.post(path, {name: "a\0"}).status_code == 400


def test_a_session_shows_every_step_in_its_colour(
    admin_client: Client, run: Run
) -> None:
    shown = page(admin_client, f"{SESSIONS}{run.session_id}/change/")
    for type_ in ("thought", "tool_use", "tool_result", "final_answer"):
        assert f"transcript-{type_}" in shown
    assert "Forty-Two" in shown
    assert "chat/admin/transcript.css" in shown


def audit() -> list[tuple[Any, ...]]:
    """The audit log, newest first."""
    entries = AuditEntry.objects.values_list("action", "actor", "user", "session")
    return list(entries)


def test_whoever_looks_at_somebodys_chat_is_noted(
    admin_client: Client, admin_user: User, run: Run
) -> None:
    me = admin_user.pk
    session_page = f"{SESSIONS}{run.session_id}/change/"
    page(admin_client, session_page)
    assert audit() == []  # it is their own
    ada = User.objects.create_user("ada")
    Session.objects.filter(id=run.session_id).update(owner=ada)
    page(admin_client, session_page)
    page(admin_client, f"{RUNS}{run.pk}/change/")
    page(admin_client, SESSIONS)
    page(admin_client, RUNS)
    looked = ("looked", me, ada.pk, run.session_id)
    listed = ("listed", me, None, None)
    assert audit() == [listed, listed, looked, looked]


def test_who_deletes_is_noted_by_number_and_nothing_is_told_of_what(
    admin_client: Client, admin_user: User, run: Run
) -> None:
    ada = User.objects.create_user("ada-lovelace")
    hers = running_run(who=Identity(ada.pk, "")).session
    Session.objects.filter(id=hers.pk).update(title="A title of hers")
    admin_client.post(f"{SESSIONS}{hers.pk}/delete/", {"post": "yes"})
    admin_client.post(f"{USERS}{ada.pk}/delete/", {"post": "yes"})
    me = admin_user.pk
    assert audit() == [
        ("account_deleted", me, ada.pk, None),
        ("deleted", me, ada.pk, hers.pk),
        ("looked", me, ada.pk, hers.pk),
    ]
    assert not LogEntry.objects.exists()
    page(admin_client, AUDIT)  # which says once more what was done
    assert "ada-lovelace" not in page(admin_client, AUDIT)


def test_nobody_changes_the_audit_log(
    admin_client: Client, admin_user: User, run: Run
) -> None:
    page(admin_client, SESSIONS)
    entry = AuditEntry.objects.get()
    for path in (f"{AUDIT}add/", f"{AUDIT}{entry.pk}/delete/"):
        assert admin_client.post(path, {"post": "yes"}).status_code == 403
    changed = admin_client.post(f"{AUDIT}{entry.pk}/change/", {"actor": "7"})
    assert changed.status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [str(entry.pk)]}
    admin_client.post(AUDIT, chosen | {"post": "yes"})
    assert AuditEntry.objects.get() == entry


def test_the_audit_log_is_found_by_numbers_and_ids(
    admin_client: Client, admin_user: User, run: Run
) -> None:
    store.audit(store.Action.LOOKED, 7, user=8, session=run.session_id)
    store.audit(store.Action.EXPORTED, None, user=9)
    for words, count in {
        str(run.session_id): 1,
        "7": 1,
        "8": 1,
        "77": 0,
        "9" * 30: 0,
        "ada": 0,
    }.items():
        assert found(admin_client, AUDIT, q=words) == count, words
    assert found(admin_client, AUDIT, action="exported") == 1
    assert admin_client.get(AUDIT, {"actor__gt": "1"}).status_code == 400


def test_hostile_content_is_text_everywhere(admin_client: Client, run: Run) -> None:
    for path in (
        SESSIONS,
        f"{SESSIONS}{run.session_id}/change/",
        f"{SESSIONS}{run.session_id}/delete/",
        RUNS,
        f"{RUNS}{run.pk}/change/",
    ):
        shown = page(admin_client, path)
        assert "<script>alert" not in shown, path
        assert "<img src=x" not in shown, path
        assert "&lt;script&gt;" in shown, path


def test_no_page_has_scripts_or_styles_of_ours_inside(
    admin_client: Client, run: Run
) -> None:
    for path in (f"{SESSIONS}{run.session_id}/change/", f"{RUNS}{run.pk}/change/"):
        shown = page(admin_client, path)
        transcript = shown[shown.index('<div class="transcript">') :]
        transcript = transcript[: transcript.index("submit-row")]
        assert re.findall(r"<script|<style|<[^>]*\s(?:style|on\w+)=", transcript) == []


def test_nothing_can_be_added_or_changed(admin_client: Client, run: Run) -> None:
    for path in (SESSIONS, RUNS):
        assert admin_client.get(f"{path}add/").status_code == 403
    for path in (f"{SESSIONS}{run.session_id}/change/", f"{RUNS}{run.pk}/change/"):
        assert admin_client.post(path, {"title": "Forged"}).status_code == 403
        assert 'name="_save"' not in page(admin_client, path)
    assert admin_client.post(f"{RUNS}{run.pk}/delete/").status_code == 403


def test_a_session_can_be_deleted_with_all_that_is_its(
    admin_client: Client, run: Run
) -> None:
    answer = admin_client.post(f"{SESSIONS}{run.session_id}/delete/", {"post": "yes"})
    assert answer.status_code == 302
    assert not Session.objects.exists()
    assert not Run.objects.exists()
    assert not Step.objects.exists()


def test_a_user_can_be_deleted_with_all_that_is_theirs(
    admin_client: Client,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    ada = User.objects.create_user("ada")
    runs = [running_run(who=Identity(ada.pk, "")) for _ in range(3)]
    kept = running_run()
    path = f"{USERS}{ada.pk}/delete/"
    with django_assert_max_num_queries(12):
        shown = page(admin_client, path)
    assert "sessions: 3" in shown.lower()
    assert "runs: 3" in shown.lower()
    assert str(runs[0].session_id) not in shown
    assert admin_client.post(path, {"post": "yes"}).status_code == 302
    assert not User.objects.filter(username="ada").exists()
    assert list(Session.objects.all()) == [kept.session]
    assert list(Run.objects.all()) == [kept]


def test_several_users_can_be_deleted_at_once(admin_client: Client) -> None:
    users = [User.objects.create_user(f"user-{number}") for number in range(3)]
    for user in users:
        running_run(who=Identity(user.pk, ""))
    chosen = {
        "action": "delete_selected",
        "_selected_action": [str(user.pk) for user in users],
    }
    answer = admin_client.post(USERS, chosen)
    assert answer.status_code == 200
    shown = answer.content.decode()
    assert "Runs: 3" in shown
    assert "user-0" in shown
    assert admin_client.post(USERS, chosen | {"post": "yes"}).status_code == 302
    assert not Run.objects.exists()
    assert User.objects.count() == 1


def test_users_are_deleted_by_those_who_may_delete_sessions_too(
    client: Client, run: Run
) -> None:
    eve = User.objects.create_user("eve", is_staff=True)
    ada = User.objects.create_user("ada")
    running_run(who=Identity(ada.pk, ""))
    bob = User.objects.create_user("bob")
    allow(eve, "delete_user")
    client.force_login(eve)
    post = {"post": "yes"}
    assert client.post(f"{USERS}{ada.pk}/delete/", post).status_code == 403
    assert client.post(f"{USERS}{bob.pk}/delete/", post).status_code == 302
    allow(eve, "delete_session", app="chat")
    assert client.post(f"{USERS}{ada.pk}/delete/", post).status_code == 302


def allow(user: User, *codenames: str, app: str = "auth") -> None:
    user.user_permissions.add(
        *Permission.objects.filter(codename__in=codenames, content_type__app_label=app)
    )


def test_staff_without_permission_sees_nothing(client: Client, run: Run) -> None:
    staff = User.objects.create_user("eve", is_staff=True)
    client.force_login(staff)
    assert client.get(SESSIONS).status_code == 403
    staff.user_permissions.add(
        Permission.objects.get(codename="view_session", content_type__app_label="chat")
    )
    assert client.get(SESSIONS).status_code == 200
    assert client.get(RUNS).status_code == 403
    client.logout()
    assert client.get(SESSIONS).status_code == 302


def test_the_processes_that_live_are_shown_and_what_waits(
    admin_client: Client, run: Run
) -> None:
    Process.objects.all().delete()
    Process.objects.create(name="host-7 123", role="worker", version="9.8", slots=5)
    ask(None)
    page = admin_client.get("/admin/chat/process/").content.decode()
    for said in ("host-7 123", "worker", "9.8", "0 of 5.", "wait: 1, the first"):
        assert said in page
    (process,) = Process.objects.all()
    place = f"/admin/chat/process/{process.pk}/"
    assert admin_client.get(f"{place}change/").status_code == 200
    assert admin_client.get(f"{place}delete/").status_code == 403
