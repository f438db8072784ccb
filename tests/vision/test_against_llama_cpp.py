"""The whole way, from pixels to what comes next, says what llama.cpp says about the same GGUF files.

llama.cpp is asked live. It computes parts in 16 bits, so it agrees less closely than the recorded reference does. All
images have sizes that need no resizing: it resizes in another way. `docs/vision.md` has what that and other differences
change.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from io import BytesIO

import numpy as np
import pytest
from clip_by_numpy import features
from models import MANY_TOKENS, Tiny, request_of
from PIL import Image

from olpipe.families.table import family_named
from olpipe.testing.llama_cpp import Question, outlooks, question_of
from olpipe.testing.vision.photos import smooth_photo
from olpipe.testing.vision_models import TEXT_MODELS, projector_content, text_content

pytestmark = pytest.mark.skipif(
    find_spec("xllamacpp") is None, reason="llama.cpp is not here; `pip install xllamacpp` brings it where it can"
)

QUESTION = "What is in the photo?"
SIZES = {
    "idefics3": ((256, 256), (256, 128), (64, 256)),
    "gemma3": ((112, 112),),
    "qwen2_5_vl": ((112, 112), (168, 112), (84, 196)),
    "qwen3_vl": ((128, 128), (192, 96), (96, 256)),
}
"""Width and height of the images that each family is shown."""

USUAL_BAR = 5e-3
"""How far log-probabilities may be apart. They vary by more than 1 from token to token."""

BARS = {
    # llama.cpp looks GELU up in a table of 16 bits. These text models have SiLU.
    **dict.fromkeys(("qwen3", "phi3", "phi3_long"), 1e-4),
    # It does so in vision encoders as well, and this one sees many tiles.
    "idefics3": 1e-2,
    # In the projectors of these two, it takes an approximation of GELU, and the reference takes the exact one. For
    # Qwen2.5-VL, it also leaves out the epsilon of the text model's norms.
    "llava": 1.5e-2,
    "qwen2_5_vl": 1.5e-2,
}


@dataclass
class Case:
    """A conversation: what stands in its turns, with None for each image, and the sizes of the images.

    A `raw` one is a single text without a chat template.
    """

    name: str
    turns: tuple
    sizes: tuple = ()
    raw: bool = False
    images: list = field(init=False)

    def __post_init__(self):
        self.images = [smooth_photo(*size, seed=seed) for seed, size in enumerate(self.sizes)]


WORDS = (("the dog and the cat in the street",),)
TEXT, RAW_TEXT = Case("text only", WORDS), Case("a raw text", WORDS, raw=True)


def cases(sizes):
    first, last = sizes[0], sizes[-1]
    return [
        *(Case(f"one image, {width}x{height}", ((None, QUESTION),), ((width, height),)) for width, height in sizes),
        Case("two images", ((None, " and the other dog: ", None, QUESTION),), (first, last)),
        Case("text around an image", (("the first: ", None, " a street with er on ing"),), (last,)),
        Case("a second turn", ((None, QUESTION), ("a dog is there",), (None, " and in this?")), (first, last)),
        TEXT,
    ]


CASES = {
    **{family: cases(sizes) for family, sizes in SIZES.items()},
    "llava": [TEXT],
    **{name: [RAW_TEXT, TEXT] for name in TEXT_MODELS},
    # llama.cpp does without the sliding window of this model, so only texts within its 16 tokens are the same.
    # Source: https://github.com/ggml-org/llama.cpp/pull/13676
    "phi3": [RAW_TEXT],
}
# This one has two sets of rotary factors. llama.cpp takes those for long prompts where the context is long.
CONTEXT_LENGTHS = {"phi3_long": 256}


def png(pixels):
    """Return the bytes of a PNG file."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def log_probabilities(logits):
    shifted = logits.astype(np.float64) - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def question_about(model, runner, case):
    """Return the prompt of a case, and the same as a question to llama.cpp."""
    prompt = runner.prepare(request_of(case.turns, case.images, raw=case.raw)).prompt
    layouts = []
    if case.images:
        family = family_named(model.config.family)
        fitted = [family.fit(model.config, *size, MANY_TOKENS) for size in case.sizes]
        assert [(one.width, one.height) for one in fitted] == list(case.sizes)  # no resizing
        layouts = [family.layout(model.config, one) for one in fitted]
    return prompt, question_of(model.gguf, prompt, runner.vocabulary, layouts, list(map(png, case.images)))


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Return what gives the answers of both sides to all cases of a model, and computes them once."""
    made = {}

    def answers(name):
        if name not in made:
            model = Tiny.make(name, tmp_path_factory.mktemp(name))
            runner = model.runner(image_tokens=MANY_TOKENS)
            asked = [question_about(model, runner, case) for case in CASES[name]]
            context_length = CONTEXT_LENGTHS.get(name, 2048)
            told = outlooks(
                model.gguf, model.projector, [question for _, question in asked], context_length=context_length
            )
            own = [(len(prompt), log_probabilities(model.logits(prompt))) for prompt, _ in asked]
            made[name] = {case.name: pair for case, pair in zip(CASES[name], zip(own, told, strict=True), strict=True)}
        return made[name]

    return answers


@pytest.mark.examples(8)
@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(name, one.name, id=f"{name}: {one.name}") for name, every in CASES.items() for one in every],
)
def test_log_probabilities_over_the_whole_vocabulary_are_those_of_llama_cpp(name, case, answers):
    (length, own), told = answers(name)[case]
    assert length == told.tokens
    np.testing.assert_allclose(own, told.log_probabilities, rtol=0, atol=BARS.get(name, USUAL_BAR))


def test_llava_agrees_with_llama_cpp_where_its_class_token_and_its_missing_block_are_imitated(tmp_path):
    """llama.cpp puts the class token behind the patches, and leaves out a block. LLaVA was not trained like that.

    Source: https://github.com/ggml-org/llama.cpp/issues/25814, https://github.com/ggml-org/llama.cpp/issues/25817
    """
    model = Tiny.make("llava", tmp_path)
    case = Case("one image", ((None, QUESTION),), ((70, 70),))
    prompt, question = question_about(model, model.runner(), case)
    (told,) = outlooks(model.gguf, model.projector, [question])
    # 1. What was trained. 2. What llama.cpp does.
    tensors, (image,) = projector_content("llava").tensors, prompt.images
    np.testing.assert_allclose(features(tensors, *case.images), image.features["features"], rtol=0, atol=1e-5)
    imitated = features(tensors, *case.images, class_last=True, left_out=1)
    seen = replace(prompt, images=(replace(image, features={"features": imitated}),))
    np.testing.assert_allclose(
        log_probabilities(model.logits(seen)), told.log_probabilities, rtol=0, atol=BARS["llava"]
    )
    assert np.abs(log_probabilities(model.logits(prompt)) - told.log_probabilities).max() > 1


def test_what_llama_cpp_says_where_it_fails_is_told(tmp_path):
    content = text_content("qwen3_vl")
    del content.tensors["blk.1.ffn_up.weight"]
    with pytest.raises(RuntimeError, match=r"'blk\.1\.ffn_up\.weight' not found"):
        outlooks(content.write(tmp_path / "model.gguf"), None, [Question("hello")])
