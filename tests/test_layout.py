"""What is written about the site is true: settings, layers, commands, the wire."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from chat.lifespan import CLOSE_SECONDS
from chat.wire import protocol

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text("utf-8")


def declared_settings() -> dict[str, Any]:
    """What settings.py reads from the environment, with defaults written as values."""
    source = (ROOT / "reasoning_site" / "settings.py").read_text("utf-8")
    found: dict[str, Any] = {}
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name("env")),
                args=[ast.Constant(str(name)), *rest],
                keywords=keywords,
            ):
                default = next((k.value for k in keywords if k.arg == "default"), None)
                found.setdefault(name, value_of(rest[0] if rest else default))
            case _:
                pass
    return found


def value_of(node: ast.expr | None) -> Any:
    """The number or text that a node stands for; None where it is something else."""
    match node:
        case ast.Constant(value):
            return value
        case ast.BinOp(left, ast.Mult(), right):
            return value_of(left) * value_of(right)
        case ast.BinOp(left, ast.Pow(), right):
            return value_of(left) ** value_of(right)
        case _:
            return None


def readme_settings() -> dict[str, str]:
    """The README's table: name → default."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", README, re.MULTILINE)
    return dict(rows)


def test_readme_lists_every_setting_and_no_other() -> None:
    assert set(readme_settings()) == set(declared_settings())


@pytest.mark.parametrize(
    ("name", "default"),
    [
        (name, default)
        for name, default in declared_settings().items()
        if isinstance(default, int | float)
    ],
)
def test_readme_tells_the_default(name: str, default: float) -> None:
    told = readme_settings()[name]
    if told.endswith(" MiB"):
        told = str(int(told.removesuffix(" MiB")) * 2**20)
    assert float(told) == float(default)


def test_whoever_ends_a_server_is_as_patient_as_it_is() -> None:
    drain = int(declared_settings()["DRAIN_SECONDS"])
    serve = (ROOT / "scripts" / "serve.sh").read_text("utf-8")
    assert f'--timeout-graceful-shutdown "${{DRAIN_SECONDS:-{drain}}}"' in serve
    unit = (ROOT / "deploy" / "reasoning-site.service").read_text("utf-8")
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert int(stop) > drain + CLOSE_SECONDS


def test_readme_draws_the_layers_that_are_checked() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    assert "```\n" + "\n".join(layers) + "\n```" in README


def test_readme_names_files_that_exist() -> None:
    tree = README.split("## Where things are")[1].split("```")[1]
    folder = ""
    for line in filter(None, tree.splitlines()):
        names = re.findall(r"[\w./-]+(?:/|\.py|\.md)(?=\s|$)", line)
        if not line.startswith(" "):
            folder, *inside = names
            assert (ROOT / folder).exists(), folder
        else:
            inside = names
        for name in inside:
            assert (ROOT / folder / name).exists() or (ROOT / name).exists(), name


def test_readme_names_make_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)\b", README)) <= targets


def wire_words() -> list[str]:
    """Everything of chat/wire/protocol.py that a client meets by name or number."""
    events = [event.__struct_config__.tag for event in get_args(protocol.Event)]
    literals = (
        protocol.StepType,
        protocol.StepStatus,
        protocol.Reason,
        protocol.ErrorCode,
    )
    codes = [
        str(value)
        for name, value in vars(protocol).items()
        if name.startswith("CLOSE_")
    ]
    fields = [
        field
        for struct in (*get_args(protocol.Command), *get_args(protocol.Event))
        for field in struct.__struct_fields__
    ]
    words = [word for literal in literals for word in get_args(literal)]
    return sorted({*protocol._COMMANDS, *map(str, events), *words, *codes, *fields})


@pytest.mark.parametrize("word", wire_words())
def test_protocol_page_has_it(word: str) -> None:
    assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", PROTOCOL)


def test_protocol_page_tells_the_limits() -> None:
    assert f"{protocol.MAX_FRAME_BYTES // 1024} KiB" in PROTOCOL
    assert f"{protocol.MAX_MESSAGE_CHARS:,} characters" in PROTOCOL
    assert f"at most {protocol.HISTORY_RUNS_MAX}" in PROTOCOL
    assert f"pings every {protocol.HEARTBEAT_INTERVAL} s" in PROTOCOL


