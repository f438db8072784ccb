"""Keep each schema together with its place: its path in the document, and what its references refer to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from olpipe.errors import SchemaError
from olpipe.guidance.dialect import draft, modern
from olpipe.guidance.judge import judge

if TYPE_CHECKING:
    from referencing import Resource


class Place:
    """One schema within a document. Two places are equal when they are the same schema.

    Attributes:
        path: Where it stands, such as `$.properties.a`.
        raw: The schema as the document has it.
        schema: The schema in the keywords of the newest draft; `True` or `False` where it allows all or nothing.
        key: What tells it from other schemas: its identity in memory, or the same `True` or `False`.
    """

    __slots__ = ("_document", "_resolver", "key", "path", "raw", "schema")

    def __init__(self, path: str, schema: Any, document: Document, resolver: Any) -> None:
        self.path = path
        self.raw = schema
        self._document = document
        if isinstance(schema, Mapping):
            self.schema: Any = modern(schema, document.draft)
            self.key: int | bool = id(schema)
            self._resolver = resolver.in_subresource(document.resource(schema))
        else:
            self.schema = self.key = schema is not False
            self._resolver = resolver
        document.hold(schema)

    def within(self, step: str, schema: Any) -> Place:
        """Return a schema within this one, one step further down the path."""
        return Place(f"{self.path}.{step}", schema, self._document, self._resolver)

    def target(self, keyword: str) -> Place:
        """Return the schema that a keyword refers to: `$ref`, `$dynamicRef` or `$recursiveRef`.

        Raises:
            SchemaError: There is no such schema in the document.
        """
        from referencing.exceptions import Unresolvable

        reference = str(self.schema[keyword])
        try:
            found = self._resolver.lookup(reference)
        except (Unresolvable, ValueError) as error:
            raise SchemaError(
                f"`{self.path}.{keyword}` refers to `{reference}`, which is not in the schema",
                hint="put it under `$defs`, because nothing is fetched",
            ) from error
        path = "$" + reference[1:].replace("/", ".") if reference.startswith("#") else reference
        return Place(path, found.contents, self._document, found.resolver)

    def settled(self) -> Place:
        """Return the schema that this one stands for: where it is a reference only, what it refers to in the end."""
        known = self._document.settled.get(self.key)
        if known is None:
            place, seen = self, {self.key}
            while isinstance(place.schema, Mapping) and set(place.schema) == {"$ref"}:
                place = place.target("$ref")
                if place.key in seen:
                    break
                seen.add(place.key)
            known = self._document.settled[self.key] = place
        return known

    def derive(self, purpose: str, make: Callable[[], list[tuple[str, Any]]]) -> list[Place]:
        """Return schemas that are made from this one. They are made once for each purpose.

        Places are told apart by identity, so a schema that is made twice would count as two schemas.

        Args:
            purpose: A name for what is made.
            make: Makes the schemas, each with its step of the path. It is called the first time only.
        """
        made = self._document.made.get((self.key, purpose))
        if made is None:
            made = [self.within(step, schema) for step, schema in make()]
            self._document.made[self.key, purpose] = made
        return made

    def accepts(self, value: Any) -> bool:
        """Say whether the schema accepts a value, as the judge of finished documents sees it."""
        return bool(self._document.judge.evolve(schema=self.raw, _resolver=self._resolver).is_valid(value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.key == other.key and type(self.key) is type(other.key)

    def __hash__(self) -> int:
        return hash(self.key)


class Document:
    """A whole schema, in which references are looked up.

    Attributes:
        draft: The name of jsonschema's validator for its draft.
        made: Schemas that were made from its schemas, by key and purpose.
        settled: What its references stand for, by key.
    """

    def __init__(self, schema: Any) -> None:
        from referencing.jsonschema import DRAFT202012, specification_with

        root = schema if isinstance(schema, Mapping) else {}
        self.draft = draft(root)
        self.made: dict[tuple[int, str], list[Place]] = {}
        self.settled: dict[int, Place] = {}
        self._specification = specification_with(str(root.get("$schema", "")).rstrip("#"), default=DRAFT202012)
        self._held: dict[int, Any] = {}
        self._schema = schema

    def root(self) -> Place:
        """Return the whole schema."""
        import jsonschema_specifications

        resource = self.resource(self._schema)
        identity = resource.id() or ""
        registry = jsonschema_specifications.REGISTRY.with_resource(identity, resource).crawl()
        return Place("$", self._schema, self, registry.resolver(base_uri=identity))

    def resource(self, schema: Any) -> Resource[Any]:
        """Return a schema in the form that the library `referencing` looks references up in."""
        return self._specification.create_resource(schema)

    def hold(self, schema: Any) -> None:
        """Keep a schema in memory. Places are told apart by identity, so no identity may be given out twice."""
        self._held[id(schema)] = schema

    @cached_property
    def judge(self) -> Any:
        """The validator of the whole document."""
        return judge(self._schema)
