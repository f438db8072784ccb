"""The KV cache of several sequences on plain ONNX Runtime, and forwards over some of them.

The keys of each layer are one array with a row for each sequence, and so are its values. The attention operator gets
the same array as its past and as its present. So a forward writes new keys and values in place, and nothing is copied.
A quantised cache has the same shape, with a byte for each value, or for two of them.
The rows of a forward must be next to each other, because it gets that part of the arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from olpipe.decoding.model_sequence import Logits
from olpipe.default_plugins.onnx.graph_inputs import GraphInputs, Inputs

PAST, PRESENT = "past_key_values.", "present."
"""What the names of the arrays begin with, as inputs and as outputs of the graph."""

_TYPES = {"tensor(int8)": np.int8, "tensor(uint8)": np.uint8}


class Cache:
    """The keys and values of several sequences.

    Attributes:
        rows: How many sequences there is room for.
        length: How many tokens each of them may have.
        inputs: What makes the further inputs of the graph.
    """

    def __init__(self, session: Any, *, rows: int, length: int, window: int = 0) -> None:
        """Allocate the arrays. The system gives memory only to the parts that are written.

        Args:
            session: A session of a graph that `olpipe.convert` wrote.
            rows: How many sequences to have room for.
            length: How many tokens each of them may have.
            window: How many tokens a layer with a window attends to, where the graph takes that as an input.
        """
        self._session = session
        self.rows, self.length = rows, length
        self.inputs = GraphInputs(session, window=window)
        self._arrays: dict[str, npt.NDArray[np.generic]] = {}  # each (rows, heads, length, head_size or bytes of it)
        for one in session.get_inputs():
            if one.name.startswith(PAST):
                _, heads, _, size = one.shape
                name = one.name.removeprefix(PAST)
                self._arrays[name] = np.zeros((rows, heads, length, size), dtype_of(one))
        vocabulary_size = next(one.shape[-1] for one in session.get_outputs() if one.name == "logits")
        self._logits = np.empty((rows, 1, vocabulary_size), np.float32)  # those after each row's last token
        self._bindings: dict[tuple[int, int], Any] = {}  # by first row and end of the rows

    def run(self, tokens: npt.NDArray[np.int64], lengths: Sequence[int], *, further: Inputs, first: int = 0) -> None:
        """Run new tokens through the model, for rows that are next to each other.

        Args:
            tokens: The token ids, (rows, tokens of each row). Several tokens are allowed for a single row only.
            lengths: How many tokens each row holds already.
            further: The further inputs of the graph.
            first: The number of the first row.
        """
        rows, count = tokens.shape
        ends = np.asarray(lengths, np.int64)[:, None] + count  # (rows, 1)
        mask = (np.arange(ends.max()) < ends).astype(
            np.int64
        )  # (rows, tokens of the longest row): 1 for its own tokens
        binding = self._binding(first, first + rows)
        binding.bind_cpu_input("input_ids", tokens)
        binding.bind_cpu_input("attention_mask", mask)
        for name, values in further.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(values))
        self._session.run_with_iobinding(binding)

    def logits(self, row: int) -> Logits:
        """Return a (vocab_size,) copy of the logits after a row's last token."""
        logits: Logits = self._logits[row, 0].copy()
        return logits

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copy a row's first tokens into another row."""
        for array in self._arrays.values():
            array[target, :, :tokens] = array[source, :, :tokens]

    def exchange(self, one: int, other: int, tokens: int) -> None:
        """Swap the first tokens of two rows."""
        for array in self._arrays.values():
            array[[other, one], :, :tokens] = array[[one, other], :, :tokens]

    def take(self, other: Cache, rows: Sequence[tuple[int, int]]) -> None:
        """Copy rows of another cache into the first rows of this one.

        Args:
            other: The other cache.
            rows: For each row its number there, and how many of its tokens to copy.
        """
        for target, (source, tokens) in enumerate(rows):
            for name, array in self._arrays.items():
                array[target, :, :tokens] = other._arrays[name][source, :, :tokens]

    @property
    def size_bytes(self) -> int:
        """How many bytes keys and values take, once all of them are written."""
        return sum(array.nbytes for array in self._arrays.values())

    def _binding(self, first: int, end: int) -> Any:
        """Return a binding of some rows as past, present and logits. It is made once for the same rows."""
        if (first, end) not in self._bindings:
            from onnxruntime import OrtValue

            binding = self._session.io_binding()
            for name, array in self._arrays.items():
                part = OrtValue.ortvalue_from_numpy(array[first:end])  # no copy: the same memory
                binding.bind_ortvalue_input(f"{PAST}{name}", part)
                binding.bind_ortvalue_output(f"{PRESENT}{name}", part)
            binding.bind_ortvalue_output("logits", OrtValue.ortvalue_from_numpy(self._logits[first:end]))
            self._bindings[first, end] = binding
        return self._bindings[first, end]


def dtype_of(array: Any) -> type[np.generic]:
    """Return the type of the values of an input of the graph that is keys or values."""
    return _TYPES.get(array.type, np.float32)
