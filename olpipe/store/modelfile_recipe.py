"""What a Modelfile asks for: the commands that belong together, with those left out that later ones replace."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from olpipe.errors import UsageError
from olpipe.messages import Message
from olpipe.store.modelfile_reader import Command, decode, read_commands

# Source: https://semver.org; as in Go, the last numbers may be left out, and a `v` may come first.
_NUMBER, _WORDS = r"(?:0|[1-9]\d*)", r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"v?{_NUMBER}(?:\.{_NUMBER}(?:\.{_NUMBER}(?:-{_WORDS})?(?:\+{_WORDS})?)?)?")
_HINTS = {
    "renderer": "leave it out: the model's chat template writes its prompts",
    "parser": "leave it out: olpipe finds in the chat template how the model marks thinking and tool calls",
    "draft": "leave it out: no second model guesses ahead here",
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a Modelfile asks for.

    Attributes:
        bases: The values of its `FROM` lines: names of models, or paths.
        adapters: The paths of its `ADAPTER` lines.
        system: The system message.
        template: The chat template.
        licenses: The licences.
        parameters: Its `PARAMETER` lines. What a value means is not known here.
        messages: Turns that open every conversation.
    """

    bases: tuple[Command, ...]
    adapters: tuple[Command, ...] = ()
    system: str = ""
    template: str = ""
    licenses: tuple[str, ...] = ()
    parameters: tuple[Command, ...] = ()
    messages: tuple[Message, ...] = ()


def read_recipe(data: bytes) -> Recipe:
    """Read the bytes of a Modelfile.

    Raises:
        UsageError: It is not a Modelfile, has no `FROM`, or asks for something that olpipe cannot do.
    """
    recipe = Recipe(())
    for command in read_commands(decode(data)):
        recipe = _with(recipe, command)
    if not recipe.bases:
        raise UsageError("no FROM line", hint="begin with `FROM MODEL`, or with `FROM PATH` for a model's file")
    return recipe


def _with(recipe: Recipe, command: Command) -> Recipe:
    match command.name:
        case "from":
            return replace(recipe, bases=(*recipe.bases, _filled(command)))
        case "adapter":
            return replace(recipe, adapters=(*recipe.adapters, _filled(command)))
        case "system":
            return replace(recipe, system=command.value)
        case "template":
            return replace(recipe, template=command.value)
        case "license":
            return replace(recipe, licenses=(*recipe.licenses, *filter(None, [command.value])))
        case "parameter":
            return replace(recipe, parameters=(*recipe.parameters, command))
        case "message":
            role: Any = command.subject
            return replace(recipe, messages=(*recipe.messages, Message.of(role, command.value)))
        case "requires":
            if not _VERSION.fullmatch(command.value):
                message = f"(line {command.line}): requires must be a valid semver (e.g. 0.14.0)"
                raise UsageError(message, hint=f"`{command.value:.40}` is no version")
            return recipe  # a version of Ollama says nothing about olpipe. Whether it runs shows when it is built
        case other:
            raise UsageError(f"(line {command.line}): `{other.upper()}` has no meaning here", hint=_HINTS[other])


def _filled(command: Command) -> Command:
    if not command.value:
        message = f"(line {command.line}): `{command.name.upper()}` names nothing"
        raise UsageError(message, hint="write a model's name or a path behind it")
    return command
