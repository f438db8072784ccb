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
from olpipe.guidance.evidence import check_evidence_kinds, evidence_kinds
from olpipe.guidance.judge import judge
from olpipe.guidance.schema import valid_schema
from olpipe.image import USUAL_PIXELS, DecodedImage
from olpipe.imaging.decode import fit
from olpipe.interfaces import Perceiver
from olpipe.messages import ImagePart, Message, Part, TextPart
from olpipe.model import ModelBundle
from olpipe.perception.checks import check_evidence
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.perception.names import names_in
from olpipe.perception.prompt import describe
from olpipe.record import Detection, Evidence
from olpipe.registry import Registry

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


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
            check_evidence(found, image.width, image.height)
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
    """Add the values of all marked properties. A value that the schema would refuse is left to the model."""
    if guidance.kind != "json_schema":
        return guidance
    known = dict(guidance.constants)
    for name, kind, schema, validator in _marked(guidance.source):
        if name not in known:
            value = _fitting(_values(kind, evidence, schema), validator)
            if value is not None:
                known[name] = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return replace(guidance, constants=tuple(known.items()))


@lru_cache(maxsize=64)
def _marked(source: str) -> tuple[tuple[str, str, Any, Validator], ...]:
    """Return the properties that evidence fills: name, kind of evidence, schema, and a validator for the value.

    Raises:
        SchemaError: The schema is not valid, or evidence cannot fill what it marks.
    """
    schema = valid_schema(source)
    check_evidence_kinds(schema)
    properties, whole = schema.get("properties", {}), judge(schema)
    return tuple(
        (name, kind, properties[name], whole.evolve(schema=properties[name]))
        for name, kind in evidence_kinds(schema).items()
    )


def _values(kind: str, evidence: Evidence, schema: Mapping[str, Any]) -> list[Any]:
    """Return everything that was found of a kind, the surest first; texts come in the order of reading."""
    if kind == "tags":
        return [label.name for label in evidence.tags]
    if kind == "texts":
        return [text.text for text in evidence.texts]
    tags_schema = _inner(schema, "items", "properties", "tags")
    return [_object(detection, tags_schema) for detection in evidence.objects]


def _object(detection: Detection, tags_schema: Mapping[str, Any]) -> dict[str, Any]:
    box = detection.box
    tags = _room_for(detection.tags, tags_schema)
    return {"x": box.x, "y": box.y, "w": box.w, "h": box.h, "type": detection.label, "tags": tags}


def _room_for(names: Iterable[str], schema: Mapping[str, Any]) -> list[str]:
    """Return the names of an object that the schema of its tags has room for, the surest first."""
    items = _inner(schema, "items")
    longest = items.get("maxLength")
    choices = items.get("enum")
    fitting = [
        name for name in names if (longest is None or len(name) <= longest) and (choices is None or name in choices)
    ]
    return fitting[: schema.get("maxItems")]


def _fitting(values: list[Any], validator: Validator) -> list[Any] | None:
    """Return the values that a schema of an array has room for; None where it refuses what is left of them."""
    if validator.is_valid(values):
        return values
    # 1. Leave out what is wrong on its own
    wrong = {error.absolute_path[0] for error in validator.iter_errors(values) if error.absolute_path}
    values = [value for index, value in enumerate(values) if index not in wrong]
    # 2. Leave out what comes again, where all must be different, and what is too much
    errors = list(validator.iter_errors(values))
    if any(error.validator == "uniqueItems" for error in errors):
        values = [value for index, value in enumerate(values) if value not in values[:index]]
    values = values[: min((error.validator_value for error in errors if error.validator == "maxItems"), default=None)]
    return values if validator.is_valid(values) else None


def _inner(schema: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return a schema inside a schema; an empty one where there is none, or where it is just `true` or `false`."""
    for key in keys:
        found = schema.get(key)
        schema = found if isinstance(found, Mapping) else {}
    return schema
