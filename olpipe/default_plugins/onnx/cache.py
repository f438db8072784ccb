"""The KV cache of several sequences on plain ONNX Runtime, and forwards over some of them.

Every layer's keys and values are one array with a row for each sequence. It is the operator's past and present at
once, so a forward writes what is new in place. A forward over the first rows, or over a single one, gets that part
of the arrays; nothing is ever gathered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from olpipe.decoding.model_sequence import Logits

_PAST, _PRESENT = "past_key_values.", "present."


class Cache:
    """Keys and values of `rows` sequences of up to `length` tokens."""

    def __init__(self, session: Any, *, rows: int, length: int) -> None:
        """Allocate; the system gives memory only to what is written.

        Args:
            session: Of a graph that our converter wrote.
            rows: Sequences.
            length: Tokens of each.
        """
        self._session = session
        self.rows, self.length = rows, length
        self._arrays: dict[str, npt.NDArray[np.float32]] = {}  # each (rows, heads, length, head_size)
        for one in session.get_inputs():
            if one.name.startswith(_PAST):
                _, heads, _, size = one.shape
                name = one.name.removeprefix(_PAST)
                self._arrays[name] = np.zeros((rows, heads, length, size), np.float32)
        vocabulary_size = next(one.shape[-1] for one in session.get_outputs() if one.name == "logits")
        self._logits = np.empty((rows, 1, vocabulary_size), np.float32)
        self._bindings: dict[tuple[int, int], Any] = {}

    def run(self, tokens: npt.NDArray[np.int64], lengths: Sequence[int], *, first: int = 0) -> None:
        """Run new tokens of adjoining rows through the model.

        Args:
            tokens: (rows, tokens of each); more than one a row only for a single row.
            lengths: Tokens that each row holds already.
            first: The first of the rows.
        """
        rows, count = tokens.shape
        ends = np.asarray(lengths, np.int64)[:, None] + count  # (rows, 1)
        mask = (np.arange(ends.max()) < ends).astype(np.int64)  # (rows, longest row)
        binding = self._binding(first, first + rows)
        binding.bind_cpu_input("input_ids", tokens)
        binding.bind_cpu_input("attention_mask", mask)
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
        """Copy rows of another cache into the first of this one, each with how many tokens it holds."""
        for target, (source, tokens) in enumerate(rows):
            for name, array in self._arrays.items():
                array[target, :, :tokens] = other._arrays[name][source, :, :tokens]

    def _binding(self, first: int, end: int) -> Any:
        """Return the rows of the arrays bound as past, present and logits; made once for the same rows."""
        if (first, end) not in self._bindings:
            from onnxruntime import OrtValue

            binding = self._session.io_binding()
            for name, array in self._arrays.items():
                part = OrtValue.ortvalue_from_numpy(array[first:end])  # no copy: the same memory
                binding.bind_ortvalue_input(f"{_PAST}{name}", part)
                binding.bind_ortvalue_output(f"{_PRESENT}{name}", part)
            binding.bind_ortvalue_output("logits", OrtValue.ortvalue_from_numpy(self._logits[first:end]))
            self._bindings[first, end] = binding
        return self._bindings[first, end]
