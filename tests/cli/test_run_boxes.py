"""`olpipe run` with a model that sees: boxes in a schema become pixels of the photo, as in a batch."""

import json

import pytest

from olpipe.cli.main import main
from olpipe.testing.images import photo

SIDE = {"type": "integer"}
SCHEMA = {"type": "object", "properties": dict.fromkeys("xywh", SIDE), "required": list("xywh")}
DOCUMENT = {"bbox_2d": [500, 0, 1000, 500]}


@pytest.fixture
def ask(batch, capsys):
    """Return what asks the model `echo` about a photo of 1200x800 pixels; gives exit code, stdout and stderr."""
    batch.put("corner.jpg", data=photo(1200, 800, orientation=6))

    def ask(schema, *more):
        with pytest.raises(SystemExit) as ended:
            main(["run", "echo", f"Where? {batch.photos / 'corner.jpg'}", "--format", json.dumps(schema), *more])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return ask


def test_boxes_are_pixels_of_the_upright_photo(batch, ask):
    batch.model(document=DOCUMENT)
    code, out, _ = ask(SCHEMA)
    assert (code, json.loads(out)) == (0, {"x": 600, "y": 0, "w": 600, "h": 400})


def test_verbose_says_in_which_size_the_photo_was_seen(batch, ask):
    batch.model(document=DOCUMENT, fitted=[448, 448])
    _, _, said = ask(SCHEMA, "--verbose")
    assert "seen as 448x448" in said


def test_a_model_that_was_not_trained_to_say_boxes_is_not_asked_for_them(batch, ask):
    batch.model(boxes=None)
    code, _, said = ask(SCHEMA)
    assert code == 2
    assert "error: the schema asks for boxes only, and `echo` was not trained to say where things are" in said


def test_a_schema_without_boxes_is_streamed(batch, ask):
    batch.model(document={"title": "corner"})
    code, out, _ = ask({"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]})
    assert (code, json.loads(out)) == (0, {"title": "corner"})
