"""Turn packets into frames and back, as the annotations of their dataclasses say.

A new field of a request needs no change here. Only classes that the annotations of the packets in `protocol` lead to
are ever made, and every value is checked against its annotation. Arrays travel as attachments, everything else as
JSON. Where an annotation allows several classes, each value says which one it is. So two parts of a message that have
the same fields are never confused.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import orjson

from olpipe.engine.frames import Frame, FrameError
from olpipe.engine.protocol import Packet

TAG = "$"
"""The key under which a value names its class. No field can have this name."""

_PLAIN = (str, int, float, bool)
_UNIONS = (Union, types.UnionType)
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS

Attachments = Sequence[bytes]
Reader = Callable[[Any, Attachments], Any]


def encode(packet: Packet) -> Frame:
    """Return a packet as a frame.

    Raises:
        FrameError: It is too large, or holds a value that JSON cannot.
    """
    attachments: list[bytes] = []

    def other(value: object) -> object:
        """Return what to write for a value that orjson does not know."""
        if is_dataclass(value) and not isinstance(value, type):
            return _written(value)
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, np.ndarray):
            attachments.append(value.tobytes())
            return {"attachment": len(attachments) - 1, "shape": value.shape, "dtype": value.dtype.name}
        raise TypeError(f"{type(value).__name__} is not JSON serializable")

    try:
        header = orjson.dumps({TAG: type(packet).__name__, **_written(packet)}, default=other, option=_OPTIONS)
    except TypeError as error:
        raise FrameError(f"a {type(packet).__name__} cannot be sent: {error.__cause__ or error}") from error
    frame = Frame(header, attachments)
    frame.check()
    return frame


def decode(frame: Frame) -> Packet:
    """Return the packet that a frame holds.

    Raises:
        FrameError: It holds none.
    """
    try:
        packet: Packet = _reader(Packet)(orjson.loads(frame.header), frame.attachments)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise FrameError(f"not a packet: {type(error).__name__}: {error}") from error
    return packet


def _written(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields, with the name of its class where the reader could not know it otherwise."""
    kind: Any = type(value)
    tagged = {TAG: kind.__name__} if kind in _tagged() else {}
    return tagged | {name: getattr(value, name) for name in _names(kind)}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """Return the annotations of a dataclass's fields.

    The modules of the values import numpy only for type checkers, so its names are given here.
    """
    hints = get_type_hints(kind, localns={"np": np, "npt": np.typing})
    return {name: hints[name] for name in _names(kind)}


@cache
def _tagged() -> frozenset[type]:
    """Return every class that some annotation allows beside other classes: their values have to name their class."""
    found: set[type] = set()
    seen: set[Any] = set()
    waiting: list[Any] = [Packet]
    while waiting:
        kind = waiting.pop()
        if kind in seen:
            continue
        seen.add(kind)
        classes = [member for member in get_args(kind) if is_dataclass(member)]
        if get_origin(kind) in _UNIONS and len(classes) > 1:
            found.update(classes)  # type: ignore[arg-type]  # they are classes: an instance is no annotation
        waiting += _hints(kind).values() if isinstance(kind, type) and is_dataclass(kind) else get_args(kind)
    return frozenset(found)


@cache
def _reader(kind: Any) -> Reader:
    """Return a function that makes a value of a kind from its JSON, or raises where the JSON is of another kind."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value, attachments: value
    if kind in _PLAIN:
        return _read_plain(kind)
    if kind is Path:
        return lambda value, attachments: Path(_text(value))
    if isinstance(kind, type) and is_dataclass(kind):
        return _read_dataclass(kind)
    if origin in _UNIONS:
        return _read_union(arguments)
    if origin is tuple:
        return _read_tuple(arguments)
    if origin is np.ndarray:
        return _read_array(get_args(arguments[1])[0])
    if origin is Literal:
        return _read_choice({choice: choice for choice in arguments})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _read_choice({member.value: member for member in kind})
    if origin is Mapping:
        return _read_plain(dict)
    raise TypeError(f"a field cannot be annotated as {kind}")


def _read_plain(kind: Any) -> Reader:
    # A caller may write 1 for 1.0. The type is compared, because `True` would pass as an instance of int
    accepted = (float, int) if kind is float else (kind,)

    def read(value: Any, attachments: Attachments) -> Any:
        if type(value) not in accepted:
            raise TypeError(f"{value!r} is not a {kind.__name__}")
        return value

    return read


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"{value!r} is not a text")
    return value


def _read_dataclass(kind: Any) -> Reader:
    readers = [(name, _reader(hint)) for name, hint in _hints(kind).items()]
    expected = {name for name, _ in readers} | ({TAG} if kind in _tagged() else set())

    def read(value: Any, attachments: Attachments) -> Any:
        if value.keys() != expected:
            raise TypeError(f"{kind.__name__} has the fields {sorted(expected)}, not {sorted(value)}")
        return kind(*[reader(value[name], attachments) for name, reader in readers])

    return read


def _read_union(members: tuple[Any, ...]) -> Reader:
    """Return the reader of a union: either of several classes, where each value names its class, or of a kind and None.

    Both may be combined.
    """
    others = [member for member in members if member is not types.NoneType]
    optional = len(others) < len(members)
    tagged = {member.__name__: _reader(member) for member in others} if len(others) > 1 else {}
    single = _reader(others[0])

    def read(value: Any, attachments: Attachments) -> Any:
        if value is None and optional:
            return None
        return (tagged[value[TAG]] if tagged else single)(value, attachments)

    return read


def _read_tuple(kinds: tuple[Any, ...]) -> Reader:
    if kinds[-1] is Ellipsis:
        item = _reader(kinds[0])
        return lambda value, attachments: tuple([item(part, attachments) for part in _items(value)])
    readers = [_reader(kind) for kind in kinds]
    return lambda value, attachments: tuple(
        [reader(part, attachments) for reader, part in zip(readers, _items(value), strict=True)]
    )


def _items(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError(f"{value!r} is not a list")
    return value


def _read_choice(choices: Mapping[Any, Any]) -> Reader:
    return lambda value, attachments: choices[value]


def _read_array(dtype: type[np.generic]) -> Reader:
    """Return the reader of an array. The array uses the memory of its attachment: nothing is copied."""
    expected = np.dtype(dtype)

    def read(value: Any, attachments: Attachments) -> Any:
        if value["dtype"] != expected.name:
            raise TypeError(f"an array of {value['dtype']} is not one of {expected.name}")
        return np.frombuffer(attachments[value["attachment"]], expected).reshape(value["shape"])

    return read
