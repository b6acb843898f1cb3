"""Rows. Invariants are constraints; only `store/` and `log/` read and write."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now


class Session(models.Model):
    """A conversation: the unit of ownership and listing."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True
    )
    # Who a guest is: a random key kept in the browser's cookie.
    guest_key = models.CharField(max_length=64, blank=True)
    title = models.CharField(max_length=200, blank=True)
    agent_name = models.CharField("agent", max_length=64)
    pinned = models.BooleanField(default=False)
    archived = models.BooleanField(default=False)
    deleted_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="session_has_one_owner",
                condition=models.Q(owner=None) ^ models.Q(guest_key=""),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-updated_at"], name="session_by_owner"),
            models.Index(fields=["guest_key", "-updated_at"], name="session_by_guest"),
            models.Index(
                fields=["deleted_at"],
                name="session_deleted",
                condition=models.Q(deleted_at__isnull=False),
            ),
        ]
        ordering: ClassVar = ["-updated_at"]

    def __str__(self) -> str:
        return self.title or str(self.id)


class SessionShare(models.Model):
    """A user with whom a session is shared, to read it or to ask in it too."""

    class Right(models.TextChoices):
        """What they may do there."""

        READ = "read"
        ASK = "ask"

    session = models.ForeignKey(
        Session, on_delete=models.CASCADE, related_name="shares", db_index=False
    )
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    right = models.CharField(max_length=4, choices=Right.choices)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["session", "user"], name="session_shared_once"
            ),
            models.CheckConstraint(
                name="session_share_right",
                condition=models.Q(right__in=["read", "ask"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.session} with {self.user} to {self.right}"


class AccessToken(models.Model):
    """With what a program comes in as a user. The token itself is nowhere kept."""

    class Scope(models.TextChoices):
        """What it is good for; see `access.Scope`."""

        READ = "read"
        ASK = "ask"
        ADMIN = "admin"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tokens"
    )
    name = models.CharField(max_length=100)
    scope = models.CharField(max_length=8, choices=Scope.choices)
    prefix = models.CharField(max_length=16)  # with what it begins, for people
    digest = models.CharField(max_length=64, unique=True, editable=False)  # SHA-256
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)  # give or take minutes
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="token_scope",
                condition=models.Q(scope__in=["read", "ask", "admin"]),
            ),
        ]
        ordering: ClassVar = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class Retention(models.Model):
    """How long chats of a group's people are kept after they were last used.

    Who is in several such groups has the shortest: what was promised to be gone is.
    """

    group = models.OneToOneField("auth.Group", on_delete=models.CASCADE)
    days = models.PositiveIntegerField(validators=[MinValueValidator(1)])

    class Meta:
        verbose_name_plural = "retention"

    def __str__(self) -> str:
        return f"{self.group}: {self.days} days"


class Order(models.Model):
    """What operators want every process to do, once; see `store.directives`."""

    at = models.DateTimeField(db_default=Now())
    directive = models.JSONField()

    class Meta:
        default_permissions = ()
        permissions: ClassVar = [("operate", "Can notify, hang up and maintain")]
        verbose_name = verbose_name_plural = "notices and maintenance"

    def __str__(self) -> str:
        return f"{self.at}: {self.directive}"


class Census(models.Model):
    """Who was connected to a process when it was asked last."""

    process = models.IntegerField(primary_key=True)  # its id
    at = models.DateTimeField(db_default=Now())
    total = models.PositiveIntegerField()
    connections = models.JSONField()

    class Meta:
        default_permissions = ()
        verbose_name = verbose_name_plural = "connections"

    def __str__(self) -> str:
        return f"{self.total} connections of process {self.process}"


