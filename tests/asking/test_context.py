"""How many tokens a request may have, and with how many its model is loaded."""

from dataclasses import replace
from pathlib import Path

import pytest

from olpipe.asking.context import load_options, wanted_context
from olpipe.errors import StoreError
from olpipe.model import LoadOptions, ModelBundle, ModelConfig, ModelName


def bundle(longest=8192, **parameters):
    config = ModelConfig(context_length=longest)
    return ModelBundle(ModelName.parse("m"), "sha256:0", Path("m"), Path("c"), config, parameters=parameters)


@pytest.mark.parametrize(
    ("asked", "own", "longest", "wanted"),
    [
        (0, {}, 8192, 0),
        (100, {}, 8192, 100),
        (0, {"num_ctx": 200}, 8192, 200),
        (100, {"num_ctx": 200}, 8192, 100),
        (300, {"num_ctx": 200}, 8192, 300),
        (8192, {}, 8192, 8192),
        (100_000, {}, 8192, 8192),  # as in Ollama: clients ask for far too much by default
        (0, {"num_ctx": 100_000}, 8192, 8192),
        (100_000, {}, 0, 100_000),  # the limit is not known before the model is loaded
        (0, {"num_ctx": None}, 8192, 0),
    ],
)
def test_the_request_comes_first_then_the_models_own_parameter(asked, own, longest, wanted):
    assert wanted_context(asked, bundle(longest, **own)) == wanted


def test_the_log_says_once_that_there_are_not_so_many(caplog):
    for _ in range(3):
        wanted_context(70_001, bundle())
    (record,) = caplog.records
    assert record.message == "a context of 70001 tokens was asked for, and `m:latest` holds 8192: these are used"


@pytest.mark.parametrize("value", ["many", -1, 1.5, True, [1]])
def test_a_parameter_that_is_no_number_of_tokens_is_told(value):
    with pytest.raises(StoreError, match="the model's parameter `num_ctx` cannot be"):
        wanted_context(0, bundle(num_ctx=value))


@pytest.mark.parametrize(
    ("asked", "own", "usual", "loaded"),
    [
        (0, {}, 0, 0),
        (4096, {}, 0, 0),  # loaded with the model's own limit, which is never less
        (1024, {}, 2048, 0),
        (2048, {}, 2048, 0),
        (4096, {}, 2048, 4096),
        (0, {"num_ctx": 4096}, 2048, 4096),
        (512, {"num_ctx": 4096}, 2048, 0),
        (100_000, {}, 2048, 8192),
    ],
)
def test_only_a_context_that_is_larger_than_usual_loads_a_model_anew(asked, own, usual, loaded):
    options = LoadOptions(threads=2, context_length=asked)
    assert load_options(options, bundle(**own), usual=usual) == replace(options, context_length=loaded)
