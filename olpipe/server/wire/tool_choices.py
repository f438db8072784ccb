"""Which tools a model may call, and whether it must: `tool_choice` as OpenAI spells it, and Ollama's clients, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from olpipe.errors import nearest
from olpipe.generation import Thinking, Tool, ToolChoice
from olpipe.server.bodies.fields import Fields
from olpipe.server.refusal import Refusal

_MODES = ("auto", "none", "required")


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a request.

    Attributes:
        each: What the model may call.
        choice: Whether it may, must or must not.
    """

    each: tuple[Tool, ...] = ()
    choice: ToolChoice = field(default_factory=ToolChoice)

    def needs(self, think: Thinking | None) -> tuple[str, ...]:
        """Return what the model must be able to do, in the words of `Question.needs`."""
        thinking = () if think in (None, "off") else ("thinking",)
        tools = ("tools",) if self.each and self.choice.mode != "none" else ()
        return ("completion", *tools, *thinking)


def choose_tools(fields: Fields, tools: tuple[Tool, ...]) -> Tools:
    """Read `tool_choice`.

    Args:
        fields: The body.
        tools: What the model may call.

    Raises:
        Refusal: The choice is not about these tools.
    """
    choice = fields.any("tool_choice")
    if choice is None:
        return Tools(tools)
    if isinstance(choice, str):
        return Tools(tools, ToolChoice(_mode(fields.place("tool_choice"), choice, tools)))
    chosen = fields.inner("tool_choice")
    assert chosen is not None
    if chosen.text("type") == "allowed_tools":
        allowed = chosen.inner("allowed_tools") or chosen
        names = [function_of(one).text("name") for one in allowed.each("tools")]
        kept = tuple(tool for tool in tools if tool.name in {_known(name, tools) for name in names})
        return Tools(kept, ToolChoice(_mode(allowed.place("mode"), allowed.text("mode", "auto"), kept)))
    if chosen.text("type", "function") != "function":
        raise Refusal(400, f"`{chosen.place('type')}` must be `function` or `allowed_tools`")
    return Tools(tools, ToolChoice("required", _known(function_of(chosen).text("name"), tools)))


def _mode(place: str, mode: str, tools: Sequence[Tool]) -> Literal["auto", "none", "required"]:
    if mode not in _MODES:
        known = ", ".join(f"`{known}`" for known in _MODES)
        raise Refusal(400, f"`{place}` cannot be `{mode}`: it must be {known}, or an object that names a function")
    if mode == "required" and not tools:
        raise Refusal(400, f"`{place}` is `required`, but there are no tools", hint="list them in `tools`")
    return cast(Literal["auto", "none", "required"], mode)


def _known(name: str, tools: Sequence[Tool]) -> str:
    """Return the name of a tool that is there."""
    names = [tool.name for tool in tools]
    if name in names:
        return name
    close = nearest(name, names, limit=1)
    hint = f"did you mean `{close[0]}`?" if close else "list it in `tools`"
    raise Refusal(400, f"`tool_choice` names `{name}`, which is not one of the tools", hint=hint)


def function_of(given: Fields) -> Fields:
    """Return the part that describes a function: chat completions have it in an object of its own."""
    return given.inner("function") or given
