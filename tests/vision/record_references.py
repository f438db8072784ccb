"""Record what the reference, `transformers`, computes with the tiny models of `olpipe.testing.vision_models`.

Run it by hand, in an environment that has `transformers`, `torch`, `torchvision` and `gguf`, and with the project on
the path:

    PYTHONPATH=. python tests/vision/record_references.py              # all families
    PYTHONPATH=. python tests/vision/record_references.py idefics3     # some

It writes `references/<family>.npz`, which `references.py` reads. The models run in float32 on the CPU, with the
attention that `transformers` calls `eager`. Images are resized by Pillow.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from recording import texts  # noqa: E402

from olpipe.testing.vision.photos import smooth_photo  # noqa: E402
from olpipe.testing.vision_models import FAMILIES, TEXT_MODELS, write_text_gguf, write_vision_gguf  # noqa: E402

SAMPLED = 200
SIZES = [
    *[(1, 1), (1, 500), (500, 1), (3000, 20), (20, 3000), (27, 27), (28, 28), (32, 32), (31, 200), (200, 31)],
    *[(64, 64), (63, 65), (100, 100), (112, 112), (150, 100), (100, 150), (224, 224), (256, 128), (336, 336)],
    *[(448, 300), (300, 448), (512, 512), (640, 480), (480, 640), (1000, 100), (1024, 768), (1024, 484)],
    *[(1920, 1080), (1080, 1920), (4000, 3000), (4032, 3024), (2560, 13)],
]
"""Width and height of the images whose fitted sizes are recorded."""


def main():
    names = argparse.ArgumentParser()
    names.add_argument("names", nargs="*")
    transformers.utils.logging.set_verbosity_error()
    for name in names.parse_args().names or [*FAMILIES, *TEXT_MODELS]:
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            if name in TEXT_MODELS:
                path = write_text_gguf(name, Path(folder) / "text.gguf")
                cases, fittings = [text_case(texts.model(name, path), path, one) for one in texts.PROMPTS], []
            else:
                cases, fittings = vision_cases(name, Path(folder))
        path = write(name, cases, fittings)
        print(f"{name}: {len(cases)} cases, {path.stat().st_size // 1000} KB")


def vision_cases(family, folder):
    reference = importlib.import_module(f"recording.{family}")
    text, projector = write_vision_gguf(family, folder)
    model = reference.model(text, projector)
    return [vision_case(reference, model, text, one) for one in reference.CONVERSATIONS], fitted(reference)


def vision_case(reference, model, text, conversation):
    """Return what is recorded of a conversation: a description and arrays."""
    # 1. The prompt and the pixels.
    seeds = range(1, 1 + len(conversation.sizes))
    photos = [smooth_photo(*size, seed=seed) for size, seed in zip(conversation.sizes, seeds, strict=True)]
    messages = conversation.messages([Image.fromarray(photo) for photo in photos])
    inputs = reference.processor(text, conversation.settings).apply_chat_template(
        messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    tokens = inputs["input_ids"][0].numpy()
    case = {"tokens": tokens.astype(np.int32)}
    # 2. The vision encoder.
    image_token = reference.image_token(text)
    if photos:
        features, deepstack = reference.features(model, inputs)
        assert len(features) == (tokens == image_token).sum()
        case["features"] = features.numpy()
        if deepstack is not None:
            case["deepstack"] = deepstack.numpy()
    # 3. The text model.
    caught = {}
    decoder = next(one for name, one in model.named_modules() if name in ("model.language_model", "model.text_model"))
    hook = decoder.register_forward_pre_hook(lambda _, __, named: caught.update(named), with_kwargs=True)
    logits = model(**inputs, use_cache=False).logits[0].numpy()
    hook.remove()
    positions = caught.get("position_ids")
    if positions is not None and positions.ndim == 3:
        case["positions"] = positions[-3:, 0].numpy().astype(np.int32)
    case |= chosen(logits, tokens == image_token, inside=reference.CAUSAL)
    # 4. The pixels, as numbers that tell whether others are the same.
    pixels = [sampled(one) for one in reference.seen(inputs)] if photos else []
    for number, one in enumerate(pixels):
        case |= {f"pixels.{number}.{key}": value for key, value in one.items()}
    description = {
        "name": conversation.name,
        "sizes": conversation.sizes,
        "seeds": list(seeds),
        "settings": conversation.settings,
        "messages": [[part if isinstance(part, str) else None for part in turn] for turn in conversation.turns],
        "pixels": len(pixels),
    }
    return description, case


def text_case(model, path, prompt):
    tokens = texts.tokens(path, prompt)
    logits = model(torch.tensor([tokens]), use_cache=False).logits[0].numpy()
    case = {"tokens": np.array(tokens, np.int32)} | chosen(logits, np.zeros(len(tokens), bool), inside=True)
    return {"name": prompt[:20], "sizes": [], "seeds": [], "settings": {}, "messages": [[prompt]], "pixels": 0}, case


def chosen(logits, is_image, *, inside):
    """Return the logits at a few places: before, in and after images, and at the end.

    Args:
        logits: All logits, (length, vocab_size).
        is_image: Which tokens are of an image, (length,).
        inside: Whether to take places in images, too. Where all tokens of an image attend to each other, the logits
            there cannot be computed from what stands before.
    """
    length = len(logits)
    places = {1, length // 2, length - 1}
    if is_image.any():
        first, last = np.flatnonzero(is_image)[[0, -1]]
        places = {first - 1, first, (first + last) // 2, last, last + 1, length - 1}
    kept = sorted(int(place) for place in places if inside or not is_image[place])
    return {"places": np.array(kept, np.int32), "logits": logits[kept].astype(np.float32)}


def sampled(pixels):
    """Return the shape of an image's pixels, their mean and standard deviation, and a few of them."""
    places = np.random.default_rng(0).choice(pixels.size, min(SAMPLED, pixels.size), replace=False)
    places.sort()
    return {
        "shape": np.array(pixels.shape, np.int32),
        "moments": np.array([pixels.mean(dtype=np.float64), pixels.std(dtype=np.float64)], np.float32),
        "places": places.astype(np.int32),
        "values": pixels.reshape(-1)[places].astype(np.float32),
    }


def fitted(reference):
    """Return to which sizes the reference resizes images, or what it says instead."""
    rows = []
    for settings in reference.FITTINGS:
        for width, height in SIZES:
            try:
                result, error = reference.fitted(width, height, settings), ""
            except Exception as raised:  # noqa: BLE001 - whatever it is, it is what users of the reference see
                result, error = None, f"{type(raised).__name__}: {raised}"
            rows.append({"settings": settings, "size": [width, height], "fitted": result, "error": error})
    return rows


def write(name, cases, fittings):
    """Write a file and return its path."""
    path = HERE / "references" / f"{name}.npz"
    description = {"cases": [one for one, _ in cases], "fittings": fittings}
    arrays = {f"{number}.{key}": value for number, (_, case) in enumerate(cases) for key, value in case.items()}
    np.savez_compressed(path, description=np.array(json.dumps(description)), **arrays)
    return path


if __name__ == "__main__":
    main()
