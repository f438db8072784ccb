"""`olpipe batch` with tiny vision models in real processes: every photo ends as a record, or as a failure and why."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import ExifTags, Image

from olpipe.testing.images import photo
from olpipe.testing.vision.photos import smooth_photo
from olpipe.testing.vision_models import FAMILIES

RECORD_SCHEMA = Path(__file__).parents[2] / "docs" / "record.schema.json"

SIDE = {"type": "integer", "minimum": 0}
THING = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}, **dict.fromkeys("xywh", SIDE)}}
THING["required"] = [*THING["properties"]]
TITLE = {"type": "string", "maxLength": 20}
SCHEMA = json.dumps({"type": "object", "properties": {"title": TITLE, "thing": THING}, "required": ["title", "thing"]})
"""A short answer, so that a photo takes a part of a second. Models that say no boxes are asked for the title only."""

SAY_BOXES = {"qwen2_5_vl", "qwen3_vl"}
ONE_SIZE = {"gemma3", "llava"}
"""Families whose encoders see every photo in one size. The tiny one of Gemma 3 makes 16 tokens of it."""


def encoded(pixels, file_format="PNG", **options):
    """Return a file with some pixels, or with an image of Pillow."""
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def picture(width=300, height=200, seed=1):
    return Image.fromarray(smooth_photo(width, height, seed=seed))


def short(seeing, family, *more):
    """Run with short answers; return exit code and stderr."""
    return seeing.run("--model", family, "--schema", SCHEMA, *more)


def without(record, *names):
    return {name: value for name, value in record.items() if name not in names}


def inside(record):
    """Say whether the box of a record lies inside its photo."""
    thing, image = record["data"]["thing"], record["image"]
    across = 0 <= thing["x"] < thing["x"] + thing["w"] <= image["width"]
    return across and 0 <= thing["y"] < thing["y"] + thing["h"] <= image["height"]


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_record_of_a_model_that_sees_is_as_published(seeing, family):
    seeing.put("a.jpg", data=encoded(picture(), "JPEG"))
    code, said = seeing.run("--model", family)
    assert (code, said.splitlines()[-2]) == (0, "1 photo: 1 record")
    (record,) = seeing.records
    Draft202012Validator(json.loads(RECORD_SCHEMA.read_text(encoding="utf-8"))).validate(record)
    assert record["model"] == f"{family}:latest"
    assert ("objects" in record, record["box_unit"]) == (family in SAY_BOXES, "px")
    seconds = seeing.report["stage_seconds"]
    assert min(seconds["fit"], seconds["encode"], seconds["prompt"], seconds["decode"]) > 0


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", sorted(SAY_BOXES))
def test_boxes_are_pixels_inside_the_photo_whatever_the_model_says(seeing, family):
    sizes = [(1, 1), (3, 200), (640, 480), (1200, 33), (2500, 2000)]
    for number, (width, height) in enumerate(sizes):
        seeing.put(f"{number}.png", data=encoded(picture(width, height)))
    assert short(seeing, family)[0] == 0
    assert [(record["image"]["width"], record["image"]["height"]) for record in seeing.records] == sizes
    assert {record["box_unit"] for record in seeing.records} == {"px"}
    assert all(map(inside, seeing.records))


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_photo_gives_the_same_record_however_the_camera_was_held(seeing, family):
    turn = Image.Transpose
    # How a camera in each position stores an upright picture (Exif 2.32, 4.6.4 A, Orientation)
    stored = (None, turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM)
    stored = (*stored, turn.TRANSPOSE, turn.ROTATE_90, turn.TRANSVERSE, turn.ROTATE_270)
    for orientation, how in enumerate(stored, 1):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        upright = picture(120, 80)  # small enough that the loader need not scale it down
        turned = upright if how is None else upright.transpose(how)
        seeing.put(f"{orientation}.png", data=encoded(turned, exif=exif))
    assert short(seeing, family)[0] == 0
    assert [record["image"].pop("orientation") for record in seeing.records] == [*range(1, 9)]
    first, *others = (without(record, "file", "sha256") for record in seeing.records)
    for record in (first, *others):
        record["image"] = without(record["image"], "orientation")
    assert others == [first] * 7


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", ["qwen3_vl", "gemma3"])
def test_the_same_picture_in_other_files_gives_the_same_record(seeing, family):
    seeing.put("a.png", "copy.png", data=encoded(picture()))
    seeing.put("b.png", data=encoded(picture(), compress_level=0))
    seeing.put("c.png", data=encoded(picture(seed=2)))
    seeing.put("d.bmp", data=encoded(picture(), "BMP"))
    code, said = short(seeing, family)
    assert (code, "5 photos: 5 records, 1 equal to others, 2 copied" in said) == (0, True)
    rows = {record["file"]: without(record, "file", "sha256", "image", "copied_from") for record in seeing.records}
    other = rows.pop("c.png")
    assert [*rows.values()] == [rows["a.png"]] * 4
    assert other["data"] != rows["a.png"]["data"]


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", ["qwen3_vl", "gemma3"])
def test_a_record_does_not_depend_on_how_many_photos_are_at_work(seeing, family, monkeypatch):
    for seed in range(6):
        seeing.put(f"{seed}.png", data=encoded(picture(100 + 50 * seed, 420 - 40 * seed, seed=seed)))
    found = []
    for slots in (2, 8):
        monkeypatch.setenv("OLLAMA_NUM_PARALLEL", str(slots))
        seeing.output = seeing.output.with_name(f"out-{slots}")
        assert short(seeing, family)[0] == 0
        found.append(seeing.records)
    assert found[0] == found[1]
    assert len({record["data"]["title"] for record in found[0]}) > 1


def extremes():
    """Return files as people have them and as nobody should have them, each with the failure that it becomes."""
    several = [picture(60, 40, seed=seed) for seed in range(3)]
    greys = np.linspace(0, 65_535, 300 * 200).astype(np.uint16).reshape(200, 300)
    see_through = picture().convert("RGBA")
    see_through.putalpha(Image.fromarray(smooth_photo(300, 200, seed=3)[..., 0]))
    files = {
        "1x1.png": encoded(picture(1, 1)),
        "1x500.png": encoded(picture(1, 500)),
        "20000x1.png": encoded(picture(20_000, 1)),
        "3000x20.jpg": encoded(picture(3000, 20), "JPEG"),
        "8000x6000.jpg": encoded(picture(80, 60).resize((8000, 6000)), "JPEG", quality=50),
        "16-bit.png": encoded(greys),
        "16-bit.tif": encoded(greys, "TIFF"),
        "animated.gif": encoded(several[0], "GIF", save_all=True, append_images=several[1:]),
        "clear.png": encoded(Image.new("RGBA", (64, 64), (0, 0, 0, 0))),
        "cmyk.jpg": encoded(picture().convert("CMYK"), "JPEG"),
        "grey.jpg": encoded(picture().convert("L"), "JPEG"),
        "one-bit.png": encoded(picture().convert("1")),
        "palette.png": encoded(picture().convert("P")),
        "see-through.png": encoded(see_through),
        "a-png.jpg": encoded(picture()),
    }
    whole, junk = encoded(picture(640, 480), "JPEG"), np.random.default_rng(0).bytes(5000)
    broken = {
        "empty.jpg": (b"", "the file is empty"),
        "cut.jpg": (whole[: len(whole) // 2], "the file ends early, and a part of the picture is missing"),
        "cut.png": (encoded(picture())[:2000], "the image is damaged: "),
        "junk.jpg": (junk, "the file does not hold an image"),
    }
    return files, broken


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", ["qwen3_vl", "gemma3", "idefics3"])
def test_every_extreme_file_ends_as_a_record_or_as_a_failure_that_says_why(seeing, family):
    files, broken = extremes()
    for name, data in (*files.items(), *((name, data) for name, (data, _) in broken.items())):
        seeing.put(name, data=data)
    code, said = short(seeing, family)
    assert (code, said.splitlines()[-2]) == (3, "19 photos: 15 records, 4 failed, 1 copied")
    assert sorted(seeing.files) == sorted(files)
    assert family not in SAY_BOXES or all(map(inside, seeing.records))
    failures = {failure["file"]: (failure["kind"], failure["message"]) for failure in seeing.failures}
    assert failures.keys() == broken.keys()
    for name, (kind, message) in failures.items():
        assert (kind, message.startswith(broken[name][1])) == ("unreadable", True), message


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", ["qwen3_vl", "gemma3", "idefics3"])
def test_photos_become_no_more_tokens_than_were_asked_for_as_far_as_the_encoder_can(seeing, family):
    for width, height in ((1, 1), (1, 500), (3000, 20), (900, 700)):
        seeing.put(f"{width}x{height}.png", data=encoded(picture(width, height)))
    counts = []
    for tokens in (1, 16, 100_000):
        assert short(seeing, family, "--image-tokens", tokens)[0] == 0
        counts.append([record["usage"]["prompt_tokens"] for record in seeing.records])
    assert len(set(counts[0])) == 1
    if family in ONE_SIZE:
        assert counts[0] == counts[1] == counts[2]
    else:
        assert all(few <= some <= many for few, some, many in zip(*counts, strict=True))
        assert max(counts[0]) < max(counts[1]) < max(counts[2])
    if family == "qwen3_vl":  # its tokens have no marks between them
        assert max(counts[1]) - counts[0][0] <= 15


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", ["qwen3_vl", "gemma3"])
def test_where_the_context_is_small_a_photo_gets_fewer_tokens_or_is_a_failure(seeing, family, monkeypatch):
    seeing.put("a.png", data=encoded(picture(900, 700)))
    assert short(seeing, family)[0] == 0
    (roomy,) = seeing.records
    codes = {}
    for length in (1, 20, roomy["usage"]["prompt_tokens"] - 1, roomy["usage"]["prompt_tokens"] + 60):
        monkeypatch.setenv("OLLAMA_CONTEXT_LENGTH", str(length))
        seeing.output = seeing.output.with_name(f"out-{length}")
        code, _ = short(seeing, family)
        codes[length] = code
        if code == 0:
            (record,) = seeing.records
            assert record["usage"]["prompt_tokens"] < length
        else:
            (failure,) = seeing.failures
            assert (code, failure["kind"]) == (3, "context")
            assert failure["message"].endswith(f"tokens, and `{family}` holds {length}")
            assert failure["hint"] == "shorten the prompt, or raise OLLAMA_CONTEXT_LENGTH"
    small, usual = list(codes.values())[:2], list(codes.values())[2:]
    assert (small, usual) == ([3, 3], [3 if family in ONE_SIZE else 0, 0])


def test_two_prompts_about_the_same_photos_have_records_of_their_own(seeing):
    seeing.put("a.png", data=encoded(picture()))
    seeing.put("b.png", data=encoded(picture(seed=2)))
    prompts = ("What is it?", "Who is in the picture, and where?")
    found = []
    for prompt in prompts:
        assert short(seeing, "qwen3_vl", "--prompt", prompt)[0] == 0
        found.append(seeing.records)
        assert seeing.report["photos"]["records"] == 2
    assert [record["usage"]["prompt_tokens"] for record in found[0]] != [
        record["usage"]["prompt_tokens"] for record in found[1]
    ]
    for prompt, before in zip(prompts, found, strict=True):
        assert "2 photos: 2 records (0 new)" in short(seeing, "qwen3_vl", "--prompt", prompt)[1]
        assert seeing.records == before


def test_two_models_take_turns_over_the_same_photos(seeing):
    seeing.put("a.png", data=encoded(picture()))
    found = {}
    for family in ("qwen3_vl", "gemma3"):
        assert short(seeing, family)[0] == 0
        (found[family],) = seeing.records
    for family, before in found.items():
        assert "1 photo: 1 record (0 new)" in short(seeing, family)[1]
        assert seeing.records == [before]
    assert found["gemma3"]["model_digest"] != found["qwen3_vl"]["model_digest"]


def test_the_same_run_again_looks_at_no_photo(seeing):
    seeing.put("a.jpg", data=photo(320, 200))
    assert short(seeing, "qwen3_vl")[0] == 0
    before = (seeing.output / "records.jsonl").read_bytes()
    assert short(seeing, "qwen3_vl")[0] == 0
    assert (seeing.output / "records.jsonl").read_bytes() == before
    assert seeing.report["stage_seconds"]["encode"] == 0
