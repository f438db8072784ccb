"""Measure what ragged chunks (`query_seqlens` of ONNX Runtime 1.32) would bring to rows side by side.

    python benchmarks/ragged.py PACKAGE

PACKAGE is a folder that olpipe converted: `<home>/cache/builds/<digest>/onnx-<version>`. A runner of eight rows runs
the forced tokens of a row alone, and then a token of each other row. This script compares that with one forward for
both. The attention operator then gets a width for each row, in two arrangements:

- *padded*: every row is as wide as the widest, through the whole model;
- *packed*: the tokens lie one behind the other, and are only spread out to rows for the attention.

The arms take turns. Figures are medians, and ratios are formed turn by turn. The last columns say for how many of the
other rows the logits are the same to the last bit as in a forward of their own, and for how many at least the likeliest
token is the same.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from olpipe import machine
from olpipe.sessions import open_session

ROWS, PAST, CAPACITY = 8, 80, 512
WIDTHS = (2, 3, 8, 22)
TURNS = 21
SCALE = 0.1
"""The cache is filled with noise of this size."""

Int64 = npt.NDArray[np.int64]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("package", type=Path)
    model = onnx.load(parser.parse_args().package / "model.onnx")
    arms = {name: Arm(name, model) for name in ("apart", "padded", "packed")}
    print(f"{ROWS} rows, {PAST} tokens before each, milliseconds\n")
    print("| new tokens of the first row | apart | padded | ratio | packed | ratio | packed, same bits | same token |")
    print("|---|---|---|---|---|---|---|---|")
    for width in WIDTHS:
        print(row_of(width, arms))
    return 0


def row_of(width: int, arms: dict[str, Arm]) -> str:
    """Let the arms take turns, and return a line of the table."""
    random = np.random.default_rng(width)
    times: dict[str, list[float]] = {name: [] for name in arms}
    same: list[bool] = []
    alike: list[bool] = []
    for turn in range(TURNS + 1):
        tokens = random.integers(5, 40_000, (ROWS, width))
        found = {name: arm.run(tokens) for name, arm in arms.items()}
        if turn:  # the first one does not count
            for name, (seconds, _) in found.items():
                times[name].append(1e3 * seconds)
            for one, other in zip(found["apart"][1][1:], found["packed"][1][1:], strict=True):
                same.append(np.array_equal(one, other))
                alike.append(one.argmax() == other.argmax())
    apart, padded, packed = (statistics.median(found) for found in times.values())
    ratios = [
        statistics.median(one / other for one, other in zip(times[name], times["apart"], strict=True))
        for name in ("padded", "packed")
    ]
    share = f"{sum(same)} of {len(same)} | {sum(alike)}"
    return f"| {width} | {apart:.1f} | {padded:.1f} | {ratios[0]:.2f} | {packed:.1f} | {ratios[1]:.2f} | {share} |"


class Arm:
    """One way to run the new tokens of all rows."""

    def __init__(self, name: str, model: onnx.ModelProto) -> None:
        """Change the graph for it, and fill a cache; every arm's is the same."""
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        if name != "apart":
            give_widths(changed.graph)
        if name == "packed":
            pack(changed.graph)
        with tempfile.TemporaryDirectory() as folder:
            onnx.save(changed, Path(folder, "model.onnx"), save_as_external_data=True, location="weights")
            self._session = open_session(Path(folder, "model.onnx"), threads=machine.threads(machine.cores()))
        self._name = name
        self._takes = {one.name for one in self._session.get_inputs()}
        random = np.random.default_rng(0)
        self._cache = {}
        for one in self._session.get_inputs():
            if one.name.startswith("past_key_values."):
                shape = (ROWS, one.shape[1], CAPACITY, one.shape[3])
                self._cache[one.name] = (SCALE * random.normal(size=shape)).astype(np.float32)

    def run(self, tokens: Int64) -> tuple[float, list[npt.NDArray[np.float32]]]:
        """Run all tokens of the first row and one of each other; returns seconds, and the logits of every row."""
        if self._name == "apart":
            first = self._forward(tokens[:1], 0, {})
            others = self._forward(tokens[1:, :1], 1, {})
            return first[0] + others[0], [*first[1], *others[1]]
        width = tokens.shape[1]
        widths = np.array([width] + [1] * (ROWS - 1), np.int32)
        feeds: dict[str, npt.NDArray[Any]] = {
            "widths": widths,
            "ends": (PAST + widths - 1).astype(np.int32),
            "total": np.array(PAST + width, np.int32),
        }
        if self._name == "padded":
            return self._forward(tokens, 0, feeds)
        behind = width + np.arange(ROWS - 1)  # where the other rows' tokens lie
        spread = np.zeros((ROWS, width), np.int64)
        spread[0], spread[1:] = np.arange(width), behind[:, None]
        feeds["spread"] = spread
        feeds["gathered"] = np.concatenate([np.arange(width), width * np.arange(1, ROWS)])
        feeds["last"] = np.concatenate([[width - 1], behind])
        return self._forward(np.concatenate([tokens[0], tokens[1:, 0]])[None], 0, feeds)

    def _forward(
        self, tokens: Int64, first: int, feeds: dict[str, npt.NDArray[Any]]
    ) -> tuple[float, list[npt.NDArray[np.float32]]]:
        from onnxruntime import OrtValue

        rows = ROWS if feeds else len(tokens)
        binding = self._session.io_binding()
        for name, array in self._cache.items():
            part = OrtValue.ortvalue_from_numpy(array[first : first + rows])
            binding.bind_ortvalue_input(name, part)
            binding.bind_ortvalue_output(name.replace("past_key_values", "present"), part)
        feeds = {**feeds, "input_ids": np.ascontiguousarray(tokens)}
        feeds["attention_mask"] = np.ones((rows, PAST + tokens.shape[1]), np.int64)
        for name, array in feeds.items():
            if name in self._takes:
                binding.bind_cpu_input(name, array)
        binding.bind_output("logits")
        started = time.perf_counter()
        self._session.run_with_iobinding(binding)
        seconds = time.perf_counter() - started
        names = [one.name for one in self._session.get_outputs()]
        logits = binding.copy_outputs_to_cpu()[len(self._cache)] if "logits" in names else None
        assert logits is not None
        return seconds, list(logits.reshape(rows, -1))


