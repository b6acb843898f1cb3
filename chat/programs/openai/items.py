"""A run as the items and events of OpenAI's Responses API. Pure.

https://platform.openai.com/docs/api-reference/responses-streaming

A thought is a `reasoning` item, an answer a `message`. A tool of the agent's, which the
client need not call, is an `mcp_call` with its output.

Events are numbered by what was said until then, one for each event and one for each
character: so an event has the same number however the log's events were merged, and
who comes back can be told the rest of a text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from chat.programs.errors import failure_of
from chat.programs.openai.forms import usage_of
from chat.programs.turns import Change, Closed, Ended, More, Opened
from chat.wire.protocol import RunFinished, StepStatus

Data: TypeAlias = dict[str, Any]

_STATUS: Final[dict[StepStatus, str]] = {
    "ok": "completed",
    "error": "failed",
    "stopped": "incomplete",
    "discarded": "incomplete",
}
_PREFIX: Final = {"thought": "rs_", "final_answer": "msg_", "tool_use": "mcp_"}


class Items:
    """What a response holds so far, and the events that led there."""

    def __init__(self, response: Data) -> None:
        """`response`: what is known of it before anything is said."""
        self.response = response | {"status": "in_progress", "output": []}
        self.failure: Exception | None = None
        self._name: str = response["id"].removeprefix("resp_")
        self._agent: str = response["model"]
        self._number = 0
        self._places: dict[int, int] = {}  # of items among the output
        self._results: dict[int, str] = {}  # items that are results, by whose call
        self._calls: dict[str, int] = {}  # open ones, by id: where they are

    @property
    def output(self) -> list[Data]:
        """The items."""
        items: list[Data] = self.response["output"]
        return items

    def begin(self) -> Iterator[Data]:
        """The first events."""
        for name in ("created", "in_progress"):
            yield self._event(f"response.{name}", response=self.response)

    def apply(self, change: Change) -> Iterator[Data]:
        """The events of a change of the run's items."""
        match change:
            case Opened() if change.type == "tool_result":
                self._results[change.item] = change.call_id
            case Opened():
                yield from self._open(change)
            case More():
                yield from self._append(change)
            case Closed():
                yield from self._close(change)
            case Ended():
                yield from self._end(change.run)

    def _event(self, type_: str, length: int = 1, **data: Any) -> Data:
        self._number += length
        return {"type": type_, "sequence_number": self._number, **data}

    def _of_item(self, item: Data, type_: str, length: int = 1, **data: Any) -> Data:
        place = self.output.index(item)
        return self._event(
            type_, length, item_id=item["id"], output_index=place, **data
        )

    def _open(self, change: Opened) -> Iterator[Data]:
        if (prefix := _PREFIX.get(change.type)) is None:
            return  # what went wrong is told at the end
        place = len(self.output)
        item: Data = {"id": f"{prefix}{self._name}_{place}", "status": "in_progress"}
        match change.type:
            case "thought":
                item |= {"type": "reasoning", "summary": [], "content": []}
            case "tool_use":
                item |= {
                    "type": "mcp_call",
                    "server_label": self._agent,
                    "name": change.tool_name,
                    "arguments": "",
                    "output": None,
                    "error": None,
                }
                self._calls[change.call_id] = place
            case _:
                item |= {"type": "message", "role": "assistant", "content": []}
        self._places[change.item] = place
        self.output.append(item)
        yield self._event("response.output_item.added", output_index=place, item=item)
        match item["type"]:
            case "mcp_call":
                yield self._of_item(item, "response.mcp_call.in_progress")
            case "message":
                part = {"type": "output_text", "text": "", "annotations": []}
                item["content"] = [part]
                yield self._of_item(
                    item, "response.content_part.added", content_index=0, part=part
                )
            case _:
                item["content"] = [{"type": "reasoning_text", "text": ""}]

    def _append(self, change: More) -> Iterator[Data]:
        if (place := self._places.get(change.item)) is None:
            return
        item, text = self.output[place], change.text
        if item["type"] == "mcp_call":
            item["arguments"] += text
            type_ = "response.mcp_call_arguments.delta"
            yield self._of_item(item, type_, len(text), delta=text)
            return
        item["content"][0]["text"] += text
        more: Data = {"content_index": 0, "delta": text}
        if item["type"] == "message":
            type_ = "response.output_text.delta"
            more["logprobs"] = []
        else:
            type_ = "response.reasoning_text.delta"
        yield self._of_item(item, type_, len(text), **more)

    def _close(self, change: Closed) -> Iterator[Data]:
        if change.item in self._results:
            yield from self._answer_call(change)
            return
        if (place := self._places.get(change.item)) is None:
            return
        item = self.output[place]
        if item["type"] == "mcp_call":
            item["arguments"] = change.text
            yield self._of_item(
                item, "response.mcp_call_arguments.done", arguments=change.text
            )
            if change.status != "ok":
                yield from self._done(item, "incomplete")
            return
        (part,) = item["content"]
        part["text"] = change.text
        if item["type"] == "message":
            yield self._of_item(
                item,
                "response.output_text.done",
                content_index=0,
                text=change.text,
                logprobs=[],
            )
            yield self._of_item(
                item, "response.content_part.done", content_index=0, part=part
            )
        else:
            yield self._of_item(
                item, "response.reasoning_text.done", content_index=0, text=change.text
            )
        yield from self._done(item, _STATUS[change.status])

    def _answer_call(self, change: Closed) -> Iterator[Data]:
        """A tool's result goes to the call that it answers."""
        place = self._calls.pop(self._results.pop(change.item), None)
        if place is None:
            return
        item = self.output[place]
        if change.status == "ok":
            item["output"] = change.text
            yield self._of_item(item, "response.mcp_call.completed")
            yield from self._done(item, "completed")
        else:
            item["error"] = change.text
            yield self._of_item(item, "response.mcp_call.failed")
            yield from self._done(item, "failed")

    def _done(self, item: Data, status: str) -> Iterator[Data]:
        item["status"] = status
        place = self.output.index(item)
        yield self._event("response.output_item.done", output_index=place, item=item)

    def _end(self, finished: RunFinished) -> Iterator[Data]:
        for place in self._calls.values():
            yield from self._done(self.output[place], "incomplete")
        usage = usage_of(finished)
        status, why = "completed", None
        if failure := failure_of(finished):
            status = "failed"
            self.response["error"] = {
                "code": failure.code or "server_error",
                "message": str(failure),
            }
        elif finished.reason in {"stopped", "withdrawn"}:
            status = "cancelled"
        elif finished.reason in {"cut", "max_iterations"}:
            status = "incomplete"
            is_filtered = finished.cause == "filter"
            why = {"reason": "content_filter" if is_filtered else "max_output_tokens"}
        self.response |= {
            "status": status,
            "incomplete_details": why,
            "usage": {
                "input_tokens": usage.input_tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": usage.output_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage.input_tokens + usage.output_tokens,
            },
        }
        # A cancelled response has no event of its own there.
        name = "incomplete" if status == "cancelled" else status
        yield self._event(f"response.{name}", response=self.response)


def after(event: Data, number: int) -> Data | None:
    """What of an event comes after that number; None: nothing."""
    left = event["sequence_number"] - number
    if left <= 0:
        return None
    delta = event.get("delta")
    if isinstance(delta, str) and left < len(delta):
        return event | {"delta": delta[-left:]}
    return event
