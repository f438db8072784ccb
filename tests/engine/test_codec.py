"""Messages survive the way to another process, whatever they hold."""

from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe import errors
from olpipe.engine.codec import decode, encode
from olpipe.engine.frames import Frame, FrameError
from olpipe.engine.protocol import Answered, Cancel, ErrorValue, Load, Loaded, Refused, Submit
from olpipe.generation import (
    Candidate,
    Chunk,
    FinishReason,
    GenerateRequest,
    Guidance,
    SamplingParams,
    Timings,
    TokenLogprobs,
    Usage,
)
from olpipe.image import DecodedImage
from olpipe.messages import ImagePart, Message, TextPart
from olpipe.model import LoadOptions, ModelBundle, ModelConfig, ModelName, RunnerInfo
from olpipe.settings import Settings

texts = st.text(st.characters(codec="utf-8"), max_size=20)
counts = st.integers(0, 2**63 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
tuples = st.lists(texts, max_size=3).map(tuple)
tables = st.dictionaries(texts, st.none() | st.booleans() | counts | numbers | texts | st.lists(texts), max_size=3)
paths = st.sampled_from([Path("/models/a b"), Path("relative/模型"), Path(".")])


@st.composite
def images(draw) -> DecodedImage:
    height, width = draw(st.integers(0, 5)), draw(st.integers(0, 5))
    pixels = np.frombuffer(draw(st.binary(min_size=height * width * 3, max_size=height * width * 3)), np.uint8)
    orientation = draw(st.integers(1, 8))
    return DecodedImage(pixels.reshape(height, width, 3), draw(counts), draw(counts), orientation, draw(texts))


roles = st.sampled_from(["system", "user", "assistant"])
parts = st.builds(TextPart, texts) | st.builds(ImagePart, images())
messages = st.builds(Message, roles, st.lists(parts, max_size=3).map(tuple))
biases = st.lists(st.tuples(counts, numbers), max_size=2).map(tuple)
sampling = st.builds(
    SamplingParams,
    temperature=numbers,
    top_k=counts,
    min_p=numbers,
    logit_bias=biases,
    seed=st.none() | counts,
    stop=tuples,
    max_tokens=counts,
)
kinds = st.sampled_from(["json", "json_schema", "regex", "lark"])
guidance = st.builds(Guidance, kinds, texts, st.lists(st.tuples(texts, texts), max_size=2).map(tuple))
requests = st.builds(
    GenerateRequest,
    texts,
    st.lists(messages, max_size=3).map(tuple),
    sampling,
    st.none() | guidance,
    st.none() | tuples,
    language=texts,
    avoid=st.lists(texts, max_size=3).map(tuple),
    top_logprobs=st.none() | counts,
)
configs = st.builds(
    ModelConfig,
    *(texts, texts, texts, texts, counts, counts),
    capabilities=tuples,
    perceivers=tuples,
    languages=tuples,
    conversion=tables,
)
names = st.builds(ModelName, texts, texts, texts, texts)
bundles = st.builds(
    ModelBundle, names, texts, paths, paths, configs, texts, tables, tuples, card=texts, size_bytes=counts
)
settings = st.builds(
    Settings, paths, st.none() | paths, st.booleans(), st.none() | tuples, tuples, threads=counts, context_length=counts
)
usages = st.builds(Usage, counts, counts, counts, counts)
timings = st.builds(Timings, counts, counts, counts, counts)
reasons = st.none() | st.sampled_from(FinishReason)
octets = st.lists(st.integers(0, 255), max_size=3).map(tuple)
candidates = st.lists(st.builds(Candidate, counts, octets, numbers), max_size=2).map(tuple)
logprobs = st.builds(TokenLogprobs, counts, octets, st.none() | numbers, st.none() | numbers, candidates, candidates)
chunks = st.builds(
    Chunk,
    texts,
    reasons,
    st.none() | usages,
    st.none() | timings,
    st.lists(logprobs, max_size=2).map(tuple),
)
failures = st.builds(ErrorValue, texts, texts, st.none() | texts)
everything = st.one_of(
    st.builds(Load, texts, bundles, st.builds(LoadOptions, counts, counts), settings),
    st.builds(Submit, counts, requests, texts),
    st.builds(Cancel, counts),
    st.builds(Loaded, st.builds(RunnerInfo, counts, counts, tuples, st.booleans())),
    st.builds(Answered, counts, chunks),
    st.builds(Refused, counts, failures),
)


def plain(value):
    """Return a value as tuples that compare by content, pixels included."""
    if is_dataclass(value):
        return type(value), [plain(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype, value.tobytes()
    return value


@given(everything)
def test_a_message_comes_out_as_it_went_in(message):
    assert plain(decode(encode(message))) == plain(message)


def test_pixels_that_are_not_contiguous_arrive_in_order():
    pixels = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)[:, ::-1]
    message = Message.of("user", "", DecodedImage(pixels, 4, 2))
    arrived = decode(encode(Submit(1, GenerateRequest("m", (message,)))))
    assert np.array_equal(arrived.request.messages[0].images[0].pixels, pixels)


def test_pixels_that_are_not_bytes_are_refused():
    image = DecodedImage(np.zeros((1, 1, 3), np.float32), 1, 1)
    with pytest.raises(FrameError, match="pixels must be uint8, not float32"):
        encode(Submit(1, GenerateRequest("m", (Message.of("user", "", image),))))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"nonsense", "not a message: JSONDecodeError"),
        ({"type": "Path", "body": "/"}, "not a message: KeyError: 'Path'"),
        ({"type": "Cancel", "body": {"sequence_id": "1"}}, "'1' is not a int"),
        ({"type": "Cancel", "body": {"sequence_id": True}}, "True is not a int"),
        ({"type": "Cancel", "body": {}}, r"Cancel has the fields \['sequence_id'\], not \[\]"),
        ({"type": "Cancel", "body": {"sequence_id": 1, "more": 2}}, "Cancel has the fields"),
        ({"type": "Cancel", "body": None}, "not a message: TypeError"),
        ({"type": "Answered", "body": {"sequence_id": 1, "chunk": {"text": ""}}}, "Chunk has the fields"),
    ],
)
def test_what_is_no_message_is_an_error(header, message):
    with pytest.raises(FrameError, match=message):
        decode(Frame(header if isinstance(header, bytes) else orjson.dumps(header)))


