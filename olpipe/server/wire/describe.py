"""The API that makes a record of a photo: questions from the fields of a body, of a form, or of a URL's query."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

from olpipe.asking.options import MOST, Options
from olpipe.errors import nearest
from olpipe.server.bodies.fields import Fields
from olpipe.server.question import EncodedImage, PhotoQuestion
from olpipe.server.refusal import Refusal
from olpipe.server.wire.images import from_url
from olpipe.server.wire.ollama import read_keep_alive
from olpipe.server.wire.ollama_options import read_options

USUAL_RECIPE = "photo-tags"
USUAL_FILE = "image"
LONGEST_FILE = 1024

FIELDS: Mapping[str, type] = {
    "image": str,
    "url": str,
    "file": str,
    "recipe": str,
    "model": str,
    "prompt": str,
    "schema": dict,
    "language": str,
    "perceivers": list,
    "min_score": float,
    "image_tokens": int,
    "options": dict,
    "keep_alive": object,
}
"""All fields, each with its kind. `keep_alive` is a number or a duration."""


def read_photo_question(fields: Fields, photo: EncodedImage | None = None, *, file: str = "") -> PhotoQuestion:
    """Read a question.

    Args:
        fields: Its fields.
        photo: The photo, where it is not in a field.
        file: The name of the photo's file, where it came with one.

    Raises:
        Refusal: A field is unknown or cannot be used, or there is not exactly one photo.
    """
    _refuse_unknown(fields)
    options = read_options(fields.inner("options"))
    name = fields.text("file") or file or USUAL_FILE
    if len(name) > LONGEST_FILE:
        raise Refusal(400, f"`file` has {len(name)} characters, and at most {LONGEST_FILE} are allowed")
    changes = {
        "model": fields.text("model") or None,
        "prompt": fields.text("prompt") or None,
        "schema": _schema(fields),
        "language": fields.text("language") or None,
        "perceivers": tuple(fields.texts("perceivers")) if "perceivers" in fields else None,
        "min_score": _min_score(fields),
        "image_tokens": _image_tokens(fields, options),
    }
    return PhotoQuestion(
        image=_photo(fields, photo),
        file=name,
        recipe=fields.text("recipe") or USUAL_RECIPE,
        changes={name: value for name, value in changes.items() if value is not None},
        sampling=options.sampling,
        options=options.load,
        keep_alive_s=read_keep_alive(fields),
    )


def from_texts(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a form or a query, where every value is a text, as JSON has them.

    A field without a text counts as missing. Only `perceivers` without a text asks for none.

    Raises:
        Refusal: A text is not what its field needs.
    """
    return {name: _value(name, text) for name, text in given.items() if text or name.lower() == "perceivers"}


def _value(name: str, text: str) -> Any:
    kind = FIELDS.get(name.lower(), str)
    if kind is list:
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind is dict:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, f"`{name}` is not valid JSON: {error}") from error
    if kind is str:
        return text
    try:
        number = float(text)
    except ValueError:
        return text  # a duration; where a number is needed, who reads the field says so
    return number if math.isfinite(number) else text


def _refuse_unknown(fields: Fields) -> None:
    for name in fields.values:
        if name.lower() not in FIELDS:
            close = nearest(name, FIELDS, limit=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(FIELDS)}"
            raise Refusal(400, f"`{name}` is not a field of this request", hint=hint)


def _photo(fields: Fields, photo: EncodedImage | None) -> EncodedImage:
    given = [name for name in ("image", "url") if fields.text(name)]
    if len(given) + (photo is not None) != 1:
        told = "there is no photo in the request" if not given and photo is None else "the request has two photos"
        hint = "send one: as base64 in `image`, as the file `image` of a form, as the body itself, or a `url`"
        raise Refusal(400, told, hint=hint)
    return photo or from_url(fields.text(given[0]), fields.place(given[0]))


def _schema(fields: Fields) -> str | None:
    schema = fields.any("schema")
    if schema is None or isinstance(schema, str):
        return schema or None
    if not isinstance(schema, dict):
        raise fields.wrong("schema", dict)
    return orjson.dumps(schema).decode()


def _min_score(fields: Fields) -> float | None:
    score = fields.number("min_score")
    if score is not None and not 0 <= score <= 1:
        raise Refusal(400, f"`{fields.place('min_score')}` must be between 0 and 1, not {score:g}")
    return score


def _image_tokens(fields: Fields, options: Options) -> int | None:
    tokens = fields.whole("image_tokens")
    if tokens is not None and not 1 <= tokens <= MOST:
        raise Refusal(400, f"`{fields.place('image_tokens')}` must be between 1 and {MOST}, not {tokens}")
    return tokens or options.load.image_tokens or None
