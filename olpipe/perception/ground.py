"""Give a model the evidence of perceivers. `batch`, `run` and a server all use this."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from olpipe.errors import UsageError
from olpipe.generation import GenerateRequest, Guidance
from olpipe.image import USUAL_PIXELS, DecodedImage
from olpipe.imaging.decode import fit
from olpipe.interfaces import Perceiver
from olpipe.messages import ImagePart, Message, Part, TextPart
from olpipe.model import ModelBundle
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.perception.names import names_in
from olpipe.perception.prompt import describe
from olpipe.record import Detection, Evidence, Label
from olpipe.registry import Registry

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

ANNOTATION = "x-evidence"
"""The key that marks a top-level property of a schema which evidence fills. Its value is one of `KINDS`."""

KINDS = ("tags", "objects", "texts")


class Grounder:
    """The perceivers of one model, ready to look at the photos of its requests. Any thread may call it.

    Attributes:
        perceivers: The perceivers whose evidence joins, in order.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        registry: Registry[Perceiver],
        *,
        names: Sequence[str] | None = None,
        cache: EvidenceCache | None = None,
    ) -> None:
        """Find the perceivers.

        Args:
            bundle: The model that gets the evidence.
            registry: All perceivers.
            names: Names of the wanted perceivers; None means those that the model's manifest names.
            cache: Where evidence is kept. None means that every photo is looked at again.

        Raises:
            UnknownName: A perceiver is not installed.
            PluginError: A perceiver failed.
        """
        chosen = bundle.config.perceivers if names is None else names
        self.perceivers = tuple(registry.get(name) for name in dict.fromkeys(chosen))
        self._registry = registry
        self._words = [self._words_of(perceiver) for perceiver in self.perceivers]
        self._model = bundle.name
        self._sees = "vision" in bundle.config.capabilities
        self._cache = cache

    def sizes(self, model_pixels: int) -> frozenset[int]:
        """Return the numbers of pixels that photos are needed in, given how many the model can use."""
        own = frozenset(perceiver.fit_pixels for perceiver in self.perceivers)
        return own | {model_pixels} if self._sees or not own else own

    def ground(self, request: GenerateRequest, *, model_pixels: int = USUAL_PIXELS) -> GenerateRequest:
        """Return the request with evidence of its photos: as text in the prompt, and as known values of the answer.

        A model without vision gets the evidence in place of the photo. In the prompt, the evidence is in English. Known
        values are in the request's language.

        Args:
            request: What is asked.
            model_pixels: How many pixels of a photo the model can use. Larger photos are scaled down to about this
                many, after the perceivers have looked at them.

        Raises:
            UsageError: There are photos, but the model has neither vision nor perceivers; or the
                perceivers have no words in the request's language.
            PluginError: A perceiver failed.
        """
        if not any(message.images for message in request.messages):
            return request
        if not self.perceivers:
            if self._sees:
                return _scaled_down(request, model_pixels)
            raise UsageError(
                f"model `{self._model}` cannot see images",
                hint="give it what a detector sees: `--perceivers photo-mini`",
            )
        # 1. Look at the photos of every message, and put a line of evidence where each photo stands
        words = names_in(request.language, self.perceivers)
        messages, spoken = [], []
        evidence = Evidence()
        for message in request.messages:
            seen = [(image, self._perceive(image)) for image in message.images]
            messages.append(_with_evidence(message, seen, keep_images=self._sees))
            spoken += [message.text, *(describe(_unread(found), *_size(image)) for image, found in seen)]
            if seen:  # the answer is about the photos that were shown last
                evidence = sum((found for _, found in seen), Evidence())
        # 2. Values that are known from the evidence need not be generated
        guidance = None if request.guidance is None else _with_constants(request.guidance, evidence.renamed(words))
        # 3. A model that does not see must not name things that were not found
        avoid = () if self._sees else _not_found(self._words, " ".join(spoken))
        grounded = replace(request, messages=tuple(messages), guidance=guidance, avoid=(*request.avoid, *avoid))
        return _scaled_down(grounded, model_pixels)

    def _perceive(self, image: DecodedImage) -> Evidence:
        found = Evidence()
        for perceiver in self.perceivers:
            shown = fit(image, perceiver.fit_pixels)
            if self._cache is None:
                found += self._look(perceiver, shown)
            else:
                key = (shown.digest(), perceiver.name, perceiver.version)
                found += self._cache.get(*key, partial(self._look, perceiver, shown))
        return found

    def _words_of(self, perceiver: Perceiver) -> Mapping[str, Collection[str]]:
        with self._registry.blaming(perceiver.name):
            words = perceiver.words()
            if not isinstance(words, Mapping):
                raise TypeError(f"its `words` are a {type(words).__name__} where a mapping is expected")
            return words

    def _look(self, perceiver: Perceiver, image: DecodedImage) -> Evidence:
        """Show an image to one perceiver. Errors of its own code name it."""
        with self._registry.blaming(perceiver.name):
            found = perceiver.perceive(image)
            if not isinstance(found, Evidence):
                raise TypeError(f"it gave a {type(found).__name__} where `Evidence` is expected")
            return found


