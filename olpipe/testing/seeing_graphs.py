"""The three graphs of a tiny package that sees. In comments, the shapes of values are (batch, length, …)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx

    from olpipe.convert.graph import Graph

LAYERS, WIDTH, FEED_FORWARD = 2, 64, 128
HEADS, KV_HEADS, HEAD_SIZE = 4, 2, 16
SECTIONS = (2, 3, 3)
"""How many angles of a head turn with time, with the row and with the column."""

_ROTARY_BASE = 10000.0
_POSITIONS = 8192
_EPSILON = 1e-6
_PHI_SIDE, _GEMMA_SIDE = 336, 896
_MISTRAL_CELL = 28  # pixels
_PHI_CELLS, _GEMMA_CELLS = 12, 16  # cells of a tile, side by side


def write_graphs(folder: Path, kind: str, *, vocab_size: int, placeholder: int | None, seed: int) -> None:
    """Write `vision.onnx`, `embedding.onnx` and `model.onnx`, each with its weights beside it.

    Args:
        folder: Where the files go.
        kind: The type of the package.
        vocab_size: How many tokens there are.
        placeholder: The token that stands for features; None where negative ids do.
        seed: Seed of the weights.
    """
    import numpy as np

    from olpipe.convert.graph import Graph, write_graph

    random = np.random.default_rng(seed)
    axes = kind in ("qwen2_5_vl", "fara", "qwen3_vl")
    patch_values = 3 * 2 * (16 if kind == "qwen3_vl" else 14) ** 2
    visions = {"phi3v": _phi_vision, "gemma3": _gemma_vision, "mistral3": _mistral_vision}

    def vision(graph: Graph) -> onnx.GraphProto:
        if kind in visions:
            return visions[kind](graph, random)
        return _qwen_vision(graph, random, patch_values)

    write_graph(folder / "vision.onnx", lambda weights: vision(Graph(weights)))
    by_image = kind == "gemma3"
    write_graph(
        folder / "embedding.onnx",
        lambda weights: _embedding(Graph(weights), random, vocab_size, placeholder, by_image=by_image),
    )
    write_graph(folder / "model.onnx", lambda weights: _decoder(Graph(weights), random, vocab_size, axes=axes))


def _matrix(random: np.random.Generator, rows: int, columns: int) -> npt.NDArray[np.float32]:
    import numpy as np

    return random.normal(0, rows**-0.5, (rows, columns)).astype(np.float32)


def _qwen_vision(graph: Graph, random: np.random.Generator, patch_values: int) -> onnx.GraphProto:
    """Write an encoder that multiplies the four patches of a cell by a matrix."""
    import numpy as np
    from onnx import TensorProto, helper

    value, node, constant = helper.make_tensor_value_info, graph.node, graph.constant
    # 1. The grid is read, as real encoders do, but it changes nothing.
    numbers = node("Cast", ["image_grid_thw"], ["grid.numbers"], to=TensorProto.FLOAT)
    nothing = node("Mul", [node("ReduceSum", [numbers], ["grid.sum"], keepdims=0), _zero(graph)], ["grid.nothing"])
    # 2. (patches, values) -> (cells, 4 * values) -> (cells, width)
    cells = node("Reshape", ["pixel_values", constant("cells", np.array([-1, 4 * patch_values]))], ["cells"])
    matrix = graph.weights.add("matrix", _matrix(random, 4 * patch_values, WIDTH))
    node("Add", [node("MatMul", [cells, matrix], ["product"]), nothing], ["image_features"])
    return helper.make_graph(
        graph.nodes,
        "vision",
        [
            value("pixel_values", TensorProto.FLOAT, ["num_patches", patch_values]),
            value("image_grid_thw", TensorProto.INT64, ["num_images", 3]),
        ],
        [value("image_features", TensorProto.FLOAT, ["num_tokens", WIDTH])],
        graph.weights.initializers,
    )


def _phi_vision(graph: Graph, random: np.random.Generator) -> onnx.GraphProto:
    """Write an encoder that averages the cells of all tiles, and gives as many features as the real one does."""
    import numpy as np
    from onnx import TensorProto, helper

    value, node, constant = helper.make_tensor_value_info, graph.node, graph.constant
    zero, one = constant("zero", np.array(0)), constant("one", np.array(1))
    # 1. Cells and marks, and for each of them the number of its image.
    tiles = node("Div", ["image_sizes", constant("side", np.array(_PHI_SIDE))], ["tiles"])  # (images, 2)
    cells, cell_owners = _phi_cells(graph, tiles)
    count, mark_owners = _phi_marks(graph, tiles)
    # 2. Their features, (tokens, width).
    features = node("MatMul", [cells, graph.weights.add("matrix", _matrix(random, 3, WIDTH))], ["features"])
    first, axis = constant("first", np.array([0])), constant("axis", np.array([1]))
    size = node("Concat", [node("Unsqueeze", [count, first], ["marks.rows"]), axis], ["marks.shape"], axis=0)
    marks = node("Expand", [graph.weights.add("mark", _matrix(random, 1, WIDTH)), size], ["marks.features"])
    unsorted = node("Concat", [features, marks], ["unsorted"], axis=0)
    # 3. The features of the first image come first, and so on.
    owners = node("Concat", [cell_owners, mark_owners], ["owners"], axis=0)  # (tokens,)
    total = node("Shape", [owners], ["total"])
    places = node("Range", [zero, node("Squeeze", [total], ["total.scalar"]), one], ["places"])
    keys = node("Add", [node("Mul", [owners, total], ["keys.owners"]), places], ["keys"])
    node("TopK", [keys, total], ["keys.sorted", "order"], largest=0)
    node("Gather", [unsorted, "order"], ["image_features"])
    return helper.make_graph(
        graph.nodes,
        "vision",
        [
            value("pixel_values", TensorProto.FLOAT, ["num_images", "max_num_crops", 3, "height", "width"]),
            value("image_sizes", TensorProto.INT64, ["num_images", 2]),
        ],
        [value("image_features", TensorProto.FLOAT, ["num_image_tokens", WIDTH])],
        graph.weights.initializers,
    )


def _phi_cells(graph: Graph, tiles: str) -> tuple[str, str]:
    """Return the cells of the tiles that are no padding, (cells, 3), and the number of each cell's image, (cells,)."""
    import numpy as np

    node, constant = graph.node, graph.constant
    zero, one, axis = (constant(name, np.array(at)) for name, at in (("zero", 0), ("one", 1), ("axis", [1])))
    all_in_one = constant("all", np.array([-1]))
    # 1. Which tiles are taken: the small copy of an image, and as many as its size says; (images, most tiles).
    held = node("Add", [node("ReduceProd", [tiles, axis], ["tiles.product"]), one], ["tiles.held"])
    most = node("Squeeze", [node("Shape", ["pixel_values"], ["most"], start=1, end=2)], ["most.scalar"])
    taken = node("Less", [node("Range", [zero, most, one], ["tiles.numbers"]), held], ["taken"])
    # 2. The cells of these tiles.
    flat = constant("flat", np.array([-1, 3, _PHI_SIDE, _PHI_SIDE]))
    pooled = _cells(graph, node("Reshape", ["pixel_values", flat], ["pixels"]), _PHI_SIDE // _PHI_CELLS)
    by_tile = node("Reshape", [pooled, constant("by.tile", np.array([-1, _PHI_CELLS**2, 3]))], ["pooled.tiles"])
    kept = node("Compress", [by_tile, node("Reshape", [taken, all_in_one], ["taken.flat"])], ["kept"], axis=0)
    cells = node("Reshape", [kept, constant("by.cell", np.array([-1, 3]))], ["cells"])
    # 3. The number of the image, once for each cell.
    numbers = node("Gather", [node("NonZero", [taken], ["taken.places"]), zero], ["tiles.owners"])
    column = node("Unsqueeze", [numbers, axis], ["tiles.owners.column"])
    repeated = node("Tile", [column, constant("cells", np.array([1, _PHI_CELLS**2]))], ["tiles.owners.repeated"])
    return cells, node("Reshape", [repeated, all_in_one], ["cells.owners"])


def _phi_marks(graph: Graph, tiles: str) -> tuple[str, str]:
    """Return how many marks there are, and the number of each mark's image, (marks,).

    There is a mark for each line of cells, and one between the small copy of an image and its tiles.
    """
    import numpy as np
    from onnx import TensorProto

    node, constant = graph.node, graph.constant
    zero, one = constant("zero", np.array(0)), constant("one", np.array(1))
    first, axis = constant("first", np.array([0])), constant("axis", np.array([1]))
    rows = node("Slice", [tiles, first, axis, axis], ["tiles.rows"])  # (images, 1)
    lines = node("Mul", [node("Add", [rows, one], ["lines.rows"]), constant("lines", np.array(_PHI_CELLS))], ["lines"])
    ends = node("CumSum", [node("Add", [lines, one], ["marks"]), zero], ["marks.ends"])  # (images, 1)
    count = node("ReduceMax", [ends], ["marks.count"], keepdims=0)
    numbers = node("Range", [zero, count, one], ["marks.numbers"])
    passed = node("Cast", [node("GreaterOrEqual", [numbers, ends], ["marks.past"])], ["passed"], to=TensorProto.INT64)
    return count, node("ReduceSum", [passed, first], ["marks.owners"], keepdims=0)


def _gemma_vision(graph: Graph, random: np.random.Generator) -> onnx.GraphProto:
    """Write an encoder that averages 256 cells of each image."""
    import numpy as np
    from onnx import TensorProto, helper

    value, node, constant = helper.make_tensor_value_info, graph.node, graph.constant
    pooled = _cells(graph, "pixel_values", _GEMMA_SIDE // _GEMMA_CELLS)
    cells = node("Reshape", [pooled, constant("cells", np.array([-1, _GEMMA_CELLS**2, 3]))], ["cells"])
    node("MatMul", [cells, graph.weights.add("matrix", _matrix(random, 3, WIDTH))], ["image_features"])
    return helper.make_graph(
        graph.nodes,
        "vision",
        [value("pixel_values", TensorProto.FLOAT, ["num_images", 3, _GEMMA_SIDE, _GEMMA_SIDE])],
        [value("image_features", TensorProto.FLOAT, ["num_images", _GEMMA_CELLS**2, WIDTH])],
        graph.weights.initializers,
    )


def _mistral_vision(graph: Graph, random: np.random.Generator) -> onnx.GraphProto:
    """Write an encoder that averages cells of 28 pixels a side; it looks at one image."""
    import numpy as np
    from onnx import TensorProto, helper

    value, node = helper.make_tensor_value_info, graph.node
    by_cell = graph.constant("by.cell", np.array([-1, 3]))
    cells = node("Reshape", [_cells(graph, "pixel_values", _MISTRAL_CELL), by_cell], ["cells"])
    node("MatMul", [cells, graph.weights.add("matrix", _matrix(random, 3, WIDTH))], ["image_features"])
    return helper.make_graph(
        graph.nodes,
        "vision",
        [value("pixel_values", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [value("image_features", TensorProto.FLOAT, ["num_tokens", WIDTH])],
        graph.weights.initializers,
    )


def _cells(graph: Graph, pixels: str, side: int) -> str:
    """Average squares of pixels, (images, 3, H, W), row by row; gives (images, cell rows, cell columns, 3)."""
    pooled = graph.node("AveragePool", [pixels], ["pooled"], kernel_shape=[side, side], strides=[side, side])
    return graph.node("Transpose", [pooled], ["pooled.last"], perm=[0, 2, 3, 1])


def _zero(graph: Graph) -> str:
    import numpy as np

    return graph.constant("nothing", np.array(0, np.float32))


def _embedding(
    graph: Graph, random: np.random.Generator, vocab_size: int, placeholder: int | None, *, by_image: bool
) -> onnx.GraphProto:
    """Write the graph that looks tokens up, and puts features in the places of placeholders, in order."""
    import numpy as np
    from onnx import TensorProto, helper

    value, node, constant = helper.make_tensor_value_info, graph.node, graph.constant
    table = graph.weights.add("table", random.normal(0, 1, (vocab_size, WIDTH)).astype(np.float32))
    zero = constant("zero", np.array(0))
    # 1. Tokens of text. Negative ids are no tokens.
    text = node("Gather", [table, node("Max", ["input_ids", zero], ["tokens"])], ["text"])  # (batch, length, width)
    if placeholder is None:
        shown = node("Less", ["input_ids", zero], ["shown"])  # (batch, length)
    else:
        shown = node("Equal", ["input_ids", constant("placeholder", np.array(placeholder))], ["shown"])
    # 2. The n-th placeholder takes the n-th row of features. Row 0 is for text.
    flags = node("Cast", [shown], ["flags"], to=TensorProto.INT64)
    counted = node("CumSum", [flags, constant("length.axis", np.array(1))], ["counted"])
    numbers = node("Mul", [counted, flags], ["numbers"])
    blank = constant("blank", np.zeros((1, WIDTH), np.float32))
    flat = node("Reshape", ["image_features", constant("flat", np.array([-1, WIDTH]))], ["features.flat"])
    rows = node("Concat", [blank, flat], ["features.rows"], axis=0)
    features = node("Gather", [rows, numbers], ["features"])
    mask = node("Unsqueeze", [shown, constant("last", np.array([-1]))], ["mask"])
    node("Where", [mask, features, text], ["inputs_embeds"])
    shape: list[str | int] = ["num_images", _GEMMA_CELLS**2, WIDTH] if by_image else ["num_tokens", WIDTH]
    if by_image:
        shape[1] = "num_tokens"
    return helper.make_graph(
        graph.nodes,
        "embedding",
        [
            value("input_ids", TensorProto.INT64, ["batch", "length"]),
            value("image_features", TensorProto.FLOAT, shape),
        ],
        [value("inputs_embeds", TensorProto.FLOAT, ["batch", "length", WIDTH])],
        graph.weights.initializers,
    )


def _decoder(graph: Graph, random: np.random.Generator, vocab_size: int, *, axes: bool) -> onnx.GraphProto:
    """Write a text decoder that takes embeddings; with `axes`, its rotary positions have three of them."""
    import numpy as np
    from onnx import TensorProto, helper

    value, node, constant = helper.make_tensor_value_info, graph.node, graph.constant
    # 1. Cosines and sines of positions, and the lengths that the attention needs.
    angles = np.outer(np.arange(_POSITIONS), _ROTARY_BASE ** -(np.arange(0, HEAD_SIZE, 2) / HEAD_SIZE))
    graph.weights.add("cosines", np.cos(angles).astype(np.float32))
    graph.weights.add("sines", np.sin(angles).astype(np.float32))
    axis = constant("axis", np.array([1]))
    summed = node("ReduceSum", ["attention_mask", axis], ["mask.sum"], keepdims=0)
    node("Cast", [node("Sub", [summed, axis], ["mask.last"])], ["past_lengths"], to=TensorProto.INT32)
    length = node("Squeeze", [node("Shape", ["attention_mask"], ["mask.shape"], start=1, end=2)], ["mask.length"])
    node("Cast", [length], ["total_length"], to=TensorProto.INT32)
    # 2. The layers; each adds to the residual stream, (batch, length, width).
    stream = "inputs_embeds"
    for layer in range(LAYERS):
        attended = _attention(graph, random, layer, _norm(graph, random, f"layers.{layer}.norm", stream), axes=axes)
        stream = node("Add", [stream, attended], [f"layers.{layer}.attended"])
        normed = _norm(graph, random, f"layers.{layer}.second_norm", stream)
        stream = node("Add", [stream, _feed_forward(graph, random, layer, normed)], [f"layers.{layer}.output"])
    # 3. The logits of all tokens. They are strong, because otherwise random layers only repeat their last token.
    output = graph.weights.add("output", 3 * _matrix(random, WIDTH, vocab_size))
    node("MatMul", [_norm(graph, random, "norm", stream), output], ["logits"])
    positions = [value("position_ids", TensorProto.INT64, [3, "batch", "length"])] if axes else []
    caches = [f"{layer}.{part}" for layer in range(LAYERS) for part in ("key", "value")]
    shape = ["batch", KV_HEADS, "past_length", HEAD_SIZE]
    return helper.make_graph(
        graph.nodes,
        "decoder",
        [
            value("inputs_embeds", TensorProto.FLOAT, ["batch", "length", WIDTH]),
            value("attention_mask", TensorProto.INT64, ["batch", "total_length"]),
            *positions,
            *(value(f"past_key_values.{cache}", TensorProto.FLOAT, shape) for cache in caches),
        ],
        [
            value("logits", TensorProto.FLOAT, ["batch", "length", vocab_size]),
            *(
                value(f"present.{cache}", TensorProto.FLOAT, [*shape[:2], "total_length", HEAD_SIZE])
                for cache in caches
            ),
        ],
        graph.weights.initializers,
    )


def _norm(graph: Graph, random: np.random.Generator, name: str, values: str) -> str:
    import numpy as np

    weight = graph.weights.add(f"{name}.weight", random.uniform(0.5, 1.5, WIDTH).astype(np.float32))
    return graph.node(
        "SimplifiedLayerNormalization", [values, weight], [f"{name}.output"], axis=-1, epsilon=_EPSILON, stash_type=1
    )


def _attention(graph: Graph, random: np.random.Generator, layer: int, normed: str, *, axes: bool) -> str:
    from olpipe.convert.graph import CONTRIB

    name, parts = f"layers.{layer}.attention", []
    for part, heads in (("query", HEADS), ("key", KV_HEADS), ("value", KV_HEADS)):
        matrix = graph.weights.add(f"{name}.{part}.weight", _matrix(random, WIDTH, heads * HEAD_SIZE))
        made = graph.node("MatMul", [normed, matrix], [f"{name}.{part}"])
        if axes and part != "value":
            made = graph.node(
                "MRotaryEmbedding",
                [made, "position_ids", "cosines", "sines"],
                [f"{name}.{part}.turned"],
                domain=CONTRIB,
                mrope_section=SECTIONS,
                num_heads=heads,
                rotary_embedding_dim=HEAD_SIZE,
            )
        parts.append(made)
    past = [f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"]
    tables = [] if axes else ["cosines", "sines"]
    graph.node(
        "GroupQueryAttention",
        [*parts, *past, "past_lengths", "total_length", *tables],
        [f"{name}.output", f"present.{layer}.key", f"present.{layer}.value"],
        domain=CONTRIB,
        num_heads=HEADS,
        kv_num_heads=KV_HEADS,
        do_rotary=int(not axes),
    )
    matrix = graph.weights.add(f"{name}.projection.weight", _matrix(random, HEADS * HEAD_SIZE, WIDTH))
    return graph.node("MatMul", [f"{name}.output", matrix], [f"{name}.projection"])


def _feed_forward(graph: Graph, random: np.random.Generator, layer: int, normed: str) -> str:
    name = f"layers.{layer}.feed_forward"
    inner = graph.weights.add(f"{name}.up.weight", _matrix(random, WIDTH, FEED_FORWARD))
    outer = graph.weights.add(f"{name}.down.weight", _matrix(random, FEED_FORWARD, WIDTH))
    opened = graph.node("Relu", [graph.node("MatMul", [normed, inner], [f"{name}.up"])], [f"{name}.opened"])
    return graph.node("MatMul", [opened, outer], [f"{name}.down"])
