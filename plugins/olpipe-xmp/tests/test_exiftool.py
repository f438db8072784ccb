"""ExifTool reads what the sinks write, and finds nothing wrong with it."""

import json
import shutil
import subprocess

import pytest
from PIL import Image, ImageDraw, ImageOps

pytestmark = pytest.mark.skipif(shutil.which("exiftool") is None, reason="ExifTool is not installed")

TITLE = '<&> "标题"\n两行 &amp; \u202e😀'
SOUND = "0 0 0"
"""What ExifTool says of a file without errors, warnings and small faults."""


def read(*paths):
    """Return what ExifTool says of the XMP of some files, and whether it finds something wrong with them."""
    command = ["exiftool", "-json", "-struct", "-n", "-m", "-api", "ListJoin=0", "-XMP:all", "-Validate", *paths]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found if len(paths) > 1 else found[0]


@pytest.mark.parametrize(("sink", "place"), [("xmp", "out/xmp/{}.xmp"), ("xmp-beside", "{}.xmp"), ("xmp-embed", "{}")])
def test_every_value_comes_back(photos, sink, place):
    names = ("a.jpg", "b.png")
    for name in names:
        photos.put(name)
    tags = ["狗", "a, b", "<&>", '"c"']
    photos.write(sink, *(photos.row(name, title=TITLE, tags=tags) for name in names))
    for found in read(*(photos.root / place.format(name) for name in names)):
        assert found["Title"] == found["Title-en"] == TITLE
        assert found["Description"] == found["Description-en"] == "A dog lies on the lawn."
        assert found["AltTextAccessibility"] == found["AltTextAccessibility-en"] == "A dog on grass"
        assert found["Subject"] == tags
        (region,) = found["ImageRegion"]
        boundary = {"RbShape": "rectangle", "RbUnit": "relative", "RbX": 0.1, "RbY": 0.1, "RbW": 0.3, "RbH": 0.2}
        assert (region["Name"], region["RegionBoundary"], found["Validate"]) == ("dog", boundary, SOUND)


@pytest.mark.parametrize("number", [1, 10000])
def test_any_number_of_tags_comes_back(photos, number):
    path = photos.put("a.jpg")
    tags = [f"tag {place} 狗" for place in range(number)]
    photos.write("xmp-embed", photos.row("a.jpg", tags=tags))
    found = read(path)
    assert (found["Subject"], found["Title"], found["Validate"]) == (tags, "A dog", SOUND)
    assert ("HasExtendedXMP" in found) is (number > 1)


def test_regions_are_those_of_the_photo_as_it_is_stored(photos):
    paths = [photos.put(f"{orientation}.png", orientation) for orientation in range(1, 9)]
    rows = [
        photos.row(path.name, image={"width": 30, "height": 40, "orientation": orientation})
        for orientation, path in enumerate(paths, 1)
    ]
    photos.write("xmp:regions=all", *rows)
    read_back = read(*(photos.output / f"xmp/{path.name}.xmp" for path in paths))
    for orientation, (path, found) in enumerate(zip(paths, read_back, strict=True), 1):
        with Image.open(path) as photo:
            assert photo.size == tuple(found["RegionInfo"]["AppliedToDimensions"][side] for side in "WH")
        # Paint the regions into photos as they are stored, and turn these upright as viewers do
        for left, top, wide, high in (iptc_box(found), mwg_box(found)):
            stored = Image.new("L", photo.size)
            corners = (left, top, left + wide, top + high)
            sides = [round(part * side) for part, side in zip(corners, photo.size * 2, strict=True)]
            ImageDraw.Draw(stored).rectangle((sides[0], sides[1], sides[2] - 1, sides[3] - 1), fill=255)
            stored.getexif()[0x0112] = orientation
            upright = ImageOps.exif_transpose(stored)
            assert (upright.size, upright.getbbox()) == ((30, 40), (3, 4, 12, 12))


def iptc_box(found):
    return [found["ImageRegion"][0]["RegionBoundary"][f"Rb{side}"] for side in "XYWH"]


def mwg_box(found):
    x, y, w, h = (found["RegionInfo"]["RegionList"][0]["Area"][side] for side in "XYWH")
    return [x - w / 2, y - h / 2, w, h]


def exiftool(path, *values):
    """Write values into a file with ExifTool, as a person might."""
    command = ["exiftool", "-q", "-overwrite_original", *values, str(path)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("name", ["a.jpg", "b.png"])
def test_what_exiftool_has_written_stays(photos, name):
    path = photos.put(name)
    mine = {"dc:Title": "Rex", "dc:Subject": "Rex", "xmp:Rating": "5", "dc:Creator": "我", "dc:Rights": "© me"}
    values = [f"-XMP-{key}={value}" for key, value in mine.items()]
    exiftool(path, *values, "-XMP-mwg-rs:RegionInfo={RegionList=[{Name=Ann,Type=Face,Area={X=.5,Y=.5,W=.1,H=.1}}]}")
    row = photos.row(name)
    photos.write("xmp-beside:regions=all", row)
    photos.write("xmp-embed:regions=all", row)
    for found in read(path, photos.root / f"{name}.xmp"):
        assert (found["Title"], found["Rating"], found["Creator"], found["Rights"]) == ("Rex", 5, ["我"], "© me")
        assert found["Subject"] == ["Rex", "dog", "lawn"]
        assert found["Description"] == "A dog lies on the lawn."
        assert [one["Name"] for one in found["RegionInfo"]["RegionList"]] == ["Ann", "dog"]
        assert found["Validate"] == SOUND


def test_what_exiftool_writes_behind_us_is_kept_by_the_next_record(photos):
    path = photos.put("a.jpg")
    first, second = photos.row("a.jpg"), photos.row("a.jpg", tags=["cat", "lawn"], title="A cat")
    photos.write("xmp-embed", first)
    exiftool(path, "-XMP-dc:Subject+=Rex", "-XMP-dc:Description=My Rex")
    photos.write("xmp-embed", second)
    found = read(path)
    assert found["Subject"] == ["Rex", "cat", "lawn"]
    assert (found["Title"], found["Description"]) == ("A cat", "My Rex")


def test_extended_xmp_of_exiftool_is_read_and_kept(photos):
    path = photos.put("a.jpg")
    big = "深" * 50000
    (photos.output / "big").write_text(big, encoding="utf-8")
    exiftool(path, f"-XMP-dc:Rights<={photos.output / 'big'}", "-XMP-dc:Subject=Rex")
    photos.write("xmp-embed", photos.row("a.jpg"))
    found = read(path)
    assert (found["Rights"], found["Subject"], found["Validate"]) == (big, ["Rex", "dog", "lawn"], SOUND)
    assert found["HasExtendedXMP"]
