"""Tiny packages of ONNX Runtime GenAI that see, with random weights. Real runtimes load them in an instant.

Such a package has three graphs: `vision.onnx` turns pixels into features, `embedding.onnx` puts the features in the
places of placeholders, and `model.onnx` is the text decoder. What a package writes is random text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from olpipe.testing.models import write_tokenizer
from olpipe.testing.seeing_graphs import HEAD_SIZE, HEADS, KV_HEADS, LAYERS, WIDTH, write_graphs

_CLIP_MEAN, _CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]

# A template that takes parts, as those of Qwen do.
_CHATML = """\
{%- for message in messages -%}
    {{- '<|im_start|>' + message['role'] + '\\n' -}}
    {%- if message['content'] is string -%}{{- message['content'] -}}
    {%- else -%}
        {%- for part in message['content'] -%}
            {{- 'IMAGE' if part['type'] == 'image' else part['text'] -}}
        {%- endfor -%}
    {%- endif -%}
    {{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""

# A template that takes texts, as that of Phi-3 vision does.
_PHI = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class _Type:
    """What a type of packages has.

    Attributes:
        special: The special tokens that only this type has. They come last in the vocabulary.
        placeholder: The special token that stands for features; empty where negative ids do.
        template: The chat template.
        patch_size: The side of a patch, in pixels; 0 for an encoder of whole tiles.
        steps: The steps that prepare an image, with their settings.
        begins: Whether the first of the special tokens begins every text.
    """

    special: tuple[str, ...]
    placeholder: str
    template: str
    patch_size: int = 0
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    begins: bool = False


def _qwen(patch_size: int, mean: list[float], std: list[float]) -> _Type:
    special = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    cell = {"patch_size": patch_size, "merge_size": 2}
    limits = {"min_pixels": 4 * 4 * patch_size**2, "max_pixels": 64 * 4 * patch_size**2}
    steps: dict[str, Mapping[str, Any]] = {
        "DecodeImage": {"color_space": "RGB"},
        "Resize": {"width": 540, "height": 360, "smart_resize": 1, **limits, **cell},
        "Rescale": {"rescale_factor": 1 / 255},
        "Normalize": {"mean": mean, "std": std, "qwen2_5_vl": 1},
        "PatchImage": {"temporal_patch_size": 2, **cell},
    }
    template = _CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    return _Type(special, "<|image_pad|>", template, patch_size, steps)


_TYPES = {
    "qwen2_5_vl": _qwen(14, _CLIP_MEAN, _CLIP_STD),
    "qwen3_vl": _qwen(16, [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    "phi3v": _Type(
        ("<s>", "<|user|>", "<|system|>", "<|assistant|>"),
        "",
        _PHI,
        steps={"DecodeImage": {"color_space": "BGR"}, "Phi3ImageTransform": {"num_crops": 4, "num_img_tokens": 144}},
        begins=True,
    ),
    "gemma3": _Type(
        ("<start_of_image>", "<end_of_image>", "<image_soft_token>"),
        "<image_soft_token>",
        _CHATML.replace("IMAGE", "<start_of_image>"),
        steps={
            "Resize": {"width": 896, "height": 896},
            "Normalize": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
        },
    ),
}
_TYPES["mistral3"] = _Type(
    ("[IMG]", "[IMG_BREAK]", "[IMG_END]"),
    "[IMG]",
    _CHATML.replace("IMAGE", "[IMG]"),
    steps={
        "Resize": {"width": 1540, "height": 1540, "smart_resize": 1, "min_pixels": 784, "max_pixels": 50_176},
        "Normalize": {"mean": _CLIP_MEAN, "std": _CLIP_STD},
        "PixtralImageSizes": {},
    },
)
_TYPES["fara"] = _TYPES["qwen2_5_vl"]

TYPES = tuple(_TYPES)
"""The types that there are tiny packages of."""


def write_seeing_package(folder: Path, kind: str, *, seed: int = 0, context_length: int = 4096) -> Path:
    """Write a package.

    Args:
        folder: Made if it is not there.
        kind: One of `TYPES`.
        seed: Seed of the weights.
        context_length: Most tokens that it claims to read.

    Returns:
        `folder`.
    """
    made = _TYPES[kind]
    ids = _write_vocabulary(folder, made, context_length)
    size = len(ids)
    write_graphs(folder, kind, vocab_size=size, placeholder=ids.get(made.placeholder), seed=seed)
    config = {"model": _model(kind, made, ids, context_length), "search": _search(context_length)}
    steps = [{"operation": {"name": name, "type": name, "attrs": attrs}} for name, attrs in made.steps.items()]
    for name, content in (
        ("genai_config.json", config),
        ("processor_config.json", {"processor": {"name": "image_processing", "transforms": steps}}),
    ):
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return folder


def _write_vocabulary(folder: Path, made: _Type, context_length: int) -> dict[str, int]:
    """Write the tokenizer, with the special tokens of a type behind all others; returns the ids of all tokens."""
    write_tokenizer(folder, chat_template=made.template, context_length=context_length)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    ids = {**tokenizer["model"]["vocab"], **{one["content"]: one["id"] for one in tokenizer["added_tokens"]}}
    for text in made.special:
        ids[text] = len(ids)
        plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        tokenizer["added_tokens"].append({"id": ids[text], "content": text, "special": True, **plain})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    if made.begins:
        path = folder / "tokenizer_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config |= {"bos_token": made.special[0], "add_bos_token": True}
        path.write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    return ids


def _model(kind: str, made: _Type, ids: Mapping[str, int], context_length: int) -> dict[str, Any]:
    """Return the table `model` of the configuration."""
    names = ["attention_mask", "inputs_embeds"]
    vision_inputs = {"pixel_values": "pixel_values"}
    model: dict[str, Any] = {
        "type": kind,
        "context_length": context_length,
        "vocab_size": len(ids),
        # Like the tool that people export with, this names the end of a turn as the padding.
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|im_end|>"],
        "bos_token_id": ids["<|im_start|>"],
    }
    vision: dict[str, Any] = {"filename": "vision.onnx", "config_filename": "processor_config.json"}
    if made.patch_size:
        names.append("position_ids")
        vision_inputs["image_grid_thw"] = "image_grid_thw"
        vision |= {"patch_size": made.patch_size, "spatial_merge_size": 2, "tokens_per_second": 2.0}
        model |= {"image_token_id": ids[made.placeholder], "video_token_id": ids["<|video_pad|>"]}
        model |= {"vision_start_token_id": ids["<|vision_start|>"]}
    if kind == "phi3v":
        vision_inputs["image_sizes"] = "image_sizes"
    if kind in ("gemma3", "mistral3"):
        model["image_token_id"] = ids[made.placeholder]
    if kind == "mistral3":
        vision |= {"patch_size": 14, "spatial_merge_size": 2}
    past = {"past_key_names": "past_key_values.%d.key", "past_value_names": "past_key_values.%d.value"}
    present = {"present_key_names": "present.%d.key", "present_value_names": "present.%d.value"}
    # Some packages have settings for each part.
    own = {"session_options": {"log_id": "onnxruntime-genai", "provider_options": []}} if made.patch_size else {}
    return model | {
        "decoder": {
            "filename": "model.onnx",
            "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
            "head_size": HEAD_SIZE,
            "hidden_size": WIDTH,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "num_hidden_layers": LAYERS,
            "inputs": {name: name for name in names} | past,
            "outputs": {"logits": "logits"} | present,
        },
        "vision": vision | {"inputs": vision_inputs, "outputs": {"image_features": "image_features"}} | own,
        "embedding": {
            "filename": "embedding.onnx",
            "inputs": {"input_ids": "input_ids", "image_features": "image_features"},
            "outputs": {"inputs_embeds": "inputs_embeds"},
            **own,
        },
    }


def _search(context_length: int) -> dict[str, Any]:
    return {"max_length": context_length, "past_present_share_buffer": True, "do_sample": False, "num_beams": 1}
