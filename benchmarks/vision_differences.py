"""Show by how much other runtimes differ from olpipe in what they make of photos: the table in `docs/vision.md`.

    python benchmarks/vision_differences.py [--photos 10] [--families gemma3,qwen3_vl]

Tiny models with random weights are written as GGUF files. olpipe converts them in float32, and llama.cpp reads them as
they are. Both get the same photos as files, and the same prompt. Then the log-probabilities of all tokens of the
vocabulary as the next one are compared. A figure is the largest difference over the vocabulary and over all photos.
"Another token" counts the photos for which another token is the likeliest. For "its ways imitated", olpipe is shown the
photo as llama.cpp shows it to the model. What is left of the difference then is llama.cpp's arithmetic in 16 bits.

A second table shows what olpipe would say if it left out what the model builder of ONNX Runtime GenAI 0.18 leaves out:
for Qwen3-VL the features for the first layers, and for Gemma 3 that the tokens of an image attend to each other.

llama.cpp comes with the package `xllamacpp`. Where `transformers`, `torch` and `torchvision` are installed, too, the
reference is compared in the same way.
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from olpipe.convert.package import convert_gguf
from olpipe.decoding.prompt import PlacedImage, Prompt
from olpipe.default_plugins.onnx.cache import Cache
from olpipe.default_plugins.onnx.rows import Rows
from olpipe.default_plugins.onnx.runner import BatchedRunner
from olpipe.default_plugins.packages import read_model
from olpipe.families.vision_part import find_vision
from olpipe.generation import GenerateRequest, SamplingParams
from olpipe.image import DecodedImage
from olpipe.imaging.decode import decode
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelBundle, ModelName
from olpipe.plugins import Plugins
from olpipe.sessions import open_session
from olpipe.settings import Settings
from olpipe.testing.llama_cpp import Question, outlooks, question_of
from olpipe.testing.vision.photos import smooth_photo
from olpipe.testing.vision_models import FAMILIES, projector_content, write_vision_gguf

# The package `recording` sets the reference up, and `clip_by_numpy` computes what llama.cpp makes of a LLaVA.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/vision"))

QUESTION = "What is in the photo?"
MANY_TOKENS = 4096
CONTEXT_LENGTH = 2048
ORIENTATION, SIDEWAYS = 0x0112, 6
"""The EXIF tag that says how to turn a photo, and the value of photos that a telephone took upright."""

SQUARES = {"idefics3": 256, "llava": 70, "gemma3": 112, "qwen2_5_vl": 112, "qwen3_vl": 128}
"""The side of a photo that no runtime resizes."""

SIZES = ((200, 112), (140, 210), (300, 100))
"""Width and height of the other photos."""

BLACK, MEAN_COLOUR = (0, 0, 0), (122, 116, 104)
FRAMES = {
    "llava": (Image.Resampling.BICUBIC, MEAN_COLOUR),
    "gemma3": (Image.Resampling.BILINEAR, BLACK),
    "qwen2_5_vl": (Image.Resampling.BICUBIC, BLACK),
    "qwen3_vl": (Image.Resampling.BICUBIC, BLACK),
}
"""How llama.cpp resizes a photo that keeps its proportions, and the colour around it."""

LEFT_OUT = {
    "qwen3_vl": "the features for the first layers",
    "gemma3": "that the tokens of an image attend to each other",
}

LogProbabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo.

    Attributes:
        data: The bytes of its file.
        stored: The pixels in it, (height, width, 3): turned, where the file says how to turn them back.
    """

    data: bytes
    stored: npt.NDArray[np.uint8]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=int, default=10, help="photos of each kind")
    parser.add_argument("--families", default=",".join(FAMILIES))
    arguments = parser.parse_args()
    if find_spec("xllamacpp") is None:
        print("error: llama.cpp is not installed: `pip install xllamacpp`", file=sys.stderr)
        return 2
    columns = ("family", "photo", "reference", "llama.cpp", "another token", "its ways imitated")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    left_out = []
    for family in arguments.families.split(","):
        with tempfile.TemporaryDirectory() as folder:
            model = Model(family, Path(folder))
            for row in rows(model, arguments.photos):
                print(f"| {family} | {' | '.join(row)} |", flush=True)
            if family in LEFT_OUT:
                left_out.append((family, LEFT_OUT[family], *without(model, arguments.photos)))
    print("\n| family | left out | difference | another token |\n|---|---|---|---|")
    for row in left_out:
        print(f"| {' | '.join(row)} |")
    return 0


