"""The echo backend keeps the contract of backends, and does what its options say."""

import json

import pytest
from jsonschema import ValidationError

from olpipe.errors import ModelCorrupt, SchemaError, UsageError
from olpipe.generation import Chunk, FinishReason, GenerateRequest, Guidance, SamplingParams
from olpipe.image import BoxDialect, DecodedImage, ShownImage
from olpipe.messages import ImagePart, Message, TextPart
from olpipe.model import LoadOptions
from olpipe.testing.contracts import BackendContract, PluginContract
from olpipe.testing.documents import smallest
from olpipe.testing.echo import EchoBackend, EchoOptions, EchoRunner, echo_bundle
from olpipe.testing.images import decoded


class TestEchoBackend(BackendContract):
    draws = False  # it has no model

    @pytest.fixture
    def backend(self):
        return EchoBackend()

    @pytest.fixture
    def photos(self):
        return decoded(), decoded(30, 20)  # all that echo sees is how large they are

    @pytest.fixture
    def bundle(self, tmp_path):
        return echo_bundle(tmp_path)


class TestEchoWithTwoSlots(TestEchoBackend):
    @pytest.fixture
    def bundle(self, tmp_path):
        return echo_bundle(tmp_path, options=EchoOptions(slots=2))


class TestEchoPlugin(PluginContract):
    module = "olpipe.testing.echo"


def answer(*parts: str | DecodedImage, guidance: Guidance | None = None, **sampling: object) -> tuple[str, Chunk]:
    message = Message("user", tuple(TextPart(part) if isinstance(part, str) else ImagePart(part) for part in parts))
    request = GenerateRequest("echo", (message,), SamplingParams(**sampling), guidance)
    runner = EchoRunner(EchoOptions(), 100)
    runner.start(1, runner.prepare(request))
    chunks = []
    while not chunks or chunks[-1].finish_reason is None:
        chunks += [chunk for _, chunk in runner.step()]
    return "".join(chunk.text for chunk in chunks), chunks[-1]


def test_the_answer_is_the_prompt_with_every_space_in_its_place():
    assert answer("  two\n\nwords \t")[0] == "  two\n\nwords \t"


def test_images_are_answered_by_the_size_of_their_originals():
    assert answer("before", decoded(4, 2, scale=10), "after")[0] == "before [image 40x20] after"


@pytest.mark.parametrize(
    ("sampling", "text", "reason"),
    [
        ({"max_tokens": 2}, "one two", FinishReason.LENGTH),
        ({"max_tokens": 3}, "one two three", FinishReason.STOP),
        ({"stop": (" three", "two")}, "one ", FinishReason.STOP),
        ({"stop": ("four",)}, "one two three", FinishReason.STOP),
    ],
)
def test_budget_and_stop_texts_are_honoured(sampling, text, reason):
    spoken, last = answer("one two three", **sampling)
    assert (spoken, last.finish_reason) == (text, reason)


def test_an_answer_to_nothing_is_nothing():
    assert answer("")[0] == ""


def test_plain_json_is_an_empty_object():
    assert answer("x", guidance=Guidance("json"))[0] == "{}"


def test_guidance_that_echo_cannot_follow_is_refused():
    with pytest.raises(UsageError, match="echo does not follow guidance of the kind `lark`"):
        answer("x", guidance=Guidance("lark", "start: A"))


def test_options_that_do_not_exist_are_a_damaged_model(tmp_path):
    bundle = echo_bundle(tmp_path)
    (bundle.path / "echo.json").write_text(json.dumps({"slot": 1}))
    with pytest.raises(ModelCorrupt, match=r"^`echo.json` of `echo:latest` cannot be used: "):
        EchoBackend().load(bundle, LoadOptions())


@pytest.mark.parametrize(
    ("schema", "document"),
    [
        ({"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "null"}}}, {"b": "", "a": None}),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [False, False]),
        ({"type": ["integer", "null"], "minimum": 3}, 3),
        ({"type": "number", "maximum": -0.5}, -0.5),
        ({"type": "integer", "minimum": -1, "maximum": 1}, 0),
        ({"type": "string", "minLength": 2}, "xx"),
        ({"enum": ["red", "blue"]}, "red"),
        ({"const": 7}, 7),
        ({"anyOf": [{"const": 1}, {"const": 2}]}, 1),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, 1),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"const": 9}}}, 9),
        ({}, {}),
    ],
)
def test_the_smallest_document_is_small_and_valid(schema, document):
    import jsonschema

    assert smallest(schema) == document
    jsonschema.validate(document, schema)


def test_constants_stand_in_the_smallest_document():
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    assert smallest(schema, {"b": "known", "c": "not asked for"}) == {"a": "", "b": "known"}


def test_a_pattern_has_no_smallest_text():
    with pytest.raises(SchemaError, match=r"no smallest text is known for the pattern `\^a`"):
        smallest({"type": "string", "pattern": "^a"})


BOXED = {"type": "object", "properties": {"bbox_2d": {"type": "array", "items": {"type": "integer"}}}}


def test_an_answer_can_be_given_beforehand_if_the_schema_allows_it():
    options = EchoOptions(document={"bbox_2d": [1, 2, 3, 4]})
    guidance = Guidance("json_schema", json.dumps(BOXED))
    asked = GenerateRequest("echo", (Message.of("user", "?"),), guidance=guidance)
    assert EchoRunner(options, 100).prepare(asked).words == ('{"bbox_2d":[1,2,3,4]}',)
    with pytest.raises(ValidationError):
        EchoRunner(EchoOptions(document={"bbox_2d": ["1"]}), 100).prepare(asked)


def test_every_image_is_shown_in_the_size_that_the_options_say():
    runner = EchoRunner(EchoOptions(fitted=(64, 32)), 100)
    asked = GenerateRequest("echo", (Message.of("user", "?", decoded(), decoded(9, 9)),))
    assert runner.prepare(asked).last.shown == (ShownImage(64, 32, 1), ShownImage(64, 32, 1))


def test_it_says_boxes_as_the_options_say():
    assert EchoRunner(EchoOptions(), 100).info.boxes == BoxDialect("bbox_2d", "xyxy", "thousandths")
    assert EchoRunner(EchoOptions(boxes=None), 100).info.boxes is None
