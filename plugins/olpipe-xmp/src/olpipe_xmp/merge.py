"""Bring a record into a packet. What somebody else has written there stays, unless they ask for something else."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

from olpipe_xmp.names import (
    ALT,
    AREA,
    BAG,
    DIMENSIONS,
    IMAGE_REGION,
    IPTC_EXTENSION,
    LANG,
    MWG_LIST,
    MWG_REGIONS,
    OUR_TEXTS,
    PHOTO,
    RECORD,
    REGION_ID,
    REGIONS,
    SCORE,
    SUBJECT,
    TAG_LISTS,
    TEXTS,
    name,
)
from olpipe_xmp.options import KEEP, REPLACE, Options
from olpipe_xmp.packet import Packet
from olpipe_xmp.properties import (
    DEFAULT,
    change_alternatives,
    change_list,
    fields,
    new_item,
    values_of,
)
from olpipe_xmp.values import Region, Values, text_digest


def is_ours(packet: Packet) -> bool:
    """Say whether olpipe has written something into a packet."""
    return bool(packet.text(RECORD))


def holds(packet: Packet, values: Values, options: Options) -> bool:
    """Say whether the very same values were written into a packet already. Whoever changed it since is respected."""
    return packet.text(RECORD) == _mark(values, options)


def forget(packet: Packet) -> None:
    """Remove the marks of earlier records, but not what these have written."""
    for prop in (RECORD, PHOTO):
        packet.remove(prop)


def merge(packet: Packet, values: Values, options: Options) -> None:
    """Write values into a packet. What earlier records have left there goes."""
    _merge_tags(packet, values, options)
    _merge_texts(packet, values, options)
    _merge_regions(packet, values, options)
    packet.set_text(RECORD, _mark(values, options))
    if values.photo:
        packet.set_text(PHOTO, values.photo)


def _mark(values: Values, options: Options) -> str:
    return values.digest(options.tags, options.texts, options.regions)


def _merge_tags(packet: Packet, values: Values, options: Options) -> None:
    for prop, mark in TAG_LISTS.items():
        there, ours = values_of(packet, prop), set(values_of(packet, mark))
        theirs = [tag for tag in there if tag not in ours]
        if options.tags == REPLACE and values.tags:
            theirs = []
        known = {tag.casefold() for tag in theirs}
        add = [tag for tag in values.tags if tag.casefold() not in known]
        if (options.tags == KEEP and theirs) or (prop != SUBJECT and not there):
            add = []
        change_list(packet, prop, drop=set(there) - set(theirs), add=add)
        change_list(packet, mark, drop=ours, add=add)


def _merge_texts(packet: Packet, values: Values, options: Options) -> None:
    ours, wrote = set(values_of(packet, OUR_TEXTS)), []
    for prop in TEXTS.values():
        there = values_of(packet, prop)
        theirs = [text for text in there if text_digest(prop + text) not in ours and text.strip()]
        text = values.texts.get(prop)
        if options.texts == REPLACE and text:
            theirs = []
        add = {language: text for language in (DEFAULT, values.language) if language and text}
        if options.texts == KEEP and theirs:
            add = {}
        change_alternatives(packet, prop, drop=set(there) - set(theirs), add=add)
        wrote += [text_digest(prop + text) for text in add.values() if text in values_of(packet, prop)]
    change_list(packet, OUR_TEXTS, drop=ours, add=dict.fromkeys(wrote))


def _merge_regions(packet: Packet, values: Values, options: Options) -> None:
    for prop in (IMAGE_REGION, MWG_REGIONS):
        found = packet.find(prop)
        if found is not None:
            _drop_ours(packet, prop, found)
    if options.regions == "off" or not values.regions:
        return
    regions = packet.made(IMAGE_REGION)
    for number, region in enumerate(values.regions, 1):
        _iptc_region(new_item(regions), region, number, values.language)
    if options.regions == "all":
        holder = _mwg_list(packet.made(MWG_REGIONS), values.size)
        for number, region in enumerate(values.regions, 1):
            _mwg_region(new_item(holder), region, number)


def _drop_ours(packet: Packet, prop: str, found: Element) -> None:
    """Remove regions that an earlier record has written, and the property where no other is left."""
    for holder in [element for element in found.iter() if element.tag == BAG]:
        for item in list(holder):
            if any(child.tag == REGION_ID or REGION_ID in child.attrib for child in item.iter()):
                holder.remove(item)
    if not any(len(holder) for holder in found.iter(BAG)):
        packet.remove(prop)


def _iptc_region(item: Element, region: Region, number: int, language: str) -> None:
    fields(item)
    boundary = fields(SubElement(item, name(IPTC_EXTENSION, "RegionBoundary")))
    said = {"rbShape": "rectangle", "rbUnit": "relative"}
    said |= {f"rb{side}": _number(value) for side, value in zip("XYWH", _sides(region), strict=True)}
    for key, text in said.items():
        SubElement(boundary, name(IPTC_EXTENSION, key)).text = text
    SubElement(item, name(IPTC_EXTENSION, "rId")).text = f"olpipe-{number}"
    called = SubElement(item, name(IPTC_EXTENSION, "Name"))
    for tag in filter(None, (DEFAULT, language)):
        alternative = new_item(called, ALT)
        alternative.set(LANG, tag)
        alternative.text = region.name
    _ours(item, region, number)


def _mwg_list(prop: Element, size: tuple[int, int]) -> Element:
    """Return the list of the Metadata Working Group's regions, which may be new."""
    found = next(prop.iter(MWG_LIST), None)
    if found is not None:
        return found
    fields(prop)
    applied = fields(SubElement(prop, name(REGIONS, "AppliedToDimensions")))
    for key, text in zip(("w", "h", "unit"), (*map(str, size), "pixel"), strict=True):
        SubElement(applied, name(DIMENSIONS, key)).text = text
    return SubElement(prop, MWG_LIST)


def _mwg_region(item: Element, region: Region, number: int) -> None:
    fields(item)
    area = fields(SubElement(item, name(REGIONS, "Area")))
    x, y, w, h = _sides(region)
    said = {"x": _number(x + w / 2), "y": _number(y + h / 2), "w": _number(w), "h": _number(h), "unit": "normalized"}
    for key, text in said.items():
        SubElement(area, name(AREA, key)).text = text
    SubElement(item, name(REGIONS, "Name")).text = region.name
    _ours(item, region, number)


def _ours(item: Element, region: Region, number: int) -> None:
    SubElement(item, REGION_ID).text = f"olpipe-{number}"
    if region.score is not None:
        SubElement(item, SCORE).text = _number(region.score)


def _sides(region: Region) -> tuple[float, float, float, float]:
    return region.x, region.y, region.w, region.h


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