# Modules without a test module of their own, and where they are tested: with what uses
# them, since nobody else does.
TESTED_WITH = {
    "admin/auditing.py": "test_admin.py",
    "admin/deleting.py": "test_admin.py",
    "admin/looking.py": "test_admin.py",
    "admin/operating.py": "test_operating.py",
    "admin/people.py": "test_admin.py",
    "admin/processes.py": "test_admin.py",
    "admin/runs.py": "test_admin.py",
    "admin/sessions.py": "test_admin.py",
    "admin/tokens.py": "auth/test_tokens.py",
    "agents/base.py": "agents/test_plain.py",
    "agents/builtin/phrases.py": "agents/builtin/test_model.py",
    "agents/builtin/server.py": "agents/builtin/test_model.py",
    "agents/model/answer.py": "agents/model/test_client.py",
    "agents/model/calls.py": "agents/model/test_rounds.py",
    "agents/model/errors.py": "work/test_model_servers.py",
    "agents/model/fields.py": "work/test_model_servers.py",
    "agents/model/lenient.py": "work/test_model_servers.py",
    "agents/model/textcalls.py": "work/test_model_servers.py",
    "agents/qwen/context.py": "agents/qwen/test_agent.py",
    "agents/qwen/equipment.py": "agents/qwen/test_hosting.py",
    "agents/qwen/hosted_run.py": "agents/qwen/test_hosting.py",
    "agents/qwen/inside.py": "agents/qwen/test_hosting.py",
    "agents/qwen/library.py": "agents/qwen/test_agent.py",
    "agents/qwen/run.py": "agents/qwen/test_agent.py",
    "agents/qwen/scopes.py": "agents/qwen/test_hosting.py",
    "agents/qwen/seams.py": "agents/qwen/test_hosting.py",
    "agents/qwen/speech.py": "agents/qwen/test_hosting.py",
    "agents/qwen/threads.py": "agents/qwen/test_agent.py",
    "agents/stream.py": "agents/qwen/test_agent.py",
    "accounts/adapter.py": "accounts/test_views.py",
    "accounts/forms.py": "accounts/test_views.py",
    "accounts/stages.py": "accounts/test_views.py",
    "accounts/urls.py": "accounts/test_views.py",
    "apps.py": "test_checks.py",
    "auth/bearers.py": "auth/test_tokens.py",
    "auth/forgetting.py": "accounts/test_data.py",
    "auth/guests.py": "auth/test_visitors.py",
    "auth/middleware.py": "test_communicator.py",
    "lifespan.py": "test_production.py",
    "live/layer.py": "live/test_hub.py",
    "live/reads.py": "live/test_feed.py",
    "live/shelf.py": "live/test_feed.py",
    "live/track.py": "live/test_feed.py",
    "live/viewer.py": "live/test_feed.py",
    "log/batches.py": "log/test_journal.py",
    "management/commands/ask.py": "programs/test_client.py",
    "management/commands/compact.py": "log/test_compaction.py",
    "management/commands/doctor.py": "test_doctor.py",
    "management/commands/prepare.py": "test_prepare.py",
    "management/commands/runserver.py": "test_asgi.py",
    "management/commands/setup_admin.py": "test_prepare.py",
    "management/commands/work.py": "test_roles.py",
    "metrics.py": "test_health.py",
    "programs/callers.py": "programs/test_events.py",
    "programs/errors.py": "programs/test_openai.py",
    "programs/openai/completions.py": "programs/test_openai.py",
    "programs/openai/conversations.py": "programs/test_openai.py",
    "programs/openai/forms.py": "programs/test_openai.py",
    "programs/openai/items.py": "programs/test_openai.py",
    "programs/openai/responses.py": "programs/test_openai.py",
    "programs/running.py": "programs/test_openai.py",
    "programs/sse.py": "programs/test_events.py",
    "routing.py": "test_consumers.py",
    "signals.py": "browser/test_sign_in.py",
    "store/conversations.py": "programs/test_openai.py",
    "store/exporting.py": "test_exports.py",
    "store/importing.py": "test_exports.py",
    "store/guests.py": "auth/test_visitors.py",
    "store/load.py": "test_roles.py",
    "store/auditing.py": "test_admin.py",
    "store/directives.py": "test_operating.py",
    "store/own_data.py": "accounts/test_data.py",
    "store/shares.py": "test_access.py",
    "store/sql.py": "store/test_claiming.py",
    "store/tokens.py": "auth/test_tokens.py",
    "store/writing.py": "store/test_stopping.py",
    "streams.py": "programs/test_events.py",
    "threads.py": "store/test_database.py",
    "urls.py": "test_views.py",
    "work/leases.py": "test_leases.py",
}


