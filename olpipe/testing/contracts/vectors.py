"""The contract of backends, sixth part: vectors of texts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from olpipe.embedding import EmbedRequest
from olpipe.errors import ContextExceeded, UsageError
from olpipe.interfaces import Runner
from olpipe.testing.contracts.asking import ModelFixtures

TEXTS = ("a dog on a lawn", "the sea", "Write down the number of the street.", "a dog on a lawn")


class EmbeddingContract(ModelFixtures):
    """What a runner has to do whose `info.embeds` says that it turns texts into vectors."""

    @pytest.fixture
    def embedder(self, runner: Runner) -> Runner:
        """Return the runner where it makes vectors."""
        if not runner.info.embeds:
            pytest.skip("this runner makes no embeddings")
        return runner

    def test_a_runner_without_vectors_says_so(self, runner: Runner) -> None:
        """It does not return made-up vectors."""
        if runner.info.embeds:
            pytest.skip("this runner makes embeddings")
        with pytest.raises(UsageError):
            runner.embed(EmbedRequest("m", TEXTS))

    def test_each_text_has_a_vector_of_length_1(self, embedder: Runner) -> None:
        """They are rows of float32."""
        vectors = _vectors(embedder, *TEXTS)
        assert vectors.dtype == np.float32
        assert (vectors.ndim, len(vectors)) == (2, len(TEXTS))
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)

    def test_vectors_stand_in_the_order_of_the_texts(self, embedder: Runner) -> None:
        """Each text has the same vector together with others and alone."""
        together = _vectors(embedder, *TEXTS)
        alone = np.concatenate([_vectors(embedder, text) for text in TEXTS])
        assert np.allclose(together, alone, rtol=0.0, atol=1e-5)

    def test_other_texts_have_other_vectors(self, embedder: Runner) -> None:
        """Equal texts have equal ones."""
        first, second, third, again = _vectors(embedder, *TEXTS)
        assert np.allclose(first, again, rtol=0.0, atol=1e-5)
        assert not np.allclose(first, second, atol=1e-3)
        assert not np.allclose(second, third, atol=1e-3)

    def test_no_texts_have_no_vectors(self, embedder: Runner) -> None:
        """That is no error."""
        assert len(_vectors(embedder)) == 0

    def test_vectors_can_be_cut(self, embedder: Runner) -> None:
        """A cut vector is the beginning of the whole one, scaled to length 1 again."""
        whole = _vectors(embedder, *TEXTS)
        cut = embedder.embed(EmbedRequest("m", TEXTS, dimensions=5)).vectors
        expected = whole[:, :5] / np.linalg.norm(whole[:, :5], axis=1, keepdims=True)
        assert cut.shape == (len(TEXTS), 5)
        assert np.allclose(cut, expected, rtol=0.0, atol=1e-4)

    def test_more_dimensions_than_there_are_are_refused(self, embedder: Runner) -> None:
        """A caller that counts on them would read past the end."""
        there = _vectors(embedder, *TEXTS).shape[1]
        with pytest.raises(UsageError):
            embedder.embed(EmbedRequest("m", TEXTS, dimensions=there + 1))

    def test_a_text_that_is_too_long_is_cut_or_refused(self, embedder: Runner) -> None:
        """The request says which."""
        long = "word " * (embedder.info.context_length + 50)
        assert _vectors(embedder, long).shape[0] == 1
        with pytest.raises(ContextExceeded):
            embedder.embed(EmbedRequest("m", (TEXTS[0], long), truncate=False))

    def test_tokens_of_all_texts_are_counted(self, embedder: Runner) -> None:
        """`prompt_tokens` is their sum."""
        counts = [embedder.embed(EmbedRequest("m", (text,))).prompt_tokens for text in TEXTS]
        assert min(counts) > 0
        assert embedder.embed(EmbedRequest("m", TEXTS)).prompt_tokens == sum(counts)


def _vectors(runner: Runner, *texts: str) -> npt.NDArray[np.float32]:
    return runner.embed(EmbedRequest("m", texts)).vectors
