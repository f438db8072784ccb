"""The sandbox that chat templates run in: what they may use, and how much of it.

Templates come from model files, so they are a stranger's code. What they see is what the model makers' reference shows
them. On top of that, loops and sizes have limits here: a template that never ends would hold up every request.
Source: https://github.com/huggingface/transformers/blob/main/src/transformers/utils/chat_template_utils.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Environment, Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

MOST_STEPS = 2_000_000
"""Rounds of loops in one rendering. A template that goes through all turns at each turn may see a thousand of them."""

MOST_CHARACTERS = 1 << 26
"""The longest text that a rendering, or a multiplication in it, may give."""

_STEPS_OF_A_CALL = 10
_MOST_BITS = 1 << 14
# Noncharacters stay as they are: they mark places in texts.
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f\ufdd0-\ufdef]")


class Refused(TemplateError):
    """A template calls `raise_exception`: it does not take such a conversation."""


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one template. It renders one conversation at a time."""

    # Jinja would work these out while it compiles, however large the result.
    intercepted_binops = frozenset({"*", "**"})

    def __init__(self, now: Callable[[], datetime]) -> None:
        """Set up for one template.

        Args:
            now: Tells the time to templates that write the date.
        """
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])
        self.filters["tojson"] = to_json
        self.globals |= {"raise_exception": _refuse, "strftime_now": lambda format: now().strftime(format)}
        self.globals |= {"dict": _Dict(), "namespace": _Namespace}
        self._steps = 0

    def compile_limited(self, tree: nodes.Template) -> Template:
        """Compile a parsed template. Each round of a loop counts as a step, and each call of a macro as several."""
        for loop in tree.find_all(nodes.For):
            loop.body.insert(0, nodes.ExprStmt(nodes.EnvironmentAttribute("step"), lineno=loop.lineno))
            if loop.test is not None:
                loop.test = nodes.And(nodes.EnvironmentAttribute("step"), loop.test, lineno=loop.lineno)
        for macro in tree.find_all(nodes.Macro):
            macro.body.insert(0, nodes.ExprStmt(nodes.EnvironmentAttribute("call_step"), lineno=macro.lineno))
        tree.set_environment(self)
        return Template.from_code(self, self.compile(tree), self.make_globals(None))

    def render_limited(self, template: Template, variables: dict[str, Any]) -> str:
        """Render, within the limits.

        Raises:
            TemplateError: The template refuses, fails, or goes beyond a limit. It may raise all else that Python does.
        """
        self._steps = MOST_STEPS
        pieces: list[str] = []
        room = MOST_CHARACTERS
        for piece in template.generate(variables):
            room -= len(piece)
            if room < 0:
                raise SecurityError(f"it writes more than {MOST_CHARACTERS:,} characters")
            pieces.append(piece)
        return "".join(pieces)

    # Compiled templates look these up. A call would cost ten times as much in a sandbox.
    @property
    def step(self) -> bool:
        """Count a round of a loop; always true."""
        return self._count(1)

    @property
    def call_step(self) -> bool:
        """Count a call of a macro; always true."""
        return self._count(_STEPS_OF_A_CALL)

    def _count(self, steps: int) -> bool:
        self._steps -= steps
        if self._steps < 0:
            raise SecurityError(f"its loops take more than {MOST_STEPS:,} rounds")
        return True

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Multiply, unless the result would be huge."""
        if operator == "**":
            huge = isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > _MOST_BITS
        elif isinstance(left, int) and isinstance(right, int):
            huge = left.bit_length() + right.bit_length() > _MOST_BITS
        else:
            huge = _length(left) * _length(right) > MOST_CHARACTERS
        if huge:
            raise SecurityError("it multiplies to something huge")
        return super().call_binop(context, operator, left, right)


class Generation(Extension):
    """The tag `{% generation %}`, around what the model itself writes. Training goes by it; it renders its body."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        """Read the tag. As in the reference, names that are set within are not known behind it."""
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON with the reference's arguments, in its order. Jinja's own filter would escape what HTML knows."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators, sort_keys=sort_keys)
    return _BEYOND_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], text) if ensure_ascii else text


class _Dict:
    """What templates call `dict`: the class itself has methods that change the values of others."""

    def __call__(self, *pairs: Any, **named: Any) -> dict[Any, Any]:
        return dict(*pairs, **named)

    def fromkeys(self, *arguments: Any) -> dict[Any, Any]:
        return dict.fromkeys(*arguments)


class _Namespace(Namespace):
    """What templates call `namespace`: without names that begin with `_`, which reach into Python."""

    def __init__(self, /, *pairs: Any, **named: Any) -> None:
        attributes = dict(*pairs, **named)
        for name in attributes:
            _check_name(name)
        super().__init__(attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"it keeps `{name}` in a namespace, where no name may begin with `_`")


def _length(value: Any) -> int:
    """Return how long a sequence is, or how often a number repeats one."""
    return max(value, 0) if isinstance(value, int) else len(value) if hasattr(value, "__len__") else 1


def _refuse(message: Any) -> NoReturn:
    raise Refused(str(message))
