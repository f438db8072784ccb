"""The syntax tree of a template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Dot:
    """`.`: the value that is looked at."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A text, a number, `true`, `false` or `nil`."""

    value: Any


@dataclass(frozen=True, slots=True)
class Field:
    """`.Name.Other`: looks into the value that is looked at."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name.Other`: looks into a variable. `$` alone is the whole of what the template was given."""

    name: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Function:
    """A function, by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Chain:
    """`(…).Name.Other`: looks into the value of an expression."""

    subject: Operand
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """`function argument argument`, or one operand alone."""

    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pipe:
    """`command | command`, perhaps with variables that get its value.

    Attributes:
        commands: The commands. Each gets the value of the one before it as its last argument.
        variables: What gets the value.
        declares: Whether these variables are new.
        line: The number of the line that it begins in.
    """

    commands: tuple[Command, ...]
    variables: tuple[str, ...] = ()
    declares: bool = True
    line: int = 0


Operand = Dot | Constant | Field | Variable | Function | Chain | Pipe


@dataclass(frozen=True, slots=True)
class Text:
    """Text outside of `{{ }}`."""

    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """`{{ pipe }}`: writes its value, unless a variable gets it."""

    pipe: Pipe


@dataclass(frozen=True, slots=True)
class Branch:
    """`if`, `with` or `range`."""

    kind: str
    pipe: Pipe
    body: Nodes
    otherwise: Nodes = ()


@dataclass(frozen=True, slots=True)
class Call:
    """`{{ template "name" pipe }}`: runs another template."""

    name: str
    pipe: Pipe | None
    line: int


@dataclass(frozen=True, slots=True)
class Jump:
    """`break` or `continue`."""

    kind: str


Node = Text | Action | Branch | Call | Jump
Nodes = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A template, with those that it defines.

    Attributes:
        root: Its own nodes.
        defined: The nodes of the templates that it defines, by their names.
    """

    root: Nodes
    defined: Mapping[str, Nodes] = field(default_factory=dict)
