"""Read and change the kinds of properties that XMP has: lists, and texts in several languages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from xml.etree.ElementTree import Element, SubElement

from olpipe_xmp.names import ALT, BAG, DESCRIPTION, LANG, LI, PARSE_TYPE, SEQ, TEXTS, VALUE
from olpipe_xmp.packet import Packet

DEFAULT = "x-default"
"""The alternative that programs show who do not know the reader's language."""


def value_of(item: Element) -> str:
    """Return the text of an item of a list. One with qualifiers has it in `rdf:value`."""
    if VALUE in item.attrib:
        return item.attrib[VALUE]
    for found in (item.find(VALUE), item.find(f"{DESCRIPTION}/{VALUE}")):
        if found is not None:
            return found.text or ""
    return item.text or ""


def items_of(packet: Packet, prop: str) -> list[Element]:
    """Return the items of a list or of alternatives; none where the property is missing."""
    found = packet.find(prop)
    holder = None if found is None else _holder(found)
    return [] if holder is None else holder.findall(LI)


def values_of(packet: Packet, prop: str) -> list[str]:
    """Return the texts of a list."""
    return [value_of(item) for item in items_of(packet, prop)]


def change_list(
    packet: Packet, prop: str, *, drop: Collection[str] = (), add: Iterable[str] = (), kind: str = BAG
) -> None:
    """Remove texts from a list and add others behind the rest. A list without items is removed."""
    found = packet.find(prop)
    for holder, item in _items(found):
        if value_of(item) in drop:
            holder.remove(item)
    for text in add:
        found = packet.made(prop)
        new_item(found, kind).text = text
    _remove_empty(packet, prop)


def change_alternatives(packet: Packet, prop: str, *, drop: Collection[str], add: dict[str, str]) -> None:
    """Remove texts from a property in several languages, and add those of languages that it lacks."""
    change_list(packet, prop, drop=drop, kind=ALT)
    there = {item.get(LANG, DEFAULT).lower() for item in items_of(packet, prop)}
    for language, text in add.items():
        if language.lower() not in there:
            item = new_item(packet.made(prop), ALT)
            item.set(LANG, language)
            item.text = text
            if language == DEFAULT:
                _to_front(packet.made(prop), item)


def new_item(prop: Element, kind: str = BAG) -> Element:
    """Add an item to a list, which may be new."""
    holder = _holder(prop)
    if holder is None:
        prop.text = None
        holder = SubElement(prop, kind)
    return SubElement(holder, LI)


def fields(item: Element) -> Element:
    """Make an element a structure, and return it."""
    item.set(PARSE_TYPE, "Resource")
    return item


def _holder(prop: Element) -> Element | None:
    """Return the list in a property. A plain text, as some programs write it, becomes the only item of one."""
    for child in prop:
        if child.tag in (BAG, SEQ, ALT):
            return child
    text = (prop.text or "").strip()
    if not text or len(prop):
        return None
    prop.text = None
    is_text = prop.tag in TEXTS.values()
    holder = SubElement(prop, ALT if is_text else BAG)
    SubElement(holder, LI, {LANG: DEFAULT} if is_text else {}).text = text
    return holder


def _items(prop: Element | None) -> Iterator[tuple[Element, Element]]:
    holder = None if prop is None else _holder(prop)
    for item in [] if holder is None else holder.findall(LI):
        assert holder is not None
        yield holder, item


def _to_front(prop: Element, item: Element) -> None:
    holder = _holder(prop)
    if holder is not None:
        holder.remove(item)
        holder.insert(0, item)


def _remove_empty(packet: Packet, prop: str) -> None:
    if packet.find(prop) is not None and not items_of(packet, prop):
        packet.remove(prop)
