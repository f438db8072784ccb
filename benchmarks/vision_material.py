"""What `vision.py` asks about: models, photos and documents."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from vision_files import SHAPES, write_projector, write_text_model

from olpipe.convert.gguf import read_header
from olpipe.convert.tokenizer import read_tokenizer
from olpipe.describing.recipe_file import read_recipe

RECIPE = "photo-tags"
PROMPT = (
    "Describe the photo as JSON: its tags, a title, one or two sentences, a text for those who do not see it, and its "
    "objects."
)
WANTED, BANNED = 100.0, -1000.0  # what is added to logits, whose size is about 1
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SKELETON = (
    '{"tags":["","title":"","description":"","alt":"","objects":[{"x":1,"y":1,"w":1,"h":1,"type":"","tags":[""]},{"}]}'
)
FREE_TOKENS = 160


@dataclass(frozen=True, slots=True)
class Document:
    """What is asked for.

    Attributes:
        name: What the table calls it.
        schema: A JSON Schema as JSON text; empty for free text.
        max_tokens: Most tokens of an answer.
        biases: What is added to the logits of tokens, by their ids.
    """

    name: str
    schema: str
    max_tokens: int
    biases: dict[int, float]


def model_files(folder: Path, shape: str) -> tuple[Path, Path]:
    """Return the files of a text model and of its vision encoder. Where they do not exist, they are written."""
    model, projector = folder / "model.gguf", folder / "projector.gguf"
    if not (model.is_file() and projector.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        write_text_model(model, SHAPES[shape])
        write_projector(projector, SHAPES[shape])
    return model, projector


def photos(count: int, side: int, *, seed: int) -> list[bytes]:
    """Return JPEG files of random soft shapes, (side, side) pixels each. Every seed gives other photos."""
    from PIL import Image

    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (16, 16, 3), np.uint8))
        found.append(_jpeg(coarse.resize((side, side), Image.Resampling.BICUBIC)))
    return found


def photos_of(folder: Path, count: int, side: int, *, turn: int) -> list[bytes]:
    """Return the photos of a folder as JPEG files, cut to squares of one size.

    Both sides keep what they know of a photo. So one corner of each photo is painted in a colour of its turn.
    """
    from PIL import Image, ImageOps

    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:count]
    found = []
    for path in paths:
        with Image.open(path) as image:
            square = ImageOps.fit(image.convert("RGB"), (side, side))
        square.paste((turn % 256, turn // 256, 0), (0, 0, 8, 8))
        found.append(_jpeg(square))
    return found


def _jpeg(image: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    return file.getvalue()


def documents(model: Path, max_tokens: int) -> list[Document]:
    """Return the three kinds of documents."""
    tokens, ends = _tokens(model)
    # A longer token of what every document has is preferred to a shorter one, as a trained model does
    shape = {number: float(len(token)) * 10 for number, token in enumerate(tokens) if token and token in SKELETON}
    letters = {number: WANTED for number, token in enumerate(tokens) if len(token) == 1 and token in LETTERS}
    blank = {number: BANNED for number, token in enumerate(tokens) if token[:1] in tuple("ĠĊĉč")}
    schema = read_recipe(RECIPE).schema
    return [
        Document("photo-tags", json.dumps(schema), max_tokens, {}),
        Document("equal size", json.dumps(equal_size()), max_tokens, shape | letters | blank),
        Document("free text", "", FREE_TOKENS, dict.fromkeys(ends, BANNED)),
    ]


def equal_size() -> dict[str, Any]:
    """Return the schema of a record whose texts and lists have only one possible size.

    Every text consists of capital letters, and each letter is a token. So every answer has the same number of tokens.
    """

    def text(size: int) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^[A-Z]{{{size}}}$"}

    def several(count: int, items: dict[str, Any]) -> dict[str, Any]:
        return {"type": "array", "minItems": count, "maxItems": count, "items": items}

    number = {"type": "integer", "minimum": 100, "maximum": 999}
    thing = {**dict.fromkeys("xywh", number), "type": text(6), "tags": several(1, text(6))}
    properties = {
        "tags": several(5, text(6)),
        "title": text(16),
        "description": text(48),
        "alt": text(32),
        "objects": several(2, _closed(thing)),
    }
    return _closed(properties)


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _tokens(model: Path) -> tuple[list[str], list[int]]:
    """Return the spellings of a model's tokens, and which of them end an answer."""
    tokenizer = read_tokenizer(read_header(model))
    return list(tokenizer.tokens), list(tokenizer.special.ends)
