"""An XMP packet: a tree of properties that is read, changed and written. What is unknown in it stays as it is."""

from __future__ import annotations

import hashlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from olpipe_xmp.errors import LeftOut
from olpipe_xmp.names import ABOUT, DESCRIPTION, EXTENDED, RDF, X, name
from olpipe_xmp.xml_text import written

LARGEST_BYTES = 64 << 20
"""Larger packets are not read."""

DEEPEST = 100
"""How deep elements may lie in one another."""

_BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_END = '\n<?xpacket end="w"?>'


class Packet:
    """The properties of one photo."""

    def __init__(self, root: Element, prefixes: dict[str, str]) -> None:
        """Take a tree.

        Args:
            root: `x:xmpmeta` or `rdf:RDF`.
            prefixes: The prefix of each namespace, as the packet wrote it.
        """
        found = root if root.tag == name(RDF, "RDF") else root.find(name(RDF, "RDF"))
        if found is None:
            raise LeftOut("its XMP has no `rdf:RDF`")
        self._root, self._rdf, self._prefixes = root, found, prefixes

    @classmethod
    def new(cls) -> Packet:
        """Return a packet without properties."""
        root = Element(name(X, "xmpmeta"), {name(X, "xmptk"): "olpipe"})
        rdf = ElementTree.SubElement(root, name(RDF, "RDF"))
        root.text, rdf.tail = "\n ", "\n"
        return cls(root, {})

    @classmethod
    def read(cls, data: bytes) -> Packet:
        """Return the packet that bytes hold.

        Raises:
            LeftOut: They are no XMP, or declare a document type. Entities of such declarations could fill the memory
                or read files, and XMP has none.
        """
        if len(data) > LARGEST_BYTES:
            raise LeftOut(f"its XMP has more than {LARGEST_BYTES >> 20} MB")
        builder = _Builder()
        parser = ElementTree.XMLParser(target=builder)
        try:
            # Some programs fill packets with zeros. In UTF-16, a zero belongs to a character
            parser.feed(data if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else data.rstrip(b"\0 \t\r\n"))
            root = parser.close()
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            raise LeftOut(f"its XMP cannot be read: {error}") from error
        return cls(root, builder.prefixes)

    def descriptions(self) -> Iterator[Element]:
        """Yield the elements that hold properties."""
        return self._rdf.iterfind(DESCRIPTION)

    def find(self, prop: str) -> Element | None:
        """Return the element of a property; one that is written as an attribute becomes an element."""
        for description in self.descriptions():
            found = description.find(prop)
            if found is not None:
                return found
            if prop in description.attrib:
                found = ElementTree.SubElement(description, prop)
                found.text = description.attrib.pop(prop)
                return found
        return None

    def text(self, prop: str) -> str:
        """Return the text of a simple property; an empty one where there is none."""
        for description in self.descriptions():
            if prop in description.attrib:
                return description.attrib[prop]
        found = self.find(prop)
        return "" if found is None else found.text or ""

    def set_text(self, prop: str, value: str) -> None:
        """Give a simple property another value."""
        self.remove(prop)
        self._first().set(prop, value)

    def made(self, prop: str) -> Element:
        """Return the element of a property, which may be new."""
        found = self.find(prop)
        return ElementTree.SubElement(self._first(), prop) if found is None else found

    def remove(self, prop: str) -> None:
        """Remove a property."""
        for description in self.descriptions():
            description.attrib.pop(prop, None)
            for found in description.findall(prop):
                description.remove(found)

    def join(self, other: Packet) -> None:
        """Take over all properties of another packet, as those of a JPEG's extended XMP."""
        self._rdf.extend(list(other.descriptions()))
        self._prefixes = other._prefixes | self._prefixes

    def to_bytes(self) -> bytes:
        """Return the packet as files hold it."""
        return (_BEGIN + self._written() + _END).encode("utf-8")

    def split(self, largest: int) -> tuple[bytes, bytes]:
        """Return the packet in two parts, the first of which has no more than so many bytes; the second may be empty.

        The largest properties go into the second part, which a JPEG has as extended XMP. They leave the packet.
        """
        whole = self.to_bytes()
        if len(whole) <= largest:
            return whole, b""
        rest = Packet.new()
        rest._prefixes = self._prefixes
        self._first().set(EXTENDED, "0" * 32)
        for _, description, prop in sorted(self._sizes(), key=lambda found: -found[0]):
            if isinstance(prop, str):
                rest._first().set(prop, description.attrib.pop(prop))
            else:
                description.remove(prop)
                rest._first().append(prop)
            if len(self.to_bytes()) <= largest:
                break
        second = rest._written().encode("utf-8")
        self._first().set(EXTENDED, hashlib.md5(second, usedforsecurity=False).hexdigest().upper())
        first = self.to_bytes()
        if len(first) > largest:
            raise LeftOut("its XMP is too large for a JPEG")
        return first, second

    def _sizes(self) -> Iterator[tuple[int, Element, Element | str]]:
        """Yield each property with its size, and the element that holds it."""
        for description in self.descriptions():
            for prop in description:
                yield len(ElementTree.tostring(prop)), description, prop
            for key, value in description.attrib.items():
                if key not in (ABOUT, EXTENDED, "about"):
                    yield len(value), description, key

    def _first(self) -> Element:
        found = next(self.descriptions(), None)
        if found is None:
            found = ElementTree.SubElement(self._rdf, DESCRIPTION, {ABOUT: ""})
        return found

    def _written(self) -> str:
        _indent(self._rdf)
        return written(self._root, self._prefixes)


def _indent(rdf: Element) -> None:
    """Put new elements on lines of their own. Those that were read keep their whitespace."""
    for depth, parents in ((2, [rdf]), (3, list(rdf))):
        for parent in parents:
            children = list(parent)
            if children and parent.text is None:
                parent.text = "\n" + " " * depth
            for child in children:
                if child.tail is None:
                    child.tail = "\n" + " " * (depth - (child is children[-1]))


class _Builder(ElementTree.TreeBuilder):
    """Builds a tree, notes prefixes, and refuses what no XMP has."""

    def __init__(self) -> None:
        super().__init__(insert_comments=True, insert_pis=True)
        self.prefixes: dict[str, str] = {}
        self._depth = 0

    def start_ns(self, prefix: str, uri: str) -> None:
        if prefix:
            self.prefixes.setdefault(uri, prefix)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise LeftOut("its XMP declares a document type, which XMP does not have")

    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        self._depth += 1
        if self._depth > DEEPEST:
            raise LeftOut(f"its XMP has elements that lie more than {DEEPEST} deep in one another")
        return super().start(tag, attrs)

    def end(self, tag: str) -> Element:
        self._depth -= 1
        return super().end(tag)
