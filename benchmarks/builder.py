"""Compare converted packages with what onnxruntime-genai's own model builder makes of the same weights.

    python benchmarks/builder.py MODEL.gguf --builder-python PYTHON [--threads 1] [--repeats 40] [--tokens 1024]

The builder reads float checkpoints. So the GGUF file's weights are converted to floats and written as a Hugging Face
folder. The builder needs torch, transformers and onnx_ir, which olpipe does not need. `--builder-python` is an
interpreter that has them, and onnxruntime-genai. Block sizes, accuracy level 4, eight bits for the output projection
and logits of the last token only are the same on both sides. The builder's four bits are measured with zero points and
without.

It prints one JSON object a line: the median milliseconds of forwards of 1, 2 and 4 tokens, all packages in turns; the
builder's time divided by ours in the same turn, as lower quartile, median and upper quartile; and the mean loss of all
packages on the same text. All packages run in ONNX Runtime GenAI.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from conversion_measures import (
    Floats,
    forward_times,
    medians,
    megabytes,
    open_generator,
    package_answers,
    python_topics,
    tokenize,
)

from olpipe.convert.decoder_config import DecoderConfig, read_config
from olpipe.convert.floats import FloatTensors
from olpipe.convert.gguf import open_gguf
from olpipe.convert.package import convert_gguf

# Our precisions, and what the builder makes of the same size.
GROUPS: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {
    ("int4", "int4-fast"): {
        "builder int4": ("int4", "block_size=32", "is_symmetric=true"),
        "builder int4 with zero points": ("int4", "block_size=32", "is_symmetric=false"),
    },
    ("int8",): {"builder int8": ("int8", "block_size=16", "is_symmetric=true")},
}
_SHARED = ("accuracy_level=4", "algo_config=rtn", "prune_lm_head=true", "hf_token=false")

_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--builder-python", default="python", help="has torch, transformers, onnx_ir")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=1024, help="of the text whose loss is printed; 0: no loss")
    parser.add_argument("--threads", type=int, help="of a forward; default: the runtime's choice")
    parser.add_argument("--scratch", type=Path, help="keep what is built here, and use it again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.scratch or Path(scratch)
        checkpoint = folder / "checkpoint"
        for precisions, builds in GROUPS.items():
            ours = [once(folder / f"olpipe {name}", partial(convert, options.gguf, name)) for name in precisions]
            once(checkpoint, partial(write_checkpoint, options.gguf, ours[0]))
            theirs = [
                once(folder / name, partial(run_builder, options.builder_python, checkpoint, build))
                for name, build in builds.items()
            ]
            compare(ours, theirs, options)


def compare(ours: list[Path], theirs: list[Path], options: argparse.Namespace) -> None:
    """Print what each package takes and loses, and how fast ours are beside each of the builder's."""
    text = tokenize(ours[0], python_topics().content)
    times = forward_times(
        [*ours, *theirs], text, repeats=options.repeats, threads=options.threads, opened=open_generator
    )
    for package in [*ours, *theirs]:
        result: dict[str, Any] = {"package": package.name, "forward_ms": medians(times[package])}
        if package in theirs:
            result["speed_of"] = {own.name: speed(times[own], times[package]) for own in ours}
        if options.tokens:
            losses = package_answers(package, text[: options.tokens + 1], opened=open_generator).losses
            result["loss_nats"] = round(float(losses.mean()), 4)
        print(json.dumps(result | {"package_mb": megabytes(package)}), flush=True)


def speed(own: Mapping[int, list[float]], other: Mapping[int, list[float]]) -> dict[int, list[float]]:
    """Return the other's time by our own, turn by turn: lower quartile, median, upper quartile."""
    ratios = {length: np.divide(other[length], own[length]) for length in own}
    return {length: np.quantile(found, [0.25, 0.5, 0.75]).round(3).tolist() for length, found in ratios.items()}


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder, made unless it is there."""
    if not folder.is_dir():
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        make(unfinished)
        unfinished.rename(folder)
    return folder


def convert(gguf: Path, precision: str, folder: Path) -> None:
    convert_gguf(gguf, folder, precision=precision, progress=lambda _: None)


def run_builder(python: str, checkpoint: Path, build: tuple[str, ...], folder: Path) -> None:
    precision, *extra = build
    output = ["-o", str(folder), "-c", str(folder.with_name("cache")), "-p", precision, "-e", "cpu"]
    mixed = ["matmul_mixed_precision=last_matmul:int8"] if precision == "int4" else []
    command = [python, "-m", "onnxruntime_genai.models.builder", "-i", str(checkpoint), *output]
    done = subprocess.run([*command, "--extra_options", *_SHARED, *extra, *mixed], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the builder failed:\n{done.stderr[-2000:]}")


def write_checkpoint(gguf: Path, package: Path, folder: Path) -> None:
    """Write float weights under the names that transformers has for them."""
    from safetensors.numpy import save_file

    tensors = FloatTensors(open_gguf(gguf))
    config = read_config(tensors.source.header)
    weights = {}
    for name, info in tensors.source.header.tensors.items():
        values = tensors.vector(name) if len(info.shape) == 1 else np.concatenate(list(tensors.rows(name)))
        weights[checkpoint_name(name)] = np.ascontiguousarray(rotated(name, values, config))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(checkpoint_config(config, package)), encoding="utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(package / name, folder)


def checkpoint_name(name: str) -> str:
    stem, _, kind = name.rpartition(".")
    if stem in _OUTER:
        return f"{_OUTER[stem]}.{kind}"
    _, layer, part = stem.split(".")
    return f"model.layers.{layer}.{_LAYER[part]}.{kind}"


def rotated(name: str, values: Floats, config: DecoderConfig) -> Floats:
    """Put the rows of queries and keys back in the order that they had before they were a GGUF file."""
    heads = {"attn_q": config.heads, "attn_k": config.kv_heads}.get(name.split(".")[-2])
    if heads is None or not config.kind.rotary_pairs:
        return values
    pairs = values.reshape(heads, config.head_size // 2, 2, -1)
    return pairs.swapaxes(1, 2).reshape(values.shape)


def checkpoint_config(config: DecoderConfig, package: Path) -> dict[str, Any]:
    ends = json.loads((package / "genai_config.json").read_text(encoding="utf-8"))["model"]
    return {
        "architectures": [{"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[config.architecture]],
        "model_type": config.architecture,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.feed_forward_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_size,
        "max_position_embeddings": config.context_length,
        "vocab_size": config.vocab_size,
        "rms_norm_eps": config.epsilon,
        "rope_theta": config.rope_base,
        "hidden_act": "silu",
        "tie_word_embeddings": config.tied_embeddings,
        "torch_dtype": "float32",
        "bos_token_id": ends["bos_token_id"],
        "eos_token_id": ends["eos_token_id"],
        "pad_token_id": ends["pad_token_id"],
    }


if __name__ == "__main__":
    main()
