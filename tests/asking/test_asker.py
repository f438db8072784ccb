"""One builder of requests: from messages and wishes to what an engine is sent, and the judgement of what comes back."""

from dataclasses import fields
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from olpipe.asking.asker import Asker, judge
from olpipe.asking.wishes import USUAL, Wishes, holding_to
from olpipe.errors import ImageUnreadable, InvalidOutput, PluginError, UnknownName, UsageError
from olpipe.generation import (
    Completion,
    FinishReason,
    GenerateRequest,
    Guidance,
    Timings,
    Tool,
    ToolChoice,
    Usage,
)
from olpipe.hookspecs import hookimpl
from olpipe.image import USUAL_PIXELS, DecodedImage
from olpipe.interfaces import Perceiver
from olpipe.messages import Message
from olpipe.model import ModelBundle, ModelConfig, ModelName
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.plugins import Plugins
from olpipe.record import Evidence, Label
from olpipe.settings import Settings
from olpipe.testing.images import photo

QUESTION = Message.of("user", "What is it?")
PHOTO = DecodedImage(np.zeros((30, 90, 3), np.uint8), width=90, height=30)


class Eye(Perceiver):
    """Sees a cat, in any number of pixels."""

    name = "eye"
    version = "1"
    fit_pixels = 2_000_000

    def __init__(self):
        self.shown = []
        self.error = None

    def perceive(self, image):
        self.shown.append(image.pixels.shape[:2])
        if self.error is not None:
            raise self.error
        return Evidence(tags=(Label("cat", 0.9),))

    def translations(self):
        return {"de": {"cat": "Katze"}}


@pytest.fixture
def eye():
    return Eye()


@pytest.fixture
def plugins(tmp_path, eye):
    plugins = Plugins.load(Settings(home=tmp_path, plugins_allow=()))
    module = ModuleType("eyes")
    module.register_perceivers = hookimpl(lambda: [eye])
    plugins.add(module, "eyes")
    return plugins


def bundle(*perceivers, sees=False, **parameters):
    config = ModelConfig(capabilities=("vision",) if sees else ("completion",), perceivers=perceivers)
    return ModelBundle(ModelName.parse("m"), "sha256:0", Path(), Path(), config, parameters=parameters)


def test_a_request_without_wishes_is_as_usual(plugins):
    assert Asker(bundle(), Wishes(), plugins).request("m", [QUESTION]) == GenerateRequest("m", (QUESTION,), USUAL)


def test_every_wish_stands_in_the_request(plugins):
    wishes = Wishes(
        held_to=Guidance("json"),
        sampling={"seed": 3},
        perceivers=("eye",),
        language="de",
        think="low",
        tools=(Tool("look", "Looks.", "{}"),),
        tool_choice=ToolChoice("required", "look"),
        raw=True,
        suffix="the end",
        top_logprobs=2,
        context_length=512,
        truncate=True,
        template="{{ messages }}",
    )
    request = Asker(bundle(temperature=0.5), wishes, plugins).request("m:x", [QUESTION])
    assert (request.model, request.messages, request.guidance) == ("m:x", (QUESTION,), Guidance("json"))
    assert (request.sampling.seed, request.sampling.temperature, request.sampling.top_k) == (3, 0.5, 40)
    handed_on = {field.name for field in fields(Wishes)} - {"held_to", "sampling", "usual"}
    assert {name: getattr(request, name) for name in handed_on} == {name: getattr(wishes, name) for name in handed_on}


def test_evidence_joins_and_known_values_are_filled_in(plugins, eye):
    schema = '{"properties": {"tags": {"type": "array", "x-evidence": "tags"}}}'
    asker = Asker(bundle("eye"), Wishes(holding_to(schema), language="de"), plugins)
    request = asker.request("m", [Message.of("user", "What is it?", PHOTO)])
    assert request.messages[0].text == "photo: cat\nWhat is it?"
    assert request.guidance.constants == (("tags", '["Katze"]'),)


