"""Prepare images for packages of Gemma 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.ort_genai.package_eyes import FamilyEyes, Tensors, preparing_config
from olpipe.default_plugins.ort_genai.vision_files import PIXELS, VisionFiles
from olpipe.errors import ModelCorrupt
from olpipe.families.chat_template import TemplateFiles
from olpipe.families.gemma3 import Gemma3
from olpipe.imaging.fitting import Resampling, normalised, resized
from olpipe.interfaces.vision import Fitted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SIDE, _PATCH, _MERGE = 896, 14, 4
"""The side of an image and of a patch in pixels, and how many patches side by side become one token."""


class Gemma3Eyes(FamilyEyes):
    """Prepares images for one package. Every image is stretched to one square."""

    def __init__(self, files: VisionFiles, vocabulary: Vocabulary, template: TemplateFiles) -> None:
        """Set up for one package.

        Args:
            files: What its files say of its vision encoder.
            vocabulary: Its tokens.
            template: What its files say of its chat template.

        Raises:
            ModelCorrupt: The files contradict each other.
        """
        family = Gemma3()
        placeholder = vocabulary.token_of(family.placeholder)
        if placeholder is None:
            raise ModelCorrupt(f"the tokenizer of `{files.name}` has no token `{family.placeholder}`")
        config = preparing_config(files, image_size=_SIDE, patch_size=_PATCH, merge=_MERGE, colours=(0.5,) * 6)
        if any(side not in (None, _SIDE) for side in files.pixels.shape[-2:]):
            raise ModelCorrupt(f"the vision encoder of `{files.name}` takes no images of `{_SIDE}` pixels a side")
        super().__init__(files, vocabulary, template, family=family, config=config, placeholder=placeholder)

    def tensors(self, pixels: npt.NDArray[np.uint8], fitted: Fitted) -> Tensors:
        """Return the image, (1, 3, side, side)."""
        square = resized(pixels, fitted.width, fitted.height, Resampling.BILINEAR)
        return {PIXELS: normalised(square, self._config.mean, self._config.std)[None]}
