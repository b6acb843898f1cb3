"""Qwen-Agent's loop with our model and tools in it; the library's only importer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from qwen_agent.agents import FnCallAgent, fncall_agent
from qwen_agent.llm.base import register_llm
from qwen_agent.llm.function_calling import BaseFnCallModel
from qwen_agent.llm.schema import FunctionCall, Message
from qwen_agent.tools.base import TOOL_REGISTRY, BaseTool

from chat.agents.model.rounds import Round, arguments_text
from chat.agents.qwen.context import Owner, current
from chat.agents.qwen.mcp import ToolServers
from chat.agents.tools.base import Tool, ToolError

UNBOUNDED: Final = 10**9  # rounds are counted by the run, not by the library

fncall_agent.MAX_LLM_CALL_PER_RUN = UNBOUNDED


class SiteTool(BaseTool):  # type: ignore[misc]  # the library has no types
    """One of our tools, as far as the library has to know it."""

    def __init__(self, tool: Tool) -> None:
        self.name = tool.name
        self.description = tool.description
        self.parameters = dict(tool.parameters)
        super().__init__()

    def call(self, params: str | dict[str, Any], **kwargs: Any) -> str:
        """Never reached: calls go through the run."""
        raise ToolError("Tools are called on the event loop.")


@register_llm("reasoning_site")
class SiteModel(BaseFnCallModel):  # type: ignore[misc]  # the library has no types
    """The library's way to our model: whole messages, no stream."""

    def chat(
        self,
        messages: list[Any],
        functions: list[dict[str, Any]] | None = None,
        stream: bool = True,  # noqa: FBT001, FBT002 - the library's signature
        delta_stream: bool = False,  # noqa: FBT001, FBT002
        extra_generate_cfg: dict[str, Any] | None = None,
    ) -> Iterator[list[Message]]:
        """Ask our model for the next round."""
        del stream, delta_stream
        agent = current.agent
        assert agent is not None  # noqa: S101 - the thread is working on a run
        lang = (extra_generate_cfg or {}).get("lang", "en")

        def as_text(plain: list[dict[str, Any]]) -> list[dict[str, Any]]:
            texts = self._preprocess_messages(
                [Message(**message) for message in plain],
                lang=lang,
                generate_cfg={},
                functions=functions,
            )
            return [message.model_dump() for message in texts]

        plain = [
            message if isinstance(message, dict) else message.model_dump()
            for message in messages
        ]
        yield messages_of(agent.ask_model(plain, functions or [], as_text))

    def _chat_stream(self, *_: Any, **__: Any) -> Iterator[list[Message]]:
        raise NotImplementedError

    def _chat_no_stream(self, *_: Any, **__: Any) -> list[Message]:
        raise NotImplementedError


class SiteAgent(FnCallAgent):  # type: ignore[misc]  # the library has no types
    """The library's loop, calling tools through the run."""

    def __init__(self, owner: Owner) -> None:
        """Raises AgentError for an MCP server that cannot be used."""
        self.owner = owner
        servers: dict[str, Any] = {}
        library_tools = []
        for tool in owner.library_tools:
            if isinstance(tool, dict) and "mcpServers" in tool:
                servers |= tool["mcpServers"]
            else:
                library_tools.append(tool)
        of_servers = ToolServers(servers, owner.mcp_timeout).tools() if servers else []
        self.mem = None  # it has no files; making the library's memory writes folders
        super().__init__(
            function_list=[
                *(SiteTool(tool) for tool in owner.tools.values()),
                *library_tools,
                *of_servers,
            ],
            llm=SiteModel({"model": "site", "model_type": "reasoning_site"}),
            system_message=owner.instructions,
            name=owner.name,
            description=owner.description,
        )

    def _call_tool(
        self, tool_name: str, tool_args: str | dict[str, Any] = "{}", **_: Any
    ) -> str:
        del tool_args  # the run has them as the model sent them
        return self.owner.call_tool(tool_name)


def tool_names() -> set[str]:
    """The names under which Qwen-Agent and its extensions have registered tools."""
    return set(TOOL_REGISTRY)


def messages_of(said: Round) -> list[Message]:
    """What the model said, as the library takes it: each call in its own message.

    The first carries what goes back to the server beside text and calls.
    """
    messages = []
    if said.said or not said.calls:
        messages.append(Message("assistant", said.said))
    for call in said.calls:
        arguments = arguments_text(call.text, call.arguments)
        message = Message(
            "assistant",
            "",
            function_call=FunctionCall(call.name, arguments),
            extra={"function_id": call.call_id, "call": dict(call.extras)},
        )
        messages.append(message)
    if said.calls:
        messages[0].reasoning_content = said.reasoning_text or None
        messages[0].extra = {
            **(messages[0].extra or {}),
            "message": dict(said.extras),
            "reasoning_fields": said.reasoning_fields,
        }
    return messages
