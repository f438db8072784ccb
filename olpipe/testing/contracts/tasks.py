"""The contract of tasks."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from olpipe.errors import SchemaError
from olpipe.generation import SamplingParams
from olpipe.interfaces import Task, TaskContext
from olpipe.record import RESERVED, TAG_SCORES
from olpipe.testing.contracts.plain import is_plain
from olpipe.testing.documents import smallest
from olpipe.testing.images import decoded

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"tags": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
    "required": ["tags"],
    "additionalProperties": False,
}


class TaskContract:
    """Every `Task`. Give it the fixture `task`.

    Attributes:
        schema: A schema that the task can be given.
        answer: What a model may answer: where the task asks for JSON, the value of a document that `schema` accepts,
            else a text. None takes the smallest document.
    """

    schema: Mapping[str, Any] = SCHEMA
    answer: Any = None

    @pytest.fixture
    def task(self) -> Task:
        """Return the task."""
        raise NotImplementedError

    @pytest.fixture
    def context(self) -> TaskContext:
        """Return what a recipe says."""
        return TaskContext(
            model="the-model",
            prompt="What is in the photo?",
            schema=self.schema,
            sampling=SamplingParams(temperature=0.5, max_tokens=77),
            examples=(("a dog on a lawn", '{"tags":["dog"]}'),),
            perceivers=("colours",),
            language="de",
        )

    @pytest.fixture
    def value(self) -> Any:
        """Return a model's answer, as `parse` gets it."""
        return smallest(self.schema) if self.answer is None else copy.deepcopy(self.answer)

    def test_it_has_a_name_and_a_version(self, task: Task) -> None:
        """Both are part of every recipe's key."""
        for text in (task.name, task.version):
            assert isinstance(text, str)
            assert text

    def test_it_asks_the_model_of_the_recipe(self, task: Task, context: TaskContext) -> None:
        """Model, sampling, perceivers and language are the recipe's."""
        request = task.build(decoded(), context)
        assert request.model == "the-model"
        assert request.sampling == context.sampling
        assert request.perceivers == ("colours",)
        assert request.language == "de"
        assert task.build(decoded(), replace(context, perceivers=None)).perceivers is None

    def test_it_asks_the_recipes_prompt(self, task: Task, context: TaskContext) -> None:
        """The prompt is in the request, word for word."""
        request = task.build(decoded(), context)
        assert any(context.prompt in message.text for message in request.messages)

    def test_the_photo_is_in_the_message_that_is_answered(self, task: Task, context: TaskContext) -> None:
        """That is the last message, and its role is `user`."""
        image = decoded()
        request = task.build(image, context)
        assert request.messages[-1].role == "user"
        assert request.messages[-1].images == (image,)

    def test_it_shows_the_recipes_examples(self, task: Task, context: TaskContext) -> None:
        """Each is a question of the user and an answer of the model, before the photo."""
        ((question, answer),) = context.examples
        *before, _ = task.build(decoded(), context).messages
        texts = {role: " ".join(one.text for one in before if one.role == role) for role in ("user", "assistant")}
        assert question in texts["user"]
        assert answer in texts["assistant"]

    def test_the_same_photo_gives_the_same_request(self, task: Task, context: TaskContext) -> None:
        """A record depends on nothing but photo and recipe."""
        image = decoded()
        assert task.build(image, context) == task.build(image, context)

    def test_its_guidance_can_be_read(self, task: Task, context: TaskContext) -> None:
        """A schema is JSON, and its known values are JSON of the schema's own properties."""
        guidance = task.build(decoded(), context).guidance
        if guidance is None or guidance.kind != "json_schema":
            return
        schema = json.loads(guidance.source)
        known = {name: json.loads(text) for name, text in guidance.constants}
        assert set(known) <= set(schema.get("properties", {}))

    def test_sentences_are_left_out_where_none_are_asked_for(self, task: Task, context: TaskContext) -> None:
        """The properties in `sentences` are not in the schema that the model is held to."""
        texts = {name: {"type": "string", "minLength": 1} for name in task.sentences}
        schema = {**self.schema, "properties": {**self.schema.get("properties", {}), **texts}}
        request = task.build(decoded(), replace(context, schema=schema, with_sentences=False))
        assert request.guidance is not None
        asked = json.loads(request.guidance.source)
        assert not set(task.sentences) & {*asked.get("properties", {}), *asked.get("required", ())}

    def test_its_values_are_plain_json(self, task: Task, value: Any) -> None:
        """They consist of Python's own dictionaries with texts as keys, lists, texts, numbers, booleans and None."""
        values = task.parse(value, decoded())
        assert is_plain(dict(values)), values

    def test_the_same_answer_gives_the_same_values(self, task: Task, value: Any) -> None:
        """The answer itself is left as it is."""
        before = copy.deepcopy(value)
        first = copy.deepcopy(task.parse(value, decoded()))
        assert task.parse(value, decoded()) == first
        assert value == before

    def test_values_that_get_scores_are_as_records_have_them(self, task: Task, value: Any) -> None:
        """A task that is `scored` gives tags as texts, objects with a `type`, and no scores of its own."""
        if not task.scored:
            return
        values = task.parse(value, decoded())
        assert all(isinstance(tag, str) for tag in values.get("tags") or ())
        assert all(isinstance(thing["type"], str) for thing in values.get("objects") or ())
        assert TAG_SCORES not in values

    def test_its_values_leave_the_records_own_keys_alone(self, task: Task, value: Any) -> None:
        """They come beside `file`, `sha256` and the other keys that every record has."""
        assert not RESERVED & set(task.parse(value, decoded()))

    def test_a_schema_cannot_name_the_records_own_keys(self, task: Task, context: TaskContext) -> None:
        """A task refuses such a schema, or puts the answer where no keys collide."""
        schema = {
            "type": "object",
            "properties": {"file": {"type": "string"}, "sha256": {"type": "string"}},
            "required": ["file", "sha256"],
        }
        try:
            request = task.build(decoded(), replace(context, schema=schema))
        except SchemaError:
            return
        if request.guidance is not None and request.guidance.is_json:
            values = task.parse(smallest(json.loads(request.guidance.source)), decoded())
            assert not RESERVED & set(values)
