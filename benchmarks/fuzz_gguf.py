"""Fuzz the GGUF reader, and all that a conversion reads through it.

    pip install atheris
    python benchmarks/fuzz_gguf.py CORPUS [--seconds 600]

CORPUS is a folder of files to begin with and to add to. An empty folder is filled with small models in every format
that is converted. Coverage of `olpipe.convert` guides the changes to the files (libFuzzer, through atheris).
Every input has to be read, or refused with `ModelCorrupt` or `ModelUnsupported` in one line, within five seconds and
1 GB. The first input for which this fails is kept in CORPUS, beside the others. It ends the fuzzing with its traceback.

`--smallest FOLDER` copies the files that take a path through the code that no smaller file takes, the smallest first.
`tests/convert/malformed/` was made in this way, and `tests/convert/test_malformed.py` reads it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import olpipe

CONVERT = str(Path(olpipe.__file__).with_name("convert"))
Step: TypeAlias = tuple[str, int, int]  # source file, line before, line

SECONDS_EACH = 5
MEGABYTES = 1024
LARGEST_BYTES = 1 << 14  # of an input: room for a whole model
LONGEST_MESSAGE = 500

# Width of the model; matrices of K-quants are multiples of 256 wide.
FORMATS = {
    **dict.fromkeys(("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"), 32),
    **dict.fromkeys(("Q4_K", "Q5_K", "Q6_K"), 256),
}
TOKENS = ("<|end|>", *"abcdefgh", "ab", "abc")
MERGES = ("a b", "ab c")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--smallest", type=Path, help="copy from CORPUS to this folder instead of fuzzing")
    options = parser.parse_args()
    options.corpus.mkdir(parents=True, exist_ok=True)
    if not any(options.corpus.iterdir()):
        write_seeds(options.corpus)
    if options.smallest:
        copy_smallest(options.corpus, options.smallest)
        return
    limits = [f"-timeout={SECONDS_EACH}", f"-rss_limit_mb={MEGABYTES}", f"-max_len={LARGEST_BYTES}"]
    fuzz([*limits, f"-max_total_time={options.seconds}", f"-artifact_prefix={options.corpus}/", str(options.corpus)])


def fuzz(arguments: list[str]) -> None:
    """Hand over to libFuzzer, which ends the process."""
    import atheris
    import numpy  # noqa: F401  # before anything is instrumented: its branches are not ours

    with atheris.instrument_imports(include=["olpipe.convert"]):
        import olpipe.convert.decoder_config
        import olpipe.convert.decoder_tensors
        import olpipe.convert.floats
        import olpipe.convert.tokenizer  # noqa: F401

    # In memory, where there is such a place: the reader maps files.
    memory = Path("/dev/shm")
    file = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None), "model.gguf")

    def one(data: bytes) -> None:
        file.write_bytes(data)
        refusals(file)

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def refusals(path: Path) -> list[str]:
    """Read all that a conversion reads; returns what was refused, none of it more than a line.

    One part's refusal does not hide the next: a conversion would stop at the first.
    """
    from olpipe.convert.gguf import open_gguf
    from olpipe.errors import ModelCorrupt, ModelUnsupported

    found: list[str] = []

    def read(part: Any, *arguments: Any) -> Any:
        try:
            return part(*arguments)
        except (ModelCorrupt, ModelUnsupported) as error:
            said = error.message.replace(str(path), "FILE")
            assert said.isprintable() and len(said) < LONGEST_MESSAGE, said
            found.append(said)

    model = read(open_gguf, path)
    if model is not None:
        for name in model.header.tensors:
            read(read_tensor, model, name)
        read(read_texts, model.header)
        read(read_sizes, model.header)
    return found


def read_tensor(model: Any, name: str) -> None:
    from olpipe.convert.floats import FloatTensors

    tensors = FloatTensors(model)
    if len(tensors.shape(name)) == 1:
        tensors.vector(name)
    else:
        for _ in tensors.rows(name):
            pass


def read_texts(header: Any) -> None:
    from olpipe.convert.tokenizer import read_tokenizer, tokenizer_config, tokenizer_json

    tokenizer = read_tokenizer(header)
    tokenizer_json(tokenizer)
    tokenizer_config(tokenizer, header.context_length)


def read_sizes(header: Any) -> None:
    from olpipe.convert.architectures import ARCHITECTURES
    from olpipe.convert.decoder_config import read_config
    from olpipe.convert.decoder_tensors import check_tensors

    if header.architecture in ARCHITECTURES:
        check_tensors(header, read_config(header))


def copy_smallest(corpus: Path, folder: Path) -> None:
    """Copy the files that go new ways, and whatever ended a run."""
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[Step] = set()
    for path in sorted(corpus.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        steps = steps_through(path)
        if path.name.startswith(("crash-", "timeout-", "oom-")) or not steps <= seen:
            shutil.copy(path, folder)
        seen |= steps


def steps_through(path: Path) -> set[Step]:
    """Return the steps from line to line that reading a file takes."""
    steps: set[Step] = set()

    def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
        source, last = frame.f_code.co_filename, 0
        if not source.startswith(CONVERT):
            return None

        def follow(frame: FrameType, _event: str, _argument: Any) -> Any:
            nonlocal last
            steps.add((source, last, frame.f_lineno))
            last = frame.f_lineno
            return follow

        return follow

    sys.settrace(enter)
    try:
        refusals(path)
    finally:
        sys.settrace(None)
    return steps


def write_seeds(folder: Path) -> None:
    for kind, width in FORMATS.items():
        write_model(folder / f"{kind}.gguf", kind, width, whole=False)
    write_model(folder / "llama.gguf", "Q4_1", 32, whole=True)
    write_model(folder / "qwen2.gguf", "Q4_0", 32, whole=True, architecture="qwen2")


def write_model(path: Path, kind: str, width: int, *, whole: bool, architecture: str = "llama") -> None:
    """Write a decoder of one layer, or the embedding and the tokenizer only."""
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(64)
    writer.add_block_count(1)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_rope_freq_base(500.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] + [1] * (len(TOKENS) - 1))
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{{ messages }}")
    add_tensor(writer, "token_embd.weight", (len(TOKENS), width), kind)
    if whole:
        for name, shape in layer_shapes(width, architecture):
            add_tensor(writer, name, shape, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def layer_shapes(width: int, architecture: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "output_norm.weight", (width,)
    for part, rows in {"attn_q": width, "attn_k": width // 2, "attn_v": width // 2}.items():
        yield f"blk.0.{part}.weight", (rows, width)
        if architecture == "qwen2":
            yield f"blk.0.{part}.bias", (rows,)
    for part in ("attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        yield f"blk.0.{part}.weight", (width, width)
    for part in ("attn_norm", "ffn_norm"):
        yield f"blk.0.{part}.weight", (width,)


def add_tensor(writer: Any, name: str, shape: tuple[int, ...], kind: str) -> None:
    import gguf
    import numpy as np

    stored = gguf.GGMLQuantizationType[kind if len(shape) == 2 else "F32"]
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    if kind.endswith("_K") and len(shape) == 2:  # which the package reads, but does not write
        data = np.zeros(gguf.quant_shape_to_byte_shape(shape, stored), np.uint8)
    else:
        data = gguf.quantize(values, stored)
    writer.add_tensor(name, data, raw_dtype=stored)


if __name__ == "__main__":
    main()
