"""A good family of vision models, as small as one can be, and a file of it."""

import math

import numpy as np

from olpipe.convert.graph import write_graph
from olpipe.convert.towers.encoder import Encoder
from olpipe.convert.vision_metadata import VisionMetadata
from olpipe.convert.vision_tensors import check_tensors, layer_shapes
from olpipe.imaging.fitting import Resampling, resized
from olpipe.interfaces import Family, Fitted, Layout, VisionConfig
from olpipe.testing.gguf import write_gguf
from olpipe.testing.vision.weights import Tensors

METADATA = {
    "general.architecture": "clip",
    "clip.projector_type": "mosaic",
    "clip.vision.image_size": 8,
    "clip.vision.image_mean": [0.5, 0.5, 0.5],
    "clip.vision.image_std": [0.25, 0.25, 0.25],
}
WIDTH = 24
LAYER = "v.mosaic"


class Mosaic(Family):
    """Sees an image as a few squares, each of one colour. Every square is a token."""

    name, version = "Mosaic 2", "1"
    projectors = ("mosaic",)
    image_text = placeholder = "<square>"
    usual_tokens = 16
    template = (
        "{% for message in messages %}{% for part in message['content'] %}"
        "{{ '<square>' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endfor %}"
    )

    def read(self, metadata, tensors):
        values = VisionMetadata(metadata)
        config = VisionConfig(
            family=self.name,
            image_size=values.size("image_size", limit=64),
            patch_size=1,
            merge=1,
            layers=0,
            heads=0,
            width=3,
            inner_width=0,
            output_width=self.output_width(tensors),
            epsilon=0.0,
            mean=values.colour("image_mean"),
            std=values.spread("image_std"),
        )
        self.check(tensors, config)
        return config

    def output_width(self, tensors):
        return tensors.shape(f"{LAYER}.bias")[0] if tensors.has(f"{LAYER}.bias") else 0

    def check(self, tensors, config):
        check_tensors(tensors, layer_shapes(LAYER, config.output_width, 3), {}, family=self.name)

    def write(self, tensors, config, path, *, eight_bits, done):
        def build(weights):
            encoder = Encoder(tensors, config, weights, eight_bits=eight_bits, done=done)
            self.encode(encoder)
            return encoder.finished({"colours": (np.float32, ["squares", 3])}, self.outputs(config))

        write_graph(path, build)

    def encode(self, encoder):
        return encoder.multiply("colours", LAYER, exact=True, output="features")

    def outputs(self, config):
        return {"features": ["squares", config.output_width]}

    def fit(self, config, width, height, tokens):
        side = min(config.image_size, math.isqrt(max(tokens, 1)))
        columns, rows = min(side, width), min(side, height)
        return Fitted(columns, rows, 1, 1, columns * rows)

    def inputs(self, config, pixels, fitted):
        squares = resized(pixels, fitted.width, fitted.height, Resampling.BILINEAR).reshape(-1, 3) / 255
        return {"colours": ((squares - config.mean) / config.std).astype(np.float32)}

    def layout(self, config, fitted):
        return Layout("[", (fitted.tokens,), "]")

    def positions(self, config, fitted):
        rows, columns = np.indices((fitted.height, fitted.width)).reshape(2, -1)
        return np.stack([np.zeros_like(rows), rows, columns])


def write_mosaic(path):
    """Write a file with random weights, and return its path."""
    tensors = Tensors(0)
    tensors.matrix(LAYER, WIDTH, 3, bias=True)
    write_gguf(path, METADATA, tensors)
    return path
