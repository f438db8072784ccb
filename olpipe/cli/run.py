"""`olpipe run`: one question to a model, the answer streamed to stdout."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olpipe.cli.app import App
from olpipe.errors import UsageError

if TYPE_CHECKING:
    from olpipe.engine.stream import Stream
    from olpipe.generation import Completion, GenerateRequest, Guidance, SamplingParams
    from olpipe.model import ModelBundle

# What Ollama samples with unless the model says otherwise.
_TEMPERATURE, _TOP_K, _TOP_P = 0.8, 40, 0.9
_MAX_TOKENS = 1024


@click.command()
@click.argument("model")
@click.argument("prompt", nargs=-1)
@click.option("--format", "format_", metavar="json|SCHEMA", help="Hold the answer to JSON or a schema (text or file).")
@click.option("--evidence", metavar="NAME,…", help="Perceivers whose evidence joins the prompt, e.g. photo-mini.")
@click.option("--temperature", type=click.FloatRange(min=0), help="0 always picks the most probable token.")
@click.option("--top-k", type=click.IntRange(min=0), help="Keep the K most probable tokens; 0 keeps all.")
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), help="Keep tokens that make up this probability.")
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
    evidence: str | None,
    *,
    verbose: bool,
    **sampling: float | tuple[str, ...] | None,
) -> None:
    """Ask MODEL something and stream its answer.

    Paths of images in the PROMPT are taken out of it and shown to the model. What comes in on stdin
    is put before the PROMPT.

    \b
    olpipe run photo-mini "what is in samples/photos/cat.jpg?"
    olpipe run photo-mini --format json "describe cat.jpg"
    """  # noqa: D301 - click takes the backspace for "leave these lines as they are"
    from olpipe.cli.progress import shown
    from olpipe.perception.ground import ground

    question = _question(prompt)
    guidance = _guidance(format_)
    with shown(f"`{model}` is not built yet: this happens once") as progress, app.engine(progress) as engine:
        bundle = engine.bundle(model)
        request = _request(app, bundle, model, question, guidance)
        request = replace(request, sampling=_sampling(bundle, sampling), perceivers=_names(evidence))
        request = ground(request, bundle, app.plugins.perceivers)
        completion = _show(engine.submit(request))
    if verbose:
        _report(completion)
    if guidance is not None:
        _judge(guidance, completion)


def _question(prompt: tuple[str, ...]) -> str:
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    question = " ".join(part for part in (piped.strip(), *prompt) if part)
    if not question:
        raise UsageError("there is no prompt", hint='run `olpipe run MODEL "your question"`, or pipe it in')
    return question


def _guidance(format_: str | None) -> Guidance | None:
    from olpipe.generation import Guidance
    from olpipe.guidance.schema import check_schema

    if format_ is None:
        return None
    if format_ == "json":
        return Guidance("json")
    source = format_
    if not format_.lstrip().startswith("{"):
        try:
            source = Path(format_).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"`--format {format_}` is neither `json`, nor a schema, nor a file that holds one"
            ) from error
    check_schema(source)
    return Guidance("json_schema", source)


def _request(app: App, bundle: ModelBundle, model: str, question: str, guidance: Guidance | None) -> GenerateRequest:
    """Take the images out of the question and load them."""
    from olpipe.cli.prompt_images import take_images
    from olpipe.generation import GenerateRequest
    from olpipe.imaging.decode import load
    from olpipe.messages import Message

    loaders = app.plugins.image_loaders
    text, paths = take_images(question, {suffix for loader in loaders for suffix in loader.suffixes})
    images = [load(path, loaders) for path in paths]
    for path in paths:
        click.echo(f"Added image '{path}'", err=True)
    return GenerateRequest(model, (Message.of("user", text, *images),), guidance=guidance)


def _sampling(bundle: ModelBundle, chosen: dict[str, float | tuple[str, ...] | None]) -> SamplingParams:
    from olpipe.generation import SamplingParams
    from olpipe.store import parameters

    base = SamplingParams(temperature=_TEMPERATURE, top_k=_TOP_K, top_p=_TOP_P, max_tokens=_MAX_TOKENS)
    given = {name: value for name, value in chosen.items() if value is not None and value != ()}
    return replace(parameters.sampling(bundle.parameters, base), **given)  # type: ignore[arg-type]


def _names(evidence: str | None) -> tuple[str, ...] | None:
    if evidence is None:
        return None
    return tuple(name.strip() for name in evidence.split(",") if name.strip())


def _show(stream: Stream) -> Completion:
    shown = False
    try:
        for chunk in stream:
            click.echo(chunk.text, nl=False)
            shown = True
    except KeyboardInterrupt:
        stream.cancel()
        raise
    finally:
        if shown:
            click.echo()
    return stream.completion()


def _judge(guidance: Guidance, completion: Completion) -> None:
    """Fail when the document is not what the schema asks for: what was shown can no longer be put right."""
    from olpipe.guidance.validate import judge_as_it_is

    judge_as_it_is(guidance.source or "{}", completion.text)


def _report(completion: Completion) -> None:
    usage, timings = completion.usage, completion.timings
    decoded = usage.sampled_tokens + usage.forced_tokens
    seconds = timings.decode_ns / 1e9
    rows = {
        "queue duration": f"{timings.queue_ns / 1e9:.3f} s",
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
