"""What `olpipe run` does with a model that makes embeddings and writes no answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olpipe.errors import UsageError

if TYPE_CHECKING:
    from olpipe.cli.hosts.host import Host, Model
    from olpipe.cli.question import Question
    from olpipe.cli.repl.preferences import Preferences


def embed(host: Host, model: Model, question: Question, preferences: Preferences, dimensions: int | None) -> None:
    """Write the vector of a text to stdout, as one JSON array.

    Args:
        host: Who runs the model.
        model: The model.
        question: The text. It has no images.
        preferences: None may be set that is about answers.
        dimensions: Cut the vector to this many values; None keeps all.

    Raises:
        UsageError: A preference is about answers, or there are images.
    """
    import orjson

    if preferences.parameters or preferences.format_ is not None or preferences.perceivers is not None:
        raise UsageError(
            f"`{model.name}` makes embeddings, so there is no answer to shape",
            hint="leave out `--format`, `--perceivers` and the options for sampling",
        )
    if question.images:
        raise UsageError(f"`{model.name}` makes embeddings of texts, and not of images", hint="ask without images")
    embeddings = host.embed(model, question.text, preferences, dimensions)
    (vector,) = embeddings.vectors
    click.echo(orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY))
    if preferences.verbose:
        click.echo(f"prompt eval count:    {embeddings.prompt_tokens} token(s)", err=True)
        click.echo(f"prompt eval duration: {embeddings.timings.prompt_ns / 1e9:.3f} s", err=True)
