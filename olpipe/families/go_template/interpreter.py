"""Run a template. It comes from strangers, so its steps and what it writes have limits, and it never runs Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from olpipe.families.go_template import nodes
from olpipe.families.go_template.functions import LAZY, Function
from olpipe.families.go_template.values import NO_VALUE, Failed, Struct, is_true, kind_of, written

MOST_STEPS = 500_000
"""Most nodes and commands of one rendering. A template may loop over all turns within each turn."""

MOST_CHARACTERS = 1 << 26
"""The longest text that a rendering, or a function in it, may give."""

MOST_WORK = 1 << 27
"""Most characters that the functions of one rendering may read and make, all of them together."""

MOST_CALLS = 20
"""How deep templates may call each other."""

_MISSING = object()


class Forbidden(Exception):
    """A template goes beyond a limit."""


class _Leaves(Exception):
    """A `break` or a `continue`, on its way to its loop."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def run(tree: nodes.Tree, root: nodes.Nodes, data: Any, functions: Mapping[str, Function]) -> str:
    """Return what a template writes.

    Args:
        tree: The template.
        root: The nodes to run.
        data: What it is given: `.` and `$`.
        functions: Its functions.

    Raises:
        Failed: It fails on this data.
        Forbidden: It goes beyond a limit.
    """
    rendering = _Rendering(tree, functions)
    try:
        rendering.run(root, data, data)
    except RecursionError as error:
        raise Forbidden("its parts lie too deep in each other") from error
    return "".join(rendering.pieces)


