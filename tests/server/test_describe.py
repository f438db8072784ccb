"""POST /api/describe: the record that `olpipe batch` writes, for one photo over HTTP."""

import base64
import hashlib
import http.client
import json
import os
import subprocess
import sys
import time
import zlib
from pathlib import Path
from urllib.parse import urlencode

import pytest

from olpipe.describing.recipe_file import shipped_recipes
from olpipe.testing.images import photo
from tests.server.form_bodies import form

SAMPLES = Path(__file__).parents[2] / "samples" / "photos"
CAT, TURNED = "cat.jpg", "cat-on-its-side.jpg"
COLOURS = {
    "type": "object",
    "required": ["what", "colour"],
    "properties": {"what": {"type": "string", "maxLength": 20}, "colour": {"enum": ["red", "grey"]}},
}
BOXES = {
    "type": "object",
    "required": ["things"],
    "properties": {
        "things": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": {
                "type": "object",
                "required": ["x", "y", "w", "h", "type"],
                "properties": {
                    **{side: {"type": "integer", "minimum": 0} for side in "xywh"},
                    "type": {"type": "string", "maxLength": 8},
                },
            },
        }
    },
}
RECIPE = f"""
name = "colours"
task = "data"
model = "photo-mini"
prompt = "Which colour is it?"
[options]
temperature = 0
[schema]
{chr(10).join(f"{key} = {json.dumps(COLOURS[key])}" for key in ("type", "required"))}
[schema.properties]
what = {{ type = "string", maxLength = 20 }}
colour = {{ enum = ["red", "grey"] }}
"""


