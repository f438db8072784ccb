"""Write what a model is, section by section: Ollama's sections in Ollama's order, then ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from olpipe.cli import words
from olpipe.cli.bar import width

_TEXT_LINES = 2
_LIST_COLUMNS = 10
"""So wide are the items of a long list that are shown."""

Body = Mapping[str, Any]
Rows = Sequence[Sequence[str]]


def sections(body: Body, *, verbose: bool, columns: int) -> str:
    """Return the sections of a model; empty ones are left out.

    Args:
        body: What `/api/show` says. Where the server is not olpipe, our sections are left out.
        verbose: Whether to show what the model's file says about itself, and its tensors.
        columns: How wide the terminal is; 0 breaks no lines.
    """
    found: dict[str, Rows] = {
        "Model": _model(body),
        "Capabilities": [(text,) for text in body.get("capabilities") or ()],
        "Projector": _projector(body),
        "Perceivers": [(text,) for text in body.get("perceivers") or ()],
        "Parameters": [_parted(line) for line in (body.get("parameters") or "").splitlines()],
        "Metadata": _metadata(body) if verbose else [],
        "Tensors": _tensors(body) if verbose else [],
        "System": _beginning(body.get("system")),
        "License": _beginning(body.get("license")),
        "Backends": [(backend["name"], _said(backend)) for backend in body.get("backends") or ()],
        "Model card": [(line,) for line in (body.get("card") or "").splitlines()],
    }
    return "\n\n".join(
        f"  {title}\n{words.table(rows, indent='    ', columns=columns)}" for title, rows in found.items() if rows
    )


def _model(body: Body) -> Rows:
    details, info = body.get("details") or {}, body.get("model_info") or {}
    architecture = str(info.get("general.architecture") or details.get("family") or "")

    def size(name: str) -> object:
        return details.get(name) or info.get(f"{architecture}.{name}")

    return _facts(
        ("remote model", body.get("remote_model")),
        ("remote URL", body.get("remote_host")),
        ("architecture", details.get("family") or architecture),
        ("parameters", details.get("parameter_size") or _count(info.get("general.parameter_count"))),
        ("context length", size("context_length")),
        ("embedding length", size("embedding_length")),
        ("quantization", details.get("quantization_level")),
        ("requires", body.get("requires")),
    )


def _projector(body: Body) -> Rows:
    """Return what is known of the vision encoder: Ollama's rows first, then ours."""
    vision = body.get("projector")
    if vision is None:
        return _ollamas_projector(body.get("projector_info") or {})
    return _facts(
        ("architecture", vision.get("architecture")),
        ("parameters", _count(vision.get("parameters"))),
        ("embedding length", vision.get("embedding_length")),
        ("dimensions", vision.get("dimensions")),
        ("type", vision.get("projector")),
        ("image size", vision.get("image_size")),
        ("patch size", vision.get("patch_size")),
        ("family", vision.get("family")),
        ("image tokens", vision.get("image_tokens")),
        ("boxes", vision.get("boxes") or ("none" if vision.get("family") else "")),
        ("quantization", vision.get("file_type")),
    )


def _ollamas_projector(info: Body) -> Rows:
    """Return the rows of a server that says only what is in the file."""
    architecture = info.get("general.architecture")
    return _facts(
        ("architecture", architecture),
        ("parameters", _count(info.get("general.parameter_count"))),
        ("embedding length", info.get(f"{architecture}.vision.embedding_length")),
        ("dimensions", info.get(f"{architecture}.vision.projection_dim")),
    )


def _facts(*facts: tuple[str, object]) -> Rows:
    return [(name, str(value)) for name, value in facts if value]


def _count(value: object) -> str:
    from olpipe.store.packages import count_words

    return count_words(int(value)) if isinstance(value, int | float) and value else ""


def _parted(line: str) -> tuple[str, str]:
    name, _, value = line.strip().partition(" ")
    return name, value.strip()


def _metadata(body: Body) -> Rows:
    return [(key, _written(value)) for key, value in sorted((body.get("model_info") or {}).items())]


def _tensors(body: Body) -> Rows:
    return [
        (str(tensor.get("name")), str(tensor.get("type")), f"[{' '.join(map(str, tensor.get('shape') or ()))}]")
        for tensor in body.get("tensors") or ()
    ]


def _written(value: object) -> str:
    """Write a value as Ollama does: `true`, `8192`, and of a long list only its beginning: `[1 2 3 ...+61 more]`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}"
    if not isinstance(value, list):
        return "" if value is None else " ".join(str(value).split())
    shown: list[str] = []
    for item in map(_written, value):
        if shown and width(", ".join(["", *shown, item])) > _LIST_COLUMNS:
            break
        shown.append(item)
    left_out = len(value) - len(shown)
    return f"[{' '.join([*shown, *([f'...+{left_out} more'] if left_out else [])])}]"


def _said(backend: Body) -> str:
    if backend["runs"]:
        return "runs it: the first that can"
    return backend["refuses"] or "could run it, with `--backend`"


def _beginning(text: str | None) -> Rows:
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return [(line,) for line in lines[:_TEXT_LINES] + (["..."] if len(lines) > _TEXT_LINES else [])]
