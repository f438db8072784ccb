"""`olpipe list`, `show`, `cp` and `rm`: the models on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from olpipe.cli import words

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.model import ModelBundle

_SHORT_ID = 12
_TEXT_LINES = 2


@click.command("list")
@click.argument("prefix", default="")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON array.")
@click.pass_obj
def list_models(app: App, prefix: str, as_json: bool) -> None:
    """List the models on this machine, newest first. With PREFIX, list only those whose name begins with it."""
    found = [model for model in app.library.stored() if str(model.name).lower().startswith(prefix.lower())]
    if as_json:
        from olpipe.store.summary import summary

        click.echo(json.dumps([summary(model) for model in found], indent=2, ensure_ascii=False))
        return
    now = time.time()
    rows = [("NAME", "ID", "SIZE", "MODIFIED")]
    for model in found:
        short = model.digest.removeprefix("sha256:")[:_SHORT_ID]
        rows.append((str(model.name), short, words.size(model.size_bytes), words.time(model.modified_at, now)))
    click.echo(words.table(rows))


@click.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.option("--license", "license_only", is_flag=True, help="Write the texts of the licences only.")
@click.pass_obj
def show(app: App, model: str, as_json: bool, license_only: bool) -> None:
    """Show what a model is: architecture, vision encoder, capabilities, parameters, licence, backends, model card."""
    from olpipe.model import ModelName
    from olpipe.store.summary import details, summary

    name = ModelName.parse(model)
    bundle = app.library.get(name)
    if license_only:
        click.echo("\n".join(bundle.licenses) or f"`{bundle.name}` carries no licence text", err=not bundle.licenses)
    elif as_json:
        described = summary(app.library.describe(name)) | details(bundle, app.plugins.families)
        described |= {"backends": _backends(app, bundle)}
        click.echo(json.dumps(described, indent=2, ensure_ascii=False))
    else:
        click.echo("\n\n".join(_sections(app, bundle)))


@click.command()
@click.argument("source")
@click.argument("destination")
@click.pass_obj
def cp(app: App, source: str, destination: str) -> None:
    """Give the model SOURCE a second name, DESTINATION. Both names share the files."""
    from olpipe.model import ModelName

    app.library.copy(ModelName.parse(source), ModelName.parse(destination))
    click.echo(f"copied `{source}` to `{destination}`", err=True)


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.pass_obj
def rm(app: App, models: tuple[str, ...]) -> None:
    """Remove MODELS, with the files that no other model needs."""
    from olpipe.model import ModelName

    for model, name in [(model, ModelName.parse(model)) for model in models]:
        app.library.remove(name)
        click.echo(f"deleted `{model}`", err=True)


def _backends(app: App, bundle: ModelBundle) -> list[dict[str, Any]]:
    """Return which backend runs a model, and why others cannot, in the order in which backends are asked."""
    from olpipe.store.build import refusal

    backends = app.plugins.backends
    answers = [(name, refusal(name, backends, bundle)) for name in backends.names()]
    chosen = next((name for name, reason in answers if reason is None), None)
    return [{"name": name, "runs": name == chosen, "refuses": reason} for name, reason in answers]


def _said(backend: dict[str, Any]) -> str:
    if backend["runs"]:
        return "runs it: the first that can"
    return backend["refuses"] or "could run it, with `--backend`"


def _sections(app: App, bundle: ModelBundle) -> list[str]:
    """Return Ollama's sections in Ollama's order, then ours; empty ones are left out."""
    config = bundle.config
    facts = (
        ("architecture", config.model_family),
        ("parameters", config.model_type),
        ("context length", str(config.context_length or "")),
        ("embedding length", str(config.embedding_length or "")),
        ("quantization", config.file_type),
    )
    parameters = [(key, json.dumps(value, ensure_ascii=False)) for key, value in sorted(bundle.parameters.items())]
    sections: dict[str, Sequence[Sequence[str]]] = {
        "Model": [row for row in facts if row[1]],
        "Capabilities": [(capability,) for capability in config.capabilities],
        "Projector": _vision_rows(app, bundle),
        "Perceivers": [(perceiver,) for perceiver in config.perceivers],
        "Parameters": parameters,
        "System": _beginning(bundle.system),
        "License": _beginning("\n".join(bundle.licenses)),
        "Backends": [(backend["name"], _said(backend)) for backend in _backends(app, bundle)],
        "Model card": [(line,) for line in bundle.card.splitlines()],
    }
    return [f"  {title}\n{words.table(rows, indent='    ')}" for title, rows in sections.items() if rows]


def _vision_rows(app: App, bundle: ModelBundle) -> list[tuple[str, str]]:
    """Return what the model's file says about its vision encoder: Ollama's rows first, then ours."""
    from olpipe.store.packages import count_words
    from olpipe.store.vision import vision_facts

    vision = vision_facts(bundle, app.plugins.families)
    if vision is None:
        return []
    facts = (
        ("architecture", vision.architecture),
        ("parameters", count_words(vision.parameters)),
        ("embedding length", vision.embedding_length),
        ("dimensions", vision.dimensions),
        ("type", vision.projector),
        ("image size", vision.image_size),
        ("patch size", vision.patch_size),
        ("family", vision.family),
        ("image tokens", vision.image_tokens),
        ("boxes", vision.boxes or ("none" if vision.family else "")),
        ("quantization", vision.file_type),
    )
    return [(name, str(value)) for name, value in facts if value]


def _beginning(text: str) -> list[tuple[str]]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    shown = lines[:_TEXT_LINES] + (["..."] if len(lines) > _TEXT_LINES else [])
    return [(line,) for line in shown]
