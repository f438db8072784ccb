"""OpenAI's embeddings: questions from bodies, and bodies from vectors.

Source: https://github.com/ollama/ollama/blob/main/openai/openai.go
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from olpipe.embedding import Embeddings
from olpipe.server.bodies.fields import Fields
from olpipe.server.question import VectorQuestion
from olpipe.server.refusal import Refusal
from olpipe.server.wire.openai_answers import Body
from olpipe.server.wire.openai_chat import read_model

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_FORMATS = ("float", "base64")


def read_embeddings(fields: Fields) -> tuple[VectorQuestion, str]:
    """Read the body of /v1/embeddings. Returns the question, and how the vectors are to be written.

    Raises:
        Refusal: A field cannot be used.
    """
    format_ = fields.text("encoding_format", "float")
    if format_.lower() not in _FORMATS:
        known = "['float', 'base64']"
        raise Refusal(400, f"Invalid value for 'encoding_format' = {format_}. Supported values: {known}.")
    dimensions = fields.whole("dimensions")
    if dimensions is not None and dimensions < 1:
        raise Refusal(400, f"`dimensions` cannot be {dimensions}: it must be at least 1")
    return VectorQuestion(read_model(fields), _texts(fields.any("input")), dimensions), format_.lower()


def embeddings(question: VectorQuestion, found: Embeddings, format_: str) -> Body:
    """Return vectors as a body."""
    data = [
        {"object": "embedding", "index": at, "embedding": _written(row, format_)}
        for at, row in enumerate(found.vectors)
    ]
    used = {"prompt_tokens": found.prompt_tokens, "total_tokens": found.prompt_tokens}
    return {"object": "list", "data": data, "model": question.model, "usage": used}


def _texts(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not texts:
        raise Refusal(400, "invalid input", hint="`input` is a text, or a list of texts")
    if not isinstance(texts, list):
        raise Refusal(400, "invalid input type", hint="`input` is a text, or a list of texts")
    if all(isinstance(text, int | list) for text in texts):
        raise Refusal(400, "`input` is a list of tokens, which is not supported", hint="send the text itself")
    if not all(isinstance(text, str) for text in texts):
        raise Refusal(400, "invalid input type", hint="`input` is a text, or a list of texts")
    return tuple(texts)


def _written(row: npt.NDArray[np.float32], format_: str) -> list[float] | str:
    """Return a vector as a list, or as the base64 of its values: four bytes each, the least significant first."""
    if format_ == "float":
        values: list[float] = row.tolist()
        return values
    return base64.b64encode(row.astype("<f4").tobytes()).decode()
