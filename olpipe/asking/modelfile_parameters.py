"""The values of the `PARAMETER` lines of a Modelfile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from olpipe.asking.options import STOP, WITHOUT_EFFECT, option_from_words
from olpipe.errors import UsageError
from olpipe.store.modelfile_reader import Command

logger = logging.getLogger(__name__)

REMOVED = frozenset(
    ("penalize_newline", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock", "mirostat", "mirostat_tau",
     "mirostat_eta")
)  # fmt: skip
"""Parameters that Ollama no longer knows. A Modelfile may still have them."""

# Those of the parameters without effect whose value is no whole number.
_FLAGS = frozenset(("use_mmap", "numa"))
_FRACTIONS = frozenset(("tfs_z",))
_YES, _NO = ("1", "t", "true"), ("0", "f", "false")


def read_parameters(commands: Sequence[Command]) -> Mapping[str, Any]:
    """Return parameters by their names in Ollama. `stop` may be there several times; of others, the last one counts.

    Raises:
        UsageError: There is no such parameter, or it cannot have this value. The message has the number of the line.
    """
    found: dict[str, Any] = {}
    for command in commands:
        name = command.subject
        if name in REMOVED:
            logger.warning("the parameter `%s` in line %d has no effect any more, and is left out", name, command.line)
            continue
        try:
            value = _value(name, command.value)
        except UsageError as error:
            raise UsageError(f"(line {command.line}): {error.message}", hint=error.hint) from error
        found[name] = [*found.get(name, ()), *value] if name == STOP else value
    return found


def _value(name: str, text: str) -> Any:
    if name == STOP and not text:
        return []  # an empty text would end every answer at once
    if name not in WITHOUT_EFFECT:
        return option_from_words(name, [text])
    kind: tuple[str, Callable[[str], Any]] = ("int", int)
    if name in _FLAGS:
        kind = ("bool", _flag)
    elif name in _FRACTIONS:
        kind = ("float", float)
    try:
        return kind[1](text)
    except ValueError as error:
        raise UsageError(f"invalid {kind[0]} value [{text}]") from error


def _flag(text: str) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise ValueError(text)
    return text.lower() in _YES
