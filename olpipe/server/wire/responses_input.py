"""The input of OpenAI's responses: items of a conversation as its messages.

What a model says comes as several items: its reasoning, a message, and calls of functions. Here they are one turn, as
chat templates have it.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from olpipe.messages import Role, TextPart, ThinkingPart, ToolCallPart
from olpipe.server.bodies.fields import Fields
from olpipe.server.question import Turn
from olpipe.server.refusal import Refusal
from olpipe.server.wire.openai_messages import Parts, read_arguments, read_parts, read_result, read_role
from olpipe.server.wire.openai_tools import qualified


def read_input(fields: Fields) -> tuple[Turn, ...]:
    """Read `instructions` and `input`.

    Raises:
        Refusal: There is no input, or an item of it cannot be used.
    """
    conversation = _Conversation()
    if instructions := fields.text("instructions"):
        conversation.add("system", [TextPart(instructions)])
    value = fields.any("input")
    if isinstance(value, str):
        conversation.add("user", [TextPart(value)])
    elif not value:
        raise Refusal(400, "`input` is missing", hint="it is a text, or a list of items")
    elif not isinstance(value, list):
        raise Refusal(400, "`input` must be a text, or a list of items")
    else:
        for item in fields.each("input"):
            conversation.read(item)
    return conversation.turns


class _Conversation:
    """The turns of a conversation, made of its items."""

    def __init__(self) -> None:
        self._turns: list[tuple[Role, Parts]] = []
        self._names: dict[str, str] = {}  # of the functions, by the ids of their calls

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns so far."""
        return tuple(Turn(role, tuple(parts)) for role, parts in self._turns)

    def add(self, role: Role, parts: Parts) -> None:
        """Begin a turn."""
        self._turns.append((role, parts))

    def read(self, item: Fields) -> None:
        """Read the next item.

        Raises:
            Refusal: It cannot be used.
        """
        kind = item.text("type") or ("message" if "role" in item else "")
        if kind == "message":
            self._message(item)
        elif kind == "function_call":
            self._call(item)
        elif kind == "function_call_output":
            self._result(item)
        elif kind == "reasoning":
            if thoughts := _thoughts(item):
                self.add("assistant", [ThinkingPart(thoughts)])
        elif kind == "item_reference":
            told = f"`{item.place('type')}` is `item_reference`, but nothing is stored here to refer to"
            raise Refusal(400, told, hint="send the item itself")
        else:
            known = "`message`, `reasoning`, `function_call` or `function_call_output`"
            raise Refusal(400, f"`{item.place('type')}` cannot be `{kind}`: it must be {known}")

    def _message(self, item: Fields) -> None:
        role, parts = read_role(item), read_parts(item)
        said = self._said()
        if role == "assistant" and said is not None and all(isinstance(part, ThinkingPart) for part in said):
            said += parts
        else:
            self.add(role, parts)

    def _call(self, item: Fields) -> None:
        name = item.text("name")
        if not name:
            raise Refusal(400, f"`{item.place('name')}` is missing")
        call = ToolCallPart(item.text("call_id"), qualified(item.text("namespace"), name), read_arguments(item))
        self._names[call.call_id] = call.name
        said = self._said()
        if said is not None:
            said.append(call)
        else:
            self.add("assistant", [call])

    def _result(self, item: Fields) -> None:
        call_id = item.text("call_id")
        name = qualified(item.text("namespace"), item.text("name")) or self._names.get(call_id, "")
        self.add("tool", read_result(item, "output", call_id=call_id, function=name))

    def _said(self) -> Parts | None:
        """Return what the model says in the last turn; None where that is somebody else's."""
        if not self._turns or self._turns[-1][0] != "assistant":
            return None
        return self._turns[-1][1]


def _thoughts(item: Fields) -> str:
    """Return the text of an item of reasoning. An encrypted one is of another server, so nobody can read it here."""
    for name in ("content", "summary"):
        if texts := [part.text("text") for part in item.each(name)]:
            return "\n\n".join(texts)
    return ""
