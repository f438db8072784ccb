"""What a chat template expects of a conversation, told by its syntax tree.

Templates disagree on two things. A message's `content` is a text to some of them, a list of parts to others, and either
to many. The arguments of a tool call are an object to most, but some add them to a text.
"""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import nodes

_PICKING = frozenset({"selectattr", "rejectattr"})
_PART_KEYS = frozenset({"text", "type"})


@dataclass(frozen=True, slots=True)
class TemplateShape:
    """What a template can read.

    Attributes:
        takes_texts: Whether a message's content may be a text.
        takes_parts: Whether it may be a list of parts.
        joins_arguments: Whether the arguments of a tool call have to be a text.
    """

    takes_texts: bool = True
    takes_parts: bool = False
    joins_arguments: bool = False

    @classmethod
    def of(cls, tree: nodes.Template) -> TemplateShape:
        """Read a syntax tree."""
        content = _Content(tree)
        lookups = [_lookup(node) for node in tree.find_all((nodes.Getattr, nodes.Getitem))]
        parts = (
            any(content.is_meant(loop.iter) for loop in tree.find_all(nodes.For))
            or any(each.name in _PICKING and content.is_meant(each.node) for each in tree.find_all(nodes.Filter))
            or any(key in _PART_KEYS and content.is_item(subject) for subject, key in lookups)
        )
        texts = any(test.name == "string" and content.is_meant(test.node) for test in tree.find_all(nodes.Test))
        terms = (term for each in tree.find_all(nodes.Add) for term in (each.left, each.right))
        joins = any(_lookup(term)[1] == "arguments" for term in terms)
        return cls(texts or not parts, parts, joins)

    def wants_parts(self, *, images: bool) -> bool:
        """Return whether a message is given as parts; a template that takes both gets a text where that is all."""
        return self.takes_parts and (images or not self.takes_texts)


class _Content:
    """Knows which expressions of a template mean a message's content: the key itself, and names that it is given."""

    def __init__(self, tree: nodes.Template) -> None:
        self._names: set[str] = set()
        macros = {macro.name: macro for macro in tree.find_all(nodes.Macro)}
        known = -1
        while known < len(self._names):  # a name may be given to another name
            known = len(self._names)
            for given in tree.find_all(nodes.Assign):
                if isinstance(given.target, nodes.Name) and self.is_meant(given.node):
                    self._names.add(given.target.name)
            for call in tree.find_all(nodes.Call):
                macro = macros.get(call.node.name) if isinstance(call.node, nodes.Name) else None
                if macro is not None:
                    named = [(name.name, value) for name, value in zip(macro.args, call.args, strict=False)]
                    named += [(each.key, each.value) for each in call.kwargs]
                    self._names |= {name for name, value in named if self.is_meant(value)}

    def is_meant(self, node: nodes.Node | None) -> bool:
        """Return whether an expression is a message's content, perhaps filtered."""
        if isinstance(node, nodes.Name):
            return node.name in self._names
        if isinstance(node, nodes.Filter):
            return self.is_meant(node.node)
        if isinstance(node, nodes.Or):
            return self.is_meant(node.left)
        if isinstance(node, nodes.Call):
            asked = node.args and isinstance(node.args[0], nodes.Const) and node.args[0].value == "content"
            return bool(asked) and _lookup(node.node)[1] == "get"
        return _lookup(node)[1] == "content"

    def is_item(self, node: nodes.Node | None) -> bool:
        """Return whether an expression is one item of a message's content, picked by its number."""
        subject, key = _lookup(node)
        return type(key) is int and self.is_meant(subject)


def _lookup(node: nodes.Node | None) -> tuple[nodes.Node | None, object]:
    """Return what an expression looks into, and the key or attribute where that is spelled out."""
    if isinstance(node, nodes.Getattr):
        return node.node, node.attr
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return node.node, node.arg.value
    return None, None
