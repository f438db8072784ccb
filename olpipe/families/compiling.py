"""Compile a chat template, in whichever of two languages it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from olpipe.families.template_language import is_jinja

if TYPE_CHECKING:
    from olpipe.families.template_shape import TemplateShape
    from olpipe.families.turns import Turn
    from olpipe.generation import Thinking


class Compiled(Protocol):
    """A compiled template. `ChatTemplate` and `GoTemplate` are the two kinds of it.

    Attributes:
        shape: In which form it expects a conversation.
        writes_begin: Whether it writes the token that begins a text itself, where the model has one.
    """

    shape: TemplateShape
    writes_begin: bool

    def render(
        self, turns: Sequence[Turn], *, tools: Sequence[Mapping[str, Any]] = (), think: Thinking | None = None
    ) -> str:
        """Return the text that the model continues with its answer."""
        ...


def compile_template(source: str, special_tokens: Mapping[str, str] | None = None) -> Compiled:
    """Compile a template.

    Args:
        source: Its text, in one of the two languages.
        special_tokens: The texts of tokens with a role, by the names that templates in Jinja use.

    Raises:
        ModelCorrupt: The text is not a valid template.
    """
    if is_jinja(source):
        from olpipe.families.chat_template import ChatTemplate

        return ChatTemplate(source, special_tokens)
    from olpipe.families.go_template.template import GoTemplate

    return GoTemplate(source)
