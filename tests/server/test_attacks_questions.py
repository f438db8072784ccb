"""Attacks by what a question says: its JSON, its numbers, its images and its texts."""

import base64
import json
import struct
import zlib

import psutil
import pytest

from olpipe.testing.images import photo
from tests.server.attacks import GENERATE, SHORT, processes, refused, surviving
from tests.server.started import Started

ROUTES = [
    "/api/generate",
    "/api/chat",
    "/api/embed",
    "/api/show",
    "/api/create",
    "/v1/chat/completions",
    "/v1/messages",
]


@pytest.fixture(scope="module")
def small(server_home, tmp_path_factory):
    """Return a server with low limits, for all tests of this file."""
    with Started(
        server_home,
        tmp_path_factory.mktemp("small") / "log",
        OLPIPE_MAX_PIXELS="10000",
        OLPIPE_MAX_IMAGES="2",
        OLPIPE_MAX_PROMPT="1000",
        OLPIPE_MAX_TEXTS="3",
    ) as started:
        yield started


@pytest.fixture(autouse=True)
def survives(server):
    """The server survives each attack."""
    with surviving(server):
        yield


# --- JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("depth", [300, 1023, 10_000, 100_000])
@pytest.mark.parametrize("kind", ["lists", "objects"])
def test_lists_and_objects_within_each_other_without_end_are_refused(server, path, depth, kind):
    opened, closed = ("[", "]") if kind == "lists" else ('{"a":', "}")
    for field in ("model", "messages", "tools", "format", "input", "options", "unknown"):
        body = f'{{"{field}": {opened * depth}1{closed * depth}}}'.encode()
        assert refused(server, path, body) == "the body has more than 200 lists and objects within each other"
        if depth > 1023:
            return  # which field it is makes no difference there


@pytest.mark.parametrize("path", ROUTES)
def test_what_nests_as_deep_as_it_may_is_followed_to_its_end(server, path):
    for opened, closed in (("[", "]"), ('{"a":', "}")):
        deep = f"{opened * 195}1{closed * 195}"
        for field in ("format", "messages", "tools", "options", "input", "prompt", "system", "keep_alive", "think"):
            body = json.dumps({"model": "tiny", "max_tokens": 2}).encode()[:-1] + f', "{field}": {deep}}}'.encode()
            status, _ = server.post(path, body)
            assert status < 500 or field in ("format",), (path, field)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"   ", b"{", b"[]", b"7", b'"text"', b"\xff\xfe{}", b'{"model": "\xff"}', b'{"model": "\\ud800"}'),
        *(b'{"model": NaN}', b'{"a": 1}{"b": 2}', b"\0" * 100, b'{"model": "tiny", "model": 3}'),
    ],
)
def test_what_is_no_json_object_is_refused(server, path, body):
    refused(server, path, body)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "value", [None, True, 3, -1.5, [], [[]], {}, {"a": None}, "x" * 100_000, "../../etc/passwd", ""]
)
def test_a_model_is_named_by_a_text_that_is_a_name(server, path, value):
    status, answer = server.post(path, {"model": value, "max_tokens": 2})
    assert 400 <= status < 500 or (path == "/api/embed" and status < 500), answer
    assert "etc" not in str(answer) or "passwd" in str(value)


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        *({"temperature": value} for value in (-1, 1e308, "1", [1])),
        *({"top_k": value} for value in (-2, 1 << 40, 0.5)),
        *({"top_p": value} for value in (-0.1, 1.1)),
        *({"num_ctx": value} for value in (-5, 1.5, 1 << 62, -(1 << 63))),
        *({"num_predict": value} for value in (-3, 1 << 31, 1 << 70, True)),
        *({"seed": value} for value in (1 << 64, -(1 << 70), 0.5)),
        *({"repeat_last_n": value} for value in (-2, 1 << 33)),
        *({"repeat_penalty": value} for value in (-1, 1e30)),
        *({"stop": value} for value in ({}, [1], [["x"]], 3)),
        *({"num_thread": value} for value in (-1, 1 << 20)),
        *({"min_p": value} for value in (-1, 2)),
    ],
)
def test_an_option_out_of_its_range_is_refused(server, options):
    assert "option" in refused(server, "/api/generate", {**GENERATE, "options": options})


def test_a_client_cannot_ask_for_more_threads_than_there_are_processors(server):
    """A model with thousands of threads would be loaded for minutes, while all others wait."""
    body = {**GENERATE, "options": {**SHORT, "num_thread": 4096}}
    assert server.post("/api/generate", body)[0] == 200
    most = max(psutil.Process(pid).num_threads() for pid in processes(server))
    assert most < 200 + 4 * (psutil.cpu_count() or 1)


@pytest.mark.parametrize(
    "fields",
    [
        *({"max_tokens": value} for value in (0.5, "many", [1])),
        *({"temperature": value} for value in (-1, 1e9)),
        *({"n": value} for value in (0, -1, 1 << 20)),
        *({"top_logprobs": value, "logprobs": True} for value in (-1, 21, 1 << 40)),
        {"logit_bias": {"1": 1e30}},
        {"logit_bias": {"-1": 1}},
        {"logit_bias": {"99999999999": 1}},
    ],
)
def test_a_number_of_openais_api_out_of_its_range_is_refused(server, fields):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, **fields}
    refused(server, "/v1/chat/completions", body)


