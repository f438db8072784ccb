"""Photos that look the same are described once: equal pixels always, nearly equal ones with `--near`."""

import io
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageEnhance

from olpipe.cli.main import main
from olpipe.testing.images import photo
from olpipe.testing.install import install_plugin

RECORD_SCHEMA = json.loads((Path(__file__).parents[2] / "docs/record.schema.json").read_text())

TWO_WORDS = json.dumps({"type": "object", "properties": {"text": {"const": "two words"}}})
"""The model fails in the middle of this."""

BACKWARDS = """
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Executor

class Backwards(Executor):
    name = "backwards"

    def map(self, job, images):
        images = [*images]
        if images:
            with job.open() as session:
                for image in reversed(images):
                    yield session.work(image)

@hookimpl
def register_executors():
    return [Backwards()]
"""


def commented(data, text):
    """Return a JPEG file with a comment in it: other bytes, the same pixels."""
    comment = text.encode()
    return data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]


def saved(image, file_format="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def dated(day, **options):
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = f"{day} 12:00:00"
    return saved(scene(1), exif=exif, **options)


def scene(seed, size=(480, 360)):
    """Return a picture with soft shapes, another one for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def brighter(image):
    return ImageEnhance.Brightness(image).enhance(1.04)


def run(batch, *more):
    return batch.run("--no-page", *more)


def copied(batch):
    return {record["file"]: record.get("copied_from") for record in batch.records}


def test_files_with_equal_pixels_are_described_once_and_name_the_first_one(batch):
    picture = photo(mark="a")
    batch.put("a.jpg", data=picture)
    batch.put("sub/b.jpg", data=commented(picture, "edited"))
    batch.put("c.jpg")
    code, said = run(batch)
    assert (code, "3 photos: 3 records, 1 copied\n" in said) == (0, True)
    assert copied(batch) == {"a.jpg": None, "sub/b.jpg": "a.jpg", "c.jpg": None}
    records = {record["file"]: record for record in batch.records}
    same = ("file", "sha256", "copied_from")
    first, other = (
        {key: value for key, value in records[name].items() if key not in same} for name in ("a.jpg", "sub/b.jpg")
    )
    assert first == other
    assert records["a.jpg"]["sha256"] != records["sub/b.jpg"]["sha256"]
    for record in records.values():
        jsonschema.validate(record, RECORD_SCHEMA)
    assert batch.report["photos"]["copied"] == 1
    assert batch.report["tokens"]["prompt_tokens"] == 2 * records["a.jpg"]["usage"]["prompt_tokens"]


def test_a_picture_in_another_container_keeps_its_own_format(batch):
    batch.put("a.png", data=saved(scene(1), "PNG", compress_level=1))
    batch.put("b.png", data=saved(scene(1), "PNG", compress_level=9))
    batch.put("c.bmp", data=saved(scene(1), "BMP"))
    assert run(batch)[0] == 0
    assert copied(batch) == {"a.png": None, "b.png": "a.png", "c.bmp": "a.png"}
    assert [record["image"]["format"] for record in batch.records] == ["PNG", "PNG", "BMP"]


def test_the_same_upright_pixels_in_another_orientation_are_another_picture(batch):
    batch.put("a.png", data=photo(file_format="PNG", orientation=1))
    batch.put("b.png", data=photo(file_format="PNG", orientation=3))
    assert run(batch)[0] == 0
    assert copied(batch) == {"a.png": None, "b.png": None}


def test_equal_pixels_share_a_record_only_where_the_prompt_tells_the_same(batch):
    batch.put("a.jpg", data=dated("2024:05:31"))
    batch.put("b.jpg", data=dated("2024:06:01"))
    batch.put("c.jpg", data=commented(dated("2024:05:31"), "edited"))
    assert run(batch, "--prompt", "Taken on {exif.date}")[0] == 0
    assert copied(batch) == {"a.jpg": None, "b.jpg": None, "c.jpg": "a.jpg"}


def test_a_photo_whose_metadata_changed_keeps_its_record_without_work(batch):
    picture = photo(mark="a")
    batch.put("a.jpg", data=picture)
    run(batch)
    before = batch.records
    batch.put("a.jpg", data=commented(picture, "edited"))
    batch.put("b.jpg", data=commented(picture, "edited in another way"))
    assert run(batch)[0] == 0
    assert batch.report["tokens"]["prompt_tokens"] == 0
    assert copied(batch) == {"a.jpg": None, "b.jpg": "a.jpg"}
    assert (
        batch.records[0]["text" if "text" in before[0] else "image"]
        == before[0]["text" if "text" in before[0] else "image"]
    )


def test_a_copy_follows_the_name_of_its_first_photo(batch):
    picture = photo(mark="a")
    batch.put("a.jpg", data=picture)
    batch.put("b.jpg", data=commented(picture, "edited"))
    run(batch)
    (batch.photos / "a.jpg").rename(batch.photos / "z.jpg")
    assert run(batch)[0] == 0
    assert copied(batch) == {"z.jpg": None, "b.jpg": "z.jpg"}
    assert batch.report["tokens"]["prompt_tokens"] == 0


def test_equal_pixels_that_the_model_fails_on_fail_once_each_under_its_own_name(batch):
    picture = photo(50, 40)
    batch.put("a.jpg", data=picture)
    batch.put("b.jpg", data=commented(picture, "edited"))
    batch.model(fail_on="50x40")
    assert run(batch, "--schema", TWO_WORDS)[0] == 3
    assert [(row["file"], row["kind"]) for row in batch.failures] == [("a.jpg", "generation"), ("b.jpg", "generation")]
    assert batch.failures[0]["sha256"] != batch.failures[1]["sha256"]


def burst(batch):
    """Write a burst: three photos that look nearly the same, and one that does not."""
    first = scene(7)
    batch.put("1.jpg", data=saved(first, quality=92))
    batch.put("2.jpg", data=saved(brighter(first), quality=80))
    batch.put("3.jpg", data=saved(scene(8), quality=92))
    batch.put("4.jpg", data=saved(first.resize((960, 720)), quality=70))


def test_a_burst_gets_one_record_where_the_user_asks_for_it(batch):
    burst(batch)
    assert run(batch)[0] == 0
    assert copied(batch) == dict.fromkeys(("1.jpg", "2.jpg", "3.jpg", "4.jpg"))
    batch.output = batch.output.with_name("near")
    code, said = run(batch, "--near", 4)
    assert (code, "4 photos: 4 records, 2 copied\n" in said) == (0, True)
    assert copied(batch) == {"1.jpg": None, "2.jpg": "1.jpg", "3.jpg": None, "4.jpg": "1.jpg"}
    assert {record["file"]: record["image"]["width"] for record in batch.records}["4.jpg"] == 960


def test_records_copied_from_a_burst_are_made_anew_without_the_option_and_then_stay(batch):
    burst(batch)
    run(batch, "--near", 4)
    assert "4 photos: 4 records (0 new)" in run(batch, "--near", 4)[1]
    assert "4 photos: 4 records (2 new)" in run(batch)[1]
    assert copied(batch) == dict.fromkeys(("1.jpg", "3.jpg", "2.jpg", "4.jpg"))
    assert "4 photos: 4 records (0 new)" in run(batch, "--near", 4)[1]


def test_a_plan_describes_the_photos_that_it_tries_as_a_run_with_the_same_option_would(batch, capsys):
    burst(batch)
    with pytest.raises(SystemExit):
        main(batch.arguments("--plan", "--near", 4))
    captured = capsys.readouterr()
    records = [json.loads(line) for line in captured.out.splitlines()]
    assert [record.get("copied_from") for record in records] == [None, "1.jpg"]
    assert "--near" not in captured.err  # all were looked at


def test_a_plan_says_that_photos_which_look_the_same_are_found_only_during_the_run(batch, capsys):
    for number in range(9):
        batch.put(f"{number}.jpg", data=saved(scene(number)))
    expected = "with `--near`, it may take less: photos that look nearly the same are found only during the run\n"
    for options, said in (((), False), (("--near", 4), True)):
        with pytest.raises(SystemExit):
            main(batch.arguments("--plan", *options))
        assert (expected in capsys.readouterr().err) is said


def test_names_decide_which_photo_of_a_burst_is_the_first_whatever_the_executor_does(batch, plugin_folder):
    (plugin_folder / "backwards.py").write_text(BACKWARDS)
    install_plugin(plugin_folder, "backwards", "backwards")
    burst(batch)
    assert run(batch, "--near", 4, "--executor", "backwards")[0] == 0
    assert copied(batch) == {"3.jpg": None, "1.jpg": None, "2.jpg": "1.jpg", "4.jpg": "1.jpg"}


def test_equal_pixels_are_copied_whatever_the_executor_does(batch, plugin_folder):
    (plugin_folder / "backwards.py").write_text(BACKWARDS)
    install_plugin(plugin_folder, "backwards", "backwards")
    picture = photo(mark="a")
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        batch.put(name, data=commented(picture, name))
    assert run(batch, "--executor", "backwards")[0] == 0
    assert sorted(copied(batch).items()) == [("a.jpg", "c.jpg"), ("b.jpg", "c.jpg"), ("c.jpg", None)]


def test_a_photo_of_a_burst_is_described_where_the_first_one_fails(batch):
    batch.put("1.jpg", data=saved(scene(7)))
    batch.put("2.jpg", data=saved(scene(7, (960, 720))))
    batch.put("3.jpg", data=saved(scene(7, (960, 720)), quality=60))
    batch.model(fail_on="480x360")
    assert run(batch, "--near", 4, "--schema", TWO_WORDS)[0] == 3
    assert [row["file"] for row in batch.failures] == ["1.jpg"]
    assert copied(batch) == {"2.jpg": None, "3.jpg": "2.jpg"}


def test_a_later_run_finds_the_first_photo_of_an_earlier_one(batch):
    batch.put("1.jpg", data=saved(scene(7)))
    run(batch, "--near", 4)
    batch.put("2.jpg", data=saved(brighter(scene(7))))
    assert run(batch, "--near", 4)[0] == 0
    assert copied(batch) == {"1.jpg": None, "2.jpg": "1.jpg"}
    assert batch.report["tokens"]["prompt_tokens"] == 0


def test_a_record_for_a_photo_that_is_not_quite_the_same_has_no_boxes(batch):
    box = {side: {"const": 4} for side in "xywh"}
    thing = {"type": "object", "properties": {**box, "type": {"const": "cat"}}, "required": [*"xywh", "type"]}
    things = {"type": "array", "items": thing, "minItems": 1, "maxItems": 1}
    schema = {
        "type": "object",
        "properties": {"word": {"const": "cat"}, "things": things},
        "required": ["word", "things"],
    }
    batch.put("1.jpg", data=saved(scene(7)))
    batch.put("2.jpg", data=commented(saved(scene(7)), "edited"))
    batch.put("3.jpg", data=saved(brighter(scene(7))))
    assert run(batch, "--near", 4, "--schema", json.dumps(schema))[0] == 0
    first, *others = batch.records
    assert first["data"]["word"] == "cat"
    assert first["data"]["things"]
    assert [other["data"] for other in others] == [{"word": "cat"}] * 2


@pytest.mark.parametrize("value", ["17", "-1", "x"])
def test_a_distance_that_cannot_be_is_refused(batch, value):
    batch.put("a.jpg")
    assert run(batch, "--near", value)[0] == 2
