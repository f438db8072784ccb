"""Messages to frames and back, by the annotations of their dataclasses.

A field that is added to a request travels without a change here. Nothing is ever built but what the
annotations of the messages in `protocol` reach, and every value is checked against its annotation.
Pixels travel as attachments, everything else as JSON.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import orjson

from olpipe.engine import protocol
from olpipe.engine.frames import Frame, FrameError
from olpipe.image import DecodedImage

_MESSAGES: dict[str, type] = {kind.__name__: kind for kind in get_args(protocol.Message)}
_PLAIN = (str, int, float, bool, types.NoneType)


def encode(message: protocol.Message) -> Frame:
    """Return a message as a frame.

    Raises:
        FrameError: It is too large, or holds a value that JSON cannot.
    """
    attachments: list[bytes] = []

    def other(value: object) -> object:
        """Say how to write what orjson does not know itself."""
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, Mapping):
            return dict(value)
        if hasattr(value, "__array_interface__"):
            attachments.append(_pixel_bytes(value))
            return {"attachment": len(attachments) - 1, "shape": value.__array_interface__["shape"]}
        raise TypeError(f"{type(value).__name__} is not JSON serializable")

    try:
        header = orjson.dumps({"type": type(message).__name__, "body": message}, default=other)
    except TypeError as error:
        raise FrameError(f"a {type(message).__name__} cannot be sent: {error.__cause__ or error}") from error
    frame = Frame(header, attachments)
    frame.check()
    return frame


def decode(frame: Frame) -> protocol.Message:
    """Return the message that a frame holds.

    Raises:
        FrameError: It holds none.
    """
    try:
        document = orjson.loads(frame.header)
        message: protocol.Message = _build(_MESSAGES[document["type"]], document["body"], frame.attachments)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise FrameError(f"not a message: {type(error).__name__}: {error}") from error
    return message


def _pixel_bytes(value: Any) -> bytes:
    import numpy as np

    if value.dtype != np.uint8:
        raise TypeError(f"pixels must be uint8, not {value.dtype}")
    return bytes(value.tobytes())


def _build(kind: Any, value: Any, attachments: Sequence[bytes]) -> Any:
    """Build a value of a kind from its JSON."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if kind in _PLAIN:
        return _plain(kind, value)
    if kind is Path:
        return Path(_plain(str, value))
    if kind is DecodedImage:
        return _image(value, attachments)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        if set(value) != set(hints):
            raise TypeError(f"{kind.__name__} has the fields {sorted(hints)}, not {sorted(value)}")
        return kind(**{name: _build(hints[name], value[name], attachments) for name in hints})
    if origin in (Union, types.UnionType):
        return _build(_member(arguments, value), value, attachments)
    if origin is tuple:
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_build(part, item, attachments) for part, item in zip(kinds, value, strict=True))
    if origin is Literal and value in arguments:
        return value
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if origin is Mapping and isinstance(value, dict):
        return value
    raise TypeError(f"{value!r} is not a {kind}")


def _plain(kind: Any, value: Any) -> Any:
    # a caller may write 1 where 1.0 is meant; a truth value is never a number
    accepted = (float, int) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{value!r} is not a {kind.__name__}")
    return value


def _member(members: tuple[Any, ...], value: Any) -> Any:
    """Return the member of a union that a value belongs to: None, or the class with just these fields."""
    if value is None and types.NoneType in members:
        return types.NoneType
    others = [member for member in members if member is not types.NoneType]
    if len(others) == 1:
        return others[0]
    return next(member for member in others if set(_hints(member)) == set(value))


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _image(value: Mapping[str, Any], attachments: Sequence[bytes]) -> DecodedImage:
    """Build an image on the attachment that holds its pixels, without copying them."""
    import numpy as np

    height, width, channels = value["pixels"]["shape"]
    data = attachments[_plain(int, value["pixels"]["attachment"])]
    pixels = np.frombuffer(data, dtype=np.uint8).reshape(height, width, channels)
    rest = {name: _plain(int, value[name]) for name in ("width", "height", "orientation")}
    return DecodedImage(pixels, **rest, format=_plain(str, value["format"]))