def give_widths(graph: onnx.GraphProto) -> None:
    """Let every attention operator know how many new tokens each row has."""
    integer = onnx.TensorProto.INT32
    for name, shape in (("widths", ["rows"]), ("ends", ["rows"]), ("total", [])):
        graph.input.append(helper.make_tensor_value_info(name, integer, shape))
    for node in graph.node:
        if node.op_type == "GroupQueryAttention":
            inputs = list(node.input)
            inputs[5:7] = "ends", "total"
            inputs += [""] * (16 - len(inputs)) + ["widths"]
            del node.input[:]
            node.input.extend(inputs)


def pack(graph: onnx.GraphProto) -> None:
    """Let tokens of all rows lie one behind the other, (1, tokens, size), outside of attention."""
    integer = onnx.TensorProto.INT64
    for name, shape in (("spread", ["rows", "width"]), ("gathered", ["tokens"]), ("last", ["rows"])):
        graph.input.append(helper.make_tensor_value_info(name, integer, shape))
    graph.initializer.append(helper.make_tensor("first_axis", integer, [1], [0]))
    graph.initializer.append(helper.make_tensor("one_row", integer, [3], [1, -1, 0]))
    nodes = []
    for node in graph.node:
        if node.op_type == "GroupQueryAttention":
            taken, given = node.input[0], node.output[0]
            nodes.append(helper.make_node("Gather", [taken, "spread"], [f"{taken}.spread"], axis=1))
            nodes.append(helper.make_node("Squeeze", [f"{taken}.spread", "first_axis"], [f"{taken}.rows"]))
            node.input[0], node.output[0] = f"{taken}.rows", f"{given}.rows"
            nodes.append(node)
            nodes.append(helper.make_node("Reshape", [f"{given}.rows", "one_row"], [f"{given}.flat"]))
            nodes.append(helper.make_node("Gather", [f"{given}.flat", "gathered"], [given], axis=1))
        elif node.op_type == "Slice":  # it keeps the last token of each row
            nodes.append(helper.make_node("Gather", [node.input[0], "last"], [node.output[0]], axis=1))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    kept = [one for one in graph.output if one.name != "hidden_states"]
    del graph.output[:]
    graph.output.extend(kept)
    logits = next(one for one in graph.output if one.name == "logits")
    for dimension in logits.type.tensor_type.shape.dim[:2]:
        dimension.Clear()


if __name__ == "__main__":
    sys.exit(main())
