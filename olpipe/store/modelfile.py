"""Write what a model is as a Modelfile, Ollama's format for recipes of models.

Source: https://github.com/ollama/ollama/blob/main/docs/modelfile.mdx
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from olpipe.model import ModelBundle
from olpipe.store.modelfile_reader import HEREDOC, QUOTES

_LINE_BREAK = re.compile(r"[\r\n]")


def modelfile(bundle: ModelBundle, *, template: str) -> str:
    """Return the Modelfile from which the same model can be made. It names the model, and no path of this machine.

    Args:
        bundle: The model.
        template: The template to write; empty leaves it out.
    """
    lines = ['# Modelfile written by "olpipe show"', f"FROM {bundle.name}"]
    if template:
        lines.append(f"TEMPLATE {_quoted(template)}")
    if bundle.system:
        lines.append(f"SYSTEM {_quoted(bundle.system)}")
    lines += [f"PARAMETER {name} {_value(value)}" for name, value in each_parameter(bundle.parameters)]
    lines += [f"MESSAGE {message.role} {_quoted(message.text)}" for message in bundle.messages]
    lines += [f"LICENSE {_quoted(text)}" for text in bundle.licenses]
    return "\n".join(lines) + "\n"


def parameter_lines(parameters: Mapping[str, Any]) -> str:
    """Return parameters as Ollama prints them: a line for each value, with the values in one column."""
    return "\n".join(
        f"{name:<30} {json.dumps(value, ensure_ascii=False)}" for name, value in each_parameter(parameters)
    )


def each_parameter(parameters: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each parameter by its name, and each item of a list by itself."""
    for name, value in sorted(parameters.items()):
        for item in value if isinstance(value, list) else [value]:
            yield name, item


def _value(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    """Return a text so that a Modelfile may hold it, in quotes where it needs them."""
    lines = _LINE_BREAK.split(text)
    is_one = len(lines) == 1
    if is_one and text and text == text.strip() and '"' not in text and not HEREDOC.fullmatch(text):
        return text
    if is_one and '"' not in text:
        return f'"{text}"'
    if not any(line.rstrip().endswith(QUOTES) for line in lines[:-1]):
        return f"{QUOTES}{text}{QUOTES}"
    words = (f"TEXT{number or ''}" for number in count())
    word = next(word for word in words if word not in text.split("\n"))
    return f"<<{word}\n{text}\n{word}"
