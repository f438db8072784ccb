"""The sandbox that chat templates run in: what they may use, and how much of it.

Templates come with models, so they are code from strangers. They get the same names and filters as in the library
transformers, which model makers take as their reference. Here, loops and sizes have limits as well: a template that
never ends would block all other requests.
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
"""Most rounds of loops in one rendering. A template may loop over all turns within each turn, for a thousand turns."""

MOST_CHARACTERS = 1 << 26
"""The longest text that a rendering, or a multiplication in it, may give."""

_STEPS_OF_A_CALL = 10  # a call of a macro counts as so many rounds of a loop
_MOST_BITS = 1 << 14  # of a number that a multiplication may give
# Noncharacters mark places in texts, so they are never escaped.
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f\ufdd0-\ufdef]")


class Refused(TemplateError):
    """A template calls `raise_exception`, because it does not take such a conversation."""


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one template. It renders one conversation at a time."""

    # Jinja sends these operators to `call_binop`. It also stops to compute them while it compiles a template, where a
    # huge result could not be prevented.
    intercepted_binops = frozenset({"*", "**"})

    def __init__(self, now: Callable[[], datetime]) -> None:
        """Set up for one template.

        Args:
            now: Returns the time, for templates that write the date.
        """
        # 1. White space as in the reference, `{% generation %}`, and `{% break %}` and `{% continue %}`.
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])
        # 2. The names that templates may use.
        self.filters["tojson"] = to_json
        self.globals |= {"raise_exception": _refuse, "strftime_now": lambda format: now().strftime(format)}
        self.globals |= {"dict": _Dict(), "namespace": _Namespace}
        self._steps = 0

    def compile_limited(self, tree: nodes.Template) -> Template:
        """Compile a parsed template, and add a count to its loops and macros.

        Each round of a loop is one step, and each call of a macro is several.
        """
        # 1. At the beginning of each loop's body. The rounds that a loop's own condition skips count, too.
        for loop in tree.find_all(nodes.For):
            loop.body.insert(0, nodes.ExprStmt(nodes.EnvironmentAttribute("step"), lineno=loop.lineno))
            if loop.test is not None:
                loop.test = nodes.And(nodes.EnvironmentAttribute("step"), loop.test, lineno=loop.lineno)
        # 2. At the beginning of each macro: macros may call each other without a loop.
        for macro in tree.find_all(nodes.Macro):
            macro.body.insert(0, nodes.ExprStmt(nodes.EnvironmentAttribute("call_step"), lineno=macro.lineno))
        tree.set_environment(self)
        return Template.from_code(self, self.compile(tree), self.make_globals(None))

    def render_limited(self, template: Template, variables: dict[str, Any]) -> str:
        """Render a template within the limits.

        Raises:
            TemplateError: The template refuses the conversation, fails, or goes beyond a limit. Its code may also raise
                any other error of Python.
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

    # Compiled templates count by looking up a property. In a sandbox a call would take ten times as long.
    @property
    def step(self) -> bool:
        """Count a round of a loop. The value is always true, so that it may stand in a condition."""
        return self._count(1)

    @property
    def call_step(self) -> bool:
        """Count a call of a macro. The value is always true."""
        return self._count(_STEPS_OF_A_CALL)

    def _count(self, steps: int) -> bool:
        """Count steps, and end the rendering when there are too many."""
        self._steps -= steps
        if self._steps < 0:
            raise SecurityError(f"its loops take more than {MOST_STEPS:,} rounds")
        return True

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Multiply or raise to a power, unless the result would be huge."""
        # 1. How large the result would be: bits of a number, or characters or items of what is repeated.
        if operator == "**":
            huge = isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > _MOST_BITS
        elif isinstance(left, int) and isinstance(right, int):
            huge = left.bit_length() + right.bit_length() > _MOST_BITS
        else:
            huge = _length(left) * _length(right) > MOST_CHARACTERS
        # 2. The operation itself.
        if huge:
            raise SecurityError("it multiplies to something huge")
        return super().call_binop(context, operator, left, right)


class Generation(Extension):
    """The tag `{% generation %}`. Training uses it to find what the model itself writes. Here its body is rendered."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        """Read the tag. As in the reference, a name that is set within it is not known after it."""
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Return a value as JSON. The arguments and their order are those of the reference.

    Jinja's own filter would escape characters that are special in HTML.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators, sort_keys=sort_keys)
    return _BEYOND_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], text) if ensure_ascii else text


class _Dict:
    """What templates call `dict`. Python's own class also has methods that change other dictionaries."""

    def __call__(self, *pairs: Any, **named: Any) -> dict[Any, Any]:
        return dict(*pairs, **named)

    def fromkeys(self, *arguments: Any) -> dict[Any, Any]:
        return dict.fromkeys(*arguments)


class _Namespace(Namespace):
    """What templates call `namespace`. It refuses names that begin with `_`: such names give access to Python."""

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
    """Return how long a sequence is, or how many times a number would repeat a sequence."""
    return max(value, 0) if isinstance(value, int) else len(value) if hasattr(value, "__len__") else 1


def _refuse(message: Any) -> NoReturn:
    raise Refused(str(message))
