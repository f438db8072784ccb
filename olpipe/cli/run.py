"""`olpipe run`: ask a model one question and stream the answer to stdout."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from olpipe.cli import choices
from olpipe.cli.app import App
from olpipe.cli.question import STDIN, Question, read_question
from olpipe.errors import ModelNotFound

if TYPE_CHECKING:
    from olpipe.asking.asker import Asker
    from olpipe.asking.wishes import Wishes
    from olpipe.cli.progress import Display
    from olpipe.engine.manager import Engine
    from olpipe.engine.stream import Stream
    from olpipe.generation import Completion, GenerateRequest
    from olpipe.messages import Message
    from olpipe.model import LoadOptions, ModelBundle


@click.command()
@click.argument("model")
@click.argument("prompt", nargs=-1)
@click.option("--format", "format_", metavar="json|SCHEMA", help="Hold the answer to JSON or a schema (text or file).")
@choices.perceivers
@choices.loading
@click.option("--temperature", type=click.FloatRange(min=0), help="0 always picks the most probable token.")
@click.option("--top-k", type=click.IntRange(min=0), help="Keep the K most probable tokens; 0 keeps all.")
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), help="Keep top tokens up to this probability.")
@click.option("--seed", type=click.IntRange(min=0), help="Make a sampled answer repeatable.")
@click.option("--stop", multiple=True, metavar="TEXT", help="End the answer before this text; may be repeated.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Most tokens of the answer.")
@click.option("--verbose", is_flag=True, help="Show tokens and times on stderr.")
@click.pass_obj
def run(
    app: App,
    /,
    model: str,
    prompt: tuple[str, ...],
    format_: str | None,
    perceivers: tuple[str, ...] | None,
    *,
    verbose: bool,
    **given: Any,
) -> None:
    """Ask MODEL something and stream its answer.

    Paths of images in PROMPT are images, which are shown to the model or to perceivers. `-` stands for what
    is piped in, text or an image. A model that makes embeddings answers with a vector, as one JSON array.

    \b
    olpipe run photo-mini "what is in samples/photos/cat.jpg?"
    olpipe run photo-mini --format json "describe cat.jpg"
    """  # noqa: D301 - click takes the backspace for "leave these lines as they are"
    from olpipe.asking.asker import Asker, judge
    from olpipe.asking.image_tokens import check_image_tokens
    from olpipe.cli.progress import shown
    from olpipe.cli.run_embedding import embed, only_embeds

    question = read_question(prompt, app.plugins.image_loaders)
    # One question needs one slot, and forwards are fastest with a single sequence.
    options = choices.load_options(given, slots=1)
    wishes = _wishes(format_, perceivers, given)
    with (
        shown(f"`{model}` is not built yet: this happens once") as progress,
        closing(app.evidence) as evidence,
        app.engine(progress) as engine,
    ):
        bundle = _bundle(app, model, engine, progress)
        check_image_tokens(bundle, options.image_tokens, hint="leave out `--image-tokens`")
        if only_embeds(bundle):
            embed(engine, model, question, wishes, options=options, verbose=verbose)
            return
        asker = Asker(bundle, wishes, app.plugins, evidence=evidence, **_sight(app, model, bundle, engine, options))
        request = asker.request(model, [_message(asker, question)])
        completion = _answer(asker, request, engine, options)
    if verbose:
        _report(completion)
    judge(request, completion)


def _bundle(app: App, model: str, engine: Engine, progress: Display) -> ModelBundle:
    """Return a model. One that is not here, and that no plugin offers, is asked for in a registry."""
    from olpipe.store.resolve import pull_missing

    try:
        return engine.bundle(model)
    except ModelNotFound as missing:
        pull_missing(model, missing, app.library, app.plugins, progress)
    return engine.bundle(model)


def _sight(app: App, model: str, bundle: ModelBundle, engine: Engine, options: LoadOptions) -> dict[str, Any]:
    """Return what `Asker` must know of a model that sees. Only such a model has to be loaded for that."""
    if "vision" not in bundle.config.capabilities:
        return {}
    from olpipe.asking.interpreting import finding_about, interpreter
    from olpipe.image import USUAL_PIXELS
    from olpipe.store.findings import Findings

    info = engine.load(model, options=options).result()
    findings = Findings(app.settings.models_folder)
    finding = finding_about(bundle, app.plugins.backends, findings, backend=options.backend)
    return {"model_pixels": info.fit_pixels or USUAL_PIXELS, "interpreter": interpreter(info, finding)}


def _wishes(format_: str | None, perceivers: tuple[str, ...] | None, sampling: dict[str, Any]) -> Wishes:
    from olpipe.asking.wishes import Wishes, holding_to

    given = {name: value for name, value in sampling.items() if value is not None and value != ()}
    asked = _format(format_)  # a schema that cannot be used is refused before a model is fetched for it
    return Wishes(None if asked is None else holding_to(asked), given, perceivers)


def _format(given: str | None) -> str | None:
    """Return `json` or the text of a schema, which may be given by the path of its file."""
    from olpipe.cli.schema_option import schema_text

    if given is None or given == "json":
        return given
    return schema_text("--format", given, hint="give `json`, the path of a file, or JSON in quotes")


def _message(asker: Asker, question: Question) -> Message:
    """Load the images of the question."""
    from olpipe.messages import Message

    images = [asker.image(image) for image in question.images]
    for image in question.images:
        click.echo(f"Added image '{STDIN if isinstance(image, bytes) else image}'", err=True)
    return Message.of("user", question.text, *images)


def _answer(asker: Asker, request: GenerateRequest, engine: Engine, options: LoadOptions) -> Completion:
    """Show an answer as it comes, or as a whole where its boxes have to become pixels of the photo first."""
    spoken = asker.spoken(request)
    stream = engine.submit(spoken, options=options)
    try:
        if spoken is request:
            return _stream(stream)
        completion = asker.heard(request, stream.completion())
    except KeyboardInterrupt:
        stream.cancel()
        raise
    click.echo(completion.text)
    return completion


def _stream(stream: Stream) -> Completion:
    shown = False
    try:
        for chunk in stream:
            click.echo(chunk.text, nl=False)
            shown = True
    finally:
        if shown:
            click.echo()
    return stream.completion()


def _report(completion: Completion) -> None:
    usage, timings = completion.usage, completion.timings
    decoded = usage.sampled_tokens + usage.forced_tokens
    seconds = timings.decode_ns / 1e9
    rows = {
        "load duration": f"{timings.load_ns / 1e9:.3f} s",
        "queue duration": f"{timings.queue_ns / 1e9:.3f} s",
        **_image_rows(completion),
        "prompt eval count": f"{usage.prompt_tokens} token(s), {timings.reused_tokens} reused",
        "prompt eval duration": f"{timings.prompt_ns / 1e9:.3f} s",
        "eval count": f"{decoded} token(s): {usage.sampled_tokens} sampled, {usage.forced_tokens} forced",
        "spliced count": f"{usage.spliced_tokens} token(s)",
        "eval duration": f"{seconds:.3f} s",
        "eval rate": f"{decoded / seconds if seconds else 0:.2f} tokens/s",
        "done reason": completion.finish_reason.value,
    }
    for name, value in rows.items():
        click.echo(f"{name + ':':<22}{value}", err=True)


def _image_rows(completion: Completion) -> dict[str, str]:
    """Return what `--verbose` says about the images of a question, for a model that sees."""
    shown, timings = completion.shown, completion.timings
    if not shown:
        return {}
    sizes = ", ".join(f"{image.width}x{image.height}" for image in shown)
    return {
        "image count": f"{len(shown)} image(s), {sum(image.tokens for image in shown)} token(s), seen as {sizes}",
        "fit duration": f"{timings.fit_ns / 1e9:.3f} s",
        "encode duration": f"{timings.encode_ns / 1e9:.3f} s",
    }
