"""A good family of vision models, and families with one fault each."""

import contextlib
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from mutants.breaking import Mutants
from mutants.mosaic import LAYER, Mosaic, write_mosaic

from olpipe.interfaces import Fitted, Layout, VisionConfig
from olpipe.testing.contracts import FamilyContract

CONTRACT = FamilyContract


@dataclass(frozen=True)
class Sizes(VisionConfig):
    """Sizes with one that others do not have."""

    glue: int = 0


PLUGINS = Mutants(Mosaic)


@PLUGINS.broken("test_it_says_what_it_is")
class Unversioned(Mosaic):
    """Recipes do not notice when it sees otherwise."""

    version = ""


@PLUGINS.broken("test_it_says_what_it_is")
class CountsInFloats(Mosaic):
    """It takes a half for a number of tokens."""

    usual_tokens = 16.5


@PLUGINS.broken("test_its_files_name_it")
class NamesNoFile(Mosaic):
    """No file is ever found to be its own."""

    projectors = ("mozaic",)


@PLUGINS.broken("test_its_template_shows_each_image")
class LeavesImagesOut(Mosaic):
    """Its template writes the texts only."""

    template = Mosaic.template.replace("'<square>'", "''")


@PLUGINS.broken("test_its_template_shows_each_image")
class WritesAnotherText(Mosaic):
    """Its template writes something else for an image than it says."""

    image_text = "<mosaic>"


@PLUGINS.broken("test_it_reads_sizes_without_weights")
class ReadsWeights(Mosaic):
    """It reads the weights of a large file to find out whether it is one of its own."""

    def output_width(self, tensors):
        return len(tensors.vector(f"{LAYER}.bias")) if tensors.has(f"{LAYER}.bias") else 0


@PLUGINS.broken("test_it_reads_sizes_without_weights")
class CallsItselfOtherwise(Mosaic):
    """Packages name a family that nobody finds."""

    def read(self, metadata, tensors):
        return replace(super().read(metadata, tensors), family="mosaic")


@PLUGINS.broken("test_its_sizes_are_kept_as_json")
class KeepsNumbersOfNumpy(Mosaic):
    """JSON has no numbers of numpy."""

    def read(self, metadata, tensors):
        return replace(super().read(metadata, tensors), epsilon=np.float32(1e-6))


@PLUGINS.broken("test_its_sizes_are_kept_as_json")
class HidesItsClass(Mosaic):
    """It does not say that its sizes have a class of their own."""

    def read(self, metadata, tensors):
        config = super().read(metadata, tensors)
        return Sizes(**{name: getattr(config, name) for name in VisionConfig.__dataclass_fields__}, glue=3)


@PLUGINS.broken(
    "test_a_file_without_a_tensor_is_refused",
    "test_a_file_with_another_tensor_is_refused",
    "test_a_tensor_of_another_shape_is_refused",
)
class TrustsTensors(Mosaic):
    """It finds out what is wrong with a file when it is half converted."""

    def check(self, tensors, config):
        pass


@PLUGINS.broken("test_a_file_without_a_tensor_is_refused")
class LooksUpBlindly(Mosaic):
    """A tensor that is missing is an error of Python."""

    def output_width(self, tensors):
        return tensors.shape(f"{LAYER}.bias")[0]


