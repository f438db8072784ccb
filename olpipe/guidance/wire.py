"""Turn a JSON Schema as given into the wire schema, the form that the grammar is made from.

The wire schema allows a part of what the given schema allows, and it uses few keywords: one type, `enum`, `pattern`,
bounds, `anyOf`, and objects and arrays of these. Every text, list and recursion in it is bounded. Objects have only
the properties that the schema names, in the order in which it names them. That is the order of generation, too.

Two keywords cannot always be expressed in it. Repeated items that `uniqueItems` forbids are removed from the finished
document by `guidance.repair`. An overlap in `oneOf` is found when the finished document is judged.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from typing import Any

from olpipe.errors import SchemaError, nearest
from olpipe.guidance import limits
from olpipe.guidance.definitions import Definition, Definitions, key, needed
from olpipe.guidance.shapes import ArrayShape, ObjectShape, Places, Scalar, Shape

_DEEPEST_INLINE = 12
"""Schemas within schemas that are written in place. A deeper one is put under `$defs` and referred to."""


def wire_schema(schema: Mapping[str, Any], *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the wire schema of a schema.

    Args:
        schema: The schema as given.
        without: Top-level properties to leave out, because their values are known without the model.

    Raises:
        SchemaError: No document satisfies the schema, it cannot be enforced, or it is too large. The message says
            where.
    """
    # 1. Take the schema apart. A definition of infinite height has no finite value.
    definitions = Definitions(schema)
    if definitions.top.height == math.inf:
        raise _unsatisfiable(definitions)
    # 2. Write it with as much recursion as possible. Each further level multiplies the size of the wire schema.
    for levels in limits.NESTINGS:
        writer = _Writer(definitions, max(levels, int(definitions.top.height)), frozenset(without))
        try:
            return writer.write()
        except _TooLarge:
            continue
    raise SchemaError(f"the schema comes to more than {limits.MOST_WIRE_NODES} parts", hint="make it smaller")


def _unsatisfiable(definitions: Definitions) -> SchemaError:
    """Return an error that says which part of an unsatisfiable schema allows no value.

    The search begins at the root. From each definition it goes on to a part that every value must have, but that has
    no value.
    """
    nothing = "no document satisfies the schema: "
    definition, seen = definitions.top, set()
    where, part, parent = "$", definition.places, None
    while definition.shapes and id(definition) not in seen:
        seen.add(id(definition))
        parent = definition.shapes[0]
        missing = next((one for one in needed(parent) if definitions.of(one).height == math.inf), None)
        if missing is None:
            path = definition.places[0].path
            return SchemaError(f"{nothing}`{path}` asks for more items or properties than there can be")
        where, part, definition = definition.places[0].path, missing, definitions.of(missing)
    # 1. A limit of ours is not the schema's fault.
    if definition.limit is not None:
        path = definition.places[0].path
        return SchemaError(
            f"`{path}` allows only numbers beyond {definition.limit}, which olpipe does not generate",
            hint="ask for a string with a `pattern`, because many programs round such numbers",
        )
    # 2. A name that is required, and that nothing allows.
    if isinstance(parent, ObjectShape) and any(place.raw is False for place in part):
        name = next(name for name, places in parent.properties.items() if places is part)
        close = nearest(name, (other for other in parent.properties if other not in parent.required), limit=1)
        hint = f"did you mean `{close[0]}`?" if close else f"put `{name}` under `properties`"
        return SchemaError(f"{nothing}`{name}` is required at `{where}`, but {definition.reason}", hint=hint)
    return SchemaError(f"{nothing}{definition.reason or f'`{definition.places[0].path}` needs itself without end'}")


class _TooLarge(Exception):
    """The wire schema has too many parts with this much recursion."""


