"""A conversation with a model: what was said, and what is asked next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from olpipe.asking.image_tokens import no_image_tokens
from olpipe.cli.hosts.host import Conversation, Model, Photo, Turn
from olpipe.cli.prompt_images import take_images
from olpipe.cli.repl.answering import show_answer
from olpipe.cli.repl.preferences import Preferences
from olpipe.cli.repl.reading import PROMPT
from olpipe.cli.repl.showing import AnswerView
from olpipe.cli.repl.spinner import Waiting
from olpipe.cli.repl.terminal import Terminal, printable
from olpipe.cli.usage_report import report
from olpipe.errors import UsageError, cannot_see
from olpipe.generation import Chunk, Completion, FinishReason

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.cli.hosts.host import Answer, Host


class Session:
    """One conversation at a time, with one model.

    Attributes:
        app: What all commands share.
        host: Who answers.
        terminal: Where answers go.
        preferences: How to ask and show.
        model: The model.
        turns: What was said, oldest first. The model's own opening is not part of it.
        opens: Whether the turns with which the model opens a conversation are part of this one.
        is_over: Whether the user wants to leave.
    """

    model: Model

    def __init__(self, app: App, host: Host, terminal: Terminal, preferences: Preferences, waiting: Waiting) -> None:
        """Make a session without a model; `open` takes one."""
        self.app = app
        self.host = host
        self.terminal = terminal
        self.preferences = preferences
        self.turns: list[Turn] = []
        self.opens = True
        self.is_over = False
        self.waiting = waiting

    @property
    def image_suffixes(self) -> set[str]:
        """The suffixes of files that can be shown to a model."""
        return {suffix for loader in self.app.plugins.image_loaders for suffix in loader.suffixes}

    # --- models -----------------------------------------------------------------------------------

    def open(self, name: str, *, pulls: bool = False) -> None:
        """Begin a conversation with a model, and show how it begins. Where that fails, nothing changes.

        Args:
            name: The model's name.
            pulls: Whether it is pulled where it is missing.

        Raises:
            OlpipeError: The model is not here, cannot be loaded, or writes no answers.
            KeyboardInterrupt: Pulling or loading it took the user too long.
        """
        model = self.host.find(name, pulls=pulls)
        if model.only_embeds:
            message = f"`{name}` makes embeddings, so there is nothing to talk about"
            raise UsageError(message, hint=f'run `olpipe run {name} "your text"`')
        self._check_image_tokens(model, hint="leave out `--image-tokens`")
        if not model.thinks and self.preferences.think not in (None, "off"):
            click.echo(f"note: '{name}' does not support thinking", err=True)
            self.preferences.think = None
        self.host.load(model, self.preferences)
        self.model, self.turns, self.opens, self.preferences.system = model, [], True, None
        self._show_opening()

    def clear(self) -> None:
        """Forget what was said. A system message stays."""
        self.turns, self.opens = [], False
        if not self.host.is_olpipe and any(turn.role != "system" for turn in self.model.opening):
            click.echo("note: the server sends the turns with which the model opens a conversation again", err=True)

    def _check_image_tokens(self, model: Model, *, hint: str) -> None:
        image_tokens = self.preferences.options.load.image_tokens
        if image_tokens and not model.sees:
            raise no_image_tokens(model.full_name, image_tokens, hint=hint)

    def _show_opening(self) -> None:
        for turn in self.model.opening:
            if turn.role == "user":
                self.terminal.write(f"{PROMPT}{printable(turn.text)}\n")
            elif turn.role == "assistant":
                view = self._view()
                view.show(Chunk(turn.text))
                view.end()
                self.terminal.write("\n\n")

    # --- questions --------------------------------------------------------------------------------

    def ask(self, text: str) -> None:
        """Ask the model something, and show its answer. What it says becomes part of the conversation.

        Raises:
            OlpipeError: It cannot be asked, or did not answer. Then the conversation is as before.
        """
        words, paths = self._without_images(text)
        self._check_image_tokens(self.model, hint="take it back: `/set parameter image_tokens 0`")
        asked = Turn("user", words, photos=tuple(map(Photo.read, paths)))
        answer = self.host.ask(self.model, self._conversation(asked), self.preferences)
        for path in paths:
            click.echo(f"Added image '{path}'", err=True)
        completion = self._show(answer)
        said = _said(completion)
        if said is not None:
            self.turns += [asked, said]
        if self.preferences.verbose:
            report(completion, counts_all=self.host.is_olpipe)
        if completion.usage.cut_messages:
            _note_cut(completion.usage.cut_messages)
        if completion.finish_reason is not FinishReason.CANCELLED:
            answer.judge(completion)

    def _without_images(self, text: str) -> tuple[str, list[Path]]:
        """Take the paths of images out of a text.

        Raises:
            UsageError: An image is not there, or nothing can look at it.
        """
        looks = self.model.looks(self.preferences.perceivers)
        try:
            words, paths = take_images(text, self.image_suffixes)
        except UsageError:
            if looks:
                raise
            return text, []  # to a model of texts, the name of a file is a name
        if paths and not looks:
            raise cannot_see(self.model.name)
        return words, paths

    def _conversation(self, asked: Turn) -> Conversation:
        system = self.preferences.system
        first = [] if system is None else [Turn("system", system)]
        return Conversation((*first, *self.turns, asked), opens=self.opens)

    def _show(self, answer: Answer) -> Completion:
        view = self._view()
        ended = False
        try:
            completion = show_answer(answer, view=view, waiting=self.waiting)
            ended = True
        finally:  # an error is told on a line of its own
            self.terminal.write("\n\n" if not view.is_empty else "\n" if ended else "")
        return completion

    def _view(self) -> AnswerView:
        preferences = self.preferences
        wraps = preferences.wraps and preferences.format_ is None  # a line break in a string of JSON would be an error
        return AnswerView(self.terminal, wraps=wraps, hides_thinking=preferences.hides_thinking)

    # --- what commands ask ------------------------------------------------------------------------

    def save(self, name: str) -> None:
        """Make a model of this conversation and its settings.

        Raises:
            OlpipeError: It cannot be made.
        """
        turns = [*self._opening(), *self.turns]
        self.host.save(name, self.model, turns, self.preferences)
        if any(turn.photos for turn in turns):
            click.echo("note: the model has the texts of the conversation, and not its images", err=True)

    def _opening(self) -> tuple[Turn, ...]:
        opening = self.model.opening
        return opening if self.opens else tuple(turn for turn in opening if turn.role == "system")

    def check_context(self, tokens: int) -> None:
        """Refuse a context that the model does not have.

        Raises:
            UsageError: It is longer than the model's.
        """
        longest = self.model.context_length
        if 0 < longest < tokens:
            raise UsageError(f"num_ctx cannot be {tokens}: '{self.model.name}' holds {longest} tokens")


def _said(completion: Completion) -> Turn | None:
    """Return what a model said, as part of the conversation; None where it said nothing."""
    if not completion.text and completion.finish_reason is FinishReason.CANCELLED:
        return None
    return Turn("assistant", completion.text, completion.thinking)


def _note_cut(messages: int) -> None:
    left_out = "the oldest message was" if messages == 1 else f"the {messages} oldest messages were"
    click.echo(f"note: {left_out} left out, because the conversation is longer than the context", err=True)
