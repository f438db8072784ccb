"""Search the hub for models in formats that may run here.

Source: https://huggingface.co/docs/hub/api
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from olpipe.default_plugins.sources.hub.client import Hub
from olpipe.default_plugins.sources.hub.reference import HOSTS, HubReference
from olpipe.default_plugins.sources.transfer.trouble import Trouble, trying
from olpipe.errors import InvalidName
from olpipe.interfaces import FoundModel, Progress

FORMATS = {"gguf": "GGUF", "onnxruntime-genai": "ONNX Runtime GenAI"}
"""The formats that are searched for, by the hub's names for them."""

_EXPANDED = ("downloads", "gated", "gguf", "pipeline_tag", "tags")
_SEES = ("image-text-to-text", "image-to-text", "any-to-any", "visual-question-answering")
_LICENSE = "license:"


def search(hub: Hub, words: Sequence[str], limit: int) -> list[FoundModel]:
    """Return models that fit some words, the most downloaded of each format first.

    Raises:
        Trouble: The hub does not answer as it should.
        Transient: It has failed too often.
    """
    found: dict[str, FoundModel] = {}
    for tag, label in FORMATS.items():
        query = [("search", " ".join(words)), ("filter", tag), ("sort", "downloads"), ("limit", str(limit))]
        query += [("expand", name) for name in _EXPANDED]
        action = partial(hub.answer, f"/api/models?{urlencode(query)}", "models")
        data = trying(action, hub.options.patience, _silent, reached=bool(found))
        for model in _models(data, label):
            found.setdefault(model.name, model)
    return list(found.values())[:limit]


def _models(data: bytes, label: str) -> Iterator[FoundModel]:
    try:
        listed = json.loads(data)
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list):
        raise Trouble("what the hub answers to a search is no list of models")
    for value in listed:
        if isinstance(value, dict) and (model := _model(value, label)) is not None:
            yield model


def _model(value: Mapping[str, Any], label: str) -> FoundModel | None:
    try:
        name = HubReference.parse(str(value.get("id"))).name
    except InvalidName:
        return None
    listed = value.get("tags")
    tags = [tag for tag in listed if isinstance(tag, str)] if isinstance(listed, list) else []
    licenses = [tag.removeprefix(_LICENSE) for tag in tags if tag.startswith(_LICENSE)]
    header = value.get("gguf")
    architecture = header.get("architecture") if isinstance(header, dict) else ""
    downloads = value.get("downloads")
    facts = [label]
    facts += [f"{downloads:,} downloads"] if type(downloads) is int else []
    facts += ["gated"] if value.get("gated") else []
    return FoundModel(
        name=f"{HOSTS[0]}/{name.namespace}/{name.model}",
        about=", ".join(facts),
        license=_plain(licenses[0]) if licenses else "",
        capabilities=("completion", "vision") if value.get("pipeline_tag") in _SEES else (),
        architecture=_plain(architecture) if isinstance(architecture, str) else "",
    )


def _plain(text: str) -> str:
    """Return a text without what could change a terminal."""
    return "".join(letter for letter in text[:80] if letter.isprintable())


def _silent(progress: Progress) -> None:
    """Tell nobody of a wait: a search is short."""