class AuditEntry(models.Model):
    """That somebody has done something with what is others', or for good.

    Numbers and ids, no names and no texts, and no foreign keys: it outlives what it
    names. Nothing changes or deletes an entry.
    """

    class Action(models.TextChoices):
        """What was done."""

        LOOKED = "looked", "looked at a chat"
        LISTED = "listed", "looked through chats"
        LOG_READ = "log_read", "read a log"
        EXPORTED = "exported", "exported a chat"
        ALL_EXPORTED = "all_exported", "exported all of their own"
        DELETED = "deleted", "deleted chats for good"
        ACCOUNT_DELETED = "account_deleted", "deleted an account"
        STOPPED = "stopped", "stopped answers"
        HUNG_UP = "hung_up", "closed connections"
        NOTIFIED = "notified", "told people something"
        CLOSED = "closed", "began maintenance"
        OPENED = "opened", "ended maintenance"
        TOKENS_REVOKED = "tokens_revoked", "revoked access tokens"

    at = models.DateTimeField(db_default=Now())
    # A user's number; NULL: a guest, or the site itself.
    actor = models.BigIntegerField("by user", null=True, blank=True)
    action = models.CharField(max_length=16, choices=Action.choices)
    user = models.BigIntegerField("of user", null=True, blank=True)
    session = models.UUIDField(null=True, blank=True)
    count = models.PositiveIntegerField("how many", null=True, blank=True)

    class Meta:
        default_permissions = ("view",)
        indexes: ClassVar = [
            models.Index(fields=["-at", "-id"], name="audit_by_time"),
            models.Index(fields=["session"], name="audit_by_session"),
        ]
        ordering: ClassVar = ["-at", "-id"]
        verbose_name_plural = "audit log"

    def __str__(self) -> str:
        return f"{self.actor or 'somebody'} {self.get_action_display()}"


class FormerGuest(models.Model):
    """A guest who has signed in. The key is over, though its cookie is signed."""

    key = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"a guest until {self.at}"


class Process(models.Model):
    """A process of the site that lives, as far as anybody knows; see `work.leases`.

    When the row is gone, the runs that name it are abandoned, for good: an id is
    never used again.
    """

    # Four bytes: it is half the key of the lock by which the process lives.
    id = models.AutoField(primary_key=True)
    name = models.CharField(max_length=64)  # host and pid, for people
    role = models.CharField(max_length=8, default="both")
    version = models.CharField(max_length=40)
    slots = models.PositiveIntegerField()  # runs that it drives at most
    running = models.PositiveIntegerField(default=0)  # at the last heartbeat
    started_at = models.DateTimeField(db_default=Now())
    heartbeat = models.DateTimeField(db_default=Now())
    # How often the lock was taken anew, and by which connection; NULL: judge this
    # process by its heartbeat alone.
    lock_no = models.IntegerField(default=0)
    lock_pid = models.IntegerField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["id"]
        verbose_name_plural = "processes"

    def __str__(self) -> str:
        return f"{self.name} ({self.pk})"


