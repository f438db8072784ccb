"""Quantise the KV cache of a converted decoder: keys and values of eight or four bits in place of float32.

The attention operator of ONNX Runtime takes such a cache with a fixed scale for each channel. The scales are measured
once for each model, with a text that the model reads. The graph with the scales lies beside the first one, and both
read the same file of weights.

Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olpipe.convert.architectures import BIASES, FEATURES, POSITIONS
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.onnx.cache import PAST, PRESENT, Cache
from olpipe.default_plugins.onnx.calibration import TEXT
from olpipe.model import FULL_CACHE, LoadOptions
from olpipe.sessions import CPU, open_session, session_errors
from olpipe.store.writing import new_file, writing

Floats = npt.NDArray[np.float32]

_VERSION = 1
"""The version of the graphs that this module writes. It changes whenever one would be another one."""

_CALIBRATED = 512
"""Most tokens of the text that the scales are measured with."""

_OPTIONAL = 12
"""So many inputs of the operator come before the scales. Those that are not used have empty names."""

_PLACES = 33
"""At so many places of the context, evenly spread, the text is assumed to stand."""

_SMALLEST = np.float32(1e-8)
"""Of a scale: no value is divided by zero."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheType:
    """A way to keep keys and values.

    Attributes:
        bits: How many bits a value has.
        largest: The code of a value that is as large as the scale allows.
        margin: How much larger than the largest value of the text a value may be. With four bits, a margin costs more
            than the few values that are cut off.
    """

    bits: int
    largest: int
    margin: float


CACHE_TYPES = {"q8_0": CacheType(8, 127, 1.25), "q4_0": CacheType(4, 7, 1.0)}
"""The types of the cache besides the full one, by their names in OLLAMA_KV_CACHE_TYPE."""


def open_decoder(graph: Path, options: LoadOptions, vocabulary: Vocabulary, *, context_length: int) -> tuple[Any, str]:
    """Open the graph of a decoder with a cache of the type that is asked for.

    Args:
        graph: The file of the graph as it was converted.
        options: The type, and how sessions are opened.
        vocabulary: The model's tokens.
        context_length: Most tokens that the model reads.

    Returns:
        A session, and why its cache is not of that type; the reason is empty where it is.

    Raises:
        BackendMissing: ONNX Runtime is not installed, or does not compute on the device.
        DiskFull: There is no space for the graph with a quantised cache.
        StoreError: The folder of the model's package may not be written.
    """
    open_graph = partial(open_session, threads=options.threads, device=options.device)
    if options.cache_type in ("", FULL_CACHE):
        return open_graph(graph), ""
    if options.cache_type not in CACHE_TYPES:
        return open_graph(graph), f"`{options.cache_type}` is not one of {FULL_CACHE}, {', '.join(CACHE_TYPES)}"
    if (options.device or CPU) != CPU:
        return open_graph(graph), f"the KV cache is quantised on the CPU only, not on `{options.device}`"
    # 1. The graph is written when it is needed for the first time. Two sessions at once would take twice the memory.
    target = graph.with_name(f"{graph.stem}.{options.cache_type}-{_VERSION}.onnx")
    if not target.is_file():
        session = open_graph(graph)
        if {one.name for one in session.get_inputs()} & {*BIASES, FEATURES, POSITIONS}:
            return session, "the model sees, and the sizes of an image's keys and values are not known"
        tokens = vocabulary.encode(vocabulary.quote(TEXT))[: min(_CALIBRATED, context_length)]
        arrays = _arrays(session, tokens)
        del session
        _write(target, _quantised(graph, CACHE_TYPES[options.cache_type], arrays))
    # 2. An older runtime may not know such a cache, or not for this kind of attention. A forward with bound arrays
    #    raises a `RuntimeError`.
    refusals: tuple[type[Exception], ...] = (RuntimeError, *session_errors())
    try:
        session = open_graph(target)
        _check_runs(session)
    except refusals as error:
        logger.debug("%s cannot be run: %s", target, error)
        return open_graph(graph), "the installed ONNX Runtime does not run this model with such a cache"
    return session, ""


