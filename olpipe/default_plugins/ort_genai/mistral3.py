"""Prepare images for packages of Mistral 3, which sees with the vision encoder of Pixtral."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.ort_genai.package_eyes import PackageEyes, Tensors, preparing_config
from olpipe.default_plugins.ort_genai.vision_files import PIXELS, SIZES, VisionFiles
from olpipe.errors import ModelCorrupt
from olpipe.families.chat_template import TemplateFiles
from olpipe.families.patches import fit_cells
from olpipe.imaging.fitting import Resampling, normalised, resized
from olpipe.interfaces.vision import Fitted, Layout

if TYPE_CHECKING:
    import numpy.typing as npt

_IMAGE, _BREAK, _END = "[IMG]", "[IMG_BREAK]", "[IMG_END]"
_USUAL_TOKENS = 256

# Source: https://huggingface.co/mistralai/Mistral-Small-3.1-24B-Instruct-2503/blob/main/preprocessor_config.json
_COLOURS = (0.48145466, 0.4578275, 0.40821073, 0.26862954, 0.26130258, 0.27577711)
_LEAST_PIXELS, _MOST_PIXELS = 784, 1540 * 1540


class Mistral3Eyes(PackageEyes):
    """Prepares images for one package. A token stands for a cell of the image, and a mark for the end of each row."""

    image_text = _IMAGE
    tokens = _USUAL_TOKENS

    def __init__(self, files: VisionFiles, vocabulary: Vocabulary, template: TemplateFiles) -> None:
        """Set up for one package.

        Args:
            files: What its files say of its vision encoder.
            vocabulary: Its tokens.
            template: What its files say of its chat template.

        Raises:
            ModelCorrupt: The files contradict each other, or the type of the package.
        """
        super().__init__(files, vocabulary, template)
        for text in (_IMAGE, _BREAK, _END):
            if vocabulary.token_of(text) is None:
                raise ModelCorrupt(f"the tokenizer of `{files.name}` has no token `{text}`")
        if len(files.pixels.shape) != 4:  # (images, 3, H, W)
            raise ModelCorrupt(f"the vision encoder of `{files.name}` takes no whole images")
        self.placeholder = vocabulary.token_of(_IMAGE)
        limits = files.steps.get("Resize", {})
        self._config = replace(
            preparing_config(
                files,
                patch_size=files.side(files.vision.get("patch_size", 14), "size of patches"),
                merge=files.side(files.vision.get("spatial_merge_size", 2), "number of patches of a token"),
                colours=_COLOURS,
            ),
            least_pixels=files.count(limits.get("min_pixels", _LEAST_PIXELS), "least number of pixels"),
            most_pixels=files.count(limits.get("max_pixels", _MOST_PIXELS), "largest number of pixels"),
        )

    def fit(self, width: int, height: int, tokens: int) -> Fitted:
        """Choose a size of whole cells; see `fit_cells`."""
        return fit_cells(self._config, width, height, tokens)

    def layout(self, fitted: Fitted) -> Layout:
        """Return a placeholder for each cell, and a mark behind each row."""
        side = self._config.patch_size * self._config.merge
        row, rows = fitted.width // side, fitted.height // side
        return Layout("", (*(row, _BREAK) * (rows - 1), row, _END), "")

    def tensors(self, pixels: npt.NDArray[np.uint8], fitted: Fitted) -> Tensors:
        """Return the image, (1, 3, H, W), and its size."""
        shown = resized(pixels, fitted.width, fitted.height, Resampling.BICUBIC)
        planes = normalised(shown, self._config.mean, self._config.std)
        return {PIXELS: planes[None], SIZES: np.array([[fitted.height, fitted.width]])}

    def joined(self, images: Sequence[Tensors]) -> dict[str, npt.NDArray[np.generic]]:
        """Return the inputs for all images. The runtime cuts off what smaller ones are filled up with."""
        height, width = np.concatenate([image[SIZES] for image in images]).max(axis=0)
        filled = []
        for image in images:
            _, _, own_height, own_width = image[PIXELS].shape
            margins = ((0, 0), (0, 0), (0, height - own_height), (0, width - own_width))
            filled.append({**image, PIXELS: np.pad(image[PIXELS], margins)})
        return super().joined(filled)
