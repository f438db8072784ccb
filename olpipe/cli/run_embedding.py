"""What `olpipe run` does with a model that makes embeddings and writes no answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olpipe.errors import UsageError

if TYPE_CHECKING:
    from olpipe.asking.wishes import Wishes
    from olpipe.cli.question import Question
    from olpipe.engine.manager import Engine
    from olpipe.model import LoadOptions, ModelBundle


def only_embeds(bundle: ModelBundle) -> bool:
    """Say whether a model makes embeddings and writes no answers."""
    return "embedding" in bundle.config.capabilities and "completion" not in bundle.config.capabilities


def embed(
    engine: Engine,
    model: str,
    question: Question,
    wishes: Wishes,
    *,
    dimensions: int | None,
    options: LoadOptions,
    verbose: bool,
) -> None:
    """Write the vector of a text to stdout, as one JSON array.

    Args:
        engine: The engine that runs the model.
        model: The model's name.
        question: The text. It has no images.
        wishes: None may be set, because they are about answers.
        dimensions: Cut the vector to this many values; None keeps all.
        options: How the model is loaded.
        verbose: Whether to show tokens and times on stderr.

    Raises:
        UsageError: A wish is set, or there are images.
    """
    import orjson

    from olpipe.asking.wishes import Wishes
    from olpipe.embedding import EmbedRequest

    if wishes != Wishes():
        raise UsageError(
            f"`{model}` makes embeddings, so there is no answer to shape",
            hint="leave out `--format`, `--perceivers` and the options for sampling",
        )
    if question.images:
        raise UsageError(f"`{model}` makes embeddings of texts, and not of images", hint="ask without images")
    embeddings = engine.embed(EmbedRequest(model, (question.text,), dimensions), options=options).result()
    (vector,) = embeddings.vectors
    click.echo(orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY))
    if verbose:
        click.echo(f"prompt eval count:    {embeddings.prompt_tokens} token(s)", err=True)
        click.echo(f"prompt eval duration: {embeddings.timings.prompt_ns / 1e9:.3f} s", err=True)
