"""How a session asks and shows. Commands change it, and it lasts until the session ends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from olpipe.asking.options import Options, options_of
from olpipe.asking.wishes import SERVED, Wishes, holding_to
from olpipe.model import LoadOptions

if TYPE_CHECKING:
    from olpipe.generation import Thinking


@dataclass(slots=True)
class Preferences:
    """What was asked for on the command line or by commands.

    Attributes:
        load: How the model is loaded, as far as parameters do not say it.
        parameters: Options by their names in Ollama.
        system: The system message; None for the model's own.
        format_: What answers are held to: `json` or the text of a schema; None for nothing.
        think: Whether the model thinks first; None leaves it to the model.
        perceivers: Names of the perceivers; None for those that the model names.
        keep_alive_s: How long an idle model stays loaded; None takes the settings' value.
        verbose: Whether tokens and times are shown after each answer.
        wraps: Whether lines are broken between words.
        hides_thinking: Whether thoughts are not shown.
        keeps_history: Whether what is typed is kept for later.
    """

    load: LoadOptions = field(default_factory=LoadOptions)
    parameters: dict[str, Any] = field(default_factory=dict)
    system: str | None = None
    format_: str | None = None
    think: Thinking | None = None
    perceivers: tuple[str, ...] | None = None
    keep_alive_s: float | None = None
    verbose: bool = False
    wraps: bool = True
    hides_thinking: bool = False
    keeps_history: bool = True

    @property
    def options(self) -> Options:
        """The options, with the way in which the model is loaded."""
        given = options_of(self.parameters)
        load = replace(
            self.load,
            context_length=given.load.context_length or self.load.context_length,
            threads=given.load.threads or self.load.threads,
            image_tokens=given.load.image_tokens or self.load.image_tokens,
        )
        return replace(given, load=load)

    def wishes(self, *, thinks: bool) -> Wishes:
        """Return what an answer has to be like.

        Args:
            thinks: Whether the model can think before it answers. It does so unless that was switched off.
        """
        options = self.options
        return Wishes(
            None if self.format_ is None else holding_to(self.format_),
            options.sampling,
            self.perceivers,
            think=(self.think or "on") if thinks else None,
            context_length=options.load.context_length,
            truncate=True,
            usual=SERVED,
        )
