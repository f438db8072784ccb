"""Random JSON Schemas, each with a document that satisfies it."""

from __future__ import annotations

from random import Random
from typing import Any

_WORDS = ("dog", "cat", "red house", "naïve", "北京", "ключ", "🙂", 'say "hi"', "a\\b", "tab\there", "", "x-1")
_NAMES = ("id", "name", "tags", "größe", "名前", "a b", "x.y", "$ref", "items", 'quo"te', "emoji🙂", "type", "ключ")

# (expression, a text that satisfies it)
_PATTERNS = (
    ("^[A-Z]{2,3}-[0-9]{4}$", "AB-1234"),
    ("^(foo|bar)+$", "foobar"),
    (r"^\d{3}\s\w+$", "123 abc"),
    ("[aeiou]{2}", "queue"),
    (r"^[^\s,]+(, ?[^\s,]+)*$", "a, b,c"),
    ("^#[0-9a-fA-F]{6}$", "#00ffAA"),
    (r"^(?=.*[0-9])(?=.*[a-z]).{4,12}$", "pass1"),
    (r"^\S{1,8}$", "word"),
    (r"^[\w.+-]+@[\w-]+\.[\w.]+$", "a.b@c.de"),
    ("", "anything"),
)
_FORMATS = {
    "date": "2024-02-29",
    "time": "12:30:00Z",
    "date-time": "2024-02-29T12:30:00+02:00",
    "duration": "P1DT2H",
    "email": "someone@example.org",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.org/a?b=c#d",
    "uri-reference": "/a/b",
    "iri": "https://example.org/",
    "idn-email": "someone@example.org",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
    "json-pointer": "/a/0",
    "relative-json-pointer": "1/a",
    "regex": "^a+$",
    "uri-template": "https://example.org/{id}",
    "no-such-format": "anything",
}


def draw(random: Random) -> tuple[dict[str, Any], Any]:
    """Return a random schema, an object or an array at its top, and a document that satisfies it."""
    drawing = _Drawing(random)
    schema, example = random.choice((drawing.record, drawing.record, drawing.draw_list, drawing.union))(
        random.randint(1, 3)
    )
    if drawing.definitions:
        schema = {"$defs": drawing.definitions, **schema}
    return schema, example


