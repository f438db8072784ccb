"""Give a model the evidence of perceivers: the one function that batch, run and server all use."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from olpipe.errors import UsageError
from olpipe.generation import GenerateRequest, Guidance
from olpipe.image import DecodedImage
from olpipe.interfaces import Perceiver
from olpipe.messages import Message, Part, TextPart
from olpipe.model import ModelBundle
from olpipe.perception.names import names_in
from olpipe.perception.prompt import describe
from olpipe.record import Detection, Evidence, Label
from olpipe.registry import Registry

ANNOTATION = "x-evidence"
"""Marks a schema's top-level property that evidence fills: `tags` or `objects`."""


def ground(request: GenerateRequest, bundle: ModelBundle, perceivers: Registry[Perceiver]) -> GenerateRequest:
    """Return the request with evidence of its photos: as text in the prompt, and as known values of the answer.

    The request says whose evidence is wanted, else the model's manifest does. A model without
    vision gets the evidence in place of the photo. The prompt says it in English, known values in
    the request's language.

    Raises:
        UsageError: There are photos, but the model has neither vision nor perceivers; or the
            perceivers have no words in the request's language.
        UnknownName: A perceiver is not installed.
    """
    if not any(message.images for message in request.messages):
        return request
    names = bundle.config.perceivers if request.perceivers is None else request.perceivers
    has_vision = "vision" in bundle.config.capabilities
    if not names and not has_vision:
        raise UsageError(
            f"model `{bundle.name}` cannot see images",
            hint="give it what a detector sees: `--evidence photo-mini`",
        )
    if not names:
        return request
    chosen = [perceivers.get(name) for name in names]
    words = names_in(request.language, chosen)
    messages = []
    evidence = Evidence()
    for message in request.messages:
        seen = [(image, _perceive(image, chosen)) for image in message.images]
        messages.append(_with_evidence(message, seen, keep_images=has_vision))
        if seen:  # what the answer is about is the last photo shown
            evidence = sum((found for _, found in seen), Evidence())
    guidance = None if request.guidance is None else _with_constants(request.guidance, evidence.renamed(words))
    avoid = () if has_vision else _not_found(chosen, messages)
    return replace(request, messages=tuple(messages), guidance=guidance, avoid=(*request.avoid, *avoid))


def _perceive(image: DecodedImage, perceivers: Sequence[Perceiver]) -> Evidence:
    return sum((perceiver.perceive(image) for perceiver in perceivers), Evidence())


def _with_evidence(message: Message, seen: Sequence[tuple[DecodedImage, Evidence]], *, keep_images: bool) -> Message:
    """Put a line of text where each photo stands, or right behind it."""
    lines = iter(TextPart(describe(evidence, image.width, image.height)) for image, evidence in seen)
    parts: list[Part] = []
    for part in message.parts:
        if keep_images or isinstance(part, TextPart):
            parts.append(part)
        if not isinstance(part, TextPart):
            parts.append(next(lines))
    return replace(message, parts=tuple(parts))


def _not_found(perceivers: Sequence[Perceiver], messages: Sequence[Message]) -> tuple[str, ...]:
    """Return the words for what perceivers looked for and did not find: a model that sees nothing would be guessing.

    Words stay that the conversation uses, and with them the other words for the same thing.
    """
    text = " ".join(message.text for message in messages).casefold()
    said = set(re.findall(r"\w+", text))
    found: set[str] = set()
    missed: set[str] = set()
    for perceiver in perceivers:
        for name, words in perceiver.words().items():
            is_said = (" " in name and name in text) or not said.isdisjoint(words)
            (found if is_said else missed).update(words)
    return tuple(sorted(missed - found))


def _with_constants(guidance: Guidance, evidence: Evidence) -> Guidance:
    """Add the values of all annotated properties; one that the schema would refuse is left to the model."""
    if guidance.kind != "json_schema":
        return guidance
    from jsonschema import Draft202012Validator

    schema = json.loads(guidance.source)
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    known = dict(guidance.constants)
    for name, property_schema in properties.items():
        kind = property_schema.get(ANNOTATION) if isinstance(property_schema, dict) else None
        if kind is None or name in known:
            continue
        value = _value(kind, evidence, property_schema)
        if Draft202012Validator(schema).evolve(schema=property_schema).is_valid(value):
            known[name] = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return replace(guidance, constants=tuple(known.items()))


def _value(kind: str, evidence: Evidence, schema: Mapping[str, Any]) -> list[Any]:
    if kind == "tags":
        return _tags(evidence.tags, schema)
    if kind == "objects":
        tags_schema = _inner(schema, "items", "properties", "tags")
        objects = [_object(detection, tags_schema) for detection in evidence.objects]
        return objects[: schema.get("maxItems")]
    raise UsageError(f"`{ANNOTATION}` cannot be `{kind}`", hint="it is `tags` or `objects`")


def _object(detection: Detection, tags_schema: Mapping[str, Any]) -> dict[str, Any]:
    box = detection.box
    tags = _tags([Label(tag, detection.score) for tag in detection.tags], tags_schema)
    return {"x": box.x, "y": box.y, "w": box.w, "h": box.h, "type": detection.label, "tags": tags}


def _tags(labels: Sequence[Label], schema: Mapping[str, Any]) -> list[str]:
    """Return the names that the schema of an array of texts has room for, best first."""
    items = _inner(schema, "items")
    longest = items.get("maxLength")
    choices = items.get("enum")
    names = [
        label.name
        for label in labels
        if (longest is None or len(label.name) <= longest) and (choices is None or label.name in choices)
    ]
    return names[: schema.get("maxItems")]


def _inner(schema: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return a schema inside a schema; empty where there is none, or where it is just `true` or `false`."""
    for key in keys:
        found = schema.get(key)
        schema = found if isinstance(found, Mapping) else {}
    return schema
