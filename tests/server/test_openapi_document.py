"""The OpenAPI document: it is valid, and it says what the server does."""

import re

import jsonschema
import pytest
from starlette.routing import Route

from olpipe.server.app import application
from olpipe.server.openapi.document import document
from olpipe.server.service import Service
from olpipe.settings import Settings

DOCUMENT = document()
METHODS = ("get", "head", "post", "put", "patch", "delete")
SHORT = {"num_predict": 3, "seed": 1}
SAID = [{"role": "user", "content": "the cat"}]


def operations():
    return {
        (method, path): operation
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def references(value):
    """Yield every reference in a part of the document."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def schemas(value):
    """Yield every schema that stands in an operation."""
    if isinstance(value, dict):
        if "schema" in value:
            yield value["schema"]
        for name, inner in value.items():
            if name != "schema":
                yield from schemas(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from schemas(inner)


# --- the document itself --------------------------------------------------------------------------


def test_every_schema_is_one():
    found = [*DOCUMENT["components"]["schemas"].values(), *schemas(DOCUMENT["paths"])]
    assert len(found) > 50
    for schema in found:
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_reference_leads_to_a_schema_and_each_schema_is_used():
    names = {reference.removeprefix("#/components/schemas/") for reference in references(DOCUMENT)}
    in_streams = {"ChatCompletionChunk"}
    assert names | in_streams == set(DOCUMENT["components"]["schemas"])


def test_every_operation_has_an_id_of_its_own_and_says_what_it_does():
    ids = [operation["operationId"] for operation in operations().values()]
    assert len(ids) == len(set(ids))
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for operation in operations().values():
        assert operation["summary"].endswith(".")
        assert set(operation["tags"]) <= tags
        assert all(response["description"] for response in operation["responses"].values())


def test_the_parameters_of_a_path_are_described():
    for path, item in DOCUMENT["paths"].items():
        described = [parameter["name"] for parameter in item.get("parameters", ())]
        assert described == re.findall(r"\{(\w+)\}", path)


def test_the_validator_of_openapi_takes_it():
    definitions = pytest.importorskip("schemathesis.specs.openapi.definitions")
    definitions.OPENAPI_31_VALIDATOR.validate(DOCUMENT)


# --- the routes -----------------------------------------------------------------------------------


def routes_of(app):
    for route in app.routes:
        assert isinstance(route, Route)
        path = re.sub(r"\{(\w+)(?::\w+)?\}", r"{\1}", route.path)
        for method in route.methods - ({"HEAD"} if "GET" in route.methods else set()):
            yield method.lower(), path


def test_the_document_has_every_route_and_no_other(tmp_path):
    app = application(Service(Settings(home=tmp_path), None, None, None))
    assert set(operations()) == set(routes_of(app))


def test_the_server_gives_the_document(server):
    assert server.get("/openapi.json") == (200, DOCUMENT)


def test_health_needs_no_key():
    without = [path for (_, path), operation in operations().items() if operation.get("security") == []]
    assert without == ["/", "/api/version"]


# --- what comes back ------------------------------------------------------------------------------


def schema_of(method, path, status, kind="application/json"):
    """Return the schema of a response, with all schemas of the document in reach."""
    response = operations()[method, path]["responses"][str(status)]
    return {**response["content"][kind]["schema"], "components": DOCUMENT["components"]}


ANSWERS = [
    ("get", "/api/version", None, 200),
    ("get", "/api/tags", None, 200),
    ("get", "/api/ps", None, 200),
    ("get", "/api/recipes", None, 200),
    ("get", "/v1/models", None, 200),
    ("post", "/api/show", {"model": "tiny"}, 200),
    ("post", "/api/show", {"model": "seer", "verbose": True}, 200),
    ("post", "/api/generate", {"model": "tiny", "prompt": "the cat", "options": SHORT, "stream": False}, 200),
    ("post", "/api/generate", {"model": "tiny"}, 200),
    ("post", "/api/chat", {"model": "tiny", "messages": SAID, "options": SHORT, "stream": False}, 200),
    (
        "post",
        "/api/chat",
        {"model": "thinker", "messages": SAID, "stream": False, "logprobs": True, "top_logprobs": 2, "options": SHORT},
        200,
    ),
    ("post", "/api/embed", {"model": "vectors", "input": ["the cat", "a dog"]}, 200),
    ("post", "/api/embeddings", {"model": "vectors", "prompt": "the cat"}, 200),
    ("post", "/api/tokenize", {"model": "tiny", "text": "the cat"}, 200),
    ("post", "/api/detokenize", {"model": "tiny", "tokens": [5, 6]}, 200),
    ("post", "/v1/chat/completions", {"model": "tiny", "messages": SAID, "max_tokens": 3}, 200),
    (
        "post",
        "/v1/chat/completions",
        {"model": "tiny", "messages": SAID, "max_tokens": 3, "n": 2, "logprobs": True, "top_logprobs": 2},
        200,
    ),
    ("post", "/v1/completions", {"model": "tiny", "prompt": ["a", "b"], "max_tokens": 3, "logprobs": 2}, 200),
    ("post", "/v1/embeddings", {"model": "vectors", "input": "the cat"}, 200),
    ("post", "/v1/embeddings", {"model": "vectors", "input": "the cat", "encoding_format": "base64"}, 200),
    ("post", "/v1/responses", {"model": "tiny", "input": "the cat", "max_output_tokens": 3}, 200),
    ("post", "/v1/messages", {"model": "tiny", "messages": SAID, "max_tokens": 3}, 200),
    ("post", "/v1/messages/count_tokens", {"model": "tiny", "messages": SAID}, 200),
    ("post", "/api/chat", {"model": "nobody", "messages": SAID}, 404),
    ("post", "/v1/chat/completions", {"model": "nobody", "messages": SAID}, 404),
    ("post", "/v1/messages", {"model": "nobody", "messages": SAID, "max_tokens": 3}, 404),
    ("post", "/api/copy", {}, 400),
    ("post", "/api/create", {"model": "x"}, 400),
    ("post", "/api/describe", {"colour": 1}, 400),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), ANSWERS)
def test_an_answer_is_what_the_document_says(server, method, path, body, status):
    found, answer = server.call(method.upper(), path, body)
    assert found == status, answer
    jsonschema.validate(answer, schema_of(method, path, status))


@pytest.mark.parametrize(("method", "path", "body", "status"), [row for row in ANSWERS if row[3] == 200 and row[2]])
def test_a_request_that_is_answered_is_one_of_the_document(method, path, body, status):
    schema = operations()[method, path]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(body, {**schema, "components": DOCUMENT["components"]})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/generate", {"model": "tiny", "prompt": "the cat", "options": SHORT}),
        ("/api/chat", {"model": "thinker", "messages": SAID, "options": SHORT}),
        ("/api/pull", {"model": "no-such-model"}),
    ],
)
def test_a_line_of_a_stream_is_what_the_document_says(server, path, body):
    schema = schema_of("post", path, 200, "application/x-ndjson")
    for line in server.lines(path, body):
        if "error" not in line or "status" in line:
            jsonschema.validate(line, schema)


def test_an_event_of_a_chat_completion_is_what_the_document_says(server):
    import json
    import urllib.request

    body = {
        "model": "tiny",
        "messages": SAID,
        "max_tokens": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    request = urllib.request.Request(f"{server.url}/v1/chat/completions", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as reply:
        lines = [line.decode().removeprefix("data: ").strip() for line in reply if line.startswith(b"data: ")]
    assert lines.pop() == "[DONE]"
    schema = {"$ref": "#/components/schemas/ChatCompletionChunk", "components": DOCUMENT["components"]}
    assert len(lines) > 2
    for line in lines:
        jsonschema.validate(json.loads(line), schema)