class _Drawing:
    """Draws one schema; keeps what `$ref` refers to."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.definitions: dict[str, Any] = {}

    def draw_any(self, depth: int) -> tuple[dict[str, Any], Any]:
        """Return any schema, nested at most `depth` levels."""
        plain = (self.text, self.text, self.number, self.flag, self.choice, self.formatted, self.pattern)
        nested = (
            self.record,
            self.record,
            self.draw_list,
            self.draw_tuple,
            self.draw_map,
            self.union,
            self.reference,
            self.draw_all,
        )
        return self._random.choice(plain if depth <= 0 else plain + nested)(depth - 1)

    def text(self, depth: int) -> tuple[dict[str, Any], Any]:
        """Return a string with or without bounds."""
        example = self._random.choice(_WORDS)
        schema: dict[str, Any] = {"type": "string"}
        if self._random.random() < 0.5:
            schema["maxLength"] = len(example) + self._random.randint(0, 20)
        if self._random.random() < 0.3:
            schema["minLength"] = self._random.randint(0, len(example))
        return schema, example

    def number(self, depth: int) -> tuple[dict[str, Any], Any]:
        """Return an integer or a number, with bounds and steps."""
        step = self._random.choice((1, 1, 5, 0.5, 0.25))
        example = self._random.randint(-50, 50) * step
        kind = "integer" if isinstance(step, int) else "number"
        schema: dict[str, Any] = {"type": self._random.choice((kind, "number"))}
        if step != 1:
            schema["multipleOf"] = step
        if self._random.random() < 0.6:
            schema[self._random.choice(("minimum", "exclusiveMinimum"))] = example - self._random.choice((0.5, 3, 1000))
        if self._random.random() < 0.6:
            schema[self._random.choice(("maximum", "exclusiveMaximum"))] = example + self._random.choice((0.5, 3, 999))
        return schema, example

    def flag(self, depth: int) -> tuple[dict[str, Any], Any]:
        """Return a boolean, a null, or a list of types."""
        return self._random.choice(
            (
                ({"type": "boolean"}, True),
                ({"type": "null"}, None),
                ({"type": ["string", "null"], "maxLength": 9}, None),
            )
        )

    def choice(self, depth: int) -> tuple[dict[str, Any], Any]:
        """Return an enumeration or a constant."""
        values = self._random.sample(
            (*_WORDS, 1, 2.5, -7, True, None, ["a", 1], {"k": "v"}), self._random.randint(1, 5)
        )
        if self._random.random() < 0.2:
            return {"const": values[0]}, values[0]
        schema: dict[str, Any] = {"enum": values}
        strings = [value for value in values if isinstance(value, str)]
        if strings and self._random.random() < 0.3:
            return schema | {"type": "string"}, strings[0]
        return schema, values[-1]

    def formatted(self, depth: int) -> tuple[dict[str, Any], Any]:
        """Return a string of a format."""
        name = self._random.choice(tuple(_FORMATS))
        return {"type": "string", "format": name}, _FORMATS[name]

    def pattern(self, depth: int) -> tuple[dict[str, Any], Any]:
        """Return a string that has to contain an expression."""
        expression, example = self._random.choice(_PATTERNS)
        schema: dict[str, Any] = {"type": "string", "pattern": expression}
        if self._random.random() < 0.3:
            schema["maxLength"] = len(example) + 5
        return schema, example

    def record(self, depth: int) -> tuple[dict[str, Any], Any]:
        """Return an object of named properties."""
        names = self._random.sample(_NAMES, self._random.randint(1, 5))
        properties, example = {}, {}
        for name in names:
            properties[name], example[name] = self.draw_any(depth)
        required = [name for name in names if self._random.random() < 0.7]
        schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
        if self._random.random() < 0.5:
            schema["additionalProperties"] = False
        if len(names) > 1 and self._random.random() < 0.15:
            schema["dependentRequired"] = {names[0]: [names[1]]}
        if self._random.random() < 0.15:
            schema["minProperties"] = self._random.randint(1, len(names))
        if self._random.random() < 0.1:
            schema |= {"if": {"required": [names[0]]}, "then": {"required": [names[-1]]}}
        for name in set(names) - set(required):
            spare = len(example) > schema.get("minProperties", 0) and not {"dependentRequired", "if"} & schema.keys()
            if spare and self._random.random() < 0.3:
                del example[name]
        return schema, example

    def draw_list(self, depth: int) -> tuple[dict[str, Any], Any]:
        """Return an array of like items."""
        items, example = self.draw_any(depth)
        schema: dict[str, Any] = {"type": "array", "items": items}
        count = self._random.randint(0, 3)
        if self._random.random() < 0.3:
            schema["uniqueItems"] = True
            count = min(count, 1)
        if self._random.random() < 0.5:
            schema["minItems"] = self._random.randint(0, count)
        if self._random.random() < 0.5:
            schema["maxItems"] = count + self._random.randint(0, 4)
        if count and self._random.random() < 0.1:
            schema["contains"] = items
        return schema, [example] * count

    def draw_tuple(self, depth: int) -> tuple[dict[str, Any], Any]:
        """Return an array in which each item has its own schema."""
        parts = [self.draw_any(depth) for _ in range(self._random.randint(1, 3))]
        schema: dict[str, Any] = {"type": "array", "prefixItems": [part for part, _ in parts], "minItems": len(parts)}
        if self._random.random() < 0.7:
            schema["items"] = False
        return schema, [example for _, example in parts]

    def draw_map(self, depth: int) -> tuple[dict[str, Any], Any]:
        """Return an object whose names the schema leaves open."""
        values, example = self.draw_any(depth)
        kind = self._random.random()
        if kind < 0.4:
            return {"type": "object", "additionalProperties": values, "minProperties": 1}, {"a": example}
        if kind < 0.7:
            schema = {"patternProperties": {"^[a-z]{1,8}$": values}, "additionalProperties": False}
            return {"type": "object", **schema, "maxProperties": 3}, {"key": example}
        return {"type": "object", "propertyNames": {"enum": ["p", "q"]}, "additionalProperties": values}, {"p": example}

    def union(self, depth: int) -> tuple[dict[str, Any], Any]:
        """Return a choice between schemas."""
        if self._random.random() < 0.3:
            return self._discriminated(depth)
        options = [self.draw_any(depth) for _ in range(self._random.randint(2, 3))]
        return {"anyOf": [schema for schema, _ in options]}, self._random.choice(options)[1]

    def _discriminated(self, depth: int) -> tuple[dict[str, Any], Any]:
        options = []
        for kind in ("circle", "square"):
            schema, example = self.draw_any(depth)
            properties = {"kind": {"const": kind}, "value": schema}
            record = {"type": "object", "properties": properties, "required": ["kind", "value"]}
            options.append((record, {"kind": kind, "value": example}))
        return {"oneOf": [schema for schema, _ in options]}, options[0][1]

    def reference(self, depth: int) -> tuple[dict[str, Any], Any]:
        """Return a reference to a part of the schema, or to a recursive part."""
        name = f"part{len(self.definitions)}"
        self.definitions[name] = True
        if self._random.random() < 0.3:
            value, example = self.draw_any(0)
            branches = {"type": "array", "items": {"$ref": f"#/$defs/{name}"}, "maxItems": 2}
            tree = {"type": "object", "properties": {"value": value, "branches": branches}, "required": ["value"]}
            self.definitions[name] = tree
            return {"$ref": f"#/$defs/{name}"}, {"value": example, "branches": [{"value": example}]}
        self.definitions[name], example = self.draw_any(depth)
        return {"$ref": f"#/$defs/{name}", "description": "a part"}, example

    def draw_all(self, depth: int) -> tuple[dict[str, Any], Any]:
        """Return two schemas that must both hold."""
        first, example = self.record(depth)
        first.pop("additionalProperties", None)
        names = [name for name in example if self._random.random() < 0.5]
        second: dict[str, Any] = {"required": names}
        if self._random.random() < 0.5:
            second["not"] = {"required": ["never"]}
        return {"allOf": [first, second]}, example
