"""Turn the tokens of a template into its syntax tree."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from olpipe.families.go_template import nodes
from olpipe.families.go_template.lexer import Invalid, Token, constant, tokens

MOST_DEPTH = 100
"""How deep blocks and parentheses may lie in each other."""

_BRANCHES = ("if", "with", "range")
_CONSTANTS = {"true": True, "false": False, "nil": None}
_ENDS = ("end", "else")
_KEYWORDS = (*_BRANCHES, *_ENDS, "define", "block", "template", "break", "continue")


def parse(source: str, functions: Collection[str]) -> nodes.Tree:
    """Return the syntax tree of a template.

    Args:
        source: Its text.
        functions: The names of the functions that it may use.

    Raises:
        Invalid: It is not valid.
    """
    return _Parser(list(tokens(source)), functions).tree()


class _Parser:
    def __init__(self, found: list[Token], functions: Collection[str]) -> None:
        last = found[-1].line if found else 1
        self._tokens = [*found, Token("nothing", "", last)]
        self._at = 0
        self._functions = functions
        self._variables = ["$"]
        self._defined: dict[str, nodes.Nodes] = {}
        self._depth = 0
        self._loops = 0

    def tree(self) -> nodes.Tree:
        root, end = self._nodes()
        if end is not None:
            raise Invalid(f"`{{{{ {end.text} }}}}` ends nothing", end.line)
        return nodes.Tree(root, self._defined)

    # --- blocks ---------------------------------------------------------------------------------

    def _nodes(self) -> tuple[nodes.Nodes, Token | None]:
        """Return the nodes up to `end` or `else`, and that word; None where the template ends."""
        found: list[nodes.Node] = []
        while True:
            token = self._next()
            if token.kind == "nothing":
                return tuple(found), None
            if token.kind == "outside":
                found.append(nodes.Text(token.text))
                continue
            word = self._peek()
            if word.kind != "word" or word.text not in _KEYWORDS:
                found.append(nodes.Action(self._pipe("close")))
                continue
            self._next()
            if word.text in _ENDS:
                return tuple(found), word
            node = self._keyword(word)
            if node is not None:
                found.append(node)

    def _keyword(self, word: Token) -> nodes.Node | None:
        if word.text in _BRANCHES:
            return self._branch(word)
        if word.text in ("break", "continue"):
            if not self._loops:
                raise Invalid(f"`{word.text}` is in no `range`", word.line)
            self._expect("close")
            return nodes.Jump(word.text)
        name = self._name(word)
        if word.text == "define":
            if self._depth:
                raise Invalid("a `define` stands in another block", word.line)
            self._expect("close")
            self._define(name, word)
            return None
        pipe = None
        if self._peek().kind == "close":
            self._next()
        else:
            pipe = self._pipe("close")
        if word.text == "block":
            self._define(name, word)
        return nodes.Call(name, pipe, word.line)

    def _branch(self, word: Token) -> nodes.Branch:
        with self._deeper(word), self._scope():
            self._loops += word.text == "range"
            pipe = self._pipe("close", in_range=word.text == "range")
            body, end = self._nodes()
            self._loops -= word.text == "range"
            otherwise: nodes.Nodes = ()
            if end is not None and end.text == "else":
                following = self._peek()
                if following.kind == "word" and following.text in ("if", "with") and word.text == following.text:
                    self._next()
                    return nodes.Branch(word.text, pipe, body, (self._branch(following),))
                self._expect("close")
                otherwise, end = self._nodes()
            self._ended(end, word)
            return nodes.Branch(word.text, pipe, body, otherwise)

    def _define(self, name: str, word: Token) -> None:
        """Read the body of a template with a name. It knows no variables of the template around it."""
        variables, self._variables = self._variables, ["$"]
        loops, self._loops = self._loops, 0
        with self._deeper(word):
            body, end = self._nodes()
        self._ended(end, word)
        self._variables, self._loops = variables, loops
        self._defined[name] = body

    def _ended(self, end: Token | None, word: Token) -> None:
        if end is None or end.text != "end":
            raise Invalid(f"`{{{{ {word.text} }}}}` has no `{{{{ end }}}}`", word.line)
        self._expect("close")

    def _name(self, word: Token) -> str:
        token = self._next()
        if token.kind not in ("text", "raw"):
            raise Invalid(f"`{word.text}` needs the name of a template in quotes", word.line)
        return str(constant(token))

    # --- expressions ----------------------------------------------------------------------------

    def _pipe(self, end: str, *, in_range: bool = False) -> nodes.Pipe:
        line = self._peek().line
        variables, declares = self._targets(in_range=in_range)
        commands: list[nodes.Command] = []
        while True:
            commands.append(self._command())
            token = self._next()
            if token.kind == end or token.text == end:
                break
            if token.text != "|":
                raise Invalid(_unexpected(token), token.line)
        if any(isinstance(one.operands[0], nodes.Constant) for one in commands[1:]):
            raise Invalid("a constant behind `|` takes no argument", line)
        if declares:
            self._variables += variables
        return nodes.Pipe(tuple(commands), variables, declares, line)

    def _targets(self, *, in_range: bool) -> tuple[tuple[str, ...], bool]:
        """Read `$a :=`, `$a =` or, with `range`, `$a, $b :=`; nothing where no variable gets the value."""
        ahead = self._tokens[self._at : self._at + 4]
        signs = [token.text if token.kind == "sign" else token.kind for token in ahead]
        if signs[:2] in (["variable", ":="], ["variable", "="]):
            count = 1
        elif in_range and signs[:3] == ["variable", ",", "variable"] and signs[3:] in ([":="], ["="]):
            count = 2
        else:
            return (), True
        variables = tuple(token.text for token in ahead[: count * 2 : 2])
        declares = ahead[2 * count - 1].text == ":="
        for token in ahead[: count * 2 : 2]:
            if not declares:
                self._known(token)
        self._at += 2 * count
        return variables, declares

    def _command(self) -> nodes.Command:
        operands: list[nodes.Operand] = []
        while True:
            token = self._peek()
            if token.kind in ("close", "nothing") or token.text in ("|", ")"):
                break
            if operands and not token.spaced:
                raise Invalid(_unexpected(token), token.line)
            operands.append(self._operand())
        if not operands:
            raise Invalid("a value is missing", self._peek().line)
        if len(operands) > 1 and not isinstance(
            operands[0], nodes.Function | nodes.Field | nodes.Variable | nodes.Chain
        ):
            raise Invalid("what is no function takes no arguments", self._peek().line)
        return nodes.Command(tuple(operands))

    def _operand(self) -> nodes.Operand:
        subject = self._term()
        names = []
        while (token := self._peek()).kind == "field" and not token.spaced:
            names.append(self._next().text[1:])
        if not names:
            return subject
        match subject:
            case nodes.Field(before):
                return nodes.Field((*before, *names))
            case nodes.Variable(name, before):
                return nodes.Variable(name, (*before, *names))
            case nodes.Dot():
                return nodes.Field(tuple(names))
            case nodes.Constant():
                raise Invalid(f"a constant has no `.{names[0]}`", token.line)
        return nodes.Chain(subject, tuple(names))

    def _term(self) -> nodes.Operand:
        token = self._next()
        if token.kind in ("text", "raw", "char", "number"):
            return nodes.Constant(constant(token))
        if token.kind == "field":
            return nodes.Field((token.text[1:],))
        if token.kind == "variable":
            self._known(token)
            return nodes.Variable(token.text)
        if token.kind == "word":
            if token.text in _CONSTANTS:
                return nodes.Constant(_CONSTANTS[token.text])
            if token.text not in self._functions:
                raise Invalid(f"there is no function `{token.text}`", token.line)
            return nodes.Function(token.text)
        if token.text == ".":
            return nodes.Dot()
        if token.text == "(":
            with self._deeper(token):
                return self._pipe(")")
        raise Invalid(_unexpected(token), token.line)

    # --- within ---------------------------------------------------------------------------------

    def _known(self, token: Token) -> None:
        if token.text not in self._variables:
            raise Invalid(f"there is no variable `{token.text}`", token.line)

    @contextmanager
    def _scope(self) -> Iterator[None]:
        """Forget at the end of a block the variables that it declares."""
        known = len(self._variables)
        yield
        del self._variables[known:]

    @contextmanager
    def _deeper(self, token: Token) -> Iterator[None]:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise Invalid(f"it has more than {MOST_DEPTH} blocks in each other", token.line)
        yield
        self._depth -= 1

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        if token.kind != "nothing":
            self._at += 1
        return token

    def _expect(self, kind: str) -> None:
        token = self._next()
        if token.kind != kind:
            raise Invalid(_unexpected(token), token.line)


def _unexpected(token: Token) -> str:
    return f"`{token.text}` stands at a wrong place" if token.text else "the template ends in the middle"