def batch(home, output, *options):
    """Return the records that a batch writes of two photos, by file."""
    photos = [str(SAMPLES / name) for name in (CAT, TURNED)]
    command = [sys.executable, "-P", "-m", "olpipe", "batch", *photos, "-o", str(output), *options]
    environment = {**os.environ, "OLPIPE_HOME": str(home)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    lines = (output / "records.jsonl").read_text(encoding="utf-8").splitlines()
    return {record["file"]: record for record in map(json.loads, lines)}


@pytest.fixture(scope="module")
def records(server_home, tmp_path_factory):
    """Return the records of the recipe that ships."""
    return batch(server_home, tmp_path_factory.mktemp("batch") / "out")


def in_base64(name):
    return base64.b64encode((SAMPLES / name).read_bytes()).decode()


def until(holds):
    """Wait until something holds."""
    give_up_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < give_up_s
        time.sleep(0.02)


def same(answer, record):
    """Say whether an answer is a record: the same values, in the same order."""
    return json.dumps(answer) == json.dumps(record)


# --- the same as a batch ------------------------------------------------------------------------


def test_each_photo_has_the_record_that_a_batch_writes(server, records):
    for name in (CAT, TURNED):
        status, answer = server.post("/api/describe", {"image": in_base64(name), "file": name})
        assert status == 200, answer
        assert same(answer, records[name])


def test_boxes_are_in_pixels_of_the_upright_photo(server):
    _, answer = server.post("/api/describe", {"image": in_base64(TURNED)})
    assert answer["image"]["orientation"] != 1
    assert answer["objects"]
    for thing in answer["objects"]:
        assert 0 <= thing["x"] < thing["x"] + thing["w"] <= answer["image"]["width"]
        assert 0 <= thing["y"] < thing["y"] + thing["h"] <= answer["image"]["height"]


@pytest.mark.parametrize("how", ["data URL", "form", "bytes", "bytes with any content type"])
def test_the_way_in_which_a_photo_comes_makes_no_difference(server, records, how):
    data = (SAMPLES / CAT).read_bytes()
    path, body, kind = "/api/describe", None, "application/json"
    if how == "data URL":
        body = {"image": f"data:image/jpeg;base64,{in_base64(CAT)}", "file": CAT, "model": "photo-mini"}
    elif how == "form":
        body, kind = form({"model": "photo-mini", "recipe": "photo-tags"}, CAT, data)
    else:
        path += "?" + urlencode({"model": "photo-mini", "file": CAT})
        body, kind = data, "image/jpeg" if how == "bytes" else "application/x-www-form-urlencoded"
    status, answer = server.post(path, body, Content_Type=kind)
    assert status == 200, answer
    assert same(answer, records[CAT])


def test_a_photo_without_a_name_is_called_image(server):
    _, answer = server.post("/api/describe?min_score=0.5", photo(), Content_Type="image/jpeg")
    assert answer["file"] == "image"
    assert answer["sha256"] == hashlib.sha256(photo()).hexdigest()


@pytest.mark.examples(1)
@pytest.mark.parametrize("sent_as", ["json", "form"])
def test_a_recipe_changes_as_by_the_options_of_a_batch(server, server_home, tmp_path, sent_as):
    options = ("--schema", json.dumps(COLOURS), "--lang", "de", "--perceivers", "photo-mini", "--min-score", "0.6")
    record = batch(server_home, tmp_path / "out", *options)[CAT]
    fields = {"schema": COLOURS, "language": "de", "perceivers": ["photo-mini"], "min_score": 0.6, "file": CAT}
    if sent_as == "json":
        status, answer = server.post("/api/describe", {**fields, "image": in_base64(CAT)})
    else:
        texts = {**fields, "schema": json.dumps(COLOURS), "perceivers": " photo-mini,"}
        body, kind = form(texts, "another.jpg", (SAMPLES / CAT).read_bytes())
        status, answer = server.post("/api/describe", body, Content_Type=kind)
    assert status == 200, answer
    assert answer["data"]["colour"] in ("red", "grey")
    assert same(answer, record)


def test_a_model_that_sees_says_the_boxes_that_it_says_in_a_batch(server, server_home, tmp_path):
    options = ("--model", "seer", "--schema", json.dumps(BOXES))
    record = batch(server_home, tmp_path / "out", *options)[CAT]
    body = {"model": "seer", "schema": BOXES, "image": in_base64(CAT), "file": CAT}
    status, answer = server.post("/api/describe", body)
    assert status == 200, answer
    assert answer["data"]["things"]
    assert same(answer, record)


def test_options_say_how_tokens_are_picked(server):
    body = {"image": in_base64(CAT), "options": {"num_predict": 5}}
    _, answer = server.post("/api/describe", body)
    assert answer["truncated"] is True
    assert answer["usage"]["sampled_tokens"] <= 5


def test_no_perceivers_leave_a_model_that_does_not_see_without_anything_to_say(server):
    for path, body, kind in (
        ("/api/describe", {"image": in_base64(CAT), "perceivers": []}, "application/json"),
        ("/api/describe?perceivers=", (SAMPLES / CAT).read_bytes(), "image/jpeg"),
    ):
        status, answer = server.post(path, body, Content_Type=kind)
        assert (status, answer["error"]) == (400, "model `photo-mini` cannot see images")


def test_a_model_is_unloaded_after_its_answer_where_it_is_kept_for_no_time(server):
    body = {"model": "seer", "schema": COLOURS, "image": in_base64(CAT), "keep_alive": 0}
    status, answer = server.post("/api/describe", body)
    assert (status, answer["model"]) == (200, "seer:latest")
    until(lambda: "seer:latest" not in {model["name"] for model in server.get("/api/ps")[1]["models"]})


def test_a_client_that_leaves_ends_its_request(server):
    text = {"type": "string", "minLength": 6000, "maxLength": 9000}  # takes minutes to write
    schema = {"type": "object", "required": ["text"], "properties": {"text": text}}
    body = {"image": in_base64(CAT), "schema": schema, "options": {"num_predict": 100_000}}

    def active():
        return sum(model["active"] for model in server.get("/api/ps")[1]["models"])

    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", "/api/describe", json.dumps(body), {"Content-Type": "application/json"})
    until(lambda: active() == 1)
    connection.close()
    until(lambda: active() == 0)


# --- recipes ------------------------------------------------------------------------------------


def test_recipes_have_names_and_those_of_the_settings_are_among_them(start_server, tmp_path):
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "colours.toml").write_text(RECIPE)
    (folder / "broken.toml").write_text("nam = 'x'")
    (tmp_path / "secret.toml").write_text(RECIPE)
    server = start_server(OLPIPE_RECIPES=str(folder))
    _, listed = server.get("/api/recipes")
    assert {recipe["name"] for recipe in listed["recipes"]} == {*shipped_recipes(), "colours"}
    status, answer = server.post("/api/describe", {"image": in_base64(CAT), "recipe": "colours"})
    assert (status, answer["recipe"], list(answer["data"])) == (200, "colours", ["what", "colour"])
    for name in ("../secret", str(tmp_path / "secret.toml"), "colours.toml", "~/secret", "broken"):
        status, answer = server.post("/api/describe", {"image": in_base64(CAT), "recipe": name})
        assert status == 400
        assert str(folder) not in json.dumps(answer).replace(name, "")


def test_a_recipe_with_stages_makes_the_record_that_a_batch_makes(start_server, server_home, tmp_path):
    stage = RECIPE.partition("[options]")[2].partition("[schema]")[2]
    head = 'name = "steps"\ntask = "data"\nmodel = "photo-mini"\n[options]\ntemperature = 0\n'
    first = f'[[stages]]\nname = "look"\nprompt = "Which colour is it?"\n[stages.schema]{stage}'
    second = """[[stages]]
name = "words"
prompt = "It is {look.colour}. What is its title?"
[stages.schema]
type = "object"
additionalProperties = false
required = ["title"]
[stages.schema.properties]
title = { type = "string", minLength = 1, maxLength = 30 }
"""
    text = (
        head + first.replace("[schema.properties]", "additionalProperties = false\n[stages.schema.properties]") + second
    )
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "steps.toml").write_text(text)
    server = start_server(OLPIPE_RECIPES=str(folder))
    _, listed = server.get("/api/recipes")
    assert [recipe["stages"] for recipe in listed["recipes"] if recipe["name"] == "steps"] == [["look", "words"]]
    record = batch(server_home, tmp_path / "out", "--recipe", str(folder / "steps.toml"))[CAT]
    status, answer = server.post("/api/describe", {"image": in_base64(CAT), "file": CAT, "recipe": "steps"})
    assert status == 200, answer
    assert list(answer["data"]) == ["what", "colour", "title"]
    assert same(answer, record)


