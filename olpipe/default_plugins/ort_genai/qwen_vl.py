"""Prepare images for packages of Qwen2.5-VL and Qwen3-VL."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.ort_genai.package_eyes import FamilyEyes, Tensors, preparing_config
from olpipe.default_plugins.ort_genai.vision_files import PIXELS, VisionFiles
from olpipe.errors import ModelCorrupt
from olpipe.families.chat_template import TemplateFiles
from olpipe.families.patches import Grid
from olpipe.families.qwen2_5_vl import Qwen25VL
from olpipe.families.qwen3_vl import Qwen3VL
from olpipe.families.qwen_vl import QwenVL
from olpipe.interfaces.vision import Fitted, VisionConfig

if TYPE_CHECKING:
    import numpy.typing as npt

GRID = "image_grid_thw"
"""What the runtime calls the sizes of the images, in patches."""

_START = "<|vision_start|>"


@dataclass(frozen=True, slots=True)
class Usual:
    """What a family has where a package does not say it.

    Attributes:
        family: The family.
        patch_size: The side of a patch, in pixels.
        colours: The mean of red, green and blue, then the spread of each.
        least_pixels: Smaller images are enlarged to this many pixels.
        most_pixels: Larger images are scaled down to this many pixels.
    """

    family: QwenVL
    patch_size: int
    colours: tuple[float, ...]
    least_pixels: int
    most_pixels: int


# Source: https://huggingface.co/Qwen/Qwen2.5-VL-3B-Instruct/blob/main/preprocessor_config.json
QWEN_2_5 = Usual(
    Qwen25VL(), 14, (0.48145466, 0.4578275, 0.40821073, 0.26862954, 0.26130258, 0.27577711), 3_136, 12_845_056
)

# Source: https://huggingface.co/Qwen/Qwen3-VL-4B-Instruct/blob/main/preprocessor_config.json
QWEN_3 = Usual(Qwen3VL(), 16, (0.5,) * 6, 65_536, 16_777_216)


class QwenEyes(FamilyEyes):
    """Prepares images for one package."""

    def __init__(
        self, files: VisionFiles, vocabulary: Vocabulary, template: TemplateFiles, *, usual: Usual = QWEN_2_5
    ) -> None:
        """Set up for one package.

        Args:
            files: What its files say of its vision encoder.
            vocabulary: Its tokens.
            template: What its files say of its chat template.
            usual: What its family has where the files do not say it.

        Raises:
            ModelCorrupt: The files contradict each other.
        """
        # 1. The runtime counts positions by these two tokens. With other ids than the tokenizer's, they are all wrong.
        placeholder, start = files.token("image_token_id"), files.token("vision_start_token_id")
        for token, text in ((placeholder, usual.family.placeholder), (start, _START)):
            if vocabulary.token_of(text) != token:
                raise ModelCorrupt(f"`{files.name}` calls the token `{token}` a `{text}`, but its tokenizer does not")
        # 2. The sizes.
        config = _sizes(files, usual)
        super().__init__(files, vocabulary, template, family=usual.family, config=config, placeholder=placeholder)
        copies = files.steps.get("PatchImage", {}).get("temporal_patch_size", 2)
        self._copies = files.side(copies, "number of pictures in a patch")
        # 3. The graph has the last word.
        taken, made = files.pixels.shape[-1:], 3 * self._copies * config.patch_size**2
        if taken not in ((None,), (made,)):
            raise ModelCorrupt(
                f"the vision encoder of `{files.name}` takes patches of `{taken[0] if taken else 0}` numbers, "
                f"but its configuration makes `{made}`"
            )

    def tensors(self, pixels: npt.NDArray[np.uint8], fitted: Fitted) -> Tensors:
        """Return the patches cell by cell, and how many patches there are below each other and side by side.

        A patch holds several pictures that follow each other in time. A photo stands for all of them.
        """
        grid = Grid.of(self._config, fitted)
        patches = grid.patches(self._config, pixels, fitted)  # (cells, patches of a cell, 3 * patch size squared)
        by_colour = patches.reshape(-1, 3, 1, self._config.patch_size**2)
        repeated = np.repeat(by_colour, self._copies, axis=2)  # (patches, 3, pictures, patch size squared)
        sides = np.array([[1, grid.rows * grid.merge, grid.columns * grid.merge]])
        return {PIXELS: repeated.reshape(len(repeated), -1), GRID: sides}


def _sizes(files: VisionFiles, usual: Usual) -> VisionConfig:
    """Return the sizes of the vision encoder. The runtime takes those of `genai_config.json`, so they count."""
    config = preparing_config(
        files,
        patch_size=files.side(files.vision.get("patch_size", usual.patch_size), "size of patches"),
        merge=files.side(files.vision.get("spatial_merge_size", 2), "number of patches of a token"),
        colours=usual.colours,
    )
    limits = files.steps.get("Resize", {})
    return replace(
        config,
        least_pixels=files.count(limits.get("min_pixels", usual.least_pixels), "least number of pixels"),
        most_pixels=files.count(limits.get("max_pixels", usual.most_pixels), "largest number of pixels"),
    )
