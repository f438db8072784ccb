"""`olpipe list`, `show`, `ps`, `stop`, `cp` and `rm`: the models of this machine, or of the server that runs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from olpipe.cli import words
from olpipe.cli.inventory.choosing import models_of
from olpipe.cli.repl.terminal import printable
from olpipe.errors import UsageError

if TYPE_CHECKING:
    from olpipe.cli.app import App

_SHORT_ID = 12
_NOT_YET = 1.0
"""Seconds since the epoch: a time before this one stands for none."""

_TEXTS = {
    "license": "the texts of the licences",
    "modelfile": "the Modelfile, from which the same model can be made",
    "parameters": "the parameters",
    "template": "the chat template",
    "system": "the system message",
}
_ONE_LINE_MORE = ("license", "modelfile", "parameters")
"""What ends with a line break. A template and a system message are written exactly as they are, as Ollama does."""

_as_json = click.option("--json", "as_json", is_flag=True, help="Write one JSON array.")


@click.command("list")
@click.argument("prefix", default="")
@_as_json
@click.pass_obj
def list_models(app: App, prefix: str, as_json: bool) -> None:
    """List the models of this machine, newest first. Where a server runs, list its models.

    With PREFIX, list only those whose name begins with it.
    """
    found = _beginning(models_of(app).listed(), prefix)
    now = time.time()
    rows = [("NAME", "ID", "SIZE", "MODIFIED")]
    for model in found:
        size = "-" if model.get("remote_model") else words.size(model.get("size") or 0)
        rows.append((_name(model), _short_id(model), size, _when(model.get("modified_at"), now)))
    _write(found, rows, as_json=as_json)


@click.command()
@click.argument("prefix", default="")
@_as_json
@click.pass_obj
def ps(app: App, prefix: str, as_json: bool) -> None:
    """List the models that a server has in memory. With PREFIX, list only those whose name begins with it.

    A model stays in memory between questions only where a server runs.
    """
    found = _beginning(models_of(app).loaded(), prefix)
    now = time.time()
    rows = [("NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL")]
    for model in found:
        size, context = words.size(model.get("size") or 0), str(model.get("context_length") or 0)
        rows.append((_name(model), _short_id(model), size, _processor(model), context, _until(model, now)))
    _write(found, rows, as_json=as_json)
    if app.server is None and not as_json:
        _say_that_no_server_runs(app)


@click.command()
@click.argument("model")
@click.pass_obj
def stop(app: App, model: str) -> None:
    """Take MODEL out of a server's memory, as soon as it has answered what it was asked."""
    from olpipe.cli.inventory.models import nothing_to_stop
    from olpipe.errors import ModelNotFound

    try:
        models_of(app).unload(model)
    except ModelNotFound as error:
        raise nothing_to_stop(model, error) from error
    if app.server is None:
        _say_that_no_server_runs(app)


def _only(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `show` an option for each text that it can write alone."""
    for name, what in reversed(_TEXTS.items()):
        command = click.option(f"--{name}", is_flag=True, help=f"Write only {what}.")(command)
    return command


@click.command()
@click.argument("model")
@click.option("-v", "--verbose", is_flag=True, help="Show all that the model's file says, and its tensors.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@_only
@click.pass_obj
def show(app: App, /, model: str, verbose: bool, as_json: bool, **only: bool) -> None:
    """Show what MODEL is: what it can do, its parameters, its licence, and which backend runs it."""
    wanted = [name for name in only if only[name]]
    if len(wanted) > 1:
        *first, last = (f"'--{name}'" for name in sorted(_TEXTS))
        raise UsageError(f"only one of {', '.join(first)}, or {last} can be specified")
    if wanted and as_json:
        raise UsageError(f"`--json` goes without `--{wanted[0]}`", hint="`--json` writes everything")
    body = models_of(app).shown(model, verbose=verbose)
    if wanted:
        _write_text(wanted[0], body, model)
    elif as_json:
        shown = body if verbose else {key: value for key, value in body.items() if key != "tensors"}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        from olpipe.cli.model_sections import sections

        click.echo(printable(sections(body, verbose=verbose, columns=words.screen_columns())))


@click.command()
@click.argument("source")
@click.argument("destination")
@click.pass_obj
def cp(app: App, source: str, destination: str) -> None:
    """Give the model SOURCE a second name, DESTINATION. Both names share the files."""
    models_of(app).copy(source, destination)
    click.echo(f"copied '{source}' to '{destination}'", err=True)


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.pass_obj
def rm(app: App, models: tuple[str, ...]) -> None:
    """Remove MODELS, with the files that no other model needs. A model in a server's memory is unloaded first."""
    from olpipe.model import ModelName

    for model in models:  # nothing is removed where one of them is no name
        ModelName.parse(model)
    holder = models_of(app)
    for model in models:
        holder.remove(model)
        click.echo(f"deleted '{model}'", err=True)


# --- what is written ---------------------------------------------------------------------------


def _beginning(found: list[Mapping[str, Any]], prefix: str) -> list[Mapping[str, Any]]:
    return [model for model in found if _name(model).lower().startswith(prefix.lower())]


def _write(found: list[Mapping[str, Any]], rows: Sequence[Sequence[str]], *, as_json: bool) -> None:
    click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else printable(words.table(rows)))


def _write_text(kind: str, body: Mapping[str, Any], model: str) -> None:
    text = str(body.get(kind) or "")
    if not text:
        click.echo(f"`{model}` has no {'parameters' if kind == 'parameters' else f'text for `--{kind}`'}", err=True)
        return
    ends = text.endswith("\n") or not (kind in _ONE_LINE_MORE or sys.stdout.isatty())
    click.echo(printable(text) if sys.stdout.isatty() else text, nl=not ends)


def _say_that_no_server_runs(app: App) -> None:
    note = "no server runs, so no model stays in memory; `olpipe serve` starts one"
    if not app.settings.uses_server:
        note = "OLPIPE_SERVER is off, so no server was asked"
    click.echo(f"note: {note}", err=True)


def _name(model: Mapping[str, Any]) -> str:
    return str(model.get("name") or model.get("model") or "")


def _short_id(model: Mapping[str, Any]) -> str:
    return str(model.get("digest") or "").removeprefix("sha256:")[:_SHORT_ID]


def _seconds(text: object) -> float | None:
    """Return a time in seconds since the epoch; None where it is none, or one that stands for none."""
    try:
        found = datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return found if found > _NOT_YET else None


def _when(text: object, now: float) -> str:
    found = _seconds(text)
    return "Never" if found is None else words.time(found, now)


def _until(model: Mapping[str, Any], now: float) -> str:
    found = _seconds(model.get("expires_at"))
    return "Never" if found is None else "Stopping..." if found < now else words.time(found, now)


def _processor(model: Mapping[str, Any]) -> str:
    """Return on what a model runs: on the CPU, on a GPU, or so many percent of it on each."""
    size, on_gpu = model.get("size") or 0, model.get("size_vram") or 0
    if not on_gpu:
        return "100% CPU"
    if on_gpu == size:
        return "100% GPU"
    if on_gpu > size:
        return "Unknown"
    on_cpu = round((size - on_gpu) / size * 100)
    return f"{on_cpu}%/{100 - on_cpu}% CPU/GPU"