def rows(model: Model, count: int) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each kind of photo."""
    for kind, photos in kinds(model.family, count).items():
        own = [model.own(photo) for photo in photos]
        reference = [model.reference(photo) for photo in photos] if model.reference else []
        theirs = model.of_llama_cpp(photos)
        imitated = [model.imitated(photo) for photo in photos]
        others = sum(one.argmax() != other.argmax() for one, other in zip(own, theirs, strict=True))
        yield kind, largest(own, reference), largest(own, theirs), f"{others} of {count}", largest(imitated, theirs)


def without(model: Model, count: int) -> tuple[str, str]:
    """Return what is changed by what is left out, and for how many photos another token is the likeliest."""
    photos = next(iter(kinds(model.family, count).values()))
    own, less = [model.own(photo) for photo in photos], [model.with_less(photo) for photo in photos]
    others = sum(one.argmax() != other.argmax() for one, other in zip(own, less, strict=True))
    return largest(own, less), f"{others} of {count}"


def largest(own: Sequence[LogProbabilities], theirs: Sequence[LogProbabilities]) -> str:
    """Return the largest difference as a text."""
    if not theirs:
        return "not measured"
    difference = max(float(np.abs(one - other).max()) for one, other in zip(own, theirs, strict=True))
    return f"{difference:.1e}" if difference < 0.01 else f"{difference:.2f}"


def kinds(family: str, count: int) -> dict[str, list[Photo]]:
    """Return the photos of each kind."""
    side = SQUARES[family]
    made = {f"{side}x{side}, needs no resizing": [png(smooth_photo(side, side, seed=seed)) for seed in range(count)]}
    for width, height in SIZES:
        made[f"{width}x{height}"] = [png(smooth_photo(width, height, seed=seed)) for seed in range(count)]
    made[f"{side}x{side}, stored sideways"] = [sideways(smooth_photo(side, side, seed=seed)) for seed in range(count)]
    return made


def png(pixels: npt.NDArray[np.uint8]) -> Photo:
    """Return pixels as a PNG file."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return Photo(file.getvalue(), pixels)


def sideways(pixels: npt.NDArray[np.uint8]) -> Photo:
    """Return pixels as a telephone stores an upright photo: turned in a JPEG file that says how to turn them back."""
    file, exif = BytesIO(), Image.Exif()
    exif[ORIENTATION] = SIDEWAYS
    Image.fromarray(np.rot90(pixels)).save(file, "JPEG", quality=100, subsampling=0, exif=exif)
    with Image.open(file) as stored:
        return Photo(file.getvalue(), np.asarray(stored))


