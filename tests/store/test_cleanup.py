"""What nobody will see again is not kept for ever."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session as CookieSession
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from chat import store
from chat.models import Event, FormerGuest, Retention, Run, Session, Step
from chat.store import Identity
from tests.conftest import StartSite
from tests.rows import GUEST, ask, claimed_run, ids
from tests.servers import Databases, Site, wait_until

MONTH = timedelta(days=30)
INSERT = (
    "from django.contrib.sessions.models import Session as CookieSession\n"
    "CookieSession.objects.create(session_key='old', expire_date='2000-01-01T00:00Z')"
)


def cookie_session(key: str, expires_in: timedelta) -> None:
    expires = timezone.now() + expires_in
    CookieSession.objects.create(session_key=key, expire_date=expires)


def deleted(ago: timedelta) -> UUID:
    """A session with a run, deleted so long ago."""
    run = claimed_run().run
    store.delete_session(run.session_id, GUEST)
    then = timezone.now() - ago
    Session.objects.filter(id=run.session_id).update(deleted_at=then)
    return run.session_id


@pytest.mark.django_db
def test_cookie_sessions_go_when_they_have_expired() -> None:
    cookie_session("old", -timedelta(seconds=1))
    cookie_session("new", timedelta(days=1))
    store.clean_up()
    assert [each.session_key for each in CookieSession.objects.all()] == ["new"]


@pytest.mark.django_db
def test_former_guests_go_when_their_cookies_have_expired() -> None:
    year = timedelta(days=365)
    for key, ago in (("old", year + timedelta(hours=1)), ("recent", year / 2)):
        FormerGuest.objects.create(key=key, at=timezone.now() - ago)
    store.clean_up()
    assert store.former_guests({"old", "recent"}) == {"recent"}


@pytest.mark.django_db
def test_sessions_go_a_month_after_they_were_deleted() -> None:
    old = [deleted(MONTH + timedelta(hours=1)) for _ in range(3)]
    recent, open_ = deleted(MONTH - timedelta(hours=1)), uuid4()
    ask(open_)
    store.clean_up()
    assert set(Session.objects.values_list("id", flat=True)) == {recent, open_}
    assert not Run.objects.filter(session_id__in=old).exists()
    left = set(Run.objects.values_list("id", flat=True))
    assert set(Event.objects.values_list("run_id", flat=True)) == left
    assert not Step.objects.exclude(run_id__in=left).exists()
    assert store.restore_session(recent, GUEST).deleted_at is None
    store.clean_up()
    assert Session.objects.filter(id=recent).exists()


@pytest.mark.django_db
def test_chats_go_when_they_were_kept_as_long_as_their_owners_group_says(
    settings: Settings,
) -> None:
    week, month = Group.objects.create(name="week"), Group.objects.create(name="month")
    Retention.objects.create(group=week, days=7)
    Retention.objects.create(group=month, days=30)
    people = {}
    for name, groups in {
        "in both": [week, month],
        "in one": [month],
        "in none": [],
    }.items():
        user = User.objects.create_user(name)
        user.groups.set(groups)
        people[name] = Identity(user.pk, "")
    people["guest"] = GUEST

    def kept(days: int) -> list[str]:
        """Whose chats of so many days ago are left."""
        Session.objects.all().delete()
        for who in people.values():
            ask(who=who)
        then = timezone.now() - timedelta(days=days)
        Session.objects.update(updated_at=then)
        gone = [each.session_ids for each in store.clean_up()]
        left = [name for name, who in people.items() if ids(who)]
        assert len(gone) == len(people) - len(left)
        return left

    assert kept(5) == list(people)
    assert kept(8) == ["in one", "in none", "guest"]
    assert kept(1000) == ["in none", "guest"]
    settings.RETENTION_DAYS = 10
    assert kept(8) == ["in one", "in none", "guest"]
    assert kept(11) == ["in one"]


@pytest.mark.django_db(transaction=True)
def test_prepare_tidies(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.STATIC_ROOT = tmp_path, tmp_path / "static"
    cookie_session("old", -timedelta(seconds=1))
    call_command("prepare", stdout=None)
    assert not CookieSession.objects.exists()


def test_a_server_tidies_by_itself(
    databases: Databases, start_site: StartSite, tmp_path: Path
) -> None:
    url = databases.new("sqlite")
    Site(tmp_path, DATABASE_URL=url).manage("shell", "-v0", "-c", INSERT)
    site = start_site(DATABASE_URL=url)
    wait_until(
        lambda: site.rows("SELECT count(*) FROM django_session") == [(0,)],
        "what has expired is gone",
        10,
    )
