"""Give a model the evidence of perceivers. `batch`, `run` and a server all use this."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from olpipe.errors import cannot_see
from olpipe.generation import GenerateRequest
from olpipe.image import USUAL_PIXELS, DecodedImage
from olpipe.imaging.decode import fit
from olpipe.interfaces import Perceiver
from olpipe.messages import ImagePart, Message, Part, TextPart
from olpipe.model import ModelBundle
from olpipe.perception.checks import sound
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.perception.known import with_known_values
from olpipe.perception.merge import merge
from olpipe.perception.names import names_in
from olpipe.perception.prompt import describe
from olpipe.record import Evidence
from olpipe.registry import Registry

logger = logging.getLogger(__name__)

EVIDENCE = "\0evidence\0"
"""A mark in a text. It is replaced by the evidence of the photos that are shown last."""


@dataclass(frozen=True, slots=True)
class Grounded:
    """A request with the evidence of its photos.

    Attributes:
        request: The request, ready to be sent.
        evidence: What was found in the photos that were shown last, with names in the request's language. None where
            no perceiver looked at a photo.
        written: The same evidence with the names that records have; None where no perceiver looked at a photo.
        found: The same evidence as perceivers gave it, with English names; None where no perceiver looked at a photo.
    """

    request: GenerateRequest
    evidence: Evidence | None
    written: Evidence | None = None
    found: Evidence | None = None


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
        min_score: float = 0.0,
        naming: Callable[[Evidence, Mapping[str, str]], Evidence] = Evidence.renamed,
        needs_words: bool = True,
    ) -> None:
        """Find the perceivers.

        Args:
            bundle: The model that gets the evidence.
            registry: All perceivers.
            names: Names of the wanted perceivers; None means those that the model's manifest names.
            cache: Where evidence is kept. None means that every photo is looked at again.
            min_score: Tags and objects with a lower score are not used, 0..1.
            naming: Gives evidence the names that records have. It takes English evidence, and English names with their
                words in the request's language.
            needs_words: Whether perceivers must have words in the request's language.

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
        self._min_score = min_score
        self._naming = naming
        self._needs_words = needs_words
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def sizes(self, model_pixels: int) -> frozenset[int]:
        """Return the numbers of pixels that photos are needed in, given how many the model can use."""
        own = frozenset(perceiver.fit_pixels for perceiver in self.perceivers)
        return own | {model_pixels} if self._sees or not own else own

    def ground(
        self, request: GenerateRequest, *, model_pixels: int = USUAL_PIXELS, found: Evidence | None = None
    ) -> Grounded:
        """Add evidence of a request's photos: as text in the prompt, and as known values of the answer.

        A model without vision gets the evidence in place of the photo. In the prompt, the evidence is in English. Known
        values are in the request's language.

        Args:
            request: What is asked.
            model_pixels: How many pixels of a photo the model can use. Larger photos are scaled down to about this
                many, after the perceivers have looked at them.
            found: What perceivers found in the request's only photo, if they have looked at it for an earlier request.

        Raises:
            UsageError: There are photos, but the model has neither vision nor perceivers; or the
                perceivers have no words in the request's language.
            PluginError: A perceiver failed.
        """
        if not any(message.images for message in request.messages):
            return Grounded(request, None)
        if not self.perceivers:
            if self._sees:
                return Grounded(_scaled_down(request, model_pixels), None)
            raise cannot_see(str(self._model))
        # 1. Look at the photos of every message, and put a line of evidence where each photo stands
        words = names_in(request.language, self.perceivers, needed=self._needs_words)
        messages, spoken = [], []
        evidence, told = Evidence(), ""
        for message in request.messages:
            seen = [(image, self._perceive(image) if found is None else found) for image in message.images]
            lines = [_line(one, image, raw=request.raw) for image, one in seen]
            beside = [] if EVIDENCE in message.text else lines  # it is said once
            messages.append(_with_lines(message, beside, keep_images=self._sees))
            spoken += [message.text, *(describe(_unread(one), *_size(image)) for image, one in seen)]
            if seen:  # the answer is about the photos that were shown last
                evidence = sum((one for _, one in seen), Evidence())
                told = "\n".join(lines)
        messages = [_with_marks(message, told) for message in messages]
        found, written, evidence = evidence, self._naming(evidence, words), evidence.renamed(words)
        # 2. Values that are known from the evidence need not be generated
        guidance = None if request.guidance is None else with_known_values(request.guidance, written)
        # 3. A model that does not see must not name things that were not found
        avoid = () if self._sees else _not_found(self._words, " ".join(spoken))
        grounded = replace(request, messages=tuple(messages), guidance=guidance, avoid=(*request.avoid, *avoid))
        return Grounded(_scaled_down(grounded, model_pixels), evidence, written, found)

    def _perceive(self, image: DecodedImage) -> Evidence:
        founds = []
        for perceiver in self.perceivers:
            shown = fit(image, perceiver.fit_pixels)
            if self._cache is None:
                founds.append(self._look(perceiver, shown))
            else:
                key = (shown.digest(), perceiver.name, perceiver.version)
                founds.append(self._cache.get(*key, partial(self._look, perceiver, shown)))
        return merge(founds).at_least(self._min_score)

    def _words_of(self, perceiver: Perceiver) -> Mapping[str, Collection[str]]:
        with self._registry.blaming(perceiver.name):
            words = perceiver.words()
            if not isinstance(words, Mapping):
                raise TypeError(f"its `words` are a {type(words).__name__} where a mapping is expected")
            return words

    def _look(self, perceiver: Perceiver, image: DecodedImage) -> Evidence:
        """Show an image to one perceiver, and keep what is sound. Errors of its own code name it."""
        with self._registry.blaming(perceiver.name):
            found = perceiver.perceive(image)
            if not isinstance(found, Evidence):
                raise TypeError(f"it gave a {type(found).__name__} where `Evidence` is expected")
        return sound(found, image.width, image.height, partial(self._tell, perceiver.name))

    def _tell(self, name: str, wrong: str) -> None:
        """Warn of wrong evidence, once for each perceiver: it may be wrong in the same way in every photo."""
        with self._lock:
            level = logging.DEBUG if name in self._told else logging.WARNING
            self._told.add(name)
        whose = self._registry.whose(name)
        logger.log(level, "%s breaks a rule: %s; what is wrong is left out, and only the first is told", whose, wrong)


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


def _line(evidence: Evidence, image: DecodedImage, *, raw: bool) -> str:
    """Return what the model is told of a photo.

    In a raw prompt, special tokens are written as texts. So what begins one is written as a number there: the words of
    a photo must not become a special token.
    """
    line = describe(evidence, *_size(image))
    return line.replace("<", "\\u003c").replace("[", "\\u005b") if raw else line


def _with_lines(message: Message, lines: Sequence[str], *, keep_images: bool) -> Message:
    """Put a line of text in place of each photo, or after it where photos are kept."""
    left = iter(lines)
    parts: list[Part] = []
    for part in message.parts:
        if keep_images or not isinstance(part, ImagePart):
            parts.append(part)
        if isinstance(part, ImagePart):
            parts += [TextPart(line) for line in islice(left, 1)]
    return replace(message, parts=tuple(parts))


def _with_marks(message: Message, told: str) -> Message:
    """Put evidence in place of the marks in a message's texts."""
    if EVIDENCE not in message.text:
        return message
    parts = (
        TextPart(part.text.replace(EVIDENCE, told)) if isinstance(part, TextPart) else part for part in message.parts
    )
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
