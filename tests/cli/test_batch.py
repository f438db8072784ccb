"""`olpipe batch` from end to end, with the echo backend in a real process: what comes out, and in which words."""

import json
import os
import struct
import sys
import zlib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from olpipe.testing.images import photo

RECORD_SCHEMA = Path(__file__).parents[2] / "docs" / "record.schema.json"


def test_a_folder_of_photos_becomes_one_record_each(batch):
    batch.put("b.jpg", "sub/a.jpg")
    code, said = batch.run()
    assert (code, said.splitlines()) == (
        0,
        [
            "2 photos: 2 records",
            f"see {batch.output}/records.jsonl  {batch.output}/run.json  {batch.output}/index.html",
        ],
    )
    assert batch.files == ["b.jpg", "sub/a.jpg"]
    assert batch.failures == []


def test_records_are_as_published(batch):
    batch.put("a.jpg", data=photo(48, 32, orientation=6))
    batch.run()
    (record,) = batch.records
    schema = json.loads(RECORD_SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(record)
    assert list(record)[:8] == ["file", "sha256", "image", "tags", "title", "description", "alt", "objects"]
    assert record["image"] == {"width": 48, "height": 32, "orientation": 6, "format": "JPEG"}
    assert (record["model"], record["recipe"]) == ("echo:latest", "photo-tags")


def test_the_report_counts_and_says_where_the_time_went(batch):
    batch.put("a.jpg", "b.jpg")
    batch.put("c.jpg", data=b"")
    batch.run()
    report = batch.report
    assert report["status"] == "complete"
    assert report["photos"] == {
        "found": 3,
        "wanted": 3,
        "records_before": 0,
        "failures_before": 0,
        "records": 2,
        "failures": 1,
        "equal": 0,
        "copied": 0,
        "renamed": 0,
        "unsure": 0,
        "unrecognised": 0,
        "approved": 0,
        "edited": 0,
        "rejected": 0,
        "left": 0,
    }
    assert report["failure_kinds"] == {"unreadable": 1}
    assert list(report["stage_seconds"]) == [
        *("read", "image", "ground", "load", "queue", "fit", "encode", "prompt", "decode", "write", "page")
    ]
    assert report["tokens"]["sampled_tokens"] == sum(record["usage"]["sampled_tokens"] for record in batch.records) > 0
    assert report["forced_share"] == report["reused_share"] == report["tokens"]["reused_tokens"] == 0
    assert report["recipe"]["name"] == "photo-tags"
    assert len(report["recipe"]["key"]) == 64
    assert report["versions"]["olpipe"]


def test_an_own_schema_puts_its_values_under_data(batch, tmp_path):
    batch.put("a.jpg")
    schema = {"type": "object", "properties": {"file": {"const": "mine"}}, "required": ["file"]}
    assert batch.run("--schema", json.dumps(schema))[0] == 0
    (record,) = batch.records
    assert (record["file"], record["data"]) == ("a.jpg", {"file": "mine"})
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    assert batch.run("--schema", tmp_path / "schema.json") == (
        0,
        "1 photo: 1 record (0 new)\n"
        f"see {batch.output}/records.jsonl  {batch.output}/run.json  {batch.output}/index.html\n",
    )


def test_sentences_in_a_language_that_the_model_does_not_write_are_left_out_and_that_is_said_once(batch):
    batch.put("a.jpg", "b.jpg")
    batch.model(languages=("en",))
    code, said = batch.run("--lang", "pt-BR")
    assert (code, said.splitlines()[:2]) == (
        0,
        [
            "`echo:latest` does not write `pt-BR`: `title`, `description` and `alt` will be left out",
            "2 photos: 2 records",
        ],
    )
    assert not any({"title", "description", "alt"} & row.keys() for row in batch.records)
    schema = json.loads(RECORD_SCHEMA.read_text(encoding="utf-8"))
    for row in batch.records:
        Draft202012Validator(schema).validate(row)


def test_another_language_is_another_recipe_whose_records_come_back(batch):
    batch.put("a.jpg")
    batch.model(languages=("en", "de"))
    assert "does not write" not in batch.run("--lang", "de-AT")[1]
    (german,) = batch.records
    assert german["title"] != ""
    assert "held 1 records of another" in batch.run()[1]
    assert "1 record (0 new)" in batch.run("--lang", "de-AT")[1]


def test_an_own_schema_in_a_language_that_the_model_does_not_write_is_answered_with_a_warning(batch):
    batch.put("a.jpg")
    batch.model(languages=("en",))
    schema = {"type": "object", "properties": {"title": {"type": "string", "minLength": 1, "maxLength": 9}}}
    code, said = batch.run("--lang", "de", "--schema", json.dumps(schema | {"required": ["title"]}))
    assert code == 0
    assert "`echo:latest` does not write `de`: its answers may be in another language\n" in said
    assert batch.records[0]["data"]["title"] != ""


def bomb():
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_every_poisoned_file_is_a_row_that_says_why_and_the_rest_is_described(batch, monkeypatch):
    for package in ("pillow_heif", "rawpy"):
        monkeypatch.setitem(sys.modules, package, None)  # makes the import fail as on a machine without it
    batch.put("good.jpg", "x.jpg/inside.jpg")
    batch.put("empty.jpg", data=b"")
    batch.put("truncated.jpg", data=photo(640, 480)[:2000])
    batch.put("text.jpg", data=b"Dear diary, today I learnt to call files what they are.")
    batch.put("bomb.png", data=bomb())
    batch.put("phone.heic", data=b"\x00\x00\x00\x18ftypheic" + bytes(80))
    batch.put("camera.cr2", data=b"II*\x00" + bytes(80))
    (batch.photos / "dangling.jpg").symlink_to(batch.photos / "nowhere.jpg")
    code, said = batch.run()
    assert code == 3
    assert said.splitlines()[0] == "9 photos: 2 records, 7 failed"
    assert batch.files == ["good.jpg", "x.jpg/inside.jpg"]
    failures = {row["file"]: row for row in batch.failures}
    assert {name: (row["kind"], row["message"]) for name, row in failures.items()} == {
        "bomb.png": ("too_large", "the image has 60000 x 60000 pixels; at most 200 megapixels are decoded"),
        "camera.cr2": ("unsupported", "reading camera RAW needs the package `rawpy`"),
        "dangling.jpg": ("unreadable", "the file cannot be opened: No such file or directory"),
        "empty.jpg": ("unreadable", "the file is empty"),
        "phone.heic": ("unsupported", "reading HEIC needs the package `pillow-heif`"),
        "text.jpg": ("unreadable", "the file does not hold an image"),
        "truncated.jpg": ("unreadable", failures["truncated.jpg"]["message"]),
    }
    assert failures["truncated.jpg"]["message"].startswith("the file ends early, and a part of the picture is missing")
    assert failures["phone.heic"]["hint"] == "run `pip install 'olpipe[heif]'`"
    assert failures["empty.jpg"]["sha256"] is not None


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission_is_a_row(batch):
    batch.put("a.jpg", "b.jpg")
    (batch.photos / "a.jpg").chmod(0)
    assert batch.run()[0] == 3
    assert [(row["file"], row["message"]) for row in batch.failures] == [
        ("a.jpg", "the file cannot be opened: Permission denied")
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_named_pipe_called_like_a_photo_does_not_hang_the_run(batch):
    batch.put("a.jpg")
    os.mkfifo(batch.photos / "b.jpg")
    assert batch.run()[0] == 3
    assert [(row["file"], row["message"]) for row in batch.failures] == [
        ("b.jpg", "the file cannot be opened: not a regular file")
    ]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the file system insists on Unicode")
def test_names_that_are_not_utf8_survive(batch):
    path = os.path.join(os.fsencode(batch.photos), b"caf\xe9.jpg")
    with open(path, "wb") as file:
        file.write(photo())
    assert batch.run()[0] == 0
    assert batch.files == ["./caf\\xe9.jpg"]
    assert "1 record (0 new)" in batch.run()[1]


def test_the_output_folder_may_lie_inside_the_photos(batch):
    batch.put("a.jpg")
    batch.output = batch.photos / "out"
    assert batch.run()[0] == 0
    batch.put("out/left-here.jpg")
    assert "1 photo: 1 record (0 new)" in batch.run()[1]
    assert batch.files == ["a.jpg"]


def test_photos_may_be_given_as_files_and_patterns(batch):
    batch.put("a.jpg", "b.png", "x/c.jpg")
    batch.run(inputs=[batch.photos / "**" / "*.jpg"])
    assert batch.files == ["a.jpg", "x/c.jpg"]
    batch.run(inputs=[batch.photos / "b.png", batch.photos / "x"])
    assert batch.files == ["a.jpg", "x/c.jpg", "b.png"]


def test_names_that_differ_only_in_their_suffix_are_different_photos(batch):
    batch.put("a.jpg", "a.png")
    batch.run()
    assert batch.files == ["a.jpg", "a.png"]


def test_equal_photos_are_worked_once_and_each_has_its_row(batch):
    for name in ("a.jpg", "b.jpg", "z/c.jpg"):
        batch.put(name, data=photo())
    batch.put("d.jpg")
    code, said = batch.run()
    assert (code, said.splitlines()[0]) == (0, "4 photos: 4 records, 2 equal to others")
    assert sorted(batch.files) == ["a.jpg", "b.jpg", "d.jpg", "z/c.jpg"]
    one, other = (next(row for row in batch.records if row["file"] == name) for name in ("a.jpg", "z/c.jpg"))
    assert one | {"file": ""} == other | {"file": ""}
    assert batch.report["tokens"]["prompt_tokens"] == 2 * one["usage"]["prompt_tokens"]


def test_equal_broken_files_fail_once_each_under_its_own_name(batch):
    batch.put("a.jpg", data=b"junk")
    batch.put("b.jpg", data=b"junk")
    assert batch.run()[0] == 3
    assert [(row["file"], row["message"]) for row in batch.failures] == [
        ("a.jpg", "the file does not hold an image"),
        ("b.jpg", "the file does not hold an image"),
    ]


def test_a_photo_the_model_fails_on_is_a_row_and_the_run_goes_on(batch):
    batch.put("a.jpg", "c.jpg")
    batch.put("b.jpg", data=photo(50, 40))
    batch.model(fail_on="50x40")
    two_words = json.dumps({"type": "object", "properties": {"text": {"const": "two words"}}})
    code, _ = batch.run("--schema", two_words)
    assert code == 3
    assert batch.files == ["a.jpg", "c.jpg"]
    (row,) = batch.failures
    assert (row["file"], row["kind"]) == ("b.jpg", "generation")
    assert row["message"] == "the backend `echo` failed: RuntimeError: echo fails as told"


def test_an_answer_that_the_schema_refuses_is_a_row(batch):
    batch.put("a.jpg")
    never = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "not": {"const": 1}}}}
    assert batch.run("--schema", json.dumps(never))[0] == 3
    (row,) = batch.failures
    assert row["kind"] == "refused"
    assert row["message"].startswith("the answer does not fit the schema at `$.n`")


