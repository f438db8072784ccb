"""The vision encoder of a loaded model: it turns images into features, which are kept for the next request.

It has a session of its own. So it looks at one photo while the decoder answers about others.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from olpipe.convert.architectures import TILES, VISION_CONFIG, VISION_ENCODER
from olpipe.decoding.prompt import PlacedImage, Prompt
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import ModelCorrupt
from olpipe.families.packaged import PackagedVision
from olpipe.families.rendering import ImageSpan
from olpipe.families.showing import View, span_of, usable_pixels
from olpipe.families.table import Families, family_named, shipped_families
from olpipe.image import DecodedImage, ShownImage
from olpipe.interfaces.vision import Fitted
from olpipe.model import LoadOptions
from olpipe.sessions import open_session

if TYPE_CHECKING:
    import numpy.typing as npt

Features: TypeAlias = "Mapping[str, npt.NDArray[np.generic]]"

KEPT_BYTES = 128 << 20
"""Most bytes of features that are kept. An image of 256 tokens takes between one and eight megabytes."""


@dataclass(frozen=True, slots=True)
class Looking:
    """How long it took to look at the images of a prompt.

    Attributes:
        fit_ns: Resizing them and cutting them into patches.
        encode_ns: The vision encoder.
    """

    fit_ns: int = 0
    encode_ns: int = 0


class Eyes:
    """The vision encoder of one model. One thread uses it.

    Attributes:
        family: The family of vision models.
        tokens: Most tokens of an image where a request leaves enough room for them.
        fit_pixels: How many pixels of a photo it can use.
    """

    def __init__(
        self, package: Path, vocabulary: Vocabulary, options: LoadOptions, *, families: Families | None = None
    ) -> None:
        """Load the encoder of a package.

        Args:
            package: The folder of the package.
            vocabulary: The model's tokens.
            options: How to load it.
            families: All families of vision models; None stands for those that ship with olpipe.

        Raises:
            ModelCorrupt: The description of the encoder is damaged.
            ModelUnsupported: The plugin that brought its family is gone.
        """
        packaged = PackagedVision.read(package)
        if packaged is None:
            raise ModelCorrupt(f"there is no {VISION_CONFIG} in `{package}`", hint="pull the model again")
        self._families = shipped_families() if families is None else families
        self.family = family_named(packaged.family, self._families)
        self._config = packaged.config(self.family)
        self.tokens = options.image_tokens or self.family.usual_tokens
        self._vocabulary = vocabulary
        self._placeholder = vocabulary.token_of(self.family.placeholder) or 0  # features take its place anyway
        self._session = open_session(package / VISION_ENCODER, threads=options.threads, device=options.device)
        self._outputs = [one.name for one in self._session.get_outputs()]
        self._has_tiles = [one.shape[0] for one in self._session.get_inputs()] == [TILES]
        with self._families.blaming(self.family.name):
            self.fit_pixels = usable_pixels(partial(self.family.fit, self._config, tokens=self.tokens))
        self._kept: OrderedDict[str, Features] = OrderedDict()  # those that were used last are at the end
        self._kept_bytes = 0

    @property
    def image_text(self) -> str:
        """What chat templates write for an image; empty where the model has no special token for it."""
        text = self.family.image_text
        return text if text and self._vocabulary.special_in([text]) else ""

    def span(self, image: DecodedImage, tokens: int) -> ImageSpan:
        """Return the tokens that stand for an image. The encoder does not look at it yet.

        Args:
            image: The image.
            tokens: Most tokens that it may become.
        """
        height, width = image.pixels.shape[:2]
        with self._families.blaming(self.family.name):
            fitted = self.family.fit(self._config, width, height, tokens)
            layout = self.family.layout(self._config, fitted)
            rotary = self.family.positions(self._config, fitted)
        return span_of(
            View(image, fitted),
            layout,
            ShownImage(fitted.width, fitted.height, fitted.tokens),
            vocabulary=self._vocabulary,
            placeholder=self._placeholder,
            rotary=rotary,
        )

    def look(self, prompt: Prompt) -> tuple[Prompt, Looking]:
        """Return a prompt with the features of its images, and how long that took."""
        looking = Looking()
        images = []
        for image in prompt.images:
            features, spent = self._features(image)
            looking = Looking(looking.fit_ns + spent.fit_ns, looking.encode_ns + spent.encode_ns)
            images.append(replace(image, features=features, view=None))
        return Prompt(prompt.tokens, tuple(images)), looking

    def close(self) -> None:
        """Free the encoder, and forget all features."""
        self._session = None
        self._kept.clear()

    def _features(self, image: PlacedImage) -> tuple[Features, Looking]:
        """Return the features of an image: those that were kept, or new ones."""
        if image.digest in self._kept:
            self._kept.move_to_end(image.digest)
            return self._kept[image.digest], Looking()
        assert isinstance(image.view, View)
        # 1. Resize the image, and cut it into patches.
        started_ns = time.perf_counter_ns()
        with self._families.blaming(self.family.name):
            inputs = dict(self.family.inputs(self._config, image.view.image.pixels, image.view.fitted))
        # 2. The encoder.
        fitted_ns = time.perf_counter_ns()
        features = self._encode(inputs)
        looking = Looking(fitted_ns - started_ns, time.perf_counter_ns() - fitted_ns)
        # 3. The features are kept, and the oldest ones are forgotten.
        self._check(features, image.view.fitted)
        self._keep(image.digest, features)
        return features, looking

    def _encode(self, inputs: dict[str, npt.NDArray[np.generic]]) -> Features:
        """Run the encoder. Tiles go through it one by one: together they take no less time, and far more memory."""
        if not self._has_tiles:
            return dict(zip(self._outputs, self._session.run(None, inputs), strict=True))
        (tiles,) = inputs.values()  # (tiles, …)
        each = [self._session.run(None, dict.fromkeys(inputs, tile[None])) for tile in tiles]
        return {name: np.concatenate(parts) for name, parts in zip(self._outputs, zip(*each, strict=True), strict=True)}

    def _check(self, features: Features, fitted: Fitted) -> None:
        """Refuse features of a wrong shape. They would go to other tokens than those of the image.

        Raises:
            PluginError: The shape is wrong.
        """
        shape, expected = features["features"].shape, (fitted.tokens, self._config.output_width)
        if shape != expected:
            raise self._families.fault(self.family.name, f"its features have the shape {shape}, not {expected}")

    def _keep(self, digest: str, features: Features) -> None:
        self._kept[digest] = features
        self._kept_bytes += _size(features)
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            _, forgotten = self._kept.popitem(last=False)
            self._kept_bytes -= _size(forgotten)


def _size(features: Features) -> int:
    return sum(values.nbytes for values in features.values())