def test_a_conversation_is_looked_at_once_where_evidence_is_kept(plugins, eye, tmp_path):
    cache = EvidenceCache(tmp_path / "evidence.sqlite")
    asker = Asker(bundle("eye"), Wishes(), plugins, evidence=cache)
    first = Message.of("user", "What is it?", PHOTO)
    asker.request("m", [first])
    asker.request("m", [first, Message.of("assistant", "A cat."), Message.of("user", "Sure?")])
    cache.close()
    assert len(eye.shown) == 1


def test_photos_are_decoded_to_what_perceivers_and_the_model_can_use(plugins, eye, tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(photo(2400, 2000, file_format="PNG"))

    def pixels(asker):
        image = asker.image(path)
        assert (image.width, image.height) == (2400, 2000)
        return image.pixels.shape[0] * image.pixels.shape[1]

    assert pixels(Asker(bundle(), Wishes(), plugins)) == pytest.approx(USUAL_PIXELS, rel=0.01)
    assert pixels(Asker(bundle("eye"), Wishes(), plugins)) == pytest.approx(2_000_000, rel=0.01)
    seeing = bundle("eye", sees=True)
    assert pixels(Asker(seeing, Wishes(), plugins, model_pixels=3_000_000)) == pytest.approx(3e6, rel=0.01)


def test_a_model_that_sees_gets_what_it_can_use_of_a_photo_that_a_perceiver_wanted_larger(plugins, eye, tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(photo(2400, 2000, file_format="PNG"))
    asker = Asker(bundle("eye", sees=True), Wishes(), plugins, model_pixels=500_000)
    request = asker.request("m", [Message.of("user", "What is it?", asker.image(path))])
    (image,) = request.messages[0].images
    assert image.pixels.shape[0] * image.pixels.shape[1] == pytest.approx(500_000, rel=0.01)
    assert eye.shown[0][0] * eye.shown[0][1] == pytest.approx(2_000_000, rel=0.01)


def test_a_photo_that_cannot_be_read_is_named(plugins, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"junk")
    with pytest.raises(ImageUnreadable, match=r"a\.jpg`: the file does not hold an image"):
        Asker(bundle(), Wishes(), plugins).image(path)


def test_wishes_that_cannot_be_fulfilled_are_told(plugins, eye):
    with pytest.raises(UnknownName, match="no perceiver is called `nose`"):
        Asker(bundle(), Wishes(perceivers=("nose",)), plugins)
    with pytest.raises(UsageError, match="model `m:latest` cannot see images"):
        Asker(bundle(), Wishes(), plugins).request("m", [Message.of("user", "?", PHOTO)])
    eye.error = ValueError("no light")
    with pytest.raises(PluginError, match="the perceiver `eye` of the plugin `eyes` failed: ValueError: no light"):
        Asker(bundle("eye"), Wishes(), plugins).request("m", [Message.of("user", "?", PHOTO)])


def completion(text):
    return Completion(text, FinishReason.STOP, Usage(), Timings())


@pytest.mark.parametrize(
    ("guidance", "text"),
    [
        (None, "anything"),
        (Guidance("regex", "a+"), "aaa"),
        (Guidance("json"), '{"any": ["thing"]}'),
        (Guidance("json_schema", '{"type": "integer"}'), "5"),
    ],
)
def test_an_answer_that_is_what_was_asked_for_is_judged_in_silence(guidance, text):
    judge(GenerateRequest("m", (QUESTION,), guidance=guidance), completion(text))


@pytest.mark.parametrize(
    ("guidance", "text", "message"),
    [
        (Guidance("json"), "not JSON", "the answer is not JSON: "),
        (Guidance("json_schema", '{"type": "integer"}'), '"x"', "the answer does not fit the schema at `$`: "),
    ],
)
def test_an_answer_that_is_not_what_was_asked_for_is_told(guidance, text, message):
    with pytest.raises(InvalidOutput) as caught:
        judge(GenerateRequest("m", (QUESTION,), guidance=guidance), completion(text))
    assert caught.value.message.startswith(message)
