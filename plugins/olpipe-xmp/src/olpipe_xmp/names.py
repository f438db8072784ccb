"""The names of XMP: namespaces, the prefixes that programs expect, and the properties that are written here."""

from __future__ import annotations

X = "adobe:ns:meta/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XML = "http://www.w3.org/XML/1998/namespace"
DC = "http://purl.org/dc/elements/1.1/"
IPTC_CORE = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
IPTC_EXTENSION = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
REGIONS = "http://www.metadataworkinggroup.com/schemas/regions/"
AREA = "http://ns.adobe.com/xmp/sType/Area#"
DIMENSIONS = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
NOTE = "http://ns.adobe.com/xmp/note/"
DIGIKAM = "http://www.digikam.org/ns/1.0/"
LIGHTROOM = "http://ns.adobe.com/lightroom/1.0/"
OLPIPE = "urn:olpipe:xmp:1.0:"
"""Our own namespace. It says what olpipe has written, so that everything else is known to be somebody's own."""

PREFIXES = {
    X: "x",
    RDF: "rdf",
    XML: "xml",
    DC: "dc",
    IPTC_CORE: "Iptc4xmpCore",
    IPTC_EXTENSION: "Iptc4xmpExt",
    REGIONS: "mwg-rs",
    AREA: "stArea",
    DIMENSIONS: "stDim",
    NOTE: "xmpNote",
    DIGIKAM: "digiKam",
    LIGHTROOM: "lr",
    OLPIPE: "olpipe",
}


def name(namespace: str, local: str) -> str:
    """Return a name as ElementTree writes it."""
    return f"{{{namespace}}}{local}"


LI, BAG, SEQ, ALT = (name(RDF, local) for local in ("li", "Bag", "Seq", "Alt"))
DESCRIPTION = name(RDF, "Description")
ABOUT, PARSE_TYPE, VALUE = (name(RDF, local) for local in ("about", "parseType", "value"))
LANG = name(XML, "lang")

TITLE, CAPTION, SUBJECT = (name(DC, local) for local in ("title", "description", "subject"))
ALT_TEXT = name(IPTC_CORE, "AltTextAccessibility")
TEXTS = {"title": TITLE, "description": CAPTION, "alt": ALT_TEXT}
"""The property of each text of a record. They have alternatives in several languages."""

IMAGE_REGION = name(IPTC_EXTENSION, "ImageRegion")
MWG_REGIONS, MWG_LIST = name(REGIONS, "Regions"), name(REGIONS, "RegionList")
EXTENDED = name(NOTE, "HasExtendedXMP")

TAG_LISTS = {
    SUBJECT: name(OLPIPE, "Tags"),
    name(DIGIKAM, "TagsList"): name(OLPIPE, "TagsList"),
    name(LIGHTROOM, "hierarchicalSubject"): name(OLPIPE, "hierarchicalSubject"),
}
"""Where tags stand, each with the property of ours that says which of them are ours.

Some programs prefer the others to `dc:subject`. They are kept in step where a photo has them.
"""

RECORD, PHOTO, OUR_TEXTS = (name(OLPIPE, local) for local in ("Record", "Photo", "Texts"))
REGION_ID, SCORE = name(OLPIPE, "RegionId"), name(OLPIPE, "Score")
