"""What differs from one family of vision models to the next: how an image is cut, where it stands, how boxes are said.

A vision model has two parts. The *vision encoder* turns the pixels of an image into features, one row for each of the
image's tokens. The text model reads these rows in place of the embeddings of placeholder tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from olpipe.image import BoxDialect

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """What a model's file says about its vision encoder. A value that its family does not use is 0 or empty.

    A family that has more to say extends this class, and names its own class as `Family.config_class`. All values are
    numbers, texts, and tuples of them, because a package keeps them as JSON.

    Attributes:
        family: The name of its family.
        image_size: The side of the square images that it was made for, in pixels.
        patch_size: The side of a patch, in pixels.
        merge: How many patches side by side become one token. A token stands for `merge * merge` patches.
        layers: How many transformer blocks it has.
        heads: How many attention heads each block has.
        width: The width of its residual stream.
        inner_width: The width inside a feed-forward block.
        output_width: The width of a row of features, which is that of the text model.
        epsilon: The epsilon of its norms.
        mean: What is subtracted from the red, green and blue of a pixel, where white is 1.
        std: What they are divided by after that.
        least_pixels: Smaller images are enlarged to this many pixels.
        most_pixels: Larger images are scaled down to this many pixels.
        window: The side of an attention window, in pixels.
        full_layers: The blocks that attend to the whole image, where the others attend to a window.
        deepstack_layers: The blocks whose outputs are added to the first layers of the text model.
        activation: The activation inside its feed-forward blocks, where those of a family differ in it.
    """

    family: str
    image_size: int
    patch_size: int
    merge: int
    layers: int
    heads: int
    width: int
    inner_width: int
    output_width: int
    epsilon: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    least_pixels: int = 0
    most_pixels: int = 0
    window: int = 0
    full_layers: tuple[int, ...] = ()
    deepstack_layers: tuple[int, ...] = ()
    activation: str = ""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The size in which a vision encoder sees an image.

    Attributes:
        width: Pixels to which the image is resized. Its proportions may change.
        height: Pixels to which it is resized.
        columns: How many tiles side by side it is cut into; 1 where it is not cut.
        rows: How many rows of tiles it is cut into.
        tokens: How many rows of features it becomes.
    """

    width: int
    height: int
    columns: int
    rows: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands for an image in a prompt.

    Attributes:
        before: The text in front of the image, such as `<|vision_start|>`.
        body: The image itself. A number stands for as many placeholders, and a text for its own tokens.
        after: The text behind the image.
    """

    before: str
    body: tuple[str | int, ...]
    after: str


class VisionTensors(Protocol):
    """The weights of a vision encoder, by the names that llama.cpp gives them. All files are read under these names."""

    def names(self) -> Collection[str]:
        """Return the names of all tensors."""

    def has(self, name: str) -> bool:
        """Say whether there is a tensor of a name."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, the outermost dimension first."""

    def rows(self, name: str, order: npt.NDArray[np.intp] | None = None) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the rows of a matrix, (some rows, columns) at a time."""

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """Return a vector, (values,)."""

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """Return a whole tensor in its shape."""


class Family(ABC):
    """A family of vision models. The backend `onnx` converts their vision encoders and shows images to them.

    One thread at a time uses it, but several models of the family may be loaded in as many processes.
    """

    name: str
    """How messages and packages call it. It may have spaces and upper-case letters, as in `LLaVA 1.5`."""

    version: str
    """Changes only when the same image may give other features or another prompt than before.

    It is part of the key of every recipe whose model is of this family. A package that another version has written is
    made again."""

    projectors: tuple[str, ...]
    """The values of `clip.projector_type` in the files that it reads.

    Files of Ollama may hold the text model and the vision encoder together. olpipe knows the names of their tensors for
    the families that it ships with. The vision encoders of other families come in files of their own.
    """

    config_class: type[VisionConfig] = VisionConfig
    """The class of what `read` returns."""

    image_text: str
    """What chat templates write for an image, such as `<image>`. The layout takes its place."""

    placeholder: str
    """The special token at whose places the features stand."""

    needs_placeholder: bool = True
    """Whether a text model without that token belongs to another family. Otherwise any token takes its place."""

    template: str = ""
    """The chat template of a model whose file has none. A model that has neither gets the texts alone."""

    usual_tokens: int = 256
    """Tokens of an image where nobody asks for another number."""

    boxes: BoxDialect | None = None
    """How its models were trained to say where something is. None: they were not, so they are not asked for boxes."""

    mutual: bool = False
    """Whether all tokens of an image attend to each other. Otherwise a token attends to earlier ones only."""

    @abstractmethod
    def read(self, metadata: Mapping[str, Any], tensors: VisionTensors) -> VisionConfig:
        """Read the sizes of a vision encoder, and check that the file has exactly its tensors.

        Args:
            metadata: What the file says, by the names that follow `clip.vision.` in files of llama.cpp. It comes from
                strangers: `olpipe.convert.vision_metadata` reads it with care.
            tensors: The weights. Only their names and shapes are read here, because files may be large.

        Raises:
            ModelCorrupt: Something is missing, or two statements contradict each other.
            ModelUnsupported: The encoder is of a kind that is not known here.
        """

    @abstractmethod
    def write(
        self, tensors: VisionTensors, config: VisionConfig, path: Path, *, eight_bits: bool, done: Callable[[], None]
    ) -> None:
        """Write the vision encoder as an ONNX graph, with its weights beside it as `<path>.data`.

        The graph takes what `inputs` returns. Its output `features` is (tokens, output_width) float32. A family with
        `deepstack_layers` has an output `deepstack`, (layers, tokens, output_width), too.

        Args:
            tensors: The weights.
            config: What `read` returned.
            path: The `.onnx` file to write.
            eight_bits: Whether the large matrices are stored with eight bits a value. Otherwise they are float32.
            done: Called after every tensor.
        """

    @abstractmethod
    def fit(self, config: VisionConfig, width: int, height: int, tokens: int) -> Fitted:
        """Choose the size in which an image is shown.

        An image is not enlarged unless the encoder needs it. Every size gives a result, extreme ones included.

        Args:
            config: The encoder.
            width: Pixels of the image.
            height: Pixels of the image.
            tokens: Most tokens that the image should become. An encoder that cannot do with so few takes its least.
        """

    @abstractmethod
    def inputs(
        self, config: VisionConfig, pixels: npt.NDArray[np.uint8], fitted: Fitted
    ) -> Mapping[str, npt.NDArray[np.generic]]:
        """Return the inputs of the vision encoder's graph for one image.

        Args:
            config: The encoder.
            pixels: The image, (H, W, 3) sRGB, upright. It is resized here.
            fitted: What `fit` returned for an image of this size.
        """

    @abstractmethod
    def layout(self, config: VisionConfig, fitted: Fitted) -> Layout:
        """Return what stands for an image in a prompt."""

    def positions(self, config: VisionConfig, fitted: Fitted) -> npt.NDArray[np.int64] | None:
        """Return the positions of an image's tokens for rotary embeddings with several axes, (3, tokens).

        They count time, row and column from the position that the prompt has reached. The text goes on one behind the
        largest of them. None stands for one position after the other, as in text.
        """
        return None
