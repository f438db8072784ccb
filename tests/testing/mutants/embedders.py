"""Runners with one fault each: vectors of texts."""

from dataclasses import replace

import numpy as np
import pytest
from mutants.tiny import RunnerMutants, TinyRunner, tiny_bundle

from olpipe.embedding import Embeddings
from olpipe.errors import ContextExceeded
from olpipe.testing.contracts.vectors import EmbeddingContract

CONTRACT = EmbeddingContract
PLUGINS = RunnerMutants()


class Changes(TinyRunner):
    """Returns other vectors than it made."""

    def embed(self, request):
        made = super().embed(request)
        return Embeddings(self.changed(made.vectors, request), made.prompt_tokens)


@PLUGINS.runner("test_a_runner_without_vectors_says_so")
class MakesVectorsUp(TinyRunner):
    """It says that it makes no vectors, and makes some."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.info = replace(self.info, embeds=False)


@PLUGINS.runner("test_each_text_has_a_vector_of_length_1")
class LeavesLengths(Changes):
    """Its vectors have any length."""

    def changed(self, vectors, request):
        return 3 * vectors


@PLUGINS.runner("test_each_text_has_a_vector_of_length_1")
class ReturnsDoubles(Changes):
    """Its vectors take twice the memory."""

    def changed(self, vectors, request):
        return vectors.astype(np.float64)


@PLUGINS.runner("test_each_text_has_a_vector_of_length_1")
class ReturnsOneVector(Changes):
    """All texts together have one vector."""

    def changed(self, vectors, request):
        return vectors[:1]


@PLUGINS.runner("test_vectors_stand_in_the_order_of_the_texts")
class SortsTexts(TinyRunner):
    """Its vectors stand in the order of the texts' lengths."""

    def embed(self, request):
        return super().embed(replace(request, texts=tuple(sorted(request.texts, key=len))))


@PLUGINS.runner("test_vectors_stand_in_the_order_of_the_texts")
class PadsTexts(TinyRunner):
    """A text's vector depends on how long the other texts are."""

    def embed(self, request):
        longest = max(map(len, request.texts), default=0)
        return super().embed(replace(request, texts=tuple(text.ljust(longest) for text in request.texts)))


@PLUGINS.runner("test_other_texts_have_other_vectors")
class SaysAlwaysTheSame(Changes):
    """All texts have the same vector."""

    def changed(self, vectors, request):
        return np.full_like(vectors, vectors.shape[1] ** -0.5)


@PLUGINS.runner("test_no_texts_have_no_vectors")
class NeedsATextToRead(Changes):
    """No texts are an error."""

    def changed(self, vectors, request):
        vectors[0] = vectors[0]
        return vectors


@PLUGINS.runner("test_vectors_can_be_cut")
class IgnoresDimensions(TinyRunner):
    """Its vectors are as long as they are."""

    def embed(self, request):
        super().embed(request)
        return super().embed(replace(request, dimensions=None))


@PLUGINS.runner("test_vectors_can_be_cut")
class CutsAndLeavesThem(TinyRunner):
    """Vectors that were cut are shorter than 1."""

    def embed(self, request):
        made = super().embed(replace(request, dimensions=None))
        return Embeddings(made.vectors[:, : request.dimensions], made.prompt_tokens)


@PLUGINS.runner("test_more_dimensions_than_there_are_are_refused")
class PromisesDimensions(TinyRunner):
    """It returns fewer dimensions than were asked for."""

    def embed(self, request):
        asked = request.dimensions
        return super().embed(replace(request, dimensions=asked and min(asked, 12)))


@PLUGINS.runner("test_a_text_that_is_too_long_is_cut_or_refused")
class CutsAlways(TinyRunner):
    """It cuts a text that must not be cut."""

    def embed(self, request):
        return super().embed(replace(request, truncate=True))


@PLUGINS.runner("test_a_text_that_is_too_long_is_cut_or_refused")
class CutsNever(TinyRunner):
    """It refuses a text that may be cut."""

    def embed(self, request):
        if any(len(text) > 1000 for text in request.texts):
            raise ContextExceeded("it is too long")
        return super().embed(request)


@PLUGINS.runner("test_tokens_of_all_texts_are_counted")
class CountsTheFirstText(TinyRunner):
    """It counts the tokens of one text."""

    def embed(self, request):
        made = super().embed(request)
        return Embeddings(made.vectors, len(self.text(request.texts[0])) if request.texts else 0)


class TestEmbedder(EmbeddingContract):
    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def backend(self, plugin):
        return plugin.make()

    @pytest.fixture
    def bundle(self, tmp_path):
        return tiny_bundle(tmp_path)
