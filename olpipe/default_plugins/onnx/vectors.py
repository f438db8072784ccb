"""What vectors of texts have in common, whichever model they come from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from olpipe.embedding import EmbedRequest
from olpipe.errors import ContextExceeded, UsageError

Floats = npt.NDArray[np.float32]


def normalised(vectors: Floats, request: EmbedRequest) -> Floats:
    """Cut vectors to the dimensions that a request asks for, and bring each to length 1.

    Args:
        vectors: (texts, dimensions).
        request: Says how many dimensions are wanted.

    Raises:
        UsageError: There are fewer.
    """
    if request.dimensions is not None:
        if not 0 < request.dimensions <= vectors.shape[1] and len(vectors):
            raise UsageError(f"`{request.model}` has {vectors.shape[1]} dimensions, not {request.dimensions}")
        vectors = vectors[:, : request.dimensions]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Floats = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return result


def check_length(tokens: int, request: EmbedRequest, *, context_length: int) -> None:
    """Check that a text fits, or may be cut.

    Raises:
        ContextExceeded: It is too long, and the request does not allow cutting it.
    """
    if tokens > context_length and not request.truncate:
        raise ContextExceeded(f"a text has {tokens} tokens, and `{request.model}` holds {context_length}")
