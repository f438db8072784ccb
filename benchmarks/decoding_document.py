"""The document that every arm of `decoding.py` replays, with its schema and the prompts."""

from __future__ import annotations

from typing import Any

TAG = {"type": "string", "pattern": "^[a-z][a-z0-9 -]{0,22}[a-z0-9]$"}
TEXT = {"type": "string", "pattern": '^[A-Z0-9][^"\\\\\\x00-\\x1f]{0,398}[^"\\\\\\x00-\\x1f ]$'}
NUMBER = {"type": "integer", "minimum": 0, "maximum": 1000}


def objects_of(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


OBJECT = objects_of(
    dict.fromkeys("xywh", NUMBER) | {"type": TAG, "tags": {"type": "array", "items": TAG, "minItems": 1, "maxItems": 4}}
)
SCHEMA = objects_of(
    {
        "tags": {"type": "array", "items": TAG, "minItems": 1, "maxItems": 12},
        "description": TEXT,
        "title": TEXT,
        "alt": TEXT,
        "objects": {"type": "array", "items": OBJECT, "maxItems": 8},
    }
)


def place(x: int, y: int, w: int, h: int, kind: str, *tags: str) -> dict[str, Any]:
    return {"x": x, "y": y, "w": w, "h": h, "type": kind, "tags": list(tags)}


DOCUMENT = {
    "tags": ["dogs", "park", "ball", "grass", "outdoor", "play"],
    "description": "Two brown dogs chase a red ball across a green lawn in a city park while a wooden bench and a "
    "large tree stand behind them.",
    "title": "Two dogs playing in the park",
    "alt": "Two brown dogs running after a red ball on grass",
    "objects": [
        place(120, 340, 260, 210, "dog", "brown", "running"),
        place(430, 310, 240, 220, "dog", "brown"),
        place(610, 480, 60, 58, "ball", "red"),
    ],
}
PROMPT = "<|im_start|>user\nDescribe the photo as JSON.<|im_end|>\n<|im_start|>assistant\n"
LIVE_PROMPT = (
    "<|im_start|>user\nA photo shows two brown dogs playing with a red ball on green grass in a park. "
    "Write JSON with tags, description, title, alt and objects.<|im_end|>\n<|im_start|>assistant\n"
)
LIVE_BUDGET = 400
LIVE_ATTEMPTS = 3
