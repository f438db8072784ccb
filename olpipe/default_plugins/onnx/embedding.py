"""Make vectors of texts with a decoder, a model that was made to write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.onnx.cache import PAST, dtype_of
from olpipe.default_plugins.onnx.graph_inputs import GraphInputs
from olpipe.default_plugins.onnx.vectors import Floats, check_length, normalised
from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.generation import Timings


def embed_with_decoder(
    session: Any, vocabulary: Vocabulary, request: EmbedRequest, *, context_length: int
) -> Embeddings:
    """Return a vector for each text: the mean of the last layer's hidden states over all its tokens.

    The vectors of texts with a similar meaning are close to each other. Vectors of an embedding model show this better,
    because a decoder was not trained for it.

    Args:
        session: A session of a graph with the output `hidden_states`.
        vocabulary: The model's tokens.
        request: The texts.
        context_length: Most tokens of a text.

    Raises:
        ContextExceeded: A text is too long, and the request does not allow cutting it.
        UsageError: The request asks for more dimensions than there are.
    """
    started_ns = time.perf_counter_ns()
    texts = [_fitted(vocabulary.encode(vocabulary.quote(text)), request, context_length) for text in request.texts]
    width = next(one.shape[-1] for one in session.get_outputs() if one.name == "hidden_states")
    pooled = np.zeros((len(texts), width), np.float32)  # (texts, width); a text without tokens keeps its zeros
    for row, tokens in zip(pooled, texts, strict=True):
        if tokens:
            row[:] = _hidden(session, tokens).mean(axis=0)
    vectors = normalised(pooled, request)
    spent_ns = time.perf_counter_ns() - started_ns
    return Embeddings(vectors, sum(map(len, texts)), Timings(prompt_ns=spent_ns))


def _fitted(tokens: list[int], request: EmbedRequest, context_length: int) -> list[int]:
    """Return the tokens of a text, cut to the context where the request allows it."""
    check_length(len(tokens), request, context_length=context_length)
    return tokens[:context_length]


def _hidden(session: Any, tokens: Sequence[int]) -> Floats:
    """Run one text through the model; returns its hidden states, (tokens, width)."""
    feeds: dict[str, npt.NDArray[np.generic]] = {
        "input_ids": np.array([tokens], np.int64),
        "attention_mask": np.ones((1, len(tokens)), np.int64),
        **GraphInputs(session).of_tokens([0], [0], len(tokens)),
    }
    for one in session.get_inputs():
        if one.name.startswith(PAST):
            _, heads, _, size = one.shape
            feeds[one.name] = np.zeros((1, heads, 0, size), dtype_of(one))
    hidden: Floats = session.run(["hidden_states"], feeds)[0][0]
    return hidden