def test_a_recipe_that_there_is_not_is_named_with_those_that_there_are(server):
    assert server.post("/api/describe", {"image": in_base64(CAT), "recipe": "photo-tag"}) == (
        400,
        {"error": "there is no recipe `photo-tag`", "hint": "did you mean `photo-tags`?", "kind": "RecipeError"},
    )


# --- failures -----------------------------------------------------------------------------------


def huge():
    """Return the beginning of a PNG that claims to have 30,000 times 30,000 pixels."""
    size = (30_000).to_bytes(4, "big")
    chunk = b"IHDR" + size + size + bytes([8, 2, 0, 0, 0])
    end = b"\0\0\0\0IEND\xaeB`\x82"
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + end


@pytest.mark.parametrize(
    ("data", "file", "kind"),
    [
        (b"this is no photo at all", "a.txt", "unsupported"),
        (b"this is no photo at all", "a.jpg", "unreadable"),
        (photo()[:200], "a.jpg", "unreadable"),
        (huge(), "a.png", "too_large"),
        (photo(), "a.jpg", "context"),
    ],
)
def test_a_photo_without_a_record_has_the_failure_that_a_batch_lists(server, data, file, kind):
    body = {"image": base64.b64encode(data).decode(), "file": file, "options": {"num_ctx": 8}}
    status, answer = server.post("/api/describe", body)
    assert status == 400
    failure = answer["failure"]
    assert (failure["file"], failure["kind"]) == (file, kind)
    assert failure["sha256"] == hashlib.sha256(data).hexdigest()
    assert failure["message"] == answer["error"]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({}, 400, "there is no photo in the request"),
        ({"image": "aGk=", "url": "http://example.com/a.jpg"}, 400, "the request has two photos"),
        ({"image": "!!"}, 400, "`image` is not base64"),
        ({"image": "aGk=", "perceiver": ["x"]}, 400, "`perceiver` is not a field of this request"),
        ({"image": "aGk=", "perceivers": ["x"]}, 400, "`x`"),
        ({"image": "aGk=", "model": "nobody"}, 404, "model 'nobody' not found"),
        ({"image": "aGk=", "model": "tiny"}, 400, "model `tiny` cannot see images"),
        ({"image": "aGk=", "image_tokens": 64}, 400, "does not see images, so no image becomes 64 tokens"),
        ({"image": "aGk=", "image_tokens": 0}, 400, "`image_tokens` must be between 1 and"),
        ({"image": "aGk=", "min_score": 2}, 400, "`min_score` must be between 0 and 1, not 2"),
        ({"image": "aGk=", "language": "no tag"}, 400, "`no tag` is not a language tag"),
        ({"image": "aGk=", "schema": {"type": "nothing"}}, 400, "nothing"),
        ({"image": "aGk=", "schema": []}, 400, "`schema` must be an object"),
        ({"image": "aGk=", "options": {"top_p": 3}}, 400, 'option "top_p" cannot be 3'),
        ({"image": "aGk=", "keep_alive": "soon"}, 400, "invalid duration"),
        ({"image": "aGk=", "file": "x" * 1025}, 400, "`file` has 1025 characters"),
        ({"url": "http://127.0.0.1/a.jpg"}, 400, "image URLs are not currently supported"),
    ],
)
def test_a_request_that_is_wrong_is_refused_with_a_reason(server, body, status, error):
    found, answer = server.post("/api/describe", body)
    assert found == status, answer
    assert error in answer["error"]
    assert "failure" not in answer


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (b"", "image/jpeg", "missing request body"),
        (b"x", "multipart/form-data", "its content type has no boundary"),
        (b"x", "multipart/form-data; boundary=b", "the form cannot be read"),
        (b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nhi',
         "multipart/form-data; boundary=b", "its end is missing"),
        (form({"schema": "{"}, CAT)[0], None, "`schema` is not valid JSON"),
        (form({"min_score": "much"}, CAT)[0], None, "`min_score` must be a number"),
        (form({"min_score": "nan"}, CAT)[0], None, "`min_score` must be a number"),
        (form({"image_tokens": "1e300"}, CAT)[0], None, "`image_tokens` must be between 1 and"),
        (form({"keep_alive": "inf"}, CAT)[0], None, "invalid duration"),
        (form({f"field{at}": "" for at in range(65)})[0], None, "more than 64 fields"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_refused_with_a_reason(server, body, kind, error):
    kind = kind or "multipart/form-data; boundary=" + body[2:34].decode()
    status, answer = server.post("/api/describe", body, Content_Type=kind)
    assert status == 400
    assert error in answer["error"]


def test_a_body_has_a_limit(start_server):
    server = start_server(OLPIPE_MAX_BODY="1000")
    status, answer = server.post("/api/describe", b"x" * 1001, Content_Type="image/jpeg")
    assert status == 413
    assert "1000 bytes" in answer["error"]
