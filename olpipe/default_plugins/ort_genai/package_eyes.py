"""What prepares images for one package that sees: their sizes, their tokens, and the inputs of its graphs."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from olpipe.decoding.prompt import PlacedImage, Prompt
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.ort_genai.vision_files import PIXELS, VisionFiles
from olpipe.errors import UsageError
from olpipe.families.chat_template import TemplateFiles
from olpipe.families.rendering import ImageSpan
from olpipe.families.showing import View, span_of, usable_pixels
from olpipe.image import BoxDialect, DecodedImage, ShownImage
from olpipe.interfaces.vision import Family, Fitted, Layout, VisionConfig

if TYPE_CHECKING:
    import numpy.typing as npt

Tensors: TypeAlias = "Mapping[str, npt.NDArray[np.generic]]"

IDS, TOKEN_COUNTS = "input_ids", "num_image_tokens"


class PackageEyes(ABC):
    """Prepares the images for one package.

    Attributes:
        placeholder: The token at whose places the features stand; None where the runtime takes negative ids for them.
        tokens: Most tokens of an image where a request leaves enough room for them.
        boxes: How the model was trained to say where something is.
        image_text: What chat templates write for an image. It is empty for a template that takes texts only.
        template: The chat template.
        most_context: Most tokens of prompt plus answer with which the runtime's numbers are right; 0 for no limit.
        rewinds: Whether the runtime lets such a model forget its last tokens.
    """

    placeholder: int | None = None
    tokens: int = 0
    boxes: BoxDialect | None = None
    image_text: str = ""
    most_context: int = 0
    rewinds: bool = True

    def __init__(self, files: VisionFiles, vocabulary: Vocabulary, template: TemplateFiles) -> None:
        """Set up for one package.

        Args:
            files: What its files say of its vision encoder.
            vocabulary: Its tokens.
            template: What its files say of its chat template.

        Raises:
            ModelCorrupt: The files contradict each other, or the type of the package.
        """
        self._files = files
        self._vocabulary = vocabulary
        self.template = template

    @abstractmethod
    def fit(self, width: int, height: int, tokens: int) -> Fitted:
        """Choose the size in which an image is shown.

        Args:
            width: Pixels of the image.
            height: Pixels of the image.
            tokens: Most tokens that it should become.
        """

    @abstractmethod
    def layout(self, fitted: Fitted) -> Layout:
        """Return what stands for an image in a prompt."""

    @abstractmethod
    def tensors(self, pixels: npt.NDArray[np.uint8], fitted: Fitted) -> Tensors:
        """Return the inputs of the vision encoder for one image, by the names that the runtime has for them.

        Args:
            pixels: The image, (H, W, 3) sRGB, upright. It is resized here.
            fitted: What `fit` returned for an image of this size.
        """

    def shown(self, fitted: Fitted) -> ShownImage:
        """Return an image as the encoder sees it."""
        return ShownImage(fitted.width, fitted.height, fitted.tokens)

    def joined(self, images: Sequence[Tensors]) -> dict[str, npt.NDArray[np.generic]]:
        """Return the inputs for all images of a prompt, given those for each."""
        return {name: np.concatenate([image[name] for image in images]) for name in images[0]}

    def fit_pixels(self, tokens: int) -> int:
        """Return how many pixels of a photo can be used where it may become so many tokens."""
        return usable_pixels(partial(self.fit, tokens=tokens))

    def span(self, image: DecodedImage, tokens: int) -> ImageSpan:
        """Return the tokens that stand for an image. The image is not resized yet.

        Args:
            image: The image.
            tokens: Most tokens that it may become.
        """
        height, width = image.pixels.shape[:2]
        fitted = self.fit(width, height, tokens)
        span = span_of(
            View(image, fitted),
            self.layout(fitted),
            self.shown(fitted),
            vocabulary=self._vocabulary,
            placeholder=self.placeholder or 0,
        )
        return replace(span, shown=replace(self.shown(fitted), tokens=span.length))

    def check(self, prompt: Prompt) -> None:
        """Refuse a prompt with a placeholder where there is no image. The runtime would look for features there.

        Raises:
            UsageError: There is one. Only who writes a raw prompt can do this.
        """
        if self.placeholder is None:
            return
        if prompt.tokens.count(self.placeholder) != sum(map(_features_of, prompt.images)):
            text = self._vocabulary.bytes_of((self.placeholder,), visible=(self.placeholder,)).decode(errors="replace")
            hint = "leave it out, and send the image with the request"
            raise UsageError(f"the prompt has `{text}` where there is no image", hint=hint)

    def look(self, prompt: Prompt) -> tuple[Prompt, int]:
        """Return a prompt with the tensors of its images, and how many nanoseconds it took to make them."""
        started_ns = time.perf_counter_ns()
        images = tuple(replace(image, features=self._features(image), view=None) for image in prompt.images)
        return Prompt(prompt.tokens, images), time.perf_counter_ns() - started_ns

    def inputs(self, prompt: Prompt) -> dict[str, npt.NDArray[np.generic]]:
        """Return everything that the runtime takes for a prompt, by the names that it has for it."""
        # 1. The tokens, (1, length). Where negative ids mark images, the first image has -1, the second -2, and so on.
        ids = np.array(prompt.tokens, np.int32)
        if self.placeholder is None:
            for number, image in enumerate(prompt.images, start=1):
                ids[image.start : image.end] = -number
        # 2. How many rows of features there are. Where the encoder gives a matrix for each image, the runtime wants the
        #    rows of one. Then it also needs an image if there is none, and does not look at it.
        counts, matrices = [_features_of(image) for image in prompt.images], len(self._files.features.shape) == 3
        counts = (counts[:1] if matrices else counts) or [0]
        inputs: dict[str, npt.NDArray[np.generic]] = {IDS: ids[None], TOKEN_COUNTS: np.array(counts, np.int64)}
        if not prompt.images:
            return inputs | ({PIXELS: np.zeros((1, 1, 1), self._files.pixels.dtype)} if matrices else {})
        # 3. The images. The runtime looks for some inputs under its own names, and the graph takes them under its own.
        made = self.joined([image.features for image in prompt.images])
        names = self._files.input_names
        return inputs | made | {names[name]: values for name, values in made.items() if name in names}

    def _features(self, image: PlacedImage) -> Tensors:
        assert isinstance(image.view, View)
        made = self.tensors(image.view.image.pixels, image.view.fitted)
        return {
            name: values.astype(self._files.pixels.dtype) if name == PIXELS else values for name, values in made.items()
        }


def _features_of(image: PlacedImage) -> int:
    """Return how many rows of features an image has."""
    return sum(row > 0 for row in image.rows)


class FamilyEyes(PackageEyes):
    """Prepares images as a family of vision models does that olpipe also runs itself."""

    def __init__(
        self,
        files: VisionFiles,
        vocabulary: Vocabulary,
        template: TemplateFiles,
        *,
        family: Family,
        config: VisionConfig,
        placeholder: int,
    ) -> None:
        """Set up for one package.

        Args:
            files: What its files say of its vision encoder.
            vocabulary: Its tokens.
            template: What its files say of its chat template. The family has one for a package that has none.
            family: The family.
            config: The sizes of its vision encoder, as far as the family needs them to prepare images.
            placeholder: The token at whose places the features stand.
        """
        super().__init__(files, vocabulary, template.or_else(family.template))
        self._family = family
        self._config = config
        self.placeholder = placeholder
        self.tokens = family.usual_tokens
        self.boxes = family.boxes
        self.image_text = family.image_text

    def fit(self, width: int, height: int, tokens: int) -> Fitted:
        """Choose the size that the family chooses."""
        return self._family.fit(self._config, width, height, tokens)

    def layout(self, fitted: Fitted) -> Layout:
        """Return what the family has for an image."""
        return self._family.layout(self._config, fitted)


def preparing_config(
    files: VisionFiles, *, image_size: int = 0, patch_size: int, merge: int, colours: tuple[float, ...]
) -> VisionConfig:
    """Return the sizes of a vision encoder, as far as they are needed to prepare images.

    Args:
        files: What the files of the package say.
        image_size: The side of the square images that it takes.
        patch_size: The side of a patch, in pixels.
        merge: How many patches side by side become one token.
        colours: The usual mean of red, green and blue, then the usual spread of each.

    Raises:
        ModelCorrupt: The files have colours that cannot be used.
    """
    red, green, blue, *spread = colours
    spread_red, spread_green, spread_blue = spread
    return VisionConfig(
        family=files.type,
        image_size=image_size,
        patch_size=patch_size,
        merge=merge,
        layers=0,
        heads=0,
        width=0,
        inner_width=0,
        output_width=0,
        epsilon=0.0,
        mean=files.colour("mean", (red, green, blue)),
        std=files.colour("std", (spread_red, spread_green, spread_blue)),
    )
