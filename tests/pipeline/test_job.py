"""A job that travels to another machine."""

import json
import pickle
from dataclasses import replace

import pytest

from olpipe.describing.recipe import Recipe
from olpipe.engine.manager import Engine
from olpipe.errors import MachineError
from olpipe.model import ModelConfig, ModelName
from olpipe.pipeline.job import DescribeJob, JobOptions
from olpipe.pipeline.resolved import ResolvedRecipe
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.findings import Findings
from olpipe.store.library import Library
from olpipe.testing.fixtures import echo_plugin, plugin_folder

__all__ = ["echo_plugin", "plugin_folder"]

RECIPE = Recipe(name="r", task="data", model="echo", prompt="What is this?", schema={"type": "object"})


@pytest.fixture
def settings(isolated_home, echo_plugin):
    return Settings(home=isolated_home)


@pytest.fixture
def library(settings):
    return Library(settings.models_folder, cache=settings.home / "cache")


def put_model(library, **options):
    layer = replace(library.add_bytes(json.dumps(options).encode()), name="echo.json")
    config = ModelConfig(model_format="echo", capabilities=("completion", "vision"))
    library.commit(ModelName.parse("echo"), config, [layer])


def travelled(library, settings):
    """Return a job as another process gets it."""
    plugins = Plugins.load(settings)
    with Engine(library, plugins, settings) as engine:
        key = ResolvedRecipe.resolve(RECIPE, plugins, engine, Findings(settings.models_folder)).key
        return pickle.loads(
            pickle.dumps(DescribeJob(RECIPE, settings, plugins=plugins, engine=engine, options=JobOptions(key=key)))
        )


def test_it_is_opened_where_the_recipe_means_the_same(library, settings):
    put_model(library, slots=3)
    with travelled(library, settings).open() as session:
        assert session.slots == 3


def test_it_is_refused_where_the_model_is_another_one(library, settings):
    put_model(library, slots=3)
    job = travelled(library, settings)
    put_model(library, slots=4)
    with pytest.raises(MachineError, match=r"would make other records.* echo:latest has the digest sha256:") as caught:
        job.open().__enter__()
    assert caught.value.hint == "install the same plugins in the same versions on all machines, and pull the same model"
