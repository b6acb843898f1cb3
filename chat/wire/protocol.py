"""The wire's vocabulary: commands, log events, frames, close codes, decode and encode.

Pure: values in, values out. Everything here is what `docs/protocol.md` says, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

PROTOCOL_VERSION: Final = 2
HEARTBEAT_INTERVAL: Final = 30  # seconds between the client's pings
AUTHENTICATE_SECONDS: Final = 5  # until a socket without cookie or token says its token
MAX_FRAME_BYTES: Final = 256 * 1024
MAX_MESSAGE_CHARS: Final = 32_000
MAX_CLIENT_ID_CHARS: Final = 64
MAX_BAD_FRAMES: Final = 10  # in a row, then 4400
SNAPSHOT_RUNS: Final = 20
HISTORY_RUNS_MAX: Final = 50

CLOSE_NOT_THIS_PROTOCOL: Final = 4400
CLOSE_NOT_SIGNED_IN: Final = 4401
CLOSE_FORBIDDEN: Final = 4403
CLOSE_NO_SUCH_SESSION: Final = 4404
CLOSE_TOO_MANY: Final = 4429
CLOSE_OVERLOADED: Final = 4503

StepType = Literal["thought", "tool_use", "tool_result", "final_answer", "error"]
StepStatus = Literal["ok", "error", "stopped", "discarded"]
Reason = Literal[
    "answered",
    "cut",
    "stopped",
    "failed",
    "max_iterations",
    "server_lost",
    "withdrawn",
]
CutCause = Literal["length", "filter", "ended"]
ErrorCode = Literal[
    "bad_message",
    "too_large",
    "unknown_agent",
    "not_found",
    "forbidden",
    "rate_limited",
    "queue_full",
    "model_unavailable",
    "model_error",
    "tool_failed",
    "internal",
]


class ProtocolError(Exception):
    """A command that cannot be carried out; becomes an `error` message."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | UnsetType = UNSET,
    ) -> None:
        super().__init__(message)
        self.data = ErrorData(code, message, retryable, retry_after)

    def about(self, command: Command) -> ProtocolError:
        """The same error, naming the command it refuses, where that has a name."""
        client_id = getattr(command, "client_id", None)
        ref = getattr(command, "ref", None)
        error = ProtocolError(
            self.data.code,
            self.data.message,
            retryable=self.data.retryable,
            retry_after=self.data.retry_after,
        )
        error.data = msgspec.structs.replace(
            self.data,
            client_id=UNSET if client_id is None else client_id,
            ref=UNSET if ref is None else ref,
        )
        return error


# ---------------------------------------------------------------- commands


class Notice(Struct, frozen=True):
    """Said to everybody who watches, until it is not so any more."""

    text: str
    level: Literal["info", "warning"] = "warning"


class Chat(Struct, frozen=True):
    """Ask. `client_id` makes sending again harmless."""

    message: str
    agent_name: str | None = None
    enable_reasoning: bool = True
    client_id: str | None = None


class Interrupt(Struct, frozen=True):
    """Stop a run (the active one by default), keeping what was seen."""

    run: int | None = None
    seen: int | None = None


class Retry(Struct, frozen=True):
    """Run a finished run's prompt again, or continue it."""

    run: int


# How much of a run somebody has: (epoch, seq), or the seq alone. Where commits were
# lost, the same seq may hold something else since, of another epoch.
Place: TypeAlias = tuple[int, int] | int


class Subscribe(Struct, frozen=True):
    """Switch to log mode; `seen` maps run numbers to the last event applied.

    `ref` comes back with what answers it.
    """

    protocol: Literal[2]
    seen: dict[int, Place] = {}
    ref: int | None = None


class History(Struct, frozen=True):
    """Ask for runs earlier than `before`."""

    before: int
    limit: int = SNAPSHOT_RUNS


NULL: Final = msgspec.Raw(b"null")


class Ping(Struct, frozen=True):
    """Ask for a `pong` with the same timestamp, whatever it is: it stays JSON text."""

    timestamp: msgspec.Raw = NULL


class Authenticate(Struct, frozen=True):
    """Come in with a token, where no header could bring it."""

    token: str

    def __repr__(self) -> str:
        return "Authenticate(…)"  # no log is to have it


Command: TypeAlias = (
    Chat | Interrupt | Retry | Subscribe | History | Ping | Authenticate
)

_COMMANDS: Final[dict[str, type[Command]]] = {
    "chat": Chat,
    "interrupt": Interrupt,
    "retry": Retry,
    "subscribe": Subscribe,
    "history": History,
    "ping": Ping,
    "authenticate": Authenticate,
}


