"""A conversation with a model: what was said, and what is asked next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olpipe.asking.asker import Asker, judge
from olpipe.asking.context import load_options
from olpipe.asking.image_tokens import check_image_tokens
from olpipe.asking.options import WITHOUT_EFFECT
from olpipe.cli.asked_model import sees, sight
from olpipe.cli.prompt_images import take_images
from olpipe.cli.repl.answering import show_answer
from olpipe.cli.repl.preferences import Preferences
from olpipe.cli.repl.reading import PROMPT
from olpipe.cli.repl.showing import AnswerView
from olpipe.cli.repl.spinner import Waiting
from olpipe.cli.repl.terminal import Terminal, interrupting, printable
from olpipe.cli.run_embedding import only_embeds
from olpipe.cli.usage_report import report
from olpipe.errors import GenerationError, UsageError, cannot_see
from olpipe.generation import Chunk, Completion, FinishReason
from olpipe.messages import Message, Part, TextPart, ThinkingPart
from olpipe.model import ModelName

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.engine.manager import Engine
    from olpipe.engine.stream import Reply
    from olpipe.generation import GenerateRequest
    from olpipe.model import LoadOptions, ModelBundle, RunnerInfo

STAYS_FOR_QUESTION_S = 60.0
"""How long a model that was loaded stays at least until it is asked something."""


class Session:
    """One conversation at a time, with one model.

    Attributes:
        app: What all commands share.
        terminal: Where answers go.
        preferences: How to ask and show.
        model: The model's name as it was given.
        bundle: The model.
        messages: What was said, oldest first. The model's own opening is not part of it.
        opening: The turns with which the model opens the conversation.
        is_over: Whether the user wants to leave.
    """

    model: str
    bundle: ModelBundle

    def __init__(
        self, app: App, engine: Engine, terminal: Terminal, preferences: Preferences, waiting: Waiting
    ) -> None:
        """Make a session without a model; `open` takes one."""
        self.app = app
        self.terminal = terminal
        self.preferences = preferences
        self.messages: list[Message] = []
        self.opening: tuple[Message, ...] = ()
        self.is_over = False
        self.waiting = waiting
        self._engine = engine
        self._loaded: LoadOptions | None = None

    @property
    def thinks(self) -> bool:
        """Whether the model can think before it answers."""
        return "thinking" in self.bundle.config.capabilities

    @property
    def image_suffixes(self) -> set[str]:
        """The suffixes of files that can be shown to a model."""
        return {suffix for loader in self.app.plugins.image_loaders for suffix in loader.suffixes}

    # --- models -----------------------------------------------------------------------------------

    def open(self, model: str) -> None:
        """Begin a conversation with a model, and show how it begins. Where that fails, nothing changes.

        Raises:
            OlpipeError: The model is not here, cannot be loaded, or writes no answers.
            KeyboardInterrupt: Loading it took the user too long.
        """
        bundle = self._engine.bundle(model)
        if only_embeds(bundle):
            message = f"`{model}` makes embeddings, so there is nothing to talk about"
            raise UsageError(message, hint=f'run `olpipe run {model} "your text"`')
        check_image_tokens(bundle, self.preferences.options.load.image_tokens, hint="leave out `--image-tokens`")
        thinks = "thinking" in bundle.config.capabilities
        Asker(bundle, self.preferences.wishes(thinks=thinks), self.app.plugins)  # raises where a perceiver is missing
        options = self._load_options(bundle)
        self._load(model, options)
        if self._loaded is not None and self.bundle.digest != bundle.digest:
            self._engine.unload(self.model)
        self.model, self.bundle, self._loaded = model, bundle, options
        self.messages, self.opening, self.preferences.system = [], bundle.messages, None
        if not self.thinks and self.preferences.think not in (None, "off"):
            click.echo(f"note: '{model}' does not support thinking", err=True)
            self.preferences.think = None
        self._show_opening()

    def clear(self) -> None:
        """Forget what was said. A system message stays."""
        self.messages = []
        self.opening = tuple(message for message in self.opening if message.role == "system")

    def _load(self, model: str, options: LoadOptions) -> RunnerInfo:
        keep_s = self.preferences.keep_alive_s
        if keep_s is not None and keep_s >= 0:  # it must not leave before a question reaches it
            keep_s = max(keep_s, STAYS_FOR_QUESTION_S)
        reply = self._engine.load(model, keep_alive_s=keep_s, options=options)
        return self._wait(reply)

    def _load_options(self, bundle: ModelBundle) -> LoadOptions:
        usual = self.app.settings.context_length
        return load_options(self.preferences.options.load, bundle, usual=usual)

    def _wait(self, reply: Reply[RunnerInfo]) -> RunnerInfo:
        """Wait until a model is loaded. Ctrl-C gives that up."""
        try:
            with interrupting(reply.cancel) as interruption, self.waiting.spinner():
                return reply.result()
        except GenerationError as error:
            if interruption.happened:
                raise KeyboardInterrupt from error
            raise
        finally:
            self.waiting.close()

    def _show_opening(self) -> None:
        for message in self.opening:
            if message.role == "user":
                self.terminal.write(f"{PROMPT}{printable(message.text)}\n")
            elif message.role == "assistant":
                view = self._view()
                view.show(Chunk(message.text))
                view.end()
                self.terminal.write("\n\n")

    # --- questions --------------------------------------------------------------------------------

    def ask(self, text: str) -> None:
        """Ask the model something, and show its answer. What it says becomes part of the conversation.

        Raises:
            OlpipeError: It cannot be asked, or did not answer. Then the conversation is as before.
        """
        words, paths = self._without_images(text)
        asker = self._asker()
        message = Message.of("user", words, *(asker.image(path) for path in paths))
        for path in paths:
            click.echo(f"Added image '{path}'", err=True)
        request = asker.request(self.model, self._conversation(message))
        completion = self._answer(asker, request)
        said = _said(completion)
        if said is not None:
            self.messages += [message, said]
        if self.preferences.verbose:
            report(completion)
        if completion.usage.cut_messages:
            _note_cut(completion.usage.cut_messages)
        if completion.finish_reason is not FinishReason.CANCELLED:
            judge(request, completion)

    def _without_images(self, text: str) -> tuple[str, list[Path]]:
        """Take the paths of images out of a text.

        Raises:
            UsageError: An image is not there, or nothing can look at it.
        """
        perceivers = self.preferences.perceivers
        looks = sees(self.bundle) or bool(self.bundle.config.perceivers if perceivers is None else perceivers)
        try:
            words, paths = take_images(text, self.image_suffixes)
        except UsageError:
            if looks:
                raise
            return text, []  # to a model of texts, the name of a file is a name
        if paths and not looks:
            raise cannot_see(self.model)
        return words, paths

    def _asker(self) -> Asker:
        preferences, bundle = self.preferences, replace(self.bundle, messages=self.opening)
        options = self._load_options(bundle)
        check_image_tokens(bundle, options.image_tokens, hint="take it back: `/set parameter image_tokens 0`")
        if options != self._loaded:  # one process is enough
            self._engine.unload(self.model)
            self._loaded = options
        eyes = {}
        if sees(bundle):
            eyes = sight(self.app, bundle, self._load(self.model, options), backend=options.backend)
        wishes = preferences.wishes(thinks=self.thinks)
        return Asker(bundle, wishes, self.app.plugins, evidence=self.app.evidence, **eyes)

    def _conversation(self, message: Message) -> list[Message]:
        system = self.preferences.system
        first = [] if system is None else [Message.of("system", system)]
        return [*first, *self.messages, message]

    def _answer(self, asker: Asker, request: GenerateRequest) -> Completion:
        view = self._view()
        keep_s, options = self.preferences.keep_alive_s, self._loaded
        ended = False
        try:
            completion = show_answer(
                asker, request, self._engine, view=view, waiting=self.waiting, keep_alive_s=keep_s, options=options
            )
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
        from olpipe.store.create import NewModel, check, create

        preferences, turns = self.preferences, (*self.opening, *self.messages)
        parameters = {key: value for key, value in preferences.parameters.items() if key not in WITHOUT_EFFECT}
        new = NewModel(
            ModelName.parse(name),
            self.bundle.name,
            system=preferences.system or "",
            parameters=parameters,
            messages=turns,
        )
        check(new, self.app.library)
        create(new, self.app.library, self.app.plugins, progress=lambda progress: None)
        if any(message.images for message in turns):
            click.echo("note: the model has the texts of the conversation, and not its images", err=True)

    def check_context(self, tokens: int) -> None:
        """Refuse a context that the model does not have.

        Raises:
            UsageError: It is longer than the model's.
        """
        longest = self.bundle.config.context_length
        if 0 < longest < tokens:
            raise UsageError(f"num_ctx cannot be {tokens}: '{self.model}' holds {longest} tokens")


def _said(completion: Completion) -> Message | None:
    """Return what a model said, as part of the conversation; None where it said nothing."""
    if not completion.text and completion.finish_reason is FinishReason.CANCELLED:
        return None
    parts: tuple[Part, ...] = (TextPart(completion.text),)
    return Message("assistant", (ThinkingPart(completion.thinking), *parts) if completion.thinking else parts)


def _note_cut(messages: int) -> None:
    left_out = "the oldest message was" if messages == 1 else f"the {messages} oldest messages were"
    click.echo(f"note: {left_out} left out, because the conversation is longer than the context", err=True)
