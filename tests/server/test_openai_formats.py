"""OpenAI's `response_format` and `text.format`: the answer is what was asked for, whatever is sampled."""

import json
import re
from enum import Enum

import jsonschema
import openai
import pydantic
import pytest

SEEDS = range(12)
ASK = {"model": "tiny", "messages": [{"role": "user", "content": "the cat"}], "temperature": 1.5, "max_tokens": 60}
SCHEMA = {
    "type": "object",
    "required": ["title", "tags", "count"],
    "additionalProperties": False,
    "properties": {
        "title": {"type": "string", "maxLength": 20},
        "tags": {"type": "array", "items": {"enum": ["cat", "dog", "street"]}, "maxItems": 3},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
    },
}


class Animal(Enum):
    CAT = "cat"
    DOG = "dog"


class Photo(pydantic.BaseModel):
    animal: Animal
    legs: int = pydantic.Field(ge=0, le=4)
    words: list[str] = pydantic.Field(max_length=2)


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def answers(client, format_):
    """Return one answer for each of several seeds, half of them streamed."""
    for seed in SEEDS:
        body = {**ASK, "seed": seed, "response_format": format_}
        if seed % 2:
            yield client.chat.completions.create(**body).choices[0].message.content
        else:
            pieces = client.chat.completions.create(**body, stream=True)
            yield "".join(piece.choices[0].delta.content or "" for piece in pieces)


def test_an_answer_is_any_json_object(client):
    assert all(isinstance(json.loads(text), dict) for text in answers(client, {"type": "json_object"}))


def test_an_answer_follows_its_schema(client):
    format_ = {"type": "json_schema", "json_schema": {"name": "photo", "schema": SCHEMA, "strict": True}}
    found = [json.loads(text) for text in answers(client, format_)]
    for value in found:
        jsonschema.validate(value, SCHEMA)
    assert len({json.dumps(value) for value in found}) > 1


def test_a_response_follows_its_schema(client):
    for seed in SEEDS:
        answer = client.responses.create(
            model="tiny", input="the cat", temperature=1.5, max_output_tokens=60, extra_body={"seed": seed},
            text={"format": {"type": "json_schema", "name": "photo", "schema": SCHEMA, "strict": True}},
        )  # fmt: skip
        jsonschema.validate(json.loads(answer.output_text), SCHEMA)


def test_the_clients_own_types_are_taken(client):
    parsed = client.chat.completions.parse(**{**ASK, "max_tokens": 200}, seed=3, response_format=Photo)
    assert isinstance(parsed.choices[0].message.parsed, Photo)
    response = client.responses.parse(model="tiny", input="the cat", max_output_tokens=200, text_format=Photo)
    assert isinstance(response.output_parsed, Photo)
    with client.responses.stream(model="tiny", input="the cat", max_output_tokens=200, text_format=Photo) as running:
        assert isinstance(running.get_final_response().output_parsed, Photo)


def test_an_answer_matches_a_regular_expression(client):
    pattern = r"(cat|dog)-[0-9]{3}"
    assert all(re.fullmatch(pattern, text) for text in answers(client, {"type": "regex", "pattern": pattern}))


def test_an_answer_follows_a_grammar(client):
    format_ = {"type": "lark", "grammar": 'start: "yes" | "no"'}
    assert set(answers(client, format_)) <= {"yes", "no"}


def test_text_is_free(client):
    free = client.chat.completions.create(**ASK, seed=1).choices[0].message.content
    assert (
        client.chat.completions.create(**ASK, seed=1, response_format={"type": "text"}).choices[0].message.content
        == free
    )


@pytest.mark.parametrize(
    ("format_", "told"),
    [
        ({"type": "yaml"}, "`response_format.type` cannot be `yaml`"),
        ({"type": "json_schema"}, "`response_format.json_schema.schema` is missing"),
        ({"type": "json_schema", "json_schema": {"schema": {"type": "objekt"}}}, "the schema is not valid at `$.type`"),
        ({"type": "json_schema", "json_schema": {"schema": {"allOf": [{"type": "string"}, {"type": "null"}]}}}, ""),
        ({"type": "regex"}, "a format of the type `regex` needs `pattern`"),
        ({"type": "regex", "pattern": "("}, ""),
        ({"type": "lark", "grammar": "start: ("}, ""),
    ],
)
def test_a_format_that_cannot_be_kept_is_refused(server, format_, told):
    for stream in (False, True):
        status, body = server.post("/v1/chat/completions", {**ASK, "response_format": format_, "stream": stream})
        assert (status, body["error"]["type"]) == (400, "invalid_request_error"), body
        assert told in body["error"]["message"]