class _Envelope(Struct, frozen=True):
    type: str
    payload: msgspec.Raw = msgspec.Raw(b"{}")
    timestamp: msgspec.Raw = NULL


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_payload = {
    name: msgspec.json.Decoder(command).decode for name, command in _COMMANDS.items()
}


def decode_command(text: str | None) -> Command:
    """The command in a client's frame; raises ProtocolError saying what is wrong.

    None stands for a binary frame.
    """
    if text is None:
        raise ProtocolError("bad_message", "Send text frames, not binary ones.")
    try:
        frame = text.encode()
        if len(frame) > MAX_FRAME_BYTES:
            limit = f"A frame may hold at most {MAX_FRAME_BYTES:,} bytes."
            raise ProtocolError("too_large", limit)
        envelope = _decode_envelope(frame)
        decode = _decode_payload.get(envelope.type)
        if decode is None:
            message = f"Unknown message type {envelope.type[:60]!r}."
            raise ProtocolError("bad_message", message)
        payload = bytes(envelope.payload)
        command = decode(b"{}" if payload == b"null" else payload)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError("bad_message", f"Bad message: {error}.") from error
    except RecursionError:
        raise ProtocolError("bad_message", "Bad message: nested too deeply.") from None
    match command:
        case Ping() if command.timestamp == NULL:
            return Ping(envelope.timestamp)
        case Chat():
            try:
                return checked_chat(command)
            except ProtocolError as error:
                raise error.about(command) from None
        case History() if not 0 < command.limit <= HISTORY_RUNS_MAX:
            message = f"limit must be from 1 to {HISTORY_RUNS_MAX}."
            raise ProtocolError("bad_message", message)
        case _:
            return command


def checked_chat(chat: Chat) -> Chat:
    """The question as it can be stored. Raises ProtocolError where it cannot."""
    message = storable(chat.message.strip())
    if not message:
        raise ProtocolError("bad_message", "The message is empty.")
    if len(message) > MAX_MESSAGE_CHARS:
        limit = f"A message may hold at most {MAX_MESSAGE_CHARS:,} characters."
        raise ProtocolError("too_large", f"{limit} This one has {len(message):,}.")
    client_id = chat.client_id
    if client_id is not None and not _is_name(client_id):
        limit = f"client_id must have 1 to {MAX_CLIENT_ID_CHARS} characters."
        raise ProtocolError("bad_message", limit)
    return msgspec.structs.replace(chat, message=message)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_CLIENT_ID_CHARS and storable(text) == text


def storable(text: str) -> str:
    """`text` without what PostgreSQL or UTF-8 cannot hold: NUL and lone surrogates."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


# ---------------------------------------------------------------- log events


class _Event(Struct, frozen=True, omit_defaults=True, tag_field="kind", kw_only=True):
    seq: int = 0  # 0: not numbered yet
    first: int | UnsetType = UNSET  # set on an event that stands for first … seq


class Usage(Struct, frozen=True):
    """Tokens of all rounds, as the model server counted them."""

    input_tokens: int
    output_tokens: int


class Failure(Struct, frozen=True):
    """What went wrong, for people, and whether trying again can help."""

    code: str
    message: str
    retryable: bool


class RunCreated(_Event, tag="run_created", frozen=True):
    """The person's message; the run waits its turn until `run_started`."""

    prompt: str
    agent_name: str
    # No defaults for fields that must always be on the wire (omit_defaults).
    enable_reasoning: bool
    timestamp: float
    client_id: str | UnsetType = UNSET


class RunStarted(_Event, tag="run_started", frozen=True):
    """A process has taken the run; again, with a higher epoch, after a takeover."""

    epoch: int
    timestamp: float


class RunReleased(_Event, tag="run_released", frozen=True):
    """The process has handed the run over between two steps: none is discarded.

    `run_started` follows as soon as another process has taken it.
    """

    timestamp: float


class StepStarted(_Event, tag="step_started", frozen=True):
    """A step is open; steps count from 0 within the run, iterations from 1."""

    step: int
    type: StepType
    iteration: int
    timestamp: float
    tool_name: str | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    agent: str | UnsetType = UNSET  # who speaks, where it is not the run's agent
    parent: int | UnsetType = UNSET  # the step inside which this one is


class StepDelta(_Event, tag="step_delta", frozen=True, gc=False):
    """Append `text` to the step."""

    step: int
    text: str


class StepReplaced(_Event, tag="step_replaced", frozen=True):
    """The step is now of this type, or holds this text."""

    step: int
    type: StepType | UnsetType = UNSET
    text: str | UnsetType = UNSET