def test_an_image_without_its_attachment_is_an_error():
    message = Message.of("user", "", DecodedImage(np.zeros((1, 1, 3), np.uint8), 1, 1))
    frame = encode(Submit(1, GenerateRequest("m", (message,))))
    with pytest.raises(FrameError, match="not a message: IndexError"):
        decode(Frame(frame.header))


def every_error() -> list[type[errors.OlpipeError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.OlpipeError)]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_of_the_tree_arrives_as_its_own_class(kind):
    arrived = ErrorValue.of(kind("message", hint="hint")).to_error()
    assert (type(arrived), arrived.message, arrived.hint) == (kind, "message", "hint")


def test_an_error_class_of_a_plugin_arrives_as_the_nearest_class_of_ours():
    class OutOfPatience(errors.GenerationError):
        pass

    assert type(ErrorValue.of(OutOfPatience("no")).to_error()) is errors.GenerationError


def test_an_error_that_was_not_raised_on_purpose_arrives_as_a_generation_error():
    arrived = ErrorValue.of(ZeroDivisionError("division by zero")).to_error()
    assert type(arrived) is errors.GenerationError
    assert arrived.message == "the runner failed: ZeroDivisionError: division by zero"


def test_a_name_that_is_no_error_is_not_raised():
    with pytest.raises(ValueError, match="`nearest` is not an error of olpipe"):
        ErrorValue("nearest", "").to_error()
