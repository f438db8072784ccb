"""XMP that somebody else has written: in every form that there is, and in forms that would do harm."""

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {name} "{f"&{inner};" * 10}">' for inner, name in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><x:xmpmeta xmlns:x='adobe:ns:meta/'>&i;</x:xmpmeta>"
)
OUTSIDE = "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x:xmpmeta xmlns:x='adobe:ns:meta/'>&e;</x:xmpmeta>"
ELSEWHERE = "<!DOCTYPE x SYSTEM 'http://127.0.0.1:9/x.dtd'><x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
RDF = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{}</rdf:RDF>'
DEEP = RDF.format("<a>" * 5000 + "</a>" * 5000)
TYPE = "its XMP declares a document type, which XMP does not have"


@pytest.fixture
def written(photos):
    """Return a function that lets a sink complete a sidecar, and returns the sidecar."""
    photos.put("a.jpg")

    def write(data):
        path = photos.root / "a.jpg.xmp"
        path.write_bytes(data)
        photos.write("xmp-beside", photos.row("a.jpg"))
        return path.read_bytes()

    return write


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (BOMB.encode(), TYPE),
        (OUTSIDE.encode(), TYPE),
        (ELSEWHERE.encode(), TYPE),
        (OUTSIDE.encode("utf-16"), TYPE),
        (DEEP.encode(), "its XMP has elements that lie more than 100 deep in one another"),
        (b"my notes", "its XMP cannot be read: syntax error: line 1, column 0"),
        (b"", "its XMP cannot be read: no element found: line 1, column 0"),
        (b"<svg/>", "its XMP has no `rdf:RDF`"),
        (b"<?xml version='1.0' encoding='klingon'?><a/>", "its XMP cannot be read: unknown encoding: klingon"),
    ],
    ids=["bomb", "file", "address", "utf-16", "deep", "notes", "empty", "svg", "encoding"],
)
def test_what_would_do_harm_or_is_no_xmp_stays_as_it_is(written, caplog, data, reason):
    assert written(data) == data
    assert caplog.messages == [f"`a.jpg` gets no XMP: {reason}"]


DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
FORMS = {
    "attributes": f'<rdf:Description rdf:about="" {DC} dc:subject="Rex" dc:title="Rex"/>',
    "plain texts": f'<rdf:Description rdf:about="" {DC}><dc:subject>Rex</dc:subject><dc:title>Rex</dc:title>'
    "</rdf:Description>",
    "several descriptions": f"<rdf:Description {DC}><dc:subject><rdf:Seq><rdf:li>Rex</rdf:li></rdf:Seq></dc:subject>"
    f"</rdf:Description><rdf:Description {DC}><dc:title>Rex</dc:title></rdf:Description>",
    "qualifiers": f"<rdf:Description {DC}><dc:title>Rex</dc:title><dc:subject><rdf:Bag>"
    '<rdf:li rdf:parseType="Resource">'
    "<rdf:value>Rex</rdf:value></rdf:li></rdf:Bag></dc:subject></rdf:Description>",
    "nested qualifiers": f"<rdf:Description {DC}><dc:title>Rex</dc:title><dc:subject><rdf:Bag><rdf:li><rdf:Description>"
    "<rdf:value>Rex</rdf:value></rdf:Description></rdf:li></rdf:Bag></dc:subject></rdf:Description>",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_property_is_read(written, form, encoding):
    found = ElementTree.fromstring(written(RDF.format(FORMS[form]).encode(encoding)))
    tags = ["".join(tag.itertext()) for tag in found.iterfind(".//{http://purl.org/dc/elements/1.1/}subject/*/*")]
    titles = ["".join(title.itertext()) for title in found.iterfind(".//{http://purl.org/dc/elements/1.1/}title")]
    assert (tags, titles) == (["Rex", "dog", "lawn"], ["Rex"])
    (title,) = found.iterfind(".//{http://purl.org/dc/elements/1.1/}title/{*}Alt/{*}li")
    assert title.attrib == {"{http://www.w3.org/XML/1998/namespace}lang": "x-default"}


def test_prefixes_stay_and_clashing_ones_are_told_apart(written):
    body = (
        '<rdf:Description xmlns:a="urn:1"><a:x xmlns:b="urn:2" b:y="1"/><b:z xmlns:b="urn:3">ä</b:z></rdf:Description>'
    )
    data = written(RDF.format(body).encode())
    found = ElementTree.fromstring(data)
    assert found.find(".//{urn:1}x").attrib == {"{urn:2}y": "1"}
    assert found.find(".//{urn:3}z").text == "ä"
    assert b"<a:x b:y=" in data


TEXTS = st.text(max_size=30)


@settings(max_examples=50, deadline=None)
@given(tags=st.lists(TEXTS, max_size=5), title=TEXTS)
def test_any_text_becomes_sound_xml(tags, title):
    from olpipe_xmp.merge import merge
    from olpipe_xmp.names import SUBJECT, TITLE
    from olpipe_xmp.options import Options
    from olpipe_xmp.packet import Packet
    from olpipe_xmp.properties import values_of
    from olpipe_xmp.values import Values

    values = Values.of({"file": "a.jpg", "tags": tags, "title": title}, "en")
    packet = Packet.new()
    merge(packet, values, Options())
    again = Packet.read(packet.to_bytes())
    assert values_of(again, SUBJECT) == list(values.tags)
    assert values_of(again, TITLE) == ([values.texts[TITLE]] * 2 if title else [])
