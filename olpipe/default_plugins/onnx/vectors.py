"""Bring vectors of texts to the form that a request asks for, whichever model they come from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from olpipe.embedding import EmbedRequest
from olpipe.errors import ContextExceeded, UsageError

Floats = npt.NDArray[np.float32]


def normalised(vectors: Floats, request: EmbedRequest) -> Floats:
    """Cut vectors to the dimensions that a request asks for, and scale each to length 1.

    Args:
        vectors: The vectors, (texts, dimensions).
        request: The request, with the number of dimensions that it asks for.

    Returns:
        The vectors, (texts, dimensions of the request). A vector of zeros stays as it is.

    Raises:
        UsageError: The vectors have fewer dimensions.
    """
    if request.dimensions is not None:
        if not 0 < request.dimensions <= vectors.shape[1] and len(vectors):
            raise UsageError(f"`{request.model}` has {vectors.shape[1]} dimensions, not {request.dimensions}")
        vectors = vectors[:, : request.dimensions]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)  # (texts, 1)
    result: Floats = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return result


def check_length(tokens: int, request: EmbedRequest, *, context_length: int) -> None:
    """Check that a text fits into the context, or that it may be cut.

    Raises:
        ContextExceeded: The text is too long, and the request does not allow cutting it.
    """
    if tokens > context_length and not request.truncate:
        raise ContextExceeded(f"a text has {tokens} tokens, and `{request.model}` holds {context_length}")
