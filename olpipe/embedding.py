"""A request for embeddings, and the vectors that come back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from olpipe.generation import Timings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """Texts to turn into vectors.

    Attributes:
        model: The model's name.
        texts: The texts.
        dimensions: Cut each vector to this many values and bring it back to length 1. None keeps all values.
        truncate: Whether a text that is too long is cut. If not, such a text is an error.
    """

    model: str
    texts: tuple[str, ...]
    dimensions: int | None = None
    truncate: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Vectors of some texts.

    Attributes:
        vectors: (texts, dimensions) float32, each row of length 1, in the order of the texts.
        prompt_tokens: The number of tokens of all texts together.
        timings: Where the time went.
    """

    vectors: npt.NDArray[np.float32]
    prompt_tokens: int
    timings: Timings = field(default_factory=Timings)