def _write(target: Path, content: bytes) -> None:
    """Write a file, so that it is complete as soon as it has its name."""
    with writing(target):
        handle, unfinished = new_file(target.parent, f"{target.name}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)


def _check_runs(session: Any) -> None:
    """Run a few tokens, which fails where the runtime opens a graph and cannot run it."""
    cache = Cache(session, rows=1, length=8)
    for tokens, held in (([[0, 0]], 0), ([[0]], 2)):
        cache.run(np.array(tokens, np.int64), [held], further={})


def _arrays(session: Any, tokens: Sequence[int]) -> Mapping[str, Floats]:
    """Return keys and values of a text by the names of their inputs: (kv_heads, length, head_size) each."""
    ids = np.array([tokens], np.int64)
    inputs = {one.name: one for one in session.get_inputs() if one.name.startswith(PAST)}
    feeds: dict[str, npt.NDArray[np.generic]] = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    for name, one in inputs.items():
        feeds[name] = np.zeros((1, one.shape[1], 0, one.shape[3]), np.float32)
    found = session.run([f"{PRESENT}{name.removeprefix(PAST)}" for name in inputs], feeds)
    return {name: array[0] for name, array in zip(inputs, found, strict=True)}


def _largest_keys(keys: Floats, cosines: Floats, sines: Floats) -> Floats:
    """Return the largest magnitude of each channel, wherever in the context the text stands.

    Keys are kept as they are rotated. In a text of some hundred tokens, a pair of values that rotates slowly shows only
    a part of its circle. So the keys are rotated on, as if the text stood at later positions.

    Args:
        keys: (kv_heads, length, head_size). The first half of a head rotates with the second.
        cosines: One row for each position, (context_length, head_size / 2). Some models stretch them by a factor.
        sines: The same.
    """
    first, second = np.split(keys, 2, axis=-1)
    largest: Floats = np.abs(keys).max(axis=1)
    for shift in np.linspace(0, len(cosines) - 1, _PLACES).astype(int):
        stretched = np.hypot(cosines[shift], sines[shift])
        cosine, sine = cosines[shift] / stretched, sines[shift] / stretched
        rotated = np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)
        largest = np.maximum(largest, np.abs(rotated).max(axis=1))
    return largest


def _quantised(graph: Path, cache_type: CacheType, arrays: Mapping[str, Floats]) -> bytes:
    """Return a graph with another type of the cache. Its weights stay in the file where they are."""
    import onnx

    model = onnx.load(str(graph), load_external_data=False)
    weights = {one.name: one for one in model.graph.initializer}
    per_byte = 8 // cache_type.bits
    for value in (*model.graph.input, *model.graph.output):
        if value.name.startswith((PAST, PRESENT)):
            tensor = value.type.tensor_type
            tensor.elem_type = onnx.TensorProto.INT8 if per_byte == 1 else onnx.TensorProto.UINT8
            tensor.shape.dim[3].dim_value //= per_byte
    for node in model.graph.node:
        if node.op_type != "GroupQueryAttention":
            continue
        keys, values, tables = node.input[3], node.input[4], node.input[7:9]
        cosines, sines = (onnx.numpy_helper.to_array(weights[name], str(graph.parent)) for name in tables)
        largest = {
            keys: _largest_keys(arrays[keys], cosines, sines),
            values: np.abs(arrays[values]).max(axis=1),
        }
        inputs = [*node.input, *[""] * (_OPTIONAL - len(node.input))]
        for name, sizes in largest.items():
            scales = np.maximum(sizes.reshape(-1) * (cache_type.margin / cache_type.largest), _SMALLEST)
            scales = scales.astype(np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(scales, f"{name}.scales"))
            inputs.append(f"{name}.scales")
        node.input[:] = inputs
        attributes = {"k_quant_type": "PER_CHANNEL", "v_quant_type": "PER_CHANNEL"}
        node.attribute.extend(onnx.helper.make_attribute(*one) for one in attributes.items())
        node.attribute.append(onnx.helper.make_attribute("kv_cache_bit_width", cache_type.bits))
    content: bytes = model.SerializeToString()
    return content
