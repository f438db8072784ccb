"""Read what source files say of classes: docstrings in parts, attributes, methods, and names of types."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

LINE = 110
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")


@dataclass(frozen=True)
class Docstring:
    """A docstring in Google's style, taken apart.

    Attributes:
        text: What stands before the sections, as paragraphs.
        sections: The sections by their headings: each a list of names and meanings, or one text without a name.
    """

    text: str
    sections: dict[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class Attribute:
    """One attribute of a class.

    Attributes:
        name: Its name.
        kind: Its type, as it is written.
        default: Its default, as it is written; empty where there is none.
        meaning: What its documentation says.
    """

    name: str
    kind: str
    default: str
    meaning: str


def docstring(thing: Any) -> Docstring:
    """Return a thing's own documentation; empty where it has none."""
    text = inspect.cleandoc(thing.__doc__ or "")
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", text, flags=re.MULTILINE)
    sections = {heading: _entries(heading, body) for heading, body in zip(parts[1::2], parts[2::2], strict=True)}
    return Docstring(parts[0].strip(), sections)


def _entries(heading: str, body: str) -> list[tuple[str, str]]:
    lines = textwrap.dedent(body.rstrip()).splitlines()
    if heading in ("Returns", "Yields"):
        return [("", " ".join(line.strip() for line in lines))]
    entries: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith(" ") and entries:
            name, meaning = entries[-1]
            entries[-1] = (name, f"{meaning} {line.strip()}")
        elif line:
            name, _, meaning = line.partition(": ")
            entries.append((name.rstrip(":"), meaning))
    return entries


@cache
def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


def _body(found: type) -> list[ast.stmt]:
    """Return the statements of a class."""
    (node,) = (
        node
        for node in _tree(sys.modules[found.__module__]).body
        if isinstance(node, ast.ClassDef) and node.name == found.__name__
    )
    return node.body


def _documented(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Yield statements, each with the text that stands behind it."""
    for statement, following in zip(body, [*body[1:], None], strict=True):
        text = ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            text = inspect.cleandoc(str(following.value.value))
        yield statement, " ".join(text.split())


def attributes(found: type) -> list[Attribute]:
    """Return a class's own public attributes; those of an enumeration are its members."""
    told = dict(docstring(found).sections.get("Attributes", ()))
    if issubclass(found, Enum):
        return [
            Attribute(node.targets[0].id, "", ast.unparse(node.value), text)
            for node, text in _documented(_body(found))
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        ]
    made = {field.name for field in fields(found) if not field.init} if is_dataclass(found) else set()
    written = []
    for node, text in _documented(_body(found)):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id[0] != "_":
            name = node.target.id
            default = "" if node.value is None or name in made else ast.unparse(node.value)
            default = re.sub(r"^field\(default_factory=(\w+)\)$", r"\1()", default).replace("dict()", "{}")
            written.append(Attribute(name, ast.unparse(node.annotation), default, told.get(name, text)))
    known = {attribute.name for attribute in written}
    return written + [Attribute(name, "", "", meaning) for name, meaning in told.items() if name not in known]


def methods(found: type) -> list[tuple[str, FunctionType]]:
    """Return a class's own public methods and properties, and how it is made where that is documented."""
    own = []
    for name, value in vars(found).items():
        function = getattr(value, "fget", None) or getattr(value, "__func__", value)
        public = name[0] != "_" or (name == "__init__" and not is_dataclass(found))
        if public and isinstance(function, FunctionType) and function.__module__ == found.__module__:
            own += [(name, function)] if function.__doc__ else []
    return own


def signature(name: str, function: FunctionType, *, wraps: bool = True) -> str:
    """Return a function's signature as it is written, on lines that are not too long; `self` and `cls` are left out."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef)
    parameters = list(_parameters(node.args))
    returned = f" -> {ast.unparse(node.returns)}" if node.returns and function.__name__ != "__init__" else ""
    text = f"{name}({', '.join(parameters)}){returned}"
    if len(text) <= LINE or not wraps:
        return text
    lines = "".join(f"    {part},\n" for part in parameters)
    return f"{name}(\n{lines}){returned}"


def _parameters(given: ast.arguments) -> Iterator[str]:
    """Yield each parameter with its default, as the formatter writes them."""
    unset = [None] * (len(given.args) - len(given.defaults))
    for parameter, default in zip(given.args, [*unset, *given.defaults], strict=True):
        if parameter.arg not in ("self", "cls"):
            yield _parameter(parameter, default)
    if given.vararg:
        yield f"*{_parameter(given.vararg, None)}"
    elif given.kwonlyargs:
        yield "*"
    for parameter, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _parameter(parameter, default)


def _parameter(given: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(given) + (f" = {ast.unparse(default)}" if default else "")


def aliases(module: ModuleType) -> list[Attribute]:
    """Return a module's public names that are no classes or functions, with what is said of them."""
    found = []
    for node, text in _documented(_tree(module).body):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            (target,) = node.targets
            if isinstance(target, ast.Name) and target.id[0] != "_":
                found.append(Attribute(target.id, "", ast.unparse(node.value), text))
    return found


def words(found: type) -> set[str]:
    """Return every name that stands in the annotations of a class's attributes and methods."""
    texts = [attribute.kind for attribute in attributes(found)]
    for _, function in methods(found):
        texts.append(str(inspect.signature(function)))
    return set(re.findall(r"[A-Za-z_]\w*", " ".join(texts)))
