"""A real llama.cpp server with a real small model: calls, thoughts, stop, overflow.

The model is too small to choose tools: earlier calls, which it repeats, or a grammar
make it write them. Chat template, parser, stream and errors are the server's own.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from chat.agents.builtin.model import find_model
from chat.agents.model.client import ChatRequest, ChatServer, Completion, ServerConfig
from chat.agents.model.errors import ModelError
from chat.agents.model.rounds import Round
from tests.agents.fold import Sink, Told
from tests.model_server import eventually

# As Hermes and Qwen models have it: llama.cpp knows this form of calls.
TEMPLATE = """
{%- if tools %}<|im_start|>system
<tools>{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</tools> Call by <tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% for call in message.tool_calls or [] %}
<tool_call>
{{ call.function | tojson }}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

SERVE = """
import json, os, sys
import xllamacpp
wanted = json.loads(sys.stdin.readline())
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
params = xllamacpp.CommonParams()
params.model.path = wanted["path"]
params.chat_template = wanted["template"]
params.use_jinja = True
params.enable_chat_template = True
params.hostnames = ["127.0.0.1"]
params.port = 0
params.n_ctx = 1024
params.n_parallel = 1
params.cpuparams.n_threads = 1
params.endpoint_slots = True
params.verbosity = 0
server = xllamacpp.Server(params)
port = int(str(server.listening_address).rsplit(":", 1)[1])
print(json.dumps({"port": port}), file=out, flush=True)
sys.stdin.read()
os._exit(0)
"""

PARAMETERS = {
    "type": "object",
    "properties": {"expression": {"type": "string", "maxLength": 12}},
    "required": ["expression"],
}
CALCULATOR = {
    "type": "function",
    "function": {"name": "calculator", "description": "", "parameters": PARAMETERS},
}


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A server of its own, which ends with its standard input."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdin
        assert process.stdout
        wanted = {"path": str(find_model()), "template": TEMPLATE}
        process.stdin.write(json.dumps(wanted) + "\n")
        process.stdin.flush()
        port = json.loads(process.stdout.readline())["port"]
        yield f"http://127.0.0.1:{port}/v1"
        process.stdin.close()


async def ask(
    base_url: str, message: str, *, text_protocol: bool = False, **options: Any
) -> tuple[Told, Round, Completion]:
    tools = options.pop("tools", ())
    earlier = options.pop("earlier", ())
    sink = options.pop("sink", None) or Sink()
    server = ChatServer(ServerConfig(base_url, "smollm2"))
    round_ = Round(
        sink, 1, text_protocol=text_protocol, tools={"calculator": PARAMETERS}
    )
    messages = [*earlier, {"role": "user", "content": message}]
    try:
        completion = await server.stream(ChatRequest(messages, tools, options), round_)
        round_.finish()
    finally:
        await server.close()
    return sink.told, round_, completion


def used(expression: str) -> list[dict[str, Any]]:
    """An earlier call, for a small model to do the same."""
    function = {
        "name": "calculator",
        "arguments": json.dumps({"expression": expression}),
    }
    call = {"id": f"id{expression}", "type": "function", "function": function}
    return [
        {"role": "user", "content": f"What is {expression}?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]


async def test_a_native_call_is_read(base_url: str) -> None:
    earlier = [m for sum_ in ("1+1", "3+4", "5+2", "6+3") for m in used(sum_)]
    told, round_, completion = await ask(
        base_url,
        "What is 2+2?",
        earlier=earlier,
        tools=[CALCULATOR],
        temperature=0,
        max_tokens=100,
    )
    assert completion.finish_reason == "tool_calls", told.parts
    (call,) = round_.calls
    assert call.name == "calculator"
    assert call.arguments is not None
    assert set(call.arguments) == {"expression"}
    assert told.types[-1] == "tool_use"


async def test_a_call_in_text_is_read(base_url: str) -> None:
    grammar = r"""root ::= "<tool_call>{\"name\": \"calculator\", \"arguments\": "
    "{\"expression\": \"" [0-9] "+" [0-9] "\"}}</tool_call>" """
    told, round_, _ = await ask(
        base_url, "What is 2+2?", text_protocol=True, grammar=" ".join(grammar.split())
    )
    assert told.types == ["tool_use"]
    assert [call.name for call in round_.calls] == ["calculator"]


async def test_thoughts_are_told_from_the_answer(base_url: str) -> None:
    grammar = 'root ::= "<think>" [a-z]{5,20} "</think>" [a-z]{3,10}'
    told, _, _ = await ask(base_url, "Think of a word.", grammar=grammar)
    assert told.types == ["thought", "final_answer"]


async def test_the_limit_of_tokens_is_said(base_url: str) -> None:
    _, _, completion = await ask(base_url, "Tell me a long story.", max_tokens=8)
    assert completion.finish_reason == "length"
    assert completion.output_tokens == 8


async def test_what_does_not_fit_in_the_context_is_told_to_people(
    base_url: str,
) -> None:
    with pytest.raises(ModelError) as caught:
        await ask(base_url, "word " * 5000)
    assert "too long" in caught.value.failure.message


async def test_a_stop_frees_the_server_s_slot_in_the_middle_of_an_answer(
    base_url: str,
) -> None:
    sink = Sink()
    asking = asyncio.create_task(
        ask(base_url, "Count to a thousand.", sink=sink, ignore_eos=True)
    )
    await eventually(lambda: sink.under_way, within=20)
    assert is_busy(base_url)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    # Else it would go on to the context's end, for some 20 s.
    await eventually(lambda: not is_busy(base_url), within=2)


def is_busy(base_url: str) -> bool:
    """Whether somebody has the one place that the server has."""
    address = base_url.removesuffix("/v1") + "/slots"
    with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - ours
        (slot,) = json.load(answer)
    return bool(slot["is_processing"])
