"""What `benchmarks/conversion.py` measures with, on tiny models."""

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from conversion_measures import Answers, PlainReader, float_answers, package_answers, tokenize  # noqa: E402

from olpipe.convert.package import convert_gguf  # noqa: E402
from olpipe.decoding.vocabulary import Vocabulary  # noqa: E402
from olpipe.testing.vision_models import TEXT_MODELS, text_content, write_text_gguf  # noqa: E402

TEXT = "the photo of the cat and of the dog in the street"


def converted(name, folder, *, precision="float32"):
    """Write and convert a tiny model; return its file and its package."""
    gguf, package = folder / "text.gguf", folder / "package"
    write_text_gguf(name, gguf) if name in TEXT_MODELS else text_content(name).write(gguf)
    package.mkdir()
    convert_gguf(gguf, package, precision=precision, progress=lambda _: None)
    return gguf, package


@pytest.mark.parametrize("name", ["qwen3", "gemma3_text", "phi3", "idefics3", "qwen2_5_vl", "qwen3_vl"])
def test_a_package_of_any_architecture_that_is_not_rounded_answers_as_the_float_model(tmp_path, name):
    gguf, package = converted(name, tmp_path)
    tokens = tokenize(package, TEXT)
    compared = package_answers(package, tokens).compared(float_answers(gguf, tokens))
    assert compared["top1_agreement"] == 1
    assert compared["largest_difference_nats"] < 1e-4


def test_a_text_begins_with_the_token_that_the_model_expects_there(tmp_path):
    _, package = converted("gemma3_text", tmp_path)
    first, *others = tokenize(package, TEXT)
    (tmp_path / "other").mkdir()
    _, without = converted("qwen3", tmp_path / "other")
    assert first == Vocabulary.read(package).token_of("<bos>")
    assert tokenize(without, TEXT) == others


def test_a_reader_goes_back_to_an_earlier_token(tmp_path):
    _, package = converted("gemma3_text", tmp_path)
    reader = PlainReader(package, 64, 1)
    reader.append_tokens(np.array([5, 6, 7]))
    reader.append_tokens(np.array([8, 9]))
    expected = reader.get_logits()
    reader.append_tokens(np.array([20, 21, 22]))
    reader.rewind_to(3)
    reader.append_tokens(np.array([8, 9]))
    np.testing.assert_array_equal(reader.get_logits(), expected)


def test_answers_are_compared_token_by_token():
    expected = Answers(np.array([1, 2, 3, 4]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert Answers(np.array([1, 2, 3, 0]), np.array([1.5, 2.0, 2.0, 4.5])).compared(expected) == {
        "top1_agreement": 0.75,
        "loss_nats": 2.5,
        "loss_difference_nats": 0.0,
        "largest_difference_nats": 1.0,
    }