@PLUGINS.broken("test_strange_metadata_is_an_error_of_ours")
class TrustsMetadata(Mosaic):
    """It takes what a file says as it is."""

    def read(self, metadata, tensors):
        config = super().read({**metadata, "image_size": 8}, tensors)
        return replace(config, image_size=metadata["image_size"] // 1)


@PLUGINS.broken("test_every_size_fits")
class LosesNarrowImages(Mosaic):
    """A narrow image has no pixel left."""

    def fit(self, config, width, height, tokens):
        side = min(config.image_size, math.isqrt(max(tokens, 1))) / max(width, height)
        columns, rows = round(side * width), round(side * height)
        return Fitted(columns, rows, 1, 1, columns * rows)


@PLUGINS.broken("test_every_size_fits")
class FitsHalfPixels(Mosaic):
    """Sizes are not whole numbers."""

    def fit(self, config, width, height, tokens):
        fitted = super().fit(config, width, height, tokens)
        return replace(fitted, width=fitted.width / 1)


@PLUGINS.broken("test_a_layout_has_a_place_for_each_token")
class CountsMarks(Mosaic):
    """A mark takes the place of a row of features."""

    def layout(self, config, fitted):
        return Layout("", (fitted.tokens + 2,), "")


@PLUGINS.broken("test_a_layout_has_a_place_for_each_token")
class LaysOutTheUsual(Mosaic):
    """Every image gets the usual number of places."""

    def layout(self, config, fitted):
        return Layout("[", (self.usual_tokens,), "]")


@PLUGINS.broken("test_a_budget_is_kept")
class RoundsUp(Mosaic):
    """It takes a few tokens more than it may."""

    def fit(self, config, width, height, tokens):
        return super().fit(config, width, height, (math.isqrt(max(tokens, 1) - 1) + 1) ** 2)


@PLUGINS.broken("test_a_larger_budget_gives_no_fewer_tokens")
class SavesTokens(Mosaic):
    """Who asks for very many tokens gets few."""

    def fit(self, config, width, height, tokens):
        return super().fit(config, width, height, tokens if tokens < 200 else 4)


@PLUGINS.broken("test_small_images_are_not_enlarged")
class Enlarges(Mosaic):
    """A single pixel becomes as many tokens as a photo."""

    def fit(self, config, width, height, tokens):
        return super().fit(config, 1000, 1000, tokens)


@PLUGINS.broken("test_an_image_becomes_a_row_for_each_token")
class NamesInputsOtherwise(Mosaic):
    """The graph does not know its inputs."""

    def inputs(self, config, pixels, fitted):
        return {"pixels": super().inputs(config, pixels, fitted)["colours"]}


@PLUGINS.broken("test_an_image_becomes_a_row_for_each_token")
class LosesARow(Mosaic):
    """A square is missing where there are several."""

    def inputs(self, config, pixels, fitted):
        return {"colours": super().inputs(config, pixels, fitted)["colours"][: max(1, fitted.tokens - 1)]}


@PLUGINS.broken("test_an_image_becomes_a_row_for_each_token")
class DividesByTheSpread(Mosaic):
    """An image of one colour has features that are no numbers."""

    def inputs(self, config, pixels, fitted):
        colours = super().inputs(config, pixels, fitted)["colours"]
        with np.errstate(all="ignore"):
            return {"colours": (colours - colours.mean(axis=0)) / colours.std(axis=0)}


@PLUGINS.broken("test_an_image_becomes_a_row_for_each_token")
class HasAnotherOutput(Mosaic):
    """The graph has an output that nobody asked for."""

    def encode(self, encoder):
        return encoder.add(super().encode(encoder), "features", "doubled")

    def outputs(self, config):
        return {**super().outputs(config), "doubled": ["squares", config.output_width]}


@PLUGINS.broken("test_the_same_image_gives_the_same_features")
class RemembersTheLast(Mosaic):
    """A shade of the image before lies over each image."""

    before = 0.0

    def inputs(self, config, pixels, fitted):
        colours = super().inputs(config, pixels, fitted)["colours"]
        before, self.before = self.before, colours.mean()
        return {"colours": (colours + before).astype(np.float32)}


@PLUGINS.broken("test_another_image_gives_other_features")
class SeesOneColour(Mosaic):
    """It does not see where something is."""

    def inputs(self, config, pixels, fitted):
        colours = super().inputs(config, pixels, fitted)["colours"]
        return {"colours": np.broadcast_to(colours.mean(axis=0, dtype=np.float64), colours.shape).astype(np.float32)}


@PLUGINS.broken("test_another_image_gives_other_features")
class IsColourBlind(Mosaic):
    """Red and blue are the same to it."""

    def inputs(self, config, pixels, fitted):
        colours = super().inputs(config, pixels, fitted)["colours"]
        return {"colours": (colours + colours[:, ::-1]) / 2}


@PLUGINS.broken("test_it_leaves_the_pixels_alone")
class PaintsOver(Mosaic):
    """It darkens the image that others see, too."""

    def inputs(self, config, pixels, fitted):
        pixels //= 2
        return super().inputs(config, pixels, fitted)


@PLUGINS.broken("test_positions_count_three_axes")
class ForgetsTime(Mosaic):
    """It counts rows and columns only."""

    def positions(self, config, fitted):
        return super().positions(config, fitted)[1:]


@PLUGINS.broken("test_positions_count_three_axes")
class CountsFromTheMiddle(Mosaic):
    """Some positions lie in front of the image."""

    def positions(self, config, fitted):
        return super().positions(config, fitted) - 2


@PLUGINS.broken("test_its_files_may_be_moved")
class LeavesNotes(Mosaic):
    """It writes a file of which nobody knows."""

    def write(self, tensors, config, path, *, eight_bits, done):
        super().write(tensors, config, path, eight_bits=eight_bits, done=done)
        path.with_name("notes.txt").write_text("done")


@PLUGINS.broken("test_its_files_may_be_moved")
class StaysWhereItIs(Mosaic):
    """Its graph is good only where it was written."""

    def write(self, tensors, config, path, *, eight_bits, done):
        self.path = path
        super().write(tensors, config, path, eight_bits=eight_bits, done=done)

    def inputs(self, config, pixels, fitted):
        self.path.stat()
        return super().inputs(config, pixels, fitted)


@PLUGINS.broken("test_eight_bits_stay_near_float32")
class RoundsToOneBit(Mosaic):
    """With eight bits, little is left of the weights."""

    def write(self, tensors, config, path, *, eight_bits, done):
        class Rounded:
            shape, has, names, vector, array = tensors.shape, tensors.has, tensors.names, tensors.vector, tensors.array

            def rows(self, name, order=None):
                for values in tensors.rows(name, order):
                    yield np.sign(values) if eight_bits else values

        super().write(Rounded(), config, path, eight_bits=eight_bits, done=done)


@PLUGINS.broken("test_it_tells_how_far_a_conversion_is")
class TellsNothing(Mosaic):
    """Nobody sees how far it is."""

    def write(self, tensors, config, path, *, eight_bits, done):
        super().write(tensors, config, path, eight_bits=eight_bits, done=lambda: None)


@PLUGINS.broken("test_it_tells_how_far_a_conversion_is")
class TellsTwice(Mosaic):
    """It is at two hundred percent in the end."""

    def write(self, tensors, config, path, *, eight_bits, done):
        super().write(tensors, config, path, eight_bits=eight_bits, done=lambda: (done(), done()))


@PLUGINS.broken("test_a_conversion_can_be_cancelled")
class GoesOn(Mosaic):
    """Nobody can stop it."""

    def write(self, tensors, config, path, *, eight_bits, done):
        def told():
            with contextlib.suppress(Exception):
                done()

        super().write(tensors, config, path, eight_bits=eight_bits, done=told)


class TestFamily(FamilyContract):
    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def family(self, plugin):
        return plugin.make()

    @pytest.fixture
    def projector(self, tmp_path):
        return write_mosaic(tmp_path / "mosaic.gguf")
