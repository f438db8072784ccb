"""Packets survive the way to another process, whatever they hold."""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe import errors
from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.engine.codec import decode, encode
from olpipe.engine.frames import Frame, FrameError
from olpipe.engine.protocol import (
    Answered,
    Begun,
    Build,
    Built,
    Cancel,
    Embed,
    Embedded,
    ErrorValue,
    GoOn,
    Load,
    Loaded,
    Packet,
    Reached,
    Refused,
    Submit,
    Tokenize,
    Tokenized,
)
from olpipe.generation import (
    Candidate,
    Chunk,
    FinishReason,
    GenerateRequest,
    Guidance,
    SamplingParams,
    Timings,
    TokenLogprobs,
    Tool,
    ToolChoice,
    Usage,
)
from olpipe.image import BoxDialect, DecodedImage, ShownImage
from olpipe.interfaces import Progress
from olpipe.messages import ImagePart, Message, Part, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from olpipe.model import LoadOptions, ModelBundle, ModelConfig, ModelName, RunnerInfo
from olpipe.settings import Settings
from olpipe.tokens import CountRequest, DetokenizeRequest, TokenizeRequest, Tokens

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


@st.composite
def vectors(draw) -> np.ndarray:
    rows, columns = draw(st.integers(0, 3)), draw(st.integers(0, 4))
    values = draw(st.lists(st.floats(width=32), min_size=rows * columns, max_size=rows * columns))
    return np.array(values, np.float32).reshape(rows, columns)