def test_a_prompt_that_does_not_fit_the_model_is_a_row(batch):
    batch.put("a.jpg")
    batch.model(context_length=3)
    assert batch.run()[0] == 3
    (row,) = batch.failures
    assert (row["kind"], row["hint"]) == ("context", "send a shorter prompt")


def test_a_model_that_dies_stops_the_run_and_marks_no_photo(batch):
    batch.put("a.jpg")
    batch.put("b.jpg", data=photo(50, 40))
    batch.model(crash_on="50x40")
    two_words = ("--schema", json.dumps({"type": "object", "properties": {"text": {"const": "two words"}}}))
    code, said = batch.run(*two_words)
    assert code == 4
    assert "error: the process that runs `echo:latest` ended with exit code 70" in said
    assert "it happened at `b.jpg`, twice" in said
    assert (batch.files, batch.failures) == (["a.jpg"], [])
    assert batch.report["status"] == "stopped"
    (batch.photos / "b.jpg").unlink()
    assert batch.run(*two_words)[0] == 0


def test_a_missing_folder_is_one_line_with_the_nearest_name(batch):
    batch.put("a.jpg")
    code, said = batch.run(inputs=[batch.photos.with_name("fotos")])
    assert code == 2
    assert said == (f"error: `{batch.photos.with_name('fotos')}` is not there\nhint: did you mean `{batch.photos}`?\n")
    assert not batch.output.exists()


