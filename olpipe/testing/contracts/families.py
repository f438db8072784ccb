"""The contract of families of vision models."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from olpipe.convert.architectures import FAMILY_VERSION, VISION_CONFIG
from olpipe.errors import ModelError
from olpipe.families.packaged import PackagedVision
from olpipe.image import BoxDialect
from olpipe.interfaces import Family, Fitted, VisionConfig
from olpipe.messages import ImagePart, Message, TextPart
from olpipe.testing.contracts.asking import Cancelled
from olpipe.testing.contracts.encoders import Encoder, Tensors, look, opened, session_of, write, written
from olpipe.testing.images import decoded
from olpipe.testing.vision.photos import smooth_photo

if TYPE_CHECKING:
    from olpipe.convert.vision_file import VisionFile

SIZES = (
    *((1, 1), (2, 3), (17, 31), (64, 64), (640, 480), (480, 640), (3000, 2000), (16384, 16384)),
    *((1, 900), (900, 1), (5000, 50), (1, 65500), (65500, 1)),
)
"""Widths and heights of images, as people have them and as nobody has them."""

BUDGETS = (1, 2, 5, 16, 64, 100, 256, 1000, 4096, 1 << 20)
"""How many tokens an image may have."""

PHOTOS = ((90, 60), (60, 200), (1, 1), (300, 3))
STRANGE_VALUES = ("x", "", -1, 0, 1, 1.5, math.nan, True, (), (1,), ("x",), 1 << 40)

LARGEST_ERROR = 0.2
"""How far the features with eight bits may be from those with float32, as a part of their size."""


class FamilyContract:
    """Every `Family`. Give it the fixtures `family` and `projector`."""

    @pytest.fixture
    def family(self) -> Family:
        """Return the family."""
        raise NotImplementedError

    @pytest.fixture
    def projector(self) -> Path:
        """Return a GGUF file with a small vision encoder of the family. Its weights may be random."""
        raise NotImplementedError

    @pytest.fixture
    def file(self, projector: Path) -> VisionFile:
        """Return the vision encoder in the file."""
        return opened(projector)

    @pytest.fixture
    def config(self, family: Family, file: VisionFile) -> VisionConfig:
        """Return the sizes that the family reads in the file."""
        return family.read(file.metadata, file)

    @pytest.fixture
    def encoder(self, family: Family, file: VisionFile, config: VisionConfig, tmp_path: Path) -> Encoder:
        """Return the encoder with float32 weights."""
        return written(family, file, config, tmp_path / "float32", eight_bits=False)

    # --- what it is -------------------------------------------------------------------------------

    def test_it_says_what_it_is(self, family: Family) -> None:
        """It has a name, a version, and a placeholder. Everything else has the type that the interface says."""
        for text in (family.name, family.version, family.placeholder):
            assert isinstance(text, str)
            assert text
        assert all(isinstance(text, str) for text in (family.image_text, family.template))
        assert type(family.usual_tokens) is int
        assert family.usual_tokens > 0
        assert type(family.mutual) is bool
        assert family.boxes is None or isinstance(family.boxes, BoxDialect)
        assert issubclass(family.config_class, VisionConfig)

    def test_its_files_name_it(self, family: Family, file: VisionFile) -> None:
        """The type of projector in the file is one of its own. It is found by that."""
        assert isinstance(family.projectors, tuple)
        assert file.projector in family.projectors

    def test_its_template_shows_each_image(self, family: Family) -> None:
        """For a model without a template of its own, the family's writes a text for each image, and all texts."""
        from olpipe.families.chat_template import ChatTemplate
        from olpipe.families.turns import IMAGE, turns_of

        if not family.template:
            pytest.skip("this family has no template")
        template = ChatTemplate(family.template, {"bos_token": "", "eos_token": ""})
        message = Message("user", (ImagePart(decoded()), TextPart("between"), ImagePart(decoded())))
        shapes = [template.shape]
        if template.shape.takes_texts:
            shapes.append(replace(template.shape, takes_parts=False))
        for shape in shapes:
            text = template.render(turns_of([message], shape, str))
            text = text.replace(family.image_text, IMAGE) if family.image_text else text
            assert text.count(IMAGE) == 2
            assert text.count("between") == 1

    # --- reading ----------------------------------------------------------------------------------

    def test_it_reads_sizes_without_weights(self, family: Family, file: VisionFile) -> None:
        """Names and shapes are enough. Files are read whenever somebody asks whether they can be run."""
        tensors = Tensors(file)
        config = family.read(file.metadata, tensors)
        assert tensors.read == set()
        assert isinstance(config, family.config_class)
        assert config.family == family.name
        assert config.output_width > 0

    def test_its_sizes_are_kept_as_json(self, family: Family, config: VisionConfig, tmp_path: Path) -> None:
        """A package keeps them, and they come back unchanged."""
        description = {FAMILY_VERSION: family.version, **asdict(config)}
        (tmp_path / VISION_CONFIG).write_text(json.dumps(description), encoding="utf-8")
        packaged = PackagedVision.read(tmp_path)
        assert packaged is not None
        assert packaged.config(family) == config

    def test_a_file_without_a_tensor_is_refused(self, family: Family, file: VisionFile, tmp_path: Path) -> None:
        """`read` refuses a file that lacks a tensor which `write` needs, with `ModelCorrupt` or `ModelUnsupported`."""
        tensors = Tensors(file)
        write(family, tensors, family.read(file.metadata, file), tmp_path / "all", eight_bits=False)
        assert tensors.read, "`write` reads weights"
        for name in sorted(tensors.read):
            with pytest.raises(ModelError):
                family.read(file.metadata, Tensors(file, without=name))

    def test_a_file_with_another_tensor_is_refused(self, family: Family, file: VisionFile) -> None:
        """A tensor that nobody knows means that the encoder computes something that nobody knows."""
        with pytest.raises(ModelError):
            family.read(file.metadata, Tensors(file, added="v.of_nobody.weight"))

    def test_a_tensor_of_another_shape_is_refused(self, family: Family, file: VisionFile) -> None:
        """Files may be damaged."""
        for name in sorted(file.names()):
            with pytest.raises(ModelError):
                family.read(file.metadata, Tensors(file, deeper=name))

    def test_strange_metadata_is_an_error_of_ours(self, family: Family, file: VisionFile) -> None:
        """Values may be missing, and may be anything. `read` raises `ModelCorrupt` or `ModelUnsupported`, or copes."""
        for name in file.metadata:
            without = {key: value for key, value in file.metadata.items() if key != name}
            for metadata in (without, *({**without, name: value} for value in STRANGE_VALUES)):
                try:
                    config = family.read(metadata, file)
                except ModelError:
                    continue
                assert isinstance(config, VisionConfig), metadata

    # --- fitting ----------------------------------------------------------------------------------

    def test_every_size_fits(self, family: Family, config: VisionConfig) -> None:
        """An image has at least one pixel and one token, however small, narrow or large it was."""
        for width, height in SIZES:
            for budget in BUDGETS:
                fitted = family.fit(config, width, height, budget)
                assert isinstance(fitted, Fitted)
                assert all(type(value) is int and value > 0 for value in asdict(fitted).values()), (width, height)

    def test_a_layout_has_a_place_for_each_token(self, family: Family, config: VisionConfig) -> None:
        """The numbers in its body add up to the tokens."""
        for width, height in SIZES:
            for budget in BUDGETS[:-1]:
                fitted = family.fit(config, width, height, budget)
                layout = family.layout(config, fitted)
                assert isinstance(layout.before, str)
                assert isinstance(layout.after, str)
                assert all(isinstance(part, str) or (type(part) is int and part > 0) for part in layout.body)
                assert sum(part for part in layout.body if isinstance(part, int)) == fitted.tokens

    def test_a_budget_is_kept(self, family: Family, config: VisionConfig) -> None:
        """An image gets no more tokens than asked for, unless no budget gives it fewer."""
        for width, height in SIZES:
            least = family.fit(config, width, height, 1).tokens
            for budget in BUDGETS:
                tokens = family.fit(config, width, height, budget).tokens
                assert tokens <= max(budget, least), (width, height, budget)

    def test_a_larger_budget_gives_no_fewer_tokens(self, family: Family, config: VisionConfig) -> None:
        """Who asks for more gets no less."""
        for size in SIZES:
            tokens = [family.fit(config, *size, budget).tokens for budget in BUDGETS]
            assert tokens == sorted(tokens), size

    def test_small_images_are_not_enlarged(self, family: Family, config: VisionConfig) -> None:
        """An image gets as many pixels as the encoder needs, and is filled up to whole units. More tell nothing."""
        unit = family.fit(config, 1, 1, 1)
        shapes = ((0.5, 0.5), (1, 1), (2, 1), (1, 3), (3, 2))
        for width, height in ((1, 1), *((math.ceil(x * unit.width), math.ceil(y * unit.height)) for x, y in shapes)):
            fitted = family.fit(config, width, height, BUDGETS[-1])
            room = (width + 2 * unit.width) * (height + 2 * unit.height)
            assert fitted.width * fitted.height <= max(room, 4 * config.least_pixels), (width, height)

    # --- features ---------------------------------------------------------------------------------

    def test_an_image_becomes_a_row_for_each_token(self, family: Family, encoder: Encoder) -> None:
        """The graph takes what `inputs` returns, for images of every shape. Its features are finite float32."""
        import numpy as np

        wide = encoder.config.output_width
        for size in PHOTOS:
            for budget in (1, family.usual_tokens):
                fitted, outputs = look(family, encoder, smooth_photo(*size), budget)
                features = outputs.pop("features")
                assert (features.shape, features.dtype.name) == ((fitted.tokens, wide), "float32")
                assert np.isfinite(features).all()
                if layers := len(encoder.config.deepstack_layers):
                    assert outputs.pop("deepstack").shape == (layers, fitted.tokens, wide)
                assert outputs == {}

    def test_the_same_image_gives_the_same_features(self, family: Family, encoder: Encoder) -> None:
        """They depend on the image alone, and not on the image before it."""
        import numpy as np

        first, other = smooth_photo(90, 60), smooth_photo(60, 90, seed=1)
        _, expected = look(family, encoder, first, family.usual_tokens)
        look(family, encoder, other, family.usual_tokens)
        _, again = look(family, encoder, first.copy(), family.usual_tokens)
        assert all(np.array_equal(again[name], values) for name, values in expected.items())

    def test_another_image_gives_other_features(self, family: Family, encoder: Encoder) -> None:
        """It looks at the image: at its colours, and at where they are."""
        import numpy as np

        photo = smooth_photo(90, 60)
        _, seen = look(family, encoder, photo, family.usual_tokens)
        for other in (smooth_photo(90, 60, seed=1), photo[..., ::-1], photo[::-1], photo[:, ::-1]):
            _, features = look(family, encoder, np.ascontiguousarray(other), family.usual_tokens)
            assert not np.allclose(features["features"], seen["features"], atol=1e-4)

    def test_it_leaves_the_pixels_alone(self, family: Family, config: VisionConfig) -> None:
        """Others use them, too. They may be read-only, and one row need not lie behind the other in memory."""
        import numpy as np

        pixels = smooth_photo(180, 60)[:, ::2]
        before = pixels.copy()
        pixels.flags.writeable = False
        fitted = family.fit(config, 90, 60, family.usual_tokens)
        found = family.inputs(config, pixels, fitted)
        plain = family.inputs(config, before, fitted)
        assert all(np.array_equal(found[name], plain[name]) for name in plain)

    def test_positions_count_three_axes(self, family: Family, config: VisionConfig) -> None:
        """Where there are positions, each token has a time, a row and a column, and none of them is below zero."""
        for width, height in SIZES:
            fitted = family.fit(config, width, height, family.usual_tokens)
            positions = family.positions(config, fitted)
            if positions is not None:
                assert positions.shape == (3, fitted.tokens)
                assert positions.dtype.kind == "i"
                assert positions.min() >= 0

    # --- conversion -------------------------------------------------------------------------------

    def test_its_files_may_be_moved(
        self, family: Family, file: VisionFile, config: VisionConfig, tmp_path: Path
    ) -> None:
        """`write` makes the graph and one file of weights beside it. A package gets its place when it is complete."""
        path = write(family, file, config, tmp_path / "unfinished", eight_bits=False)
        assert {one.name for one in path.parent.iterdir()} <= {path.name, f"{path.name}.data"}
        moved = path.parent.rename(tmp_path / "finished")
        encoder = Encoder(config, session_of(moved / path.name))
        assert "features" in look(family, encoder, smooth_photo(90, 60), family.usual_tokens)[1]

    def test_eight_bits_stay_near_float32(
        self, family: Family, file: VisionFile, config: VisionConfig, encoder: Encoder, tmp_path: Path
    ) -> None:
        """The features are nearly the same, and the graph takes the same inputs."""
        import numpy as np

        small = written(family, file, config, tmp_path / "eight-bits", eight_bits=True)
        _, exact = look(family, encoder, smooth_photo(90, 60), family.usual_tokens)
        _, rounded = look(family, small, smooth_photo(90, 60), family.usual_tokens)
        error = rounded["features"] - exact["features"]
        assert np.sqrt((error**2).mean() / (exact["features"] ** 2).mean()) < LARGEST_ERROR

    def test_it_tells_how_far_a_conversion_is(
        self, family: Family, file: VisionFile, config: VisionConfig, tmp_path: Path
    ) -> None:
        """It calls `done` after tensors, and never more often than there are tensors."""
        calls: list[None] = []
        write(family, file, config, tmp_path / "counted", eight_bits=True, done=lambda: calls.append(None))
        assert 0 < len(calls) <= len(file.names())

    def test_a_conversion_can_be_cancelled(
        self, family: Family, file: VisionFile, config: VisionConfig, tmp_path: Path
    ) -> None:
        """An exception that `done` raises ends the conversion and comes out of it."""

        def cancel() -> None:
            raise Cancelled

        with pytest.raises(Cancelled):
            write(family, file, config, tmp_path / "cancelled", eight_bits=False, done=cancel)