@pytest.mark.parametrize("value", [-1, 1 << 62, 0.5, "many", [1]])
def test_a_number_of_dimensions_out_of_its_range_is_refused(server, value):
    refused(server, "/api/embed", {"model": "vectors", "input": "the cat", "dimensions": value})


@pytest.mark.parametrize("value", [1e400, "1" * 5000, "-", "1e9h", {}, [], True])
def test_a_duration_that_cannot_be_is_refused(server, value):
    body = json.dumps({**GENERATE, "keep_alive": value}).replace("Infinity", "1e400").encode()
    refused(server, "/api/generate", body)


@pytest.mark.parametrize("value", [1e300, -1e300, 1 << 62, "9" * 400 + "h", "99999999999h", "-99999999999h"])
def test_a_duration_longer_than_the_calendar_means_for_ever(server, value):
    assert server.post("/api/generate", {**GENERATE, "keep_alive": value})[0] == 200
    assert server.get("/api/ps")[0] == 200
    assert server.post("/api/generate", {"model": "tiny", "keep_alive": 0})[0] == 200


# --- images ---------------------------------------------------------------------------------------


def ask_about(server, *images, **fields):
    texts = [image if isinstance(image, str) else base64.b64encode(image).decode() for image in images]
    message = {"role": "user", "content": "what is it?", "images": texts}
    return refused(server, "/api/chat", {"model": "seer", "messages": [message], "options": SHORT, **fields})


def png(width, height, data=b""):
    """Return a PNG that says it has a size, whatever it holds."""

    def chunk(kind, inside):
        return struct.pack(">I", len(inside)) + kind + inside + struct.pack(">I", zlib.crc32(kind + inside))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "text", ["%%%%", "a", "data:image/png;base64", "data:,", "", " ", "\u00e9\u00e9\u00e9\u00e9", "x" * 1_000_001]
)
def test_what_is_no_base64_is_refused(server, text):
    ask_about(server, text)


@pytest.mark.parametrize(
    "data",
    [
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0" + b"\0" * 50,
        b"RIFF\xff\xff\xff\xffWEBPVP8X" + b"\xff" * 30,
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        b"II*\0" + b"\xff" * 60,
        b"%PDF-1.4",
        bytes(range(256)) * 40,
        png(64, 64),
    ],
    ids=lambda data: str(data[:8]),
)
def test_what_is_no_image_is_refused(server, data):
    ask_about(server, data)


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (1, 1 << 31), (0, 5), ((1 << 31) - 1, (1 << 31) - 1)])
def test_an_image_that_says_it_is_huge_is_not_decoded(server, width, height):
    ask_about(server, png(width, height))


def test_a_very_long_image_is_shrunk_and_not_spread(server):
    images = [base64.b64encode(photo(4000, 1)).decode()]
    message = {"role": "user", "content": "?", "images": images}
    body = {"model": "seer", "messages": [message], "options": SHORT, "stream": False}
    status, answer = server.post("/api/chat", body)
    assert status in (200, 400), answer


def test_pixels_and_the_number_of_images_have_limits_in_the_settings(small):
    assert "at most 0 megapixels are decoded" in ask_about(small, photo(200, 100))
    tiny = photo(32, 32)
    assert ask_about(small, tiny, tiny, tiny) == "the request has 3 images, more than 2"
    turns = [{"role": "user", "content": "?", "images": [base64.b64encode(tiny).decode()]}] * 3
    assert "3 images" in refused(small, "/api/chat", {"model": "seer", "messages": turns})


# --- texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/generate", {"prompt": "x" * 1001}),
        ("/api/generate", {"prompt": "x", "system": "y" * 1000}),
        ("/api/chat", {"messages": [{"role": "user", "content": "x" * 10}] * 101}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x" * 1001}]}),
        ("/v1/completions", {"prompt": "x" * 1001}),
        ("/v1/messages", {"max_tokens": 2, "messages": [{"role": "user", "content": "x" * 1001}]}),
        ("/v1/responses", {"input": "x" * 1001}),
    ],
)
def test_a_text_has_a_limit_in_the_settings(small, path, body):
    assert "characters of text, more than 1,000" in refused(small, path, {"model": "tiny", **body})


@pytest.mark.parametrize("path", ["/api/embed", "/v1/embeddings"])
def test_texts_for_vectors_have_limits_in_the_settings(small, path):
    assert "the request has 4 texts, more than 3" in refused(small, path, {"model": "vectors", "input": ["x"] * 4})
    assert "characters of text" in refused(small, path, {"model": "vectors", "input": ["x" * 600] * 2})


def test_a_prompt_beyond_the_context_is_refused_where_it_may_not_be_cut(server):
    body = {**GENERATE, "prompt": "the cat " * 20_000, "truncate": False}
    assert "the prompt has 40018 tokens, and `tiny` holds 2048" in refused(server, "/api/generate", body)
