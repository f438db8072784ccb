"""Write XML trees with the prefixes that their authors chose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from olpipe_xmp.names import PREFIXES, XML

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = _TEXT | str.maketrans({'"': "&quot;", "\n": "&#10;", "\t": "&#9;"})


def clean(text: str) -> str:
    """Return a text with U+FFFD for the characters that XML does not know."""
    return _NOT_XML.sub("\ufffd", text)


def written(root: Element, prefixes: Mapping[str, str]) -> str:
    """Return a tree as XML. All namespaces are declared at its root."""
    chosen = _chosen(root, prefixes)
    declared = "".join(f' xmlns:{prefix}="{uri.translate(_ATTRIBUTE)}"' for uri, prefix in chosen.items() if uri != XML)
    return "".join(_parts(root, chosen, declared))


def _chosen(root: Element, prefixes: Mapping[str, str]) -> dict[str, str]:
    """Return the prefix of each namespace that the tree uses."""
    used: dict[str, None] = {}
    for element in root.iter():
        if isinstance(element.tag, str):
            used.update(dict.fromkeys(_namespace(one) for one in (element.tag, *element.attrib)))
    used.pop("", None)
    chosen: dict[str, str] = {}
    for uri in used:
        wanted = PREFIXES.get(uri) or prefixes.get(uri) or "ns"
        prefix, number = wanted, 1
        while prefix in chosen.values():
            prefix, number = f"{wanted}{number}", number + 1
        chosen[uri] = prefix
    return chosen


def _namespace(tag: str) -> str:
    return tag[1:].partition("}")[0] if tag.startswith("{") else ""


def _short(tag: str, prefixes: Mapping[str, str]) -> str:
    if not tag.startswith("{"):
        return tag
    uri, _, local = tag[1:].partition("}")
    return f"{prefixes[uri]}:{local}"


def _parts(element: Element, prefixes: Mapping[str, str], declared: str = "") -> Iterator[str]:
    if not isinstance(element.tag, str):  # a comment or a processing instruction
        tail, element.tail = element.tail, None
        yield ElementTree.tostring(element, encoding="unicode")
        element.tail = tail
    else:
        tag = _short(element.tag, prefixes)
        values = "".join(
            f' {_short(key, prefixes)}="{value.translate(_ATTRIBUTE)}"' for key, value in element.attrib.items()
        )
        yield f"<{tag}{declared}{values}"
        if element.text or len(element):
            yield f">{(element.text or '').translate(_TEXT)}"
            for child in element:
                yield from _parts(child, prefixes)
            yield f"</{tag}>"
        else:
            yield "/>"
    yield (element.tail or "").translate(_TEXT)
