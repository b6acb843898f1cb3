"""What agents of the library's own need beside a model: tools, servers, packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, Final

from qwen_agent import Agent

from chat.agents.base import AgentError
from chat.agents.qwen.mcp import ToolServers

# What agents of the library have here besides.
SERVERS: Final = "mcp_servers_here"
LACKING: Final = "lacking_here"

# What the library looks for before it looks anything up in files: its extra `rag`.
FOR_FILES: Final = (
    *("charset_normalizer", "jieba", "pdfminer", "pdfplumber", "rank_bm25"),
    *("snowballstemmer", "bs4", "docx", "pptx"),
)
NO_RAG: Final = "it has files, and Qwen-Agent's extra `rag` is not installed: make rag"


def name_of(agent: Any) -> str:
    """What it is called; its kind, where it has no name."""
    return str(agent.name or type(agent).__name__)[:64]


def add_servers(agent: Any, servers: Mapping[str, Any], limit: float) -> None:
    """The agent has the tools of these MCP servers, once they are started."""
    vars(agent).setdefault(SERVERS, []).append(ToolServers(servers, limit))


def lack(agent: Any, reason: str) -> None:
    """The agent is out of order for good."""
    vars(agent).setdefault(LACKING, reason)


def has_files(agent: Any) -> bool:
    """Whether it, or one of its team, looks things up in files."""
    return any(map(_files, _with_members(agent)))


def lacks_packages() -> bool:
    """Whether something that is needed for files is not installed."""
    return not all(map(find_spec, FOR_FILES))


def tools_named(agent: Any, name: str) -> list[Any]:
    """The tools of that name that it has, and those that it works with."""
    maps = (getattr(each, "function_map", {}) for each in _with_members(agent))
    return [tools[name] for tools in maps if name in tools]


def trouble(agent: Any) -> str:
    """What is out of order, as far as is known: the agent, or one of its team."""
    for each in _with_members(agent):
        if reason := _lacking(each) or _servers_trouble(each):
            whose = "Out" if each is agent else f"{name_of(each)} is out"
            return f"{whose} of order: {reason}"
    return ""


def begin(agent: Any) -> None:
    """Start the MCP servers of the agent, and of those that it works with."""
    for each in _with_members(agent):
        for servers in vars(each).get(SERVERS, ()):
            servers.begin()


def end(agent: Any) -> None:
    """End them: the agent was made for one run, which is over."""
    for each in _with_members(agent):
        for servers in vars(each).get(SERVERS, ()):
            servers.end()


def equip(agent: Any) -> None:
    """Give the agent the tools of its MCP servers. Blocking. Raises AgentError."""
    if reason := _lacking(agent):
        raise AgentError("internal", f"{name_of(agent)} is out of order: {reason}")
    for servers in vars(agent).get(SERVERS, ()):
        for tool in servers.tools():
            agent.function_map.setdefault(tool.name, tool)


def _lacking(agent: Any) -> str:
    if _files(agent) and lacks_packages():
        return NO_RAG
    return str(vars(agent).get(LACKING, ""))


def _servers_trouble(agent: Any) -> str:
    found = (servers.trouble for servers in vars(agent).get(SERVERS, ()))
    return next(filter(None, found), "")


def _with_members(agent: Any) -> Iterator[Any]:
    """The agent, and those that it has in its attributes, each once."""
    found, seen = [agent], {id(agent)}
    for each in found:
        yield each
        for value in vars(each).values():
            for member in value if isinstance(value, list | tuple) else (value,):
                if isinstance(member, Agent) and id(member) not in seen:
                    seen.add(id(member))
                    found.append(member)


def _files(agent: Any) -> list[str]:
    found: list[str] = getattr(getattr(agent, "mem", None), "system_files", None) or []
    return found


def without_folders(value: Any) -> Any:
    """Arguments or results of a retrieval, with names of files in place of paths."""
    if isinstance(value, list):
        return [without_folders(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _names(inner) if key in {"files", "url"} else without_folders(inner)
        for key, inner in value.items()
    }


def _names(paths: Any) -> Any:
    if isinstance(paths, list):
        return [_names(each) for each in paths]
    return str(paths).rstrip("/").rpartition("/")[2]