def framed(
    pixels: npt.NDArray[np.uint8], width: int, height: int, resampling: Image.Resampling, colour: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """Return an image of a size with a photo in the middle of a colour. The photo is as large as fits in.

    Source: https://github.com/ggml-org/llama.cpp/blob/master/tools/mtmd/mtmd-image.cpp, `img_tool::resize`
    """
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    inner = min(width, math.ceil(pixels.shape[1] * scale)), min(height, math.ceil(pixels.shape[0] * scale))
    whole = Image.new("RGB", (width, height), colour)
    whole.paste(Image.fromarray(pixels).resize(inner, resampling), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return np.asarray(whole)


class Reference:
    """What `transformers` makes of the same files."""

    def __init__(self, family: str, text: Path, projector: Path) -> None:
        recording: Any = importlib.import_module(f"recording.{family}")
        importlib.import_module("transformers").utils.logging.set_verbosity_error()
        self._model = recording.model(text, projector)
        self._processor = recording.processor(text, {})

    @staticmethod
    def is_installed() -> bool:
        """Return whether what it needs is here."""
        return all(find_spec(name) for name in ("torch", "torchvision", "transformers"))

    def __call__(self, photo: Photo) -> LogProbabilities:
        """Return what it says about a photo. It opens the file itself."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "photo"
            path.write_bytes(photo.data)
            image = importlib.import_module("transformers.image_utils").load_image(str(path))
        said = [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}]
        forms = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
        inputs = self._processor.apply_chat_template([{"role": "user", "content": said}], **forms)
        with importlib.import_module("torch").no_grad():
            return log_probabilities(self._model(**inputs, use_cache=False).logits[0, -1].numpy())


class Model:
    """One tiny model, and what the runtimes say about it.

    Attributes:
        family: One of `FAMILIES`.
        reference: The same model in the reference; None where it is not installed.
    """

    def __init__(self, family: str, folder: Path) -> None:
        self.family = family
        self._text, self._projector = write_vision_gguf(family, folder)
        self.reference = Reference(family, self._text, self._projector) if Reference.is_installed() else None
        part = find_vision(self._text, self._projector)
        assert part is not None
        self._vision, self._config = part.family, part.config
        self._package = folder / "package"
        self._package.mkdir()
        convert_gguf(self._text, self._package, vision=part, precision="float32", progress=lambda _: None)
        bundle = ModelBundle(ModelName.parse("tiny"), "sha256:0", folder, folder)
        self._runner = BatchedRunner(self._package, bundle, LoadOptions(threads=1, image_tokens=MANY_TOKENS))
        self._loaders = Plugins.load(Settings.read()).image_loaders

    def own(self, photo: Photo) -> LogProbabilities:
        """Return what olpipe says."""
        return self._said(self._prompt(self._image(photo)))

    def imitated(self, photo: Photo) -> LogProbabilities:
        """Return what olpipe says when it is shown what llama.cpp shows to the model."""
        pixels = photo.stored
        if self.family in FRAMES:
            fitted = self._vision.fit(self._config, pixels.shape[1], pixels.shape[0], MANY_TOKENS)
            pixels = framed(pixels, fitted.width, fitted.height, *FRAMES[self.family])
        prompt = self._prompt(DecodedImage(pixels, pixels.shape[1], pixels.shape[0]))
        if self.family == "llava":
            clip: Any = importlib.import_module("clip_by_numpy")
            tensors = projector_content(self.family).tensors
            features = {"features": clip.features(tensors, pixels, class_last=True, left_out=1)}
            prompt = replace(prompt, images=(replace(prompt.images[0], features=features),))
        return self._said(prompt)

    def with_less(self, photo: Photo) -> LogProbabilities:
        """Return what olpipe says without what `LEFT_OUT` names."""
        prompt = self._prompt(self._image(photo))
        (image,) = prompt.images
        if self.family == "qwen3_vl":
            features = {**image.features, "deepstack": np.zeros_like(image.features["deepstack"])}
            return self._said(replace(prompt, images=(replace(image, features=features),)))
        # Images of one token each: none of them attends to one behind it.
        rows = image.features["features"]
        each = [
            PlacedImage(image.start + at, 1, f"{image.digest} {at}", {"features": rows[at : at + 1]})
            for at in range(image.length)
        ]
        return self._said(replace(prompt, images=tuple(each)))

    def _said(self, prompt: Prompt) -> LogProbabilities:
        window = read_model(self._package)["decoder"].get("sliding_window", {}).get("window_size", 0)
        rows = Rows(
            lambda rows, length: Cache(self._session, rows=rows, length=length, window=window),
            slots=1,
            context_length=CONTEXT_LENGTH,
        )
        row = rows.take(prompt, len(prompt) + 1)
        assert row is not None
        return log_probabilities(row.prefill(prompt))

    def of_llama_cpp(self, photos: Sequence[Photo]) -> list[LogProbabilities]:
        """Return what llama.cpp says about each photo."""
        asked = [self._question(photo) for photo in photos]
        return [one.log_probabilities for one in outlooks(self._text, self._projector, asked)]

    @cached_property
    def _session(self) -> Any:
        return open_session(self._package / "model.onnx", threads=1)

    def _image(self, photo: Photo) -> DecodedImage:
        return decode(photo.data, ".jpg", self._loaders)

    def _prompt(self, image: DecodedImage) -> Prompt:
        message = Message.of("user", QUESTION, image)
        request = GenerateRequest("tiny", (message,), sampling=SamplingParams(max_tokens=8))
        return self._runner.prepare(request).prompt

    def _question(self, photo: Photo) -> Question:
        image = self._image(photo)
        fitted = self._vision.fit(self._config, image.width, image.height, MANY_TOKENS)
        layout = self._vision.layout(self._config, fitted)
        return question_of(self._text, self._prompt(image), self._runner.vocabulary, [layout], [photo.data])


def log_probabilities(logits: npt.NDArray[np.float32]) -> LogProbabilities:
    """Return the logarithms of the probabilities that logits stand for."""
    shifted = logits.astype(np.float64) - logits.max()
    result: LogProbabilities = shifted - np.log(np.exp(shifted).sum())
    return result


if __name__ == "__main__":
    sys.exit(main())
