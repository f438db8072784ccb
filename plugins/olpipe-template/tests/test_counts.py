"""The backend `counts` and its source."""

from functools import partial

import numpy as np
import pytest

from olpipe.decoding.prompt import Prompt
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.embedding import EmbedRequest
from olpipe.errors import UsageError
from olpipe.families.chat_template import TemplateFiles
from olpipe.families.rendering import ChatRenderer
from olpipe.generation import GenerateRequest, SamplingParams
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelName
from olpipe.store.library import Library
from olpipe.testing.contracts import BackendContract, ModelSequenceContract, ModelSourceContract
from olpipe.testing.models import write_tokenizer

TEXT = "A dog and a cat in the street. The cat is on the photo with the dog, and the dog is in the photo of the cat.\n"


@pytest.fixture
def source():
    from olpipe_template.counts_source import CountsSource

    return CountsSource()


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "a-street.txt"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


@pytest.fixture
def backend():
    from olpipe_template.counts_backend import CountsBackend

    return CountsBackend()


@pytest.fixture
def bundle(source, reference, tmp_path):
    library = Library(tmp_path / "models", cache=tmp_path / "built")
    source.pull(reference, ModelName.parse("counts"), library, lambda progress: None)
    return library.get(ModelName.parse("counts"))


class TestBackend(BackendContract):
    @pytest.fixture
    def backend(self, backend):
        return backend

    @pytest.fixture
    def bundle(self, bundle):
        return bundle


class TestSequence(ModelSequenceContract):
    @pytest.fixture
    def open_sequence(self):
        from olpipe_template.counts import CountsSequence

        pairs = np.random.default_rng(0).normal(size=(20, 20)).astype(np.float32)
        return lambda length: CountsSequence(pairs, length)

    @pytest.fixture
    def prompt(self):
        return Prompt((3, 1, 4, 1, 5, 9, 2, 6))


class TestSource(ModelSourceContract):
    @pytest.fixture
    def source(self, source):
        return source

    @pytest.fixture
    def reference(self, reference):
        return reference


@pytest.fixture
def side_by_side():
    """Return the backend with a runner that answers four requests at once."""
    from olpipe_template import counts
    from olpipe_template.counts_backend import BUILT, CONTEXT_LENGTH, CountsBackend
    from olpipe_template.side_by_side import SideBySideRunner

    class SideBySide(CountsBackend):
        def load(self, bundle, options):
            pairs = counts.read(bundle.cache / BUILT, bundle)
            vocabulary = Vocabulary.read(bundle.path)
            render = ChatRenderer(vocabulary, TemplateFiles.read(bundle.path), system=bundle.system)
            return SideBySideRunner(
                vocabulary,
                partial(counts.CountsSequence, pairs),
                partial(counts.forward, pairs),
                render,
                context_length=min(options.context_length or CONTEXT_LENGTH, CONTEXT_LENGTH),
                slots=min(options.slots or 4, 4),
                markers=render.markers,
            )

    return SideBySide()


class TestSideBySide(BackendContract):
    @pytest.fixture
    def backend(self, side_by_side):
        return side_by_side

    @pytest.fixture
    def bundle(self, bundle):
        return bundle


@pytest.mark.parametrize(("said", "answer"), [("The cat is on", " the cat"), ("The dog is on", " the dog")])
def test_it_says_what_its_text_says_of_what_was_said_lately(backend, bundle, said, answer):
    backend.build(bundle, lambda progress: None)
    runner = backend.load(bundle, LoadOptions())
    request = GenerateRequest("counts", (Message.of("user", said),), SamplingParams(max_tokens=2))
    runner.start(1, runner.prepare(request))
    chunks = [chunk for _ in range(3) for _, chunk in runner.step()]
    assert "".join(chunk.text for chunk in chunks) == answer


def test_texts_with_the_same_words_have_vectors_that_are_near(backend, bundle):
    backend.build(bundle, lambda progress: None)
    runner = backend.load(bundle, LoadOptions())
    texts = ("the dog in the photo", "the photo with the dog", "xyz", "")
    one, near, far, empty = runner.embed(EmbedRequest("counts", texts)).vectors
    assert one @ near > 0.95 > one @ far
    assert not empty.any()


def test_what_needs_a_chat_template_is_refused(backend, bundle):
    backend.build(bundle, lambda progress: None)
    runner = backend.load(bundle, LoadOptions())
    with pytest.raises(UsageError, match='"counts" does not support thinking'):
        runner.prepare(GenerateRequest("counts", (Message.of("user", "Hm?"),), think="on"))


def test_several_requests_are_answered_in_one_forward_a_step(side_by_side, bundle, monkeypatch):
    from olpipe_template import counts

    forwards, forward = [], counts.forward
    monkeypatch.setattr(counts, "forward", lambda pairs, rows: forwards.append(len(rows)) or forward(pairs, rows))
    side_by_side.build(bundle, lambda progress: None)
    runner = side_by_side.load(bundle, LoadOptions())
    for number, said in enumerate(("The cat is on", "The dog is on", "A dog")):
        request = GenerateRequest("counts", (Message.of("user", said),), SamplingParams(max_tokens=3))
        runner.start(number, runner.prepare(request))
    assert [len(runner.step()) for _ in range(4)] == [3, 3, 3, 0]
    assert forwards == [1, 1, 1, 3, 3]


def test_a_model_is_named_after_its_text(source):
    assert str(source.default_name("/books/Moby Dick.txt")) == "moby-dick:latest"


def test_the_tokenizer_is_the_one_that_olpipe_makes_for_tests(tmp_path):
    from olpipe_template.counts_source import TOKENIZER

    made = write_tokenizer(tmp_path / "made")
    assert {path.name for path in TOKENIZER.iterdir()} == {path.name for path in made.iterdir()}
    assert [path.name for path in made.iterdir() if path.read_bytes() != (TOKENIZER / path.name).read_bytes()] == []
    assert Vocabulary.read(TOKENIZER).size > 256
