"""`olpipe run`: ask a model one question, or talk with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olpipe.cli import choices
from olpipe.cli.app import App
from olpipe.cli.question import STDIN, Question, read_question
from olpipe.cli.repl.terminal import Terminal, on_terminal
from olpipe.cli.usage_report import report
from olpipe.errors import UsageError, cannot_see

if TYPE_CHECKING:
    from olpipe.cli.hosts.host import Answer, Conversation, Model
    from olpipe.cli.repl.preferences import Preferences
    from olpipe.cli.repl.spinner import Waiting
    from olpipe.generation import Completion, Thinking

_THINKING: dict[str, Thinking] = {
    "true": "on",
    "false": "off",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
}
_TEXT = 'run `olpipe run MODEL "your text" --dimensions N`'
_NO_DIMENSIONS = "leave out `--dimensions`"
_SAMPLING = ("temperature", "top_k", "top_p", "seed", "stop", "max_tokens")


class RunCommand(click.Command):
    """Takes `--think` alone for `--think=true`, so that the word behind it stays part of the prompt."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments."""
        options = args.index("--") if "--" in args else len(args)
        return super().parse_args(
            ctx, ["--think=true" if arg == "--think" and at < options else arg for at, arg in enumerate(args)]
        )


def _seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Read a duration; None where the option was not given."""
    from olpipe.durations import keep_alive

    try:
        return None if value is None else keep_alive(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


_CHOOSING = (
    click.option(
        "--temperature",
        type=click.FloatRange(0, 100),
        help="How freely tokens are chosen; 0 always takes the most probable one.",
    ),
    click.option("--top-k", type=click.IntRange(min=0), help="Keep the N most probable tokens; 0 keeps all."),
    click.option(
        "--top-p",
        type=click.FloatRange(0, 1, min_open=True),
        help="Keep the most probable tokens that together have this probability.",
    ),
    click.option("--seed", type=click.IntRange(min=0), help="Give the same answer again each time."),
    click.option("--stop", multiple=True, metavar="TEXT", help="End the answer before this text; may be repeated."),
    click.option("--max-tokens", type=click.IntRange(1, (1 << 31) - 1), help="Most tokens of the answer."),
)

_SHOWING = (
    click.option(
        "--think",
        type=click.Choice(list(_THINKING)),
        metavar="[=LEVEL]",
        help="Let the model think first: true, false, low, medium, high or max. By default, it does if it can.",
    ),
    click.option("--hidethinking", is_flag=True, help="Do not show what the model thinks."),
    click.option("--nowordwrap", is_flag=True, help="Do not break lines between words on a terminal."),
    click.option(
        "--keepalive",
        metavar="DURATION",
        callback=_seconds,
        help="How long the model stays loaded afterwards, like `10m`.",
    ),
    click.option("--verbose", is_flag=True, help="Show tokens and times after the answer, on stderr."),
)


def _showing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command the options that say how an answer is shown, and how long its model stays."""
    for option in reversed(_SHOWING):
        command = option(command)
    return command


