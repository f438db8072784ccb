"""What a run says before it starts, where its records will not be what somebody may expect."""

from dataclasses import replace

import pytest

from olpipe.default_plugins.tasks.photo import PhotoTask
from olpipe.describing.recipe_file import read_recipe
from olpipe.model import ModelConfig, ModelName
from olpipe.pipeline.notices import notices

RECIPE = read_recipe("photo-tags")
ONE_PROMPT = ModelConfig(prompts=(RECIPE.prompt, "Fill in the form."))


def said(model, **changes):
    return list(notices(replace(RECIPE, **changes), PhotoTask(), ModelName.parse("mini"), model))


def test_nothing_is_said_where_all_is_as_usual():
    assert said(ModelConfig()) == []
    assert said(ModelConfig(languages=("en",))) == []


def test_a_prompt_that_the_model_does_not_follow_is_warned_of():
    assert said(ONE_PROMPT, prompt="List only the colours you see.") == [
        "warning: `mini:latest` does not follow prompts: the recipe's hardly changes what it writes",
        "hint: name a model that does, with --model",
    ]


@pytest.mark.parametrize("prompt", ["Describe the photo as JSON.", "Fill in the form."])
def test_a_prompt_that_the_model_was_trained_for_needs_no_word(prompt):
    assert said(ONE_PROMPT, prompt=prompt) == []


def test_a_model_that_names_no_prompts_follows_any():
    assert said(ModelConfig(), prompt="List only the colours you see.") == []


def test_sentences_in_a_language_that_the_model_does_not_write_are_announced_as_left_out():
    assert said(ModelConfig(languages=("en",)), language="de") == [
        "`mini:latest` does not write `de`: `title`, `description` and `alt` will be left out"
    ]


def test_properties_that_are_not_required_are_named():
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a"]}
    assert said(ModelConfig(), schema=schema) == [
        "warning: the schema does not require `b`: a model may leave it out",
        "hint: list under `required` what every record should have",
    ]