def test_an_unknown_model_is_one_line_with_the_nearest_name(batch):
    batch.put("a.jpg")
    code, said = batch.run("--model", "ecko")
    assert (code, said) == (
        1,
        "error: model `ecko` is not on this machine\nhint: did you mean `echo:latest`?\n",
    )


def test_an_unknown_perceiver_is_one_line(batch):
    batch.put("a.jpg")
    code, said = batch.run("--evidence", "nobody")
    assert code == 2
    assert said.startswith("error: no perceiver is called `nobody`\nhint: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--recipe", "photo-tag"), "error: there is no recipe `photo-tag`\nhint: did you mean `photo-tags`?\n"),
        (("--lang", "german"), "error: `german` is not a language tag\nhint: write one like `de` or `zh-Hans`\n"),
        (("--limit", "0"), "error: `--limit` cannot be `0`\nhint: give a whole number, at least 1\n"),
        (("--schema", "{"), "error: the schema is not JSON: "),
        (("--schema", '{"type": 5}'), "error: the schema is not valid at `$.type`: "),
        (("--schema", "nowhere.json"), "error: schema `nowhere.json` cannot be read: No such file or directory\n"),
    ],
)
def test_an_option_that_cannot_be_used_is_one_line(batch, options, message):
    batch.put("a.jpg")
    code, said = batch.run(*options)
    assert code == 2
    assert said.startswith(message)
    assert len(said.splitlines()) <= 2
    assert not batch.output.exists()


