"""From a JSON Schema as given to the wire schema that the decoder holds the model to.

The wire schema allows a part of what the given one allows, in few words: one type, `enum`, `pattern`,
bounds, `anyOf`, and objects and arrays of such. Every text, list and recursion in it is bounded, objects
have just the properties that the schema names, in the order in which it names them, which is the order
of generation. What it cannot say is left to `guidance.repair` (`uniqueItems`) or to the judge of the
finished document (an overlap in `oneOf`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from typing import Any

from olpipe.errors import SchemaError
from olpipe.guidance import limits
from olpipe.guidance.definitions import Definition, Definitions, key, needed
from olpipe.guidance.shapes import ArrayShape, ObjectShape, Places, Scalar, Shape

_DEEPEST_INLINE = 12


def wire_schema(schema: Mapping[str, Any], *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the schema to decode to, less the top-level properties whose value is known.

    Raises:
        SchemaError: No document satisfies it, it asks for what cannot be held, or it is too large; says where.
    """
    definitions = Definitions(schema)
    if definitions.top.height == math.inf:
        raise SchemaError(f"no document satisfies the schema: {_reason(definitions)}")
    for levels in limits.NESTINGS:
        writer = _Writer(definitions, max(levels, int(definitions.top.height)), frozenset(without))
        try:
            return writer.write()
        except _TooLarge:
            continue
    raise SchemaError(f"the schema comes to more than {limits.MOST_WIRE_NODES} parts", hint="make it smaller")


def _reason(definitions: Definitions) -> str:
    """Say what in an unsatisfiable schema allows nothing."""
    definition, seen = definitions.top, set()
    while definition.shapes and id(definition) not in seen:
        seen.add(id(definition))
        parts = map(definitions.of, needed(definition.shapes[0]))
        missing = next((part for part in parts if part.height == math.inf), None)
        if missing is None:
            return f"`{definition.places[0].path}` asks for more items or properties than there can be"
        definition = missing
    return definition.reason or f"`{definition.places[0].path}` needs itself without end"


class _TooLarge(Exception):
    """The wire schema has too many parts at this nesting."""


