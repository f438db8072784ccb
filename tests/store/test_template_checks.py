"""Models that are pulled with a template in Go's language, as Ollama's library has them."""

from dataclasses import replace
from types import ModuleType

import pytest

from olpipe.errors import ModelCorrupt, ModelNotFound
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource
from olpipe.model import MEDIA_TYPE, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.packages import gguf_config
from olpipe.store.pull import pull
from olpipe.store.sources import Origin
from olpipe.testing.models import write_tiny_gguf

IT = ModelName.parse("it")
GO, WRONG = "[{{ .Prompt }}]", "{{ if .Prompt }}"


class Shelf(ModelSource):
    """Has one model: a GGUF file, and a template beside it."""

    scheme = "shelf"

    def __init__(self, weights, template):
        self.weights, self.template = weights, template

    def default_name(self, reference):
        return IT

    def pull(self, reference, name, store, progress):
        weights = replace(store.add_file(self.weights), name="model.gguf")
        template = replace(store.add_bytes(self.template.encode()), media_type=MEDIA_TYPE + "template")
        store.commit(name, gguf_config(self.weights), [weights, template])


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def pulled(library, tmp_path):
    """Return a function that pulls a model."""

    def pulled(template, **options):
        shelf = Shelf(write_tiny_gguf(tmp_path / "tiny.gguf", **options), template)
        plugins = Plugins.load(Settings(plugins_allow=()))
        made = ModuleType("shelf")
        made.register_model_sources = hookimpl(lambda: [shelf])
        plugins.add(made, "shelf")
        return pull(Origin(shelf, "it"), IT, library, plugins, progress=lambda step: None)

    return pulled


def test_a_valid_template_is_kept(pulled):
    assert pulled(GO, chat_template="").template == GO


def test_a_template_that_is_not_valid_is_refused(pulled, library):
    with pytest.raises(ModelCorrupt) as caught:
        pulled(WRONG, chat_template="")
    assert caught.value.message == (
        "`it:latest` cannot be used: the model's chat template is not valid: `{{ if }}` has no `{{ end }}` (line 1)"
    )
    with pytest.raises(ModelNotFound):
        library.get(IT)


def test_a_template_that_is_not_used_may_be_wrong(pulled):
    assert pulled(WRONG).template == WRONG
