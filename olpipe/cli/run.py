"""`olpipe run`: ask a model one question, or talk with it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olpipe.cli import choices
from olpipe.cli.app import App
from olpipe.cli.question import STDIN, Question, read_question
from olpipe.cli.repl.terminal import Terminal, on_terminal
from olpipe.errors import UsageError

if TYPE_CHECKING:
    from olpipe.asking.asker import Asker
    from olpipe.asking.wishes import Wishes
    from olpipe.cli.repl.preferences import Preferences
    from olpipe.cli.repl.spinner import Waiting
    from olpipe.engine.manager import Engine
    from olpipe.generation import Completion, GenerateRequest, Thinking
    from olpipe.messages import Message
    from olpipe.model import ModelBundle

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
        "--keepalive", metavar="DURATION", callback=_seconds, help="How long an idle model stays loaded, like `10m`."
    ),
    click.option("--verbose", is_flag=True, help="Show tokens and times on stderr."),
)


def _showing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command the options that say how an answer is shown, and how long its model stays."""
    for option in reversed(_SHOWING):
        command = option(command)
    return command


@click.command(cls=RunCommand)
@click.argument("model")
@click.argument("prompt", nargs=-1)
@click.option("--format", "format_", metavar="json|SCHEMA", help="Hold the answer to JSON or a schema (text or file).")
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="An image to ask about; may be repeated.",
)
@choices.perceivers
@choices.loading
@click.option("--temperature", type=click.FloatRange(0, 100), help="0 always picks the most probable token.")
@click.option("--top-k", type=click.IntRange(min=0), help="Keep the K most probable tokens; 0 keeps all.")
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), help="Keep top tokens up to this probability.")
@click.option("--seed", type=click.IntRange(min=0), help="Make a sampled answer repeatable.")
@click.option("--stop", multiple=True, metavar="TEXT", help="End the answer before this text; may be repeated.")
@click.option("--max-tokens", type=click.IntRange(1, (1 << 31) - 1), help="Most tokens of the answer.")
@_showing
@click.option("--dimensions", type=click.IntRange(min=1), help="Cut a vector to this many values.")
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
    """Ask MODEL something and show its answer, or talk with it: without PROMPT on a terminal, a session begins.

    Paths of images in PROMPT are images, which are shown to the model or to perceivers. `-` stands for what
    is piped in, text or an image. A model that makes embeddings answers with a vector, as one JSON array.

    \b
    olpipe run photo-mini
    olpipe run photo-mini "what is in samples/photos/cat.jpg?"
    olpipe run photo-mini --format json "describe cat.jpg"
    """  # noqa: D301 - click takes the backspace for "leave these lines as they are"
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


def _ask(app: App, model: str, question: Question, preferences: Preferences, dimensions: int | None) -> None:
    """Ask one question, and show the answer."""
    from olpipe.asking.asker import Asker, judge
    from olpipe.asking.image_tokens import check_image_tokens
    from olpipe.cli.asked_model import bundle_of, sees, sight
    from olpipe.cli.progress import shown
    from olpipe.cli.repl.spinner import Waiting
    from olpipe.cli.run_embedding import embed, only_embeds
    from olpipe.cli.usage_report import report

    options, verbose = preferences.load, preferences.verbose
    with shown(f"`{model}` is not built yet: this happens once") as display, closing(app.evidence) as evidence:
        waiting = Waiting(Terminal(), display)
        with app.engine(waiting) as engine:
            bundle = bundle_of(app, model, engine, waiting)
            check_image_tokens(bundle, options.image_tokens, hint="leave out `--image-tokens`")
            wishes = _wishes(model, bundle, preferences)
            if only_embeds(bundle):
                embed(engine, model, question, wishes, dimensions=dimensions, options=options, verbose=verbose)
                return
            if dimensions is not None:
                raise UsageError(f"`{model}` makes no embeddings, so there are no dimensions", hint=_NO_DIMENSIONS)
            eyes = {}
            if sees(bundle):
                with waiting.spinner():
                    info = engine.load(model, options=options).result()
                eyes = sight(app, bundle, info, backend=options.backend)
            asker = Asker(bundle, wishes, app.plugins, evidence=evidence, **eyes)
            request = asker.request(model, [_message(asker, question)])
            completion = _show(asker, request, engine, preferences, waiting)
    if verbose:
        report(completion)
    judge(request, completion)


def _wishes(model: str, bundle: ModelBundle, preferences: Preferences) -> Wishes:
    """Return what the answer has to be like.

    Raises:
        UsageError: The model cannot think first, and was asked to.
    """
    from olpipe.asking.wishes import USUAL

    thinks = "thinking" in bundle.config.capabilities
    if preferences.think not in (None, "off") and not thinks:
        raise UsageError(f"`{model}` does not think before it answers", hint="leave out `--think`")
    return replace(preferences.wishes(thinks=thinks), usual=USUAL, truncate=False)


def _message(asker: Asker, question: Question) -> Message:
    """Load the images of the question."""
    from olpipe.messages import Message

    images = [asker.image(image) for image in question.images]
    for image in question.images:
        click.echo(f"Added image '{STDIN if isinstance(image, bytes) else image}'", err=True)
    return Message.of("user", question.text, *images)


def _show(
    asker: Asker, request: GenerateRequest, engine: Engine, preferences: Preferences, waiting: Waiting
) -> Completion:
    """Show the answer.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C.
    """
    from olpipe.cli.repl.answering import show_answer
    from olpipe.cli.repl.showing import AnswerView
    from olpipe.generation import FinishReason

    wraps = preferences.wraps and preferences.format_ is None
    view = AnswerView(Terminal(), wraps=wraps, hides_thinking=preferences.hides_thinking)
    keep_s, options = preferences.keep_alive_s, preferences.load
    try:
        completion = show_answer(
            asker, request, engine, view=view, waiting=waiting, keep_alive_s=keep_s, options=options
        )
    finally:
        if not view.is_empty:
            click.echo()
    if completion.finish_reason is FinishReason.CANCELLED:
        raise KeyboardInterrupt
    return completion