class _Writer:
    """Writes definitions as one wire schema.

    In all methods, `levels` is how many more times a value may recur, and `depth` is how many schemas are around the
    one that is written. A part is left out where its smallest value needs more levels than are left.
    """

    def __init__(self, definitions: Definitions, levels: int, without: frozenset[str]) -> None:
        self._definitions = definitions
        self._levels = levels
        self._without = without
        self._names: dict[tuple[tuple[int, ...], int], str] = {}  # names under `$defs`, by schemas and levels left
        self._shared: dict[str, Any] = {}  # what stands under `$defs`
        self._nodes = 0
        self._waiting: list[tuple[str, Definition, int]] = []  # named, but not written yet

    def write(self) -> dict[str, Any]:
        """Return the wire schema."""
        top = self._definitions.top
        wire = self._alternatives(top, self._levels, 0, self._without)
        if wire == {"anyOf": []}:
            known = ", ".join(f"`{name}`" for name in sorted(self._without))
            raise SchemaError(f"the schema has no room for {known} together with what it requires")
        while self._waiting:
            name, definition, levels = self._waiting.pop()
            self._shared[name] = self._alternatives(definition, levels, 0, frozenset())
        return wire | {"$defs": self._shared} if self._shared else wire

    def _reference(self, child: Places, parent: Definition, levels: int, depth: int) -> dict[str, Any]:
        """Return the wire schema of a part: the schema itself, or a reference to it.

        A part is written in place where it has no parts of its own, or where it is used only once and does not lie too
        deep. All other parts are written once, under `$defs`.
        """
        definition = self._definitions.of(child)
        levels -= definition.group == parent.group  # a part that leads back to its parent uses up a level
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
        """Return the wire schema of a definition: `anyOf` of its shapes, or its only shape."""
        possible = [shape for shape in definition.shapes if self._definitions.shape_height(shape, definition) <= levels]
        written: list[dict[str, Any]] = []
        for shape in possible:
            self._count()
            if without and isinstance(shape, ObjectShape):
                left = shape.without(without)
                written += [] if left is None else self._shape(left, definition, levels, depth)
            else:
                written += self._shape(shape, definition, levels, depth)
        return written[0] if len(written) == 1 else {"anyOf": written}

    def _shape(self, shape: Shape, parent: Definition, levels: int, depth: int) -> list[dict[str, Any]]:
        if isinstance(shape, Scalar):
            return [dict(shape.wire)]
        if isinstance(shape, ArrayShape):
            return self._array(shape, parent, levels, depth)
        return [self._object(shape, parent, levels, depth)]

    def _fits(self, child: Places, parent: Definition, levels: int) -> bool:
        """Say whether a part has a value that recurs no more often than the levels allow."""
        return self._definitions.child_height(child, parent) <= levels

    def _array(self, shape: ArrayShape, parent: Definition, levels: int, depth: int) -> list[dict[str, Any]]:
        # 1. The array ends before the first item that needs more levels than are left.
        most = shape.most
        for index, child in enumerate([*shape.prefix, shape.rest]):
            if not self._fits(child, parent, levels):
                most = min(most, index)
                break
        # 2. The items: those of the prefix one by one, then all further ones.
        wire: dict[str, Any] = {"type": "array"}
        prefix = [self._reference(child, parent, levels, depth) for child in shape.prefix[:most]]
        if prefix:
            wire["prefixItems"] = prefix
        rest = most > len(prefix)
        wire["items"] = self._reference(shape.rest, parent, levels, depth) if rest else False
        # 3. Where the items must be different and few values are possible, the array is no longer than that.
        values = self._definitions.values(shape) if shape.unique else None
        if values is not None:
            most = min(most, len(values))
        if shape.least:
            wire["minItems"] = shape.least
        wire["maxItems"] = most
        return [wire] if values is None else _arrangements(wire, values)

    def _object(self, shape: ObjectShape, parent: Definition, levels: int, depth: int) -> dict[str, Any]:
        # 1. The names: those whose values fit, and of optional names only as many as the object may have.
        names = [name for name, child in shape.properties.items() if self._fits(child, parent, levels)]
        required = self._required(shape, names)
        if shape.most is not None:
            spare = shape.most - len(required)
            optional = [name for name in names if name not in required][:spare]
            names = [name for name in names if name in required or name in optional]
        # 2. Their schemas.
        properties = {name: self._reference(shape.properties[name], parent, levels, depth) for name in names}
        wire: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            wire["required"] = required
        # 3. Names that the model makes up, where the object may have more names than the schema gives.
        maps = [(expression, child) for expression, child in shape.maps if self._fits(child, parent, levels)]
        if maps and (shape.most is None or shape.most > len(names)):
            self._further(wire, shape, [(e, self._reference(child, parent, levels, depth)) for e, child in maps])
        return wire

    def _required(self, shape: ObjectShape, names: list[str]) -> list[str]:
        """Return the names to require: those that are required, and the first others until `minProperties` is met."""
        missing = shape.least - len(shape.required)
        optional = [name for name in names if name not in shape.required]
        required = shape.required | set(optional[: max(0, missing)])
        return [name for name in names if name in required]

    def _further(self, wire: dict[str, Any], shape: ObjectShape, maps: list[tuple[str, dict[str, Any]]]) -> None:
        """Allow names that the schema does not give, each with the schema of its value.

        An empty expression stands for any name that is not empty. A forbidden name gets the schema `false`.
        """
        forbidden = set(shape.forbidden)
        for expression, child in maps:
            if expression:
                wire.setdefault("patternProperties", {})[expression] = child
            else:
                wire["additionalProperties"] = child
                forbidden |= {""} - wire["properties"].keys()
        wire["properties"] |= dict.fromkeys(sorted(forbidden), False)
        if shape.least > len(wire.get("required", ())):
            wire["minProperties"] = shape.least
        if shape.most is not None:
            wire["maxProperties"] = shape.most


def makes_up_names(wire: Mapping[str, Any]) -> bool:
    """Say whether the model makes up names of properties in documents of a wire schema."""
    waiting: list[Any] = [wire]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            if "patternProperties" in part or isinstance(part.get("additionalProperties"), Mapping):
                return True
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return False


def _arrangements(wire: dict[str, Any], values: list[Any]) -> list[dict[str, Any]]:
    """Return alternatives of an array whose required items are all different; none when there are too few values.

    All required items but the last are spelled out, in every order. The last one has any of the values that are left.
    Where that would be too many alternatives, the array stays as it is, as do its items behind the required ones.
    `guidance.repair` removes what is repeated there.
    """
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