class _Rendering:
    """One run.

    Attributes:
        pieces: What was written.
    """

    def __init__(self, tree: nodes.Tree, functions: Mapping[str, Function]) -> None:
        self.pieces: list[str] = []
        self._tree = tree
        self._functions = functions
        self._variables: list[tuple[str, Any]] = []
        self._steps = 0
        self._room = MOST_CHARACTERS
        self._work = 0
        self._calls = 0

    def run(self, root: nodes.Nodes, dot: Any, whole: Any) -> None:
        """Run a template with variables of its own."""
        variables, self._variables = self._variables, [("$", whole)]
        self._nodes(root, dot)
        self._variables = variables

    # --- nodes ----------------------------------------------------------------------------------

    def _nodes(self, found: nodes.Nodes, dot: Any) -> None:
        for node in found:
            self._step()
            match node:
                case nodes.Text(text):
                    self._write(text)
                case nodes.Action(pipe):
                    value = self._pipe(pipe, dot)
                    if not pipe.variables:
                        self._write(NO_VALUE if value is None else written(value))
                case nodes.Branch():
                    self._branch(node, dot)
                case nodes.Call():
                    self._call(node, dot)
                case nodes.Jump(kind):
                    raise _Leaves(kind)

    def _branch(self, node: nodes.Branch, dot: Any) -> None:
        with self._scope():
            value = self._pipe(node.pipe, dot, assigns=node.kind != "range")
            if node.kind == "range":
                self._range(node, value, dot)
            elif is_true(value):
                self._nodes(node.body, value if node.kind == "with" else dot)
            else:
                self._nodes(node.otherwise, dot)

    def _range(self, node: nodes.Branch, value: Any, dot: Any) -> None:
        items = _items(value)
        for key, item in items:
            self._step()
            with self._scope():
                given = (item,) if len(node.pipe.variables) == 1 else (key, item)
                for name, one in zip(node.pipe.variables, given, strict=False):
                    self._set(name, one, declares=node.pipe.declares)
                try:
                    self._nodes(node.body, item)
                except _Leaves as leaves:
                    if leaves.kind == "break":
                        break
        if not items:
            self._nodes(node.otherwise, dot)

    def _call(self, node: nodes.Call, dot: Any) -> None:
        body = self._tree.defined.get(node.name)
        if body is None:
            raise Failed(f"there is no template `{node.name}` (line {node.line})")
        self._calls += 1
        if self._calls > MOST_CALLS:
            raise Forbidden(f"its templates call each other more than {MOST_CALLS} deep")
        value = None if node.pipe is None else self._pipe(node.pipe, dot)
        self.run(body, value, value)
        self._calls -= 1

    # --- expressions ----------------------------------------------------------------------------

    def _pipe(self, pipe: nodes.Pipe, dot: Any, *, assigns: bool = True) -> Any:
        value: Any = _MISSING
        for command in pipe.commands:
            self._step()
            try:
                value = self._command(command, dot, value)
            except Failed as error:
                raise error if "(line " in str(error) else Failed(f"{error} (line {pipe.line})") from error
        if assigns:
            for name in pipe.variables:
                self._set(name, value, declares=pipe.declares)
        return value

    def _command(self, command: nodes.Command, dot: Any, last: Any) -> Any:
        first, *others = command.operands
        if isinstance(first, nodes.Function):
            return self._function(first.name, others, dot, last)
        if others or last is not _MISSING:
            raise Failed("what is no function gets arguments")
        if isinstance(first, nodes.Constant) and first.value is None:
            raise Failed("`nil` alone is nothing to write")
        return self._operand(first, dot)

    def _function(self, name: str, operands: Sequence[nodes.Operand], dot: Any, last: Any) -> Any:
        if name in LAZY:
            return self._lazy(name, operands, dot, last)
        given = [self._operand(operand, dot) for operand in operands]
        if last is not _MISSING:
            given.append(last)
        try:
            value = self._functions[name](*given)
        except TypeError as error:
            raise Failed(f"`{name}` does not take {len(given)} arguments") from error
        self._work += sum(len(one) for one in (*given, value) if isinstance(one, str | list | dict))
        if self._work > MOST_WORK or (isinstance(value, str) and len(value) > MOST_CHARACTERS):
            raise Forbidden("its functions make texts that are far too long")
        return value

    def _lazy(self, name: str, operands: Sequence[nodes.Operand], dot: Any, last: Any) -> Any:
        value: Any = _MISSING
        for operand in operands:
            value = self._operand(operand, dot)
            if is_true(value) == (name == "or"):
                return value
        value = value if last is _MISSING else last
        if value is _MISSING:
            raise Failed(f"`{name}` needs an argument")
        return value

    def _operand(self, operand: nodes.Operand, dot: Any) -> Any:
        match operand:
            case nodes.Dot():
                return dot
            case nodes.Constant(value):
                return value
            case nodes.Field(names):
                return _look_up(dot, names)
            case nodes.Variable(name, names):
                found = next(value for known, value in reversed(self._variables) if known == name)
                return _look_up(found, names)
            case nodes.Chain(subject, names):
                return _look_up(self._operand(subject, dot), names)
            case nodes.Function(name):
                return self._function(name, (), dot, _MISSING)
            case nodes.Pipe():
                return self._pipe(operand, dot)

    # --- within ---------------------------------------------------------------------------------

    def _set(self, name: str, value: Any, *, declares: bool) -> None:
        if declares:
            self._variables.append((name, value))
            return
        at = max(at for at, (known, _) in enumerate(self._variables) if known == name)
        self._variables[at] = (name, value)

    @contextmanager
    def _scope(self) -> Iterator[None]:
        known = len(self._variables)
        try:
            yield
        finally:
            del self._variables[known:]

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise Forbidden(f"it takes more than {MOST_STEPS:,} steps")

    def _write(self, text: str) -> None:
        self._room -= len(text)
        if self._room < 0:
            raise Forbidden(f"it writes more than {MOST_CHARACTERS:,} characters")
        self.pieces.append(text)


def _items(value: Any) -> list[tuple[Any, Any]]:
    """Return the keys and the values over which a `range` goes.

    Raises:
        Failed: It cannot go over such a value.
        Forbidden: There are far too many.
    """
    if value is None:
        return []
    if isinstance(value, dict):
        return [(key, value[key]) for key in sorted(value)]
    if isinstance(value, list):
        return list(enumerate(value))
    if isinstance(value, int) and not isinstance(value, bool):
        if value > MOST_STEPS:
            raise Forbidden(f"it takes more than {MOST_STEPS:,} steps")
        return [(number, number) for number in range(value)]
    raise Failed(f"`range` over type {kind_of(value)}")


def _look_up(value: Any, names: Sequence[str]) -> Any:
    if value is None:
        return None
    for name in names:
        if value is None:
            raise Failed(f"nil has no field `{name}`")
        if isinstance(value, Struct):
            if name not in value.fields:
                raise Failed(f"{value.kind} has no field `{name}`")
            value = value.fields[name]
        elif isinstance(value, dict):
            value = value.get(name)
        else:
            raise Failed(f"type {kind_of(value)} has no field `{name}`")
    return value
