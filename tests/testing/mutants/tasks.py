"""A good task, and tasks with one fault each."""

import json
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from mutants.breaking import Mutants

from olpipe.errors import SchemaError
from olpipe.generation import GenerateRequest, Guidance, SamplingParams
from olpipe.interfaces import Task
from olpipe.messages import ImagePart, Message, TextPart
from olpipe.testing.contracts import TaskContract

CONTRACT = TaskContract


class Plain(Task):
    """Asks for a document, and takes its properties as they are."""

    name, version = "plain", "1"
    sentences = ("title",)
    scored = True

    def build(self, image, context):
        properties = context.schema.get("properties", {})
        if {"file", "sha256"} & set(properties):
            raise SchemaError("a record has such properties already")
        unasked = () if context.with_sentences else self.sentences
        schema = {
            **context.schema,
            "properties": {name: part for name, part in properties.items() if name not in unasked},
            "required": [name for name in context.schema.get("required", ()) if name not in unasked],
        }
        messages = []
        for question, answer in context.examples:
            messages += [Message.of("user", question), Message.of("assistant", answer)]
        messages.append(Message("user", (TextPart(context.prompt), ImagePart(image))))
        return GenerateRequest(
            context.model,
            tuple(messages),
            context.sampling,
            Guidance("json_schema", json.dumps(schema)),
            perceivers=context.perceivers,
            language=context.language,
        )

    def parse(self, value, image):
        return {"tags": [], **value}


PLUGINS = Mutants(Plain)


@PLUGINS.broken("test_it_has_a_name_and_a_version")
class Unversioned(Plain):
    """Recipes do not notice when it changes."""

    version = ""


@PLUGINS.broken("test_it_has_a_name_and_a_version")
class CountsItsVersion(Plain):
    """Its version is a number, which no key of a recipe is made of."""

    version = 1


@PLUGINS.broken("test_it_asks_the_model_of_the_recipe")
class PrefersAnotherModel(Plain):
    """It asks the model that its author likes best."""

    def build(self, image, context):
        return replace(super().build(image, context), model="photo-mini")


@PLUGINS.broken("test_it_asks_the_model_of_the_recipe")
class KnowsBetter(Plain):
    """It sets its own temperature and budget."""

    def build(self, image, context):
        return replace(super().build(image, context), sampling=SamplingParams(max_tokens=1000))


@PLUGINS.broken("test_it_asks_the_model_of_the_recipe")
class LeavesPerceiversOut(Plain):
    """The recipe's perceivers are never asked."""

    def build(self, image, context):
        return replace(super().build(image, context), perceivers=())


@PLUGINS.broken("test_it_asks_the_model_of_the_recipe")
class SpeaksEnglish(Plain):
    """The recipe's language is left out."""

    def build(self, image, context):
        return replace(super().build(image, context), language="en")


@PLUGINS.broken("test_it_asks_the_recipes_prompt")
class AsksItsOwnQuestion(Plain):
    """The recipe's prompt is left out."""

    def build(self, image, context):
        return super().build(image, replace(context, prompt="Describe it."))


@PLUGINS.broken("test_the_photo_is_in_the_message_that_is_answered")
class ShowsNoPhoto(Plain):
    """The model is asked about a photo that it never gets."""

    def build(self, image, context):
        request = super().build(image, context)
        return replace(request, messages=(*request.messages[:-1], Message.of("user", context.prompt)))


@PLUGINS.broken("test_the_photo_is_in_the_message_that_is_answered")
class AsksAfterwards(Plain):
    """Another message follows the one with the photo."""

    def build(self, image, context):
        request = super().build(image, context)
        return replace(request, messages=(*request.messages, Message.of("user", "Well?")))


@PLUGINS.broken("test_it_shows_the_recipes_examples")
class LeavesExamplesOut(Plain):
    """The recipe's examples are never shown."""

    def build(self, image, context):
        return super().build(image, replace(context, examples=()))


@PLUGINS.broken("test_the_same_photo_gives_the_same_request")
class Counts(Plain):
    """Each request is another one."""

    def __init__(self):
        self.numbers = count()

    def build(self, image, context):
        request = super().build(image, context)
        return replace(request, sampling=replace(request.sampling, seed=next(self.numbers)))


@PLUGINS.broken("test_its_guidance_can_be_read")
class WritesPython(Plain):
    """Its schema is not JSON."""

    def build(self, image, context):
        request = super().build(image, context)
        return replace(request, guidance=Guidance("json_schema", repr(dict(context.schema))))


@PLUGINS.broken("test_its_guidance_can_be_read")
class KnowsTooMuch(Plain):
    """It knows values of properties that there are not."""

    def build(self, image, context):
        request = super().build(image, context)
        return replace(request, guidance=replace(request.guidance, constants=(("weather", '"rain"'),)))


@PLUGINS.broken("test_sentences_are_left_out_where_none_are_asked_for")
class WritesAnyLanguage(Plain):
    """The model is asked for sentences in a language that it does not write."""

    def build(self, image, context):
        return super().build(image, replace(context, with_sentences=True))


@PLUGINS.broken("test_its_values_are_plain_json")
class ReturnsNumpy(Plain):
    """A number of numpy looks like a float."""

    def parse(self, value, image):
        return {**value, "brightness": np.float64(image.pixels.mean())}


@PLUGINS.broken("test_its_values_are_plain_json")
class ReturnsSets(Plain):
    """A set cannot be written as JSON."""

    def parse(self, value, image):
        return {"tags": set(value["tags"])}


@PLUGINS.broken("test_the_same_answer_gives_the_same_values")
class RemembersAnswers(Plain):
    """Tags of earlier photos stay."""

    def __init__(self):
        self.tags = []

    def parse(self, value, image):
        self.tags += value["tags"]
        return {"tags": list(self.tags)}


@PLUGINS.broken("test_the_same_answer_gives_the_same_values")
class ChangesAnswers(Plain):
    """It takes the answer apart, which others may still need."""

    def parse(self, value, image):
        return {"tags": value.pop("tags", [])}


@PLUGINS.broken("test_values_that_get_scores_are_as_records_have_them")
class GivesScores(Plain):
    """It makes up how sure the perceivers were."""

    def parse(self, value, image):
        return {**value, "tag_scores": [1.0 for _ in value["tags"]]}


@PLUGINS.broken("test_values_that_get_scores_are_as_records_have_them")
class NumbersItsTags(Plain):
    """Its tags are not texts, so no score can be found for them."""

    def parse(self, value, image):
        return {"tags": list(range(len(value["tags"])))}


@PLUGINS.broken("test_its_values_leave_the_records_own_keys_alone")
class NamesThePhoto(Plain):
    """It writes a key that the record has already."""

    def parse(self, value, image):
        return {**value, "image": "a photo"}


@PLUGINS.broken("test_a_schema_cannot_name_the_records_own_keys")
class TakesEverySchema(Plain):
    """A recipe can replace the name of the file."""

    def build(self, image, context):
        request = super().build(image, replace(context, schema={}))
        return replace(request, guidance=Guidance("json_schema", json.dumps(context.schema)))


class TestTask(TaskContract):
    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def task(self, plugin):
        return plugin.make()