def _sampling(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command the options that say how tokens are chosen, and where the answer ends."""
    for option in reversed(_CHOOSING):
        command = option(command)
    return command


@click.command(cls=RunCommand)
@click.argument("model")
@click.argument("prompt", nargs=-1)
@click.option(
    "--format",
    "format_",
    metavar="json|SCHEMA",
    help="Make the answer JSON: any, or as a JSON schema says. SCHEMA is its text or its file.",
)
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A photo to ask about; may be repeated.",
)
@choices.perceivers
@choices.loading
@_sampling
@_showing
@click.option(
    "--dimensions", type=click.IntRange(min=1), help="Cut a vector to N values, for a model that makes embeddings."
)
@click.pass_obj
def run(
    app: App,
    /,
    model: str,
    prompt: tuple[str, ...],
    images: tuple[Path, ...],
    dimensions: int | None,
    **given: Any,
) -> None:
    """Ask MODEL one question, or talk with it: without PROMPT on a terminal, a session begins.

    Write the path of a photo in PROMPT to ask about the photo. `-` stands for what is piped in, a text or a
    photo. A model that makes embeddings answers with a vector, as one JSON array.

    If a server of olpipe runs on this machine, or OLLAMA_HOST names a server, the server answers. Otherwise
    this command runs the model itself. With `--backend` or `--device`, it always does.

    \b
    olpipe run photo-mini
    olpipe run photo-mini "what is in samples/photos/cat.jpg?"
    olpipe run photo-mini --format json "describe cat.jpg"
    """  # noqa: D301 - click takes the backspace for "leave these lines as they are"
    if given["backend"] or given["device"]:
        app.server = None  # a server chooses them by itself
    if prompt or images or not on_terminal():
        question = read_question(prompt, app.plugins.image_loaders, images)
        _ask(app, model, question, _preferences(app, given), dimensions)
        return
    if dimensions is not None:
        raise UsageError("`--dimensions` is for models that make embeddings, and they need a text", hint=_TEXT)
    from olpipe.cli.repl.loop import converse

    converse(app, model, _preferences(app, given))


def _preferences(app: App, given: dict[str, Any]) -> Preferences:
    """Return how to ask and show. A schema that cannot be used is refused before a model is fetched for it."""
    from olpipe.asking.options import options_for
    from olpipe.cli.repl.preferences import Preferences

    # One question needs one slot, and forwards are fastest with a single sequence.
    load = choices.load_options(given, slots=1)
    sampling = {name: given[name] for name in _SAMPLING if given[name] not in (None, ())}
    preferences = Preferences(
        load=load,
        parameters=options_for(sampling),
        format_=_format(given["format_"]),
        think=None if given["think"] is None else _THINKING[given["think"]],
        perceivers=given["perceivers"],
        keep_alive_s=given["keepalive"],
        verbose=given["verbose"],
        wraps=not given["nowordwrap"],
        hides_thinking=given["hidethinking"],
        keeps_history=not app.settings.keeps_no_history,
    )
    preferences.wishes(thinks=False)
    return preferences


def _format(given: str | None) -> str | None:
    """Return `json` or the text of a schema, which may be given by the path of its file."""
    from olpipe.cli.schema_option import schema_text

    if given is None or given == "json":
        return given
    return schema_text("--format", given, hint="give `json`, the path of a file, or JSON in quotes")


def _ask(app: App, name: str, question: Question, preferences: Preferences, dimensions: int | None) -> None:
    """Ask one question, and show the answer."""
    from olpipe.cli.hosts.choosing import hosting
    from olpipe.cli.progress import shown
    from olpipe.cli.repl.spinner import Waiting

    with shown(f"`{name}` is not built yet: this happens once") as display:
        waiting = Waiting(Terminal(), display)
        with hosting(app, waiting) as host:
            model = host.find(name, pulls=True)
            _check(model, question, preferences, dimensions)
            if model.only_embeds:
                from olpipe.cli.run_embedding import embed

                embed(host, model, question, preferences, dimensions)
                return
            answer = host.ask(model, _conversation(question), preferences)
            for image in question.images:
                click.echo(f"Added image '{STDIN if isinstance(image, bytes) else image}'", err=True)
            completion = _show(answer, preferences, waiting)
            if preferences.verbose:
                report(completion, counts_all=host.is_olpipe)
    answer.judge(completion)


def _check(model: Model, question: Question, preferences: Preferences, dimensions: int | None) -> None:
    """Refuse what a model cannot do.

    Raises:
        UsageError: It cannot do what is asked.
    """
    from olpipe.asking.image_tokens import no_image_tokens

    image_tokens = preferences.load.image_tokens
    if image_tokens and not model.sees:
        raise no_image_tokens(model.full_name, image_tokens, hint="leave out `--image-tokens`")
    if preferences.think not in (None, "off") and not model.thinks:
        raise UsageError(f"`{model.name}` does not think before it answers", hint="leave out `--think`")
    if model.only_embeds:
        return
    if dimensions is not None:
        raise UsageError(f"`{model.name}` makes no embeddings, so there are no dimensions", hint=_NO_DIMENSIONS)
    if question.images and not model.looks(preferences.perceivers):
        raise cannot_see(model.full_name)


def _conversation(question: Question) -> Conversation:
    """Read the images of the question."""
    from olpipe.cli.hosts.host import Conversation, Photo, Turn

    photos = tuple(map(Photo.read, question.images))
    return Conversation((Turn("user", question.text, photos=photos),), truncate=False)


def _show(answer: Answer, preferences: Preferences, waiting: Waiting) -> Completion:
    """Show the answer.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C.
    """
    from olpipe.cli.repl.answering import show_answer
    from olpipe.cli.repl.showing import AnswerView
    from olpipe.generation import FinishReason

    wraps = preferences.wraps and preferences.format_ is None
    view = AnswerView(Terminal(), wraps=wraps, hides_thinking=preferences.hides_thinking)
    try:
        completion = show_answer(answer, view=view, waiting=waiting)
    finally:
        if not view.is_empty:
            click.echo()
    if completion.finish_reason is FinishReason.CANCELLED:
        raise KeyboardInterrupt
    return completion