class _Writer:
    """Writes definitions as one wire schema."""

    def __init__(self, definitions: Definitions, levels: int, without: frozenset[str]) -> None:
        self._definitions = definitions
        self._levels = levels
        self._without = without
        self._names: dict[tuple[tuple[int, ...], int], str] = {}
        self._shared: dict[str, Any] = {}
        self._nodes = 0
        self._waiting: list[tuple[str, Definition, int]] = []

    def write(self) -> dict[str, Any]:
        """Return the wire schema."""
        top = self._definitions.top
        wire = self._alternatives(top, self._levels, 0, self._without)
        while self._waiting:
            name, definition, levels = self._waiting.pop()
            self._shared[name] = self._alternatives(definition, levels, 0, frozenset())
        return wire | {"$defs": self._shared} if self._shared else wire

    def _reference(self, child: Places, parent: Definition, levels: int, depth: int) -> dict[str, Any]:
        """Return the wire schema of a part, written where it is or referred to."""
        definition = self._definitions.of(child)
        levels -= definition.group == parent.group
        if all(isinstance(shape, Scalar) for shape in definition.shapes) or (
            depth < _DEEPEST_INLINE and self._definitions.uses[key(child)] == 1
        ):
            return self._alternatives(definition, levels, depth + 1, frozenset())
        identity = (key(child), levels)
        if identity not in self._names:
            self._names[identity] = f"d{len(self._names)}"
            self._waiting.append((self._names[identity], definition, levels))
        self._count()
        return {"$ref": f"#/$defs/{self._names[identity]}"}

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > limits.MOST_WIRE_NODES:
            raise _TooLarge

    def _alternatives(self, definition: Definition, levels: int, depth: int, without: frozenset[str]) -> dict[str, Any]:
        possible = [shape for shape in definition.shapes if self._definitions.shape_height(shape, definition) <= levels]
        written: list[dict[str, Any]] = []
        for shape in possible:
            self._count()
            written += self._shape(shape, definition, levels, depth, without)
        return written[0] if len(written) == 1 else {"anyOf": written}

    def _shape(
        self, shape: Shape, parent: Definition, levels: int, depth: int, without: frozenset[str]
    ) -> list[dict[str, Any]]:
        if isinstance(shape, Scalar):
            return [dict(shape.wire)]
        if isinstance(shape, ArrayShape):
            return self._array(shape, parent, levels, depth)
        return [self._object(shape, parent, levels, depth, without)]

    def _fits(self, child: Places, parent: Definition, levels: int) -> bool:
        return self._definitions.child_height(child, parent) <= levels

    def _array(self, shape: ArrayShape, parent: Definition, levels: int, depth: int) -> list[dict[str, Any]]:
        most = shape.most
        for index, child in enumerate([*shape.prefix, shape.rest]):
            if not self._fits(child, parent, levels):
                most = min(most, index)
                break
        wire: dict[str, Any] = {"type": "array"}
        prefix = [self._reference(child, parent, levels, depth) for child in shape.prefix[:most]]
        if prefix:
            wire["prefixItems"] = prefix
        rest = most > len(prefix)
        wire["items"] = self._reference(shape.rest, parent, levels, depth) if rest else False
        values = self._definitions.values(shape) if shape.unique else None
        if values is not None:
            most = min(most, len(values))
        if shape.least:
            wire["minItems"] = shape.least
        wire["maxItems"] = most
        return [wire] if values is None else _arrangements(wire, values)

    def _object(
        self, shape: ObjectShape, parent: Definition, levels: int, depth: int, without: frozenset[str]
    ) -> dict[str, Any]:
        names = [name for name, child in shape.properties.items() if self._fits(child, parent, levels)]
        required = self._required(shape, names)
        if shape.most is not None:
            spare = shape.most - len(required)
            optional = [name for name in names if name not in required][:spare]
            names = [name for name in names if name in required or name in optional]
        properties = {
            name: self._reference(shape.properties[name], parent, levels, depth)
            for name in names
            if name not in without
        }
        wire: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        required = [name for name in required if name not in without]
        if required:
            wire["required"] = required
        maps = [(expression, child) for expression, child in shape.maps if self._fits(child, parent, levels)]
        if maps and (shape.most is None or shape.most > len(names)):
            self._further(wire, shape, [(e, self._reference(child, parent, levels, depth)) for e, child in maps])
        return wire

    def _required(self, shape: ObjectShape, names: list[str]) -> list[str]:
        """Return the names to require: as many as the object must have at least, the first ones first."""
        missing = shape.least - len(shape.required)
        optional = [name for name in names if name not in shape.required]
        required = shape.required | set(optional[: max(0, missing)])
        return [name for name in names if name in required]

    def _further(self, wire: dict[str, Any], shape: ObjectShape, maps: list[tuple[str, dict[str, Any]]]) -> None:
        """Allow names that the schema does not give."""
        for expression, child in maps:
            if expression:
                wire.setdefault("patternProperties", {})[expression] = child
            else:
                wire["additionalProperties"] = child
        wire["properties"] |= dict.fromkeys(sorted(shape.forbidden), False)
        if shape.least > len(wire.get("required", ())):
            wire["minProperties"] = shape.least
        if shape.most is not None:
            wire["maxProperties"] = shape.most


def _arrangements(wire: dict[str, Any], values: list[Any]) -> list[dict[str, Any]]:
    """Return arrays whose first items, as many as there must be, are different; none when values are too few."""
    least = wire.get("minItems", 0)
    if least > len(values):
        return []
    if least < 2 or math.perm(len(values), least - 1) > limits.MOST_ARRANGEMENTS:
        return [wire]
    result = []
    for first in itertools.permutations(values, least - 1):
        left = [value for value in values if not any(value is one for one in first)]
        result.append(wire | {"prefixItems": [*({"enum": [value]} for value in first), {"enum": left}]})
    return result