def _scaled_down(request: GenerateRequest, pixels: int) -> GenerateRequest:
    """Return the request with its photos scaled down to about this many pixels; itself where none has to be."""
    messages = tuple(
        replace(message, parts=tuple(_scaled_part(part, pixels) for part in message.parts))
        for message in request.messages
    )
    return request if messages == request.messages else replace(request, messages=messages)


def _scaled_part(part: Part, pixels: int) -> Part:
    if not isinstance(part, ImagePart):
        return part
    image = fit(part.image, pixels)
    return part if image is part.image and not image.smaller else ImagePart(replace(image, smaller=()))


def _size(image: DecodedImage) -> tuple[int, int]:
    return image.width, image.height


def _unread(evidence: Evidence) -> Evidence:
    """Return evidence without the words that are written in the photo: a sign that says `dog` is not a dog."""
    return replace(evidence, texts=())


def _with_evidence(message: Message, seen: Sequence[tuple[DecodedImage, Evidence]], *, keep_images: bool) -> Message:
    """Put a line of text in place of each photo, or after it where photos are kept."""
    lines = iter(TextPart(describe(evidence, *_size(image))) for image, evidence in seen)
    parts: list[Part] = []
    for part in message.parts:
        if keep_images or not isinstance(part, ImagePart):
            parts.append(part)
        if isinstance(part, ImagePart):
            parts.append(next(lines))
    return replace(message, parts=tuple(parts))


def _not_found(looked_for: Iterable[Mapping[str, Collection[str]]], spoken: str) -> tuple[str, ...]:
    """Return the words for things that perceivers looked for and did not find.

    Left out are the words for things that the conversation mentions. One word for a thing is enough to leave out all
    words for it.

    Args:
        looked_for: What each perceiver's `words` returned.
        spoken: What the messages and the evidence say.
    """
    text = spoken.casefold()
    said = set(re.findall(r"\w+", text))
    found: set[str] = set()
    missed: set[str] = set()
    for names in looked_for:
        for name, words in names.items():
            is_said = (" " in name and name in text) or not said.isdisjoint(words)
            (found if is_said else missed).update(words)
    return tuple(sorted(missed - found))


def _with_constants(guidance: Guidance, evidence: Evidence) -> Guidance:
    """Add the values of all annotated properties. A value that the schema would refuse is left to the model."""
    if guidance.kind != "json_schema":
        return guidance
    known = dict(guidance.constants)
    for name, kind, schema, validator in _annotated(guidance.source):
        if name not in known:
            value = _value(kind, evidence, schema)
            if validator.is_valid(value):
                known[name] = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return replace(guidance, constants=tuple(known.items()))


@lru_cache(maxsize=64)
def _annotated(source: str) -> tuple[tuple[str, str, Mapping[str, Any], Validator], ...]:
    """Return a schema's annotated properties: name, kind of evidence, schema, and a validator for the value.

    Raises:
        UsageError: There is no such kind of evidence.
    """
    from jsonschema import Draft202012Validator

    schema = json.loads(source)
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    found = []
    for name, part in properties.items():
        kind = part.get(ANNOTATION) if isinstance(part, dict) else None
        if kind is None:
            continue
        if kind not in KINDS:
            raise UsageError(f"`{ANNOTATION}` cannot be `{kind}`", hint=f"it is one of {', '.join(KINDS)}")
        found.append((name, kind, part, Draft202012Validator(schema).evolve(schema=part)))
    return tuple(found)


def _value(kind: str, evidence: Evidence, schema: Mapping[str, Any]) -> list[Any]:
    if kind == "tags":
        return _tags(evidence.tags, schema)
    if kind == "texts":
        labels = [Label(text.text, text.score) for text in evidence.texts]
        return _tags({label.name: label for label in labels}.values() if schema.get("uniqueItems") else labels, schema)
    tags_schema = _inner(schema, "items", "properties", "tags")
    objects = [_object(detection, tags_schema) for detection in evidence.objects]
    return objects[: schema.get("maxItems")]


def _object(detection: Detection, tags_schema: Mapping[str, Any]) -> dict[str, Any]:
    box = detection.box
    tags = _tags([Label(tag, detection.score) for tag in detection.tags], tags_schema)
    return {"x": box.x, "y": box.y, "w": box.w, "h": box.h, "type": detection.label, "tags": tags}


def _tags(labels: Iterable[Label], schema: Mapping[str, Any]) -> list[str]:
    """Return the names that fit the schema of an array of texts, the surest first."""
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
    """Return a schema inside a schema; an empty one where there is none, or where it is just `true` or `false`."""
    for key in keys:
        found = schema.get(key)
        schema = found if isinstance(found, Mapping) else {}
    return schema
