"""A chat template in Go's language, ready to render conversations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from olpipe.errors import ModelCorrupt, UsageError, first_line
from olpipe.families.go_template.conversation import (
    RESPONSE,
    collated,
    each_turn,
    message,
    names_in,
    tools_of,
    until_response,
)
from olpipe.families.go_template.functions import NAMES, functions
from olpipe.families.go_template.interpreter import Forbidden, run
from olpipe.families.go_template.lexer import Invalid
from olpipe.families.go_template.parser import parse
from olpipe.families.go_template.values import Failed
from olpipe.families.template_shape import TemplateShape
from olpipe.families.turns import Turn
from olpipe.generation import Thinking

MOST_SOURCE = 1 << 20
"""The longest template, in characters. Those of models have a few thousand."""


class GoTemplate:
    """A compiled template. It renders one conversation at a time, and does what `ChatTemplate` does.

    Attributes:
        shape: In which form it expects a conversation.
    """

    writes_begin = False

    def __init__(self, source: str, *, now: Callable[[], datetime] = datetime.now) -> None:
        """Compile a template.

        Args:
            source: The text.
            now: Returns the time, for a template that writes the date.

        Raises:
            ModelCorrupt: The text is not a valid template.
        """
        self.shape = TemplateShape()
        self._functions = functions(now)
        try:
            if len(source) > MOST_SOURCE:
                raise Invalid(f"it has more than {MOST_SOURCE:,} characters", 1)
            self._tree = parse(source, NAMES)
        except Invalid as error:
            raise ModelCorrupt(f"the model's chat template is not valid: {error} (line {error.line})") from error
        names = names_in(self._tree)
        self._takes_messages = "messages" in names
        self._thinks = "thinking" in names
        if not self._takes_messages and "response" not in names:
            self._tree = replace(self._tree, root=(*self._tree.root, RESPONSE))

    def render(
        self, turns: Sequence[Turn], *, tools: Sequence[Mapping[str, Any]] = (), think: Thinking | None = None
    ) -> str:
        """Return the text that the model continues with its answer.

        Args:
            turns: The conversation, as `turns_of` makes it.
            tools: The tools that the model may call, as `described` makes them.
            think: Whether the model thinks first; None lets a model think that can, as Ollama does.

        Raises:
            UsageError: The template fails on such a conversation.
            ModelCorrupt: The template goes beyond a limit.
        """
        if think is None and self._thinks:
            think = "on"
        level = think if think not in (None, "off", "on") else ""
        thinking = {"Think": think not in (None, "off"), "ThinkLevel": level, "IsThinkSet": think is not None}
        try:
            system, messages = collated(turns)
            if self._takes_messages:
                data = {"System": system, "Messages": [message(turn) for turn in messages], "Tools": tools_of(tools)}
                return self._run({**data, "Response": "", **thinking})
            *before, last = each_turn(messages)
            text = "".join(self._run({**given, **thinking}) for given in before)
            return text + self._run({**last, **thinking}, is_last=True)
        except Failed as error:
            message_ = f"the model's chat template fails on this conversation: {first_line(error)}"
            raise UsageError(message_) from error
        except RecursionError as error:
            raise UsageError(
                "the parts of a tool lie too deep in each other", hint="describe it more simply"
            ) from error
        except Forbidden as error:
            raise ModelCorrupt(f"the model's chat template does something forbidden: {error}") from error

    def _run(self, data: Mapping[str, Any], *, is_last: bool = False) -> str:
        root = until_response(self._tree.root) if is_last else self._tree.root
        return run(self._tree, root, dict(data), self._functions)