def test_an_output_that_is_a_file_is_one_line(batch):
    batch.put("a.jpg")
    batch.output.write_bytes(b"")
    code, said = batch.run()
    assert code == 4
    assert said.startswith(f"error: `{batch.output}` cannot be written: ")
    assert said.endswith("hint: give another folder with `-o`\n")


def test_links_that_were_not_followed_are_counted(batch, tmp_path):
    batch.put("a.jpg")
    (tmp_path / "b.jpg").write_bytes(photo())
    (batch.photos / "b.jpg").symlink_to(tmp_path / "b.jpg")
    assert "not followed: 1 link that leads to a folder, or out of the folders given\n" in batch.run()[1]
    assert batch.files == ["a.jpg"]


def test_what_was_passed_by_is_told_and_stands_in_the_report(batch):
    for name in ("a.jpg", "b.jpg", "@eaDir/c.jpg"):
        batch.put(name)
    (batch.photos / "d.mp4").write_bytes(b"film")
    code, said = batch.run("--exclude", "b*")
    assert code == 0
    folder = batch.photos / "@eaDir"
    assert f"left out, as programs keep them for themselves: `{folder}`; name one to have it described\n" in said
    assert "left out: 1 video\n" in said
    assert "left out: 1 that `--exclude` names\n" in said
    passed_by = json.loads((batch.output / "run.json").read_bytes())["passed_by"]
    nothing = {"unopened": [], "links": 0, "missing": [], "archives": 0}
    assert passed_by == {**nothing, "programs_folders": [str(folder)], "videos": 1, "excluded": 1}
    assert batch.files == ["a.jpg"]


def test_a_folder_that_may_not_be_looked_into_is_warned_about_and_the_exit_code_says_so(batch, monkeypatch):
    batch.put("a.jpg")
    batch.put("private/b.jpg")
    real = os.scandir

    def scandir(path):
        if os.path.basename(path) == "private":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    code, said = batch.run()
    assert code == 3
    assert f"warning: cannot look into `{batch.photos / 'private'}`: Permission denied\n" in said
    assert batch.files == ["a.jpg"]


def test_all_orientations_end_upright_in_their_records(batch):
    for orientation in range(1, 9):
        batch.put(f"{orientation}.jpg", data=photo(48, 32, orientation=orientation))
    batch.run()
    assert [row["image"] for row in batch.records] == [
        {"width": 48, "height": 32, "orientation": orientation, "format": "JPEG"} for orientation in range(1, 9)
    ]


def test_warnings_of_the_image_library_do_not_reach_the_terminal(batch):
    exif = b"Exif\x00\x00II*\x00\xff\xff\xff\x7f"
    Image.new("RGB", (8, 8)).save(batch.photos / "a.jpg", exif=exif)
    code, said = batch.run()
    assert (code, said.splitlines()[0]) == (0, "1 photo: 1 record")