roles = st.sampled_from(["system", "user", "assistant", "tool"])
calls = st.builds(ToolCallPart, texts, texts, texts)
parts = st.one_of(
    st.builds(TextPart, texts),
    st.builds(ImagePart, images()),
    st.builds(ThinkingPart, texts),
    calls,
    st.builds(ToolResultPart, texts, texts, texts),
)
messages = st.builds(Message, roles, st.lists(parts, max_size=3).map(tuple))
biases = st.lists(st.tuples(counts, numbers), max_size=2).map(tuple)
sampling = st.builds(
    SamplingParams,
    temperature=numbers,
    top_k=counts,
    top_p=numbers,
    min_p=numbers,
    typical_p=numbers,
    repeat_penalty=numbers,
    presence_penalty=numbers,
    frequency_penalty=numbers,
    penalty_window=counts,
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
    st.lists(st.builds(Tool, texts, texts, texts), max_size=2).map(tuple),
    st.builds(ToolChoice, st.sampled_from(["auto", "none", "required"]), st.none() | texts),
    st.none() | st.sampled_from(["off", "on", "low", "medium", "high", "max"]),
    st.booleans(),
    st.none() | texts,
    perceivers=st.none() | tuples,
    language=texts,
    avoid=st.lists(texts, max_size=3).map(tuple),
    top_logprobs=st.none() | counts,
    context_length=counts,
    truncate=st.booleans(),
)
configs = st.builds(
    ModelConfig,
    *(texts, texts, texts, texts, counts, counts),
    capabilities=tuples,
    perceivers=tuples,
    languages=tuples,
    prompts=tuples,
    conversion=tables,
)
names = st.builds(ModelName, texts, texts, texts, texts)
bundles = st.builds(
    ModelBundle, names, texts, paths, paths, configs, texts, tables, tuples, card=texts, size_bytes=counts
)
settings = st.builds(
    Settings,
    paths,
    st.none() | paths,
    st.booleans(),
    st.none() | tuples,
    tuples,
    threads=counts,
    context_length=counts,
    keep_alive_s=numbers,
    max_loaded=counts,
    max_queue=counts,
    load_timeout_s=numbers,
    slots=counts,
    memory_limit=counts,
)
usages = st.builds(Usage, *[counts] * 6)
timings = st.builds(Timings, counts, counts, counts, counts, counts)
reasons = st.none() | st.sampled_from(FinishReason)
octets = st.lists(st.integers(0, 255), max_size=3).map(tuple)
candidates = st.lists(st.builds(Candidate, counts, octets, numbers), max_size=2).map(tuple)
logprobs = st.builds(TokenLogprobs, counts, octets, st.none() | numbers, st.none() | numbers, candidates, candidates)
chunks = st.builds(
    Chunk,
    texts,
    texts,
    st.lists(calls, max_size=2).map(tuple),
    reasons,
    st.none() | usages,
    st.none() | timings,
    st.lists(logprobs, max_size=2).map(tuple),
    st.lists(st.builds(ShownImage, counts, counts, counts, st.tuples(*[counts] * 4)), max_size=2).map(tuple),
)
orders, units = st.sampled_from(["xyxy", "yxyx"]), st.sampled_from(["thousandths", "pixels"])
dialects = st.builds(BoxDialect, texts, orders, units, texts)
failures = st.builds(ErrorValue, texts, texts, st.none() | texts)
switches = st.booleans()
ids = st.lists(counts, max_size=3).map(tuple)
about_tokens = st.one_of(
    st.builds(TokenizeRequest, texts, texts, switches),
    st.builds(DetokenizeRequest, texts, ids, switches),
    st.builds(CountRequest, requests),
)
options = st.builds(LoadOptions, counts, counts, counts, texts, counts, texts)
everything = st.one_of(
    st.builds(Load, texts, bundles, options, settings),
    st.builds(Build, texts, bundles, settings),
    st.just(GoOn()),
    st.builds(Reached, st.builds(Progress, texts, counts, st.none() | counts, texts, texts)),
    st.just(Built()),
    st.builds(Submit, counts, requests, texts),
    st.builds(Embed, counts, st.builds(EmbedRequest, texts, tuples, st.none() | counts, switches), texts),
    st.builds(Tokenize, counts, about_tokens),
    st.builds(Tokenized, counts, st.builds(Tokens, counts, ids, texts)),
    st.builds(Cancel, counts),
    st.builds(
        Loaded, st.builds(RunnerInfo, counts, counts, counts, switches, switches, switches, st.none() | dialects)
    ),
    st.builds(Begun, counts),
    st.builds(Answered, counts, chunks),
    st.builds(Embedded, counts, st.builds(Embeddings, vectors(), counts, timings)),
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
def test_a_packet_comes_out_as_it_went_in(packet):
    assert plain(decode(encode(packet))) == plain(packet)


def test_every_packet_of_the_protocol_is_tried():
    commands = {Load, Build, GoOn, Submit, Embed, Tokenize, Cancel}
    tried = commands | {Loaded, Reached, Built, Begun, Answered, Embedded, Tokenized, Refused}
    assert set(get_args(Packet)) == tried


def test_parts_with_the_same_fields_are_never_taken_for_each_other():
    said = (ThinkingPart("a"), TextPart("a"), ThinkingPart("b"))
    arrived = decode(encode(Submit(1, GenerateRequest("m", (Message("assistant", said),)))))
    assert arrived.request.messages[0].parts == said


@pytest.mark.parametrize("kind", get_args(Part))
def test_a_part_says_which_kind_it_is(kind):
    part = ImagePart(DecodedImage(np.zeros((1, 1, 3), np.uint8), 1, 1)) if kind is ImagePart else None
    part = part or kind(*["x"] * len(fields(kind)))
    frame = encode(Submit(1, GenerateRequest("m", (Message("user", (part,)),))))
    header = orjson.loads(frame.header)
    written = header["request"]["messages"][0]["parts"][0]
    assert written["$"] == kind.__name__
    for wrong in ({**written, "$": "Path"}, {name: value for name, value in written.items() if name != "$"}):
        header["request"]["messages"][0]["parts"][0] = wrong
        with pytest.raises(FrameError, match="not a packet: KeyError"):
            decode(Frame(orjson.dumps(header), frame.attachments))


def test_pixels_that_are_not_contiguous_arrive_in_order():
    pixels = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)[:, ::-1]
    message = Message.of("user", "", DecodedImage(pixels, 4, 2))
    arrived = decode(encode(Submit(1, GenerateRequest("m", (message,)))))
    assert np.array_equal(arrived.request.messages[0].images[0].pixels, pixels)


