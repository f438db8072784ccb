"""Find out from the syntax tree of a chat template in which form it expects a conversation.

Templates disagree on two things. Some take the `content` of a message as a text, some as a list of parts, and many take
both. Most take the arguments of a tool call as an object, but some add them to a text.
"""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import nodes

_PICKING = frozenset({"selectattr", "rejectattr"})  # filters of a list
_PART_KEYS = frozenset({"text", "type"})  # what a part has, and a text does not


@dataclass(frozen=True, slots=True)
class TemplateShape:
    """The form in which a template expects a conversation.

    Attributes:
        takes_texts: Whether the content of a message may be a text.
        takes_parts: Whether the content of a message may be a list of parts.
        joins_arguments: Whether the arguments of a tool call must be a text.
    """

    takes_texts: bool = True
    takes_parts: bool = False
    joins_arguments: bool = False

    @classmethod
    def of(cls, tree: nodes.Template) -> TemplateShape:
        """Find out from a syntax tree."""
        content = _Content(tree)
        lookups = [_lookup(node) for node in tree.find_all((nodes.Getattr, nodes.Getitem))]
        # 1. Parts, if the template loops over the content, filters it as a list, or looks for the keys of a part.
        parts = (
            any(content.is_meant(loop.iter) for loop in tree.find_all(nodes.For))
            or any(each.name in _PICKING and content.is_meant(each.node) for each in tree.find_all(nodes.Filter))
            or any(key in _PART_KEYS and content.is_item(subject) for subject, key in lookups)
        )
        # 2. Texts, if the template asks whether the content is a string. One that does neither takes texts.
        texts = any(test.name == "string" and content.is_meant(test.node) for test in tree.find_all(nodes.Test))
        # 3. Whether the template adds the arguments of a tool call to a text.
        terms = (term for each in tree.find_all(nodes.Add) for term in (each.left, each.right))
        joins = any(_lookup(term)[1] == "arguments" for term in terms)
        return cls(texts or not parts, parts, joins)

    def wants_parts(self, *, images: bool) -> bool:
        """Say whether to give a message as parts. A template that takes both gets parts only where there are images."""
        return self.takes_parts and (images or not self.takes_texts)


class _Content:
    """Knows which expressions of a template mean the content of a message.

    These are lookups of the key `content`, variables that such an expression is assigned to, and parameters of macros
    that it is given to.
    """

    def __init__(self, tree: nodes.Template) -> None:
        self._names: set[str] = set()
        macros = {macro.name: macro for macro in tree.find_all(nodes.Macro)}
        known = -1
        while known < len(self._names):  # a variable may be assigned to another one, so this goes on until none is new
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
        """Say whether an expression means the content of a message, perhaps filtered."""
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
        """Say whether an expression means one item of a message's content, picked by its index."""
        subject, key = _lookup(node)
        return type(key) is int and self.is_meant(subject)


def _lookup(node: nodes.Node | None) -> tuple[nodes.Node | None, object]:
    """Return the object that an expression looks into, and the key or attribute; both are None if it is no lookup."""
    if isinstance(node, nodes.Getattr):
        return node.node, node.attr
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return node.node, node.arg.value
    return None, None