@pytest.mark.parametrize(
    "module",
    [
        str(file.relative_to(ROOT / "chat"))
        for file in sorted((ROOT / "chat").rglob("*.py"))
        if file.name != "__init__.py" and "migrations" not in file.parts
    ],
)
def test_every_module_has_its_tests(module: str) -> None:
    folder, _, name = module.rpartition("/")
    tests = ROOT / "tests"
    if folder in {"markdown", "words", "templatetags"}:  # one face each
        own = tests / {"markdown": "test_markdown.py"}.get(folder, "test_words.py")
    else:
        own = tests / folder / f"test_{name}"
    told = TESTED_WITH.get(module)
    assert (own if told is None else tests / told).exists(), module
    assert told is None or not own.exists(), f"{module} has tests of its own now"


def test_no_source_file_is_empty_of_a_docstring() -> None:
    for folder in ("chat", "reasoning_site", "tests"):
        for file in (ROOT / folder).rglob("*.py"):
            source = file.read_text("utf-8")
            if source.strip() and "migrations" not in file.parts:
                assert ast.get_docstring(ast.parse(source)), file


# Whoever adds one here says why none of these can make it.
MAKERS_OF_EVENTS = {
    "RunCreated": {"store/asking.py: _create_run", "store/importing.py: _beginning"},
    "RunStarted": {"store/claiming.py: run_started", "store/importing.py: _beginning"},
    "RunReleased": {"log/recorder.py: Recorder.release"},
    "RunFinished": {
        "log/recorder.py: Recorder.end",  # by itself
        "store/stopping.py: _end",  # from outside
        "store/importing.py: _write",
    },
    "StepStarted": {
        "log/recorder.py: Recorder._start",
        "store/importing.py: _events_of",
    },
    "StepDelta": {
        "log/recorder.py: _OpenStep._write",  # larger than a frame
        "log/batches.py: make_batch",  # what has gathered since the last flush
        "log/compaction.py: deltas.close",  # what was merged, again
        "store/importing.py: _events_of",
    },
    "StepReplaced": {
        "log/recorder.py: _OpenStep.replace",
        "store/writing.py: Closing.finish",  # no more than was seen
    },
    "StepProgress": {"log/recorder.py: _OpenStep.progress"},
    "StepFinished": {
        "log/recorder.py: _OpenStep.finish",
        "store/writing.py: Closing._close",
        "store/importing.py: _events_of",
    },
}


def makers_of_events() -> dict[str, set[str]]:
    """By event: the functions outside of chat/wire that make it."""
    found: dict[str, set[str]] = {
        event.__name__: set() for event in get_args(protocol.Event)
    }

    def look(node: ast.AST, path: str, inside: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.Call(func=ast.Name(name)) if name in found:
                    found[name].add(f"{path}: {'.'.join(inside)}")
            match child:
                case ast.ClassDef(name) | ast.FunctionDef(name):
                    look(child, path, (*inside, name))
                case ast.AsyncFunctionDef(name):
                    look(child, path, (*inside, name))
                case _:
                    look(child, path, inside)

    for file in (ROOT / "chat").rglob("*.py"):
        path = file.relative_to(ROOT / "chat").as_posix()
        if not path.startswith("wire/"):
            look(ast.parse(file.read_text("utf-8")), path, ())
    return found


def test_events_are_made_in_few_places() -> None:
    assert makers_of_events() == MAKERS_OF_EVENTS