class Progress(Struct, frozen=True, omit_defaults=True):
    """How far an open step has come: `done` of `total`, and a text for people."""

    done: float | UnsetType = UNSET
    total: float | UnsetType = UNSET
    text: str | UnsetType = UNSET


class StepProgress(_Event, tag="step_progress", frozen=True):
    """How far the open step has come; replaces what was said of that before.

    Kept until the step ends.
    """

    step: int
    done: float | UnsetType = UNSET
    total: float | UnsetType = UNSET
    text: str | UnsetType = UNSET


class StepFinished(_Event, tag="step_finished", frozen=True):
    """The step is complete; a `discarded` one disappears.

    `digest` is the SHA-256 of the content in UTF-8, lowercase hex.
    """

    step: int
    status: StepStatus
    duration_ms: int
    digest: str
    tool_input: dict[str, Any] | UnsetType = UNSET


class RunFinished(_Event, tag="run_finished", frozen=True):
    """The last event of a run; every step is finished.

    `epoch` is set where the run was ended from outside, which begins a new one.
    """

    reason: Reason
    duration_ms: int
    epoch: int | UnsetType = UNSET
    usage: Usage | UnsetType = UNSET
    error: Failure | UnsetType = UNSET
    cause: CutCause | UnsetType = UNSET  # of `cut`


Event: TypeAlias = (
    RunCreated
    | RunStarted
    | RunReleased
    | StepStarted
    | StepDelta
    | StepReplaced
    | StepProgress
    | StepFinished
    | RunFinished
)

decode_event = msgspec.json.Decoder(Event).decode
decode_events = msgspec.json.Decoder(list[Event]).decode
encode = msgspec.json.encode


# ---------------------------------------------------------------- server → client


class ErrorData(Struct, frozen=True, omit_defaults=True):
    """The data of an `error` message, for people; `retry_after` in seconds."""

    code: ErrorCode
    message: str
    retryable: bool
    retry_after: float | UnsetType = UNSET
    client_id: str | UnsetType = UNSET  # the `chat` that was refused
    ref: int | UnsetType = UNSET  # the `subscribe` that was refused


class StepView(Struct, frozen=True, omit_defaults=True):
    """A step as snapshots show it; `status` is `running` while it is open."""

    step: int
    type: StepType
    iteration: int
    content: str
    status: StepStatus | Literal["running"]
    timestamp: float
    duration_ms: int | UnsetType = UNSET
    tool_name: str | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    tool_input: dict[str, Any] | UnsetType = UNSET
    digest: str | UnsetType = UNSET
    agent: str | UnsetType = UNSET
    parent: int | UnsetType = UNSET
    progress: Progress | UnsetType = UNSET  # while it is open


class RunView(Struct, frozen=True, omit_defaults=True):
    """A run as snapshots show it: the fold of its log through `seq`."""

    run: int
    status: Literal["queued", "running", "finished"]
    seq: int
    epoch: int
    prompt: str
    agent_name: str
    enable_reasoning: bool
    timestamp: float
    steps: list[StepView]
    client_id: str | UnsetType = UNSET
    reason: Reason | UnsetType = UNSET
    duration_ms: int | UnsetType = UNSET
    usage: Usage | UnsetType = UNSET
    error: Failure | UnsetType = UNSET
    cause: CutCause | UnsetType = UNSET


def message(type_: str, data: Any) -> str:
    """The frame `{"type": type_, "data": data}`."""
    return encode({"type": type_, "data": data}).decode()


class Frame(Struct, frozen=True, gc=False):
    """An `events` message ready to send: events `first … last` of one run.

    `epoch` is the one that its last event was written under; `ends` says that this is
    the `run_finished`.
    """

    run: int
    epoch: int
    first: int
    last: int
    ends: bool
    text: str

    @property
    def payloads(self) -> str:
        """The events' JSON texts, with commas between."""
        return self.text[len(_HEAD.format(run=self.run)) : -len(_TAIL)]

    def events(self) -> list[Event]:
        """The events inside, for who does not just pass the text on."""
        return _decode_frame(self.text).data.events


_HEAD: Final = '{{"type":"events","data":{{"run":{run},"events":['
_TAIL: Final = "]}}"


def events_text(run: int, payloads: Iterable[str]) -> str:
    """An `events` message of JSON texts, so that nothing is encoded twice.

    Each of `payloads` holds one event, or more with commas between.
    """
    return f"{_HEAD.format(run=run)}{','.join(payloads)}{_TAIL}"


class _EventsData(Struct, frozen=True):
    events: list[Event]


class _EventsMessage(Struct, frozen=True):
    data: _EventsData


_decode_frame = msgspec.json.Decoder(_EventsMessage).decode