def test_pixels_that_are_not_bytes_are_refused():
    image = DecodedImage(np.zeros((1, 1, 3), np.float32), 1, 1)
    with pytest.raises(FrameError, match="an array of float32 is not one of uint8"):
        decode(encode(Submit(1, GenerateRequest("m", (Message.of("user", "", image),)))))


def test_arrays_are_not_copied_when_they_arrive():
    frame = encode(Embedded(1, Embeddings(np.ones((2, 3), np.float32), 1)))
    arrived = decode(frame).embeddings.vectors
    assert np.shares_memory(arrived, np.frombuffer(frame.attachments[0], np.float32))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", None])
def test_a_number_that_is_none_is_refused(value):
    request = GenerateRequest("m", (), SamplingParams(temperature=value))
    with pytest.raises(FrameError, match="is not a float"):
        decode(encode(Submit(1, request)))


def test_what_json_cannot_hold_is_refused_with_its_packet():
    with pytest.raises(FrameError, match=r"^a Submit cannot be sent: .*surrogates"):
        encode(Submit(1, GenerateRequest("\udcff", ())))
    with pytest.raises(FrameError, match=r"^a Submit cannot be sent: object is not JSON serializable"):
        encode(Submit(1, replace(GenerateRequest("m", ()), avoid=(object(),))))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"nonsense", "not a packet: JSONDecodeError"),
        (b"[]", "not a packet: TypeError"),
        ({}, r"not a packet: KeyError: '\$'"),
        ({"$": "Path"}, "not a packet: KeyError: 'Path'"),
        ({"$": ["Cancel"]}, "not a packet: TypeError"),
        ({"$": "Cancel", "sequence_id": "1"}, "'1' is not a int"),
        ({"$": "Cancel", "sequence_id": True}, "True is not a int"),
        ({"$": "Cancel"}, r"Cancel has the fields \['\$', 'sequence_id'\], not \['\$'\]"),
        ({"$": "Cancel", "sequence_id": 1, "more": 2}, "Cancel has the fields"),
        (None, "not a packet: TypeError"),
        ({"$": "Answered", "sequence_id": 1, "chunk": {"text": ""}}, "Chunk has the fields"),
        (
            {"$": "Embedded", "sequence_id": 1, "embeddings": {"vectors": [], "prompt_tokens": 1, "timings": {}}},
            "not a packet: TypeError",
        ),
    ],
)
def test_what_is_no_packet_is_an_error(header, message):
    with pytest.raises(FrameError, match=message):
        decode(Frame(header if isinstance(header, bytes) else orjson.dumps(header)))


def test_an_image_without_its_attachment_is_an_error():
    message = Message.of("user", "", DecodedImage(np.zeros((1, 1, 3), np.uint8), 1, 1))
    frame = encode(Submit(1, GenerateRequest("m", (message,))))
    with pytest.raises(FrameError, match="not a packet: IndexError"):
        decode(Frame(frame.header))


def test_an_array_that_is_longer_or_shorter_than_it_says_is_an_error():
    frame = encode(Embedded(1, Embeddings(np.ones((2, 3), np.float32), 1)))
    for data in (frame.attachments[0][4:], frame.attachments[0] + b"    ", frame.attachments[0][1:]):
        with pytest.raises(FrameError, match="not a packet: ValueError"):
            decode(Frame(frame.header, (data,)))


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
    assert arrived.message == "olpipe failed: ZeroDivisionError: division by zero"


def test_a_name_that_is_no_error_is_not_raised():
    with pytest.raises(ValueError, match="`nearest` is not an error of olpipe"):
        ErrorValue("nearest", "").to_error()
