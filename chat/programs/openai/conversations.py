"""From the messages that a client sends to a question in a session."""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID, uuid4

from msgspec import Struct

from chat import store
from chat.programs.errors import RequestError
from chat.programs.openai.forms import Content, text_of
from chat.programs.running import ask
from chat.store.database import db
from chat.streams import Caller
from chat.wire.protocol import Chat
from chat.work.verbs import check_agent


class Message(Struct, frozen=True):
    """Something said in a conversation."""

    role: str = "user"
    content: Content = None


class Question(Struct, frozen=True):
    """What is asked, after what."""

    prompt: str
    earlier: list[tuple[str, str]]  # questions and answers, oldest first
    instructions: str = ""


def question_of(messages: list[Message]) -> Question:
    """What a conversation asks. Raises RequestError where it asks nothing.

    Calls of tools, and their results, are the agent's own affair here: those of a
    client are not taken.
    """
    instructions: list[str] = []
    earlier: list[tuple[str, str]] = []
    asked: list[str] = []
    answered: list[str] = []
    for message in messages:
        text = text_of(message.content)
        match message.role:
            case "system" | "developer":
                instructions.append(text)
            case "user":
                if answered:
                    earlier.append(("\n\n".join(asked), "\n\n".join(answered)))
                    asked, answered = [], []
                asked.append(text)
            case "assistant":
                answered.append(text)
            case role:
                raise RequestError(
                    400, f"Messages of role {role[:40]!r} are not taken."
                )
    if answered or not asked:
        raise RequestError(400, "The last message must be the user's.")
    return Question("\n\n".join(asked), earlier, "\n\n".join(instructions))


async def ask_question(
    caller: Caller,
    question: Question,
    agent_name: str,
    key: str,
    session_id: UUID | None = None,
) -> tuple[UUID, int]:
    """Ask it in that session, or in the one that it goes on from, or in a new one.

    Returns the session and the run's number. `key` makes asking again harmless; empty:
    each time is another question. Raises as `running.ask`.
    """
    client_id = f"key-{sha256(key.encode()).hexdigest()[:40]}" if key else None
    if client_id and (known := await db(store.known_question, caller.who, client_id)):
        return known
    prompt, earlier = question.prompt, question.earlier
    if session_id is None:
        session_id = await db(store.session_after, caller.who, earlier)
    if session_id is None:
        if question.instructions:
            prompt = f"{question.instructions}\n\n{prompt}"
        check_agent(agent_name)
        session_id = (
            await db(store.begin_after, caller.who, agent_name, earlier)
            if earlier
            else uuid4()
        )
    chat = Chat(prompt, agent_name, client_id=client_id)
    return session_id, await ask(caller, session_id, chat)