class Run(models.Model):
    """One prompt and everything the agent did about it.

    `epoch` grows whenever the run is started, taken over or stopped: a write with an
    old epoch matches no row. `last_seq` is the seq of the last event in the log.
    """

    class Status(models.TextChoices):
        """Where a run is in its life."""

        QUEUED = "queued"
        RUNNING = "running"
        FINISHED = "finished"

    class Reason(models.TextChoices):
        """Why a run ended."""

        ANSWERED = "answered"
        CUT = "cut"
        STOPPED = "stopped"
        FAILED = "failed"
        MAX_ITERATIONS = "max_iterations"
        SERVER_LOST = "server_lost"
        WITHDRAWN = "withdrawn"

    # Here and below no index for the key alone: a unique one begins with it.
    session = models.ForeignKey(
        Session, on_delete=models.CASCADE, related_name="runs", db_index=False
    )
    number = models.PositiveIntegerField()
    # NULL where the client named none, so that many such runs are no conflict.
    client_id = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    prompt = models.TextField()
    agent_name = models.CharField("agent", max_length=64)
    enable_reasoning = models.BooleanField(default=True)
    retry_of = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="retries"
    )
    status = models.CharField(
        max_length=16, choices=Status.choices, default=Status.QUEUED
    )
    reason = models.CharField(max_length=16, choices=Reason.choices, blank=True)
    # Of a run that was cut: `length`, `filter` or `ended`, see docs/protocol.md.
    cause = models.CharField(max_length=8, blank=True, db_default="")
    error = models.JSONField(null=True, blank=True)
    epoch = models.PositiveIntegerField(default=0)
    last_seq = models.PositiveBigIntegerField(default=0)
    # The id of the process that drives the run; NULL where it was handed over. No
    # foreign key: what a dead process drove names it still.
    process = models.IntegerField(null=True, blank=True)
    # Deaths of its processes since the last finished step: a run that kills its
    # servers must end.
    takeovers = models.PositiveIntegerField(default=0)
    is_compacted = models.BooleanField(db_default=False)  # see `log.compaction`
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    duration_ms = models.PositiveBigIntegerField(null=True, blank=True)
    input_tokens = models.PositiveIntegerField(null=True, blank=True)
    output_tokens = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["session", "number"], name="run_number_unique"
            ),
            models.UniqueConstraint(
                fields=["session", "client_id"], name="run_client_id_unique"
            ),
            models.UniqueConstraint(
                fields=["session"],
                name="one_run_at_a_time",
                condition=models.Q(status="running"),
            ),
            models.CheckConstraint(
                name="run_reason_when_finished",
                condition=models.Q(status="finished") ^ models.Q(reason=""),
            ),
        ]
        indexes: ClassVar = [
            # One each: SQLite does not see that "queued" is not "finished".
            models.Index(
                fields=["process"],
                name="run_process",
                condition=models.Q(status="running"),
            ),
            models.Index(
                fields=["session", "created_at"],
                name="run_waiting",
                condition=models.Q(status="queued"),
            ),
            models.Index(fields=["session", "finished_at"], name="run_end"),
            models.Index(
                fields=["finished_at"],
                name="run_uncompacted",
                condition=models.Q(status="finished", is_compacted=False),
            ),
        ]
        # By the column: by "session", the sessions would be joined, and their order.
        ordering: ClassVar = ["session_id", "number"]

    def __str__(self) -> str:
        return f"{self.session} #{self.number}"


class Event(models.Model):
    """The log: `payload` is the event's JSON text exactly as it goes over the wire.

    But for a row that stands for several deltas, which has `merged`: see
    `log.compaction`.
    """

    pk = models.CompositePrimaryKey("run_id", "seq")
    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="events", db_index=False
    )
    seq = models.PositiveBigIntegerField()
    # When it was written: milliseconds since the run was first started. NULL in rows
    # of the time before this was kept.
    ms = models.PositiveIntegerField(null=True)
    payload = models.TextField()
    merged = models.BinaryField(null=True)

    class Meta:
        ordering: ClassVar = ["run_id", "seq"]

    def __str__(self) -> str:
        return f"{self.run_id}/{self.seq}"


class Step(models.Model):
    """A finished step, written once, with the event that finished it (`seq`)."""

    class Type(models.TextChoices):
        """What a step is."""

        THOUGHT = "thought"
        TOOL_USE = "tool_use"
        TOOL_RESULT = "tool_result"
        FINAL_ANSWER = "final_answer"
        ERROR = "error"

    class Status(models.TextChoices):
        """How a step ended."""

        OK = "ok"
        ERROR = "error"
        STOPPED = "stopped"

    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="steps", db_index=False
    )
    step = models.PositiveIntegerField()
    seq = models.PositiveBigIntegerField()
    type = models.CharField(max_length=16, choices=Type.choices)
    iteration = models.PositiveIntegerField()
    content = models.TextField(blank=True)
    tool_name = models.CharField(max_length=200, blank=True)
    call_id = models.CharField(max_length=100, blank=True)
    tool_input = models.JSONField(null=True, blank=True)
    # Who speaks, where it is not the run's agent, and the step that encloses this one.
    agent = models.CharField(max_length=64, blank=True, db_default="")
    parent = models.PositiveIntegerField(null=True, blank=True)
    # What goes back to the model server with the step, and to nobody else.
    server_fields = models.JSONField(null=True, blank=True, editable=False)
    status = models.CharField(max_length=16, choices=Status.choices)
    started_at = models.DateTimeField()
    duration_ms = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=64)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "step"], name="step_unique"),
        ]
        ordering: ClassVar = ["run_id", "step"]

    def __str__(self) -> str:
        return f"{self.run} step {self.step}: {self.type}"
