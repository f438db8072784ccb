"""The body of Ollama's /api/create.

Source: https://github.com/ollama/ollama/blob/main/api/types.go, CreateRequest
"""

from __future__ import annotations

from typing import Any, get_args

from olpipe.messages import Message, Part, Role, TextPart, ThinkingPart
from olpipe.model import ModelName
from olpipe.server.bodies.fields import Fields
from olpipe.server.model_names import named
from olpipe.server.refusal import Refusal
from olpipe.server.wire import ollama
from olpipe.server.wire.ollama_options import read_options
from olpipe.store.create import NewModel, precision_of

_ROLES = frozenset(get_args(Role))

_OTHER_FIELDS = ("draft_files", "draft_quantize", "renderer", "parser")


def read_create(fields: Fields) -> tuple[NewModel, str]:
    """Read the body of /api/create.

    Returns:
        What the model is to be, and the name of its base as the client wrote it.

    Raises:
        Refusal: A field cannot be used.
        UsageError: There is no such precision.
    """
    name = named(ollama.model_of(fields), Refusal(400, "invalid model name"))
    base, files = fields.text("from"), _digests(fields, "files")
    if not base and not files:
        raise Refusal(400, "neither 'from' or 'files' was specified")
    if base and files:
        raise Refusal(400, "'from' and 'files' cannot be used together", hint="leave out one of them")
    for other in _OTHER_FIELDS:
        if fields.any(other):
            raise Refusal(400, f"`{other}` has no meaning here", hint="leave it out")
    new = NewModel(
        name=name,
        base=_base(base) if base else None,
        files=files,
        adapters=_digests(fields, "adapters"),
        precision=precision_of(fields.text("quantize") or fields.text("quantization")),
        system=fields.text("system"),
        template=fields.text("template"),
        licenses=_licenses(fields),
        parameters=_parameters(fields.inner("parameters")),
        messages=tuple(_message(message) for message in fields.each("messages")),
    )
    return new, base


def _base(text: str) -> ModelName:
    return named(text, Refusal(400, "invalid model name", hint="a path is no name: send files, and name their digests"))


def _digests(fields: Fields, name: str) -> dict[str, str]:
    inner = fields.inner(name)
    return {} if inner is None else {file: _text(inner, file) for file in inner.values}


def _text(fields: Fields, name: str) -> str:
    value = fields.values[name]
    if not isinstance(value, str):
        raise fields.wrong(name, str)
    return value


def _licenses(fields: Fields) -> tuple[str, ...]:
    value = fields.any("license")
    if value is None or isinstance(value, str):
        return (value,) if value else ()
    return tuple(text for text in fields.texts("license") if text)


def _parameters(fields: Fields | None) -> dict[str, Any]:
    """Return parameters that were checked as the options of a request are. Those that are null are left out."""
    if fields is None:
        return {}
    if unknown := read_options(fields).unknown:
        raise Refusal(400, f"unknown parameter '{unknown[0]}'")
    return {name: value for name, value in fields.values.items() if value is not None}


def _message(fields: Fields) -> Message:
    role: Any = fields.text("role").lower()
    if role not in _ROLES:
        raise Refusal(400, f"message role must be one of {', '.join(sorted(_ROLES))}")
    for other in ("images", "tool_calls"):
        if fields.items(other):
            hint = f"leave out `{fields.place(other)}`"
            raise Refusal(400, "the messages of a model consist of texts", hint=hint)
    thinking = fields.text("thinking")
    parts: tuple[Part, ...] = (TextPart(fields.text("content")),)
    return Message(role, (ThinkingPart(thinking), *parts) if thinking else parts)
