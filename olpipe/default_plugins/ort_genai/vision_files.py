"""Read what a package that sees says about its vision encoder.

It is in three places: the table `vision` of `genai_config.json`, the steps that prepare an image in
`processor_config.json`, and the inputs and outputs of the encoder's graph.
Source: https://github.com/microsoft/onnxruntime-genai/blob/main/src/config.h
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from olpipe.default_plugins.packages import read_model
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.store.package_checks import CONFIG_NAME

if TYPE_CHECKING:
    import onnx

PIXELS = "pixel_values"
"""What the runtime calls the pixels of images, whatever the graph calls them."""

SIZES = "image_sizes"
"""What the runtime calls the heights and widths of images, in pixels."""

FEATURES = "image_features"
"""What the runtime calls the features that a vision encoder makes."""

_USUAL_STEPS = "processor_config.json"
_LARGEST_SIDE = 1 << 14
_LARGEST_COUNT = 1 << 40


@dataclass(frozen=True, slots=True)
class Value:
    """An input or an output of a graph.

    Attributes:
        dtype: The type of its numbers.
        shape: Its dimensions. None stands for one that may vary.
    """

    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class VisionFiles:
    """What the files say.

    Attributes:
        name: How error messages call the model.
        type: The type of the package.
        model: The table `model` of `genai_config.json`.
        steps: The settings of the steps that prepare an image, by the types of these steps.
        pixels: The input of the vision encoder's graph that takes pixels.
        features: Its output.
    """

    name: str
    type: str
    model: Mapping[str, Any]
    steps: Mapping[str, Mapping[str, Any]]
    pixels: Value
    features: Value

    @classmethod
    def read(cls, folder: Path, name: str) -> VisionFiles:
        """Read the files of a package.

        Args:
            folder: The package.
            name: How error messages call the model.

        Raises:
            ModelCorrupt: A file is missing, or damaged, or lacks what is needed.
            ModelUnsupported: The encoder takes numbers of a type that is not made here.
        """
        try:
            model = read_model(folder)
            vision = model["vision"]
            steps = _steps(folder / vision.get("config_filename", _USUAL_STEPS))
            graph = _signature(folder / vision["filename"])
            inputs, outputs = _names(vision, "inputs"), _names(vision, "outputs")
            pixels = _value(graph[inputs.get(PIXELS, PIXELS)])
            features = _value(graph[outputs.get(FEATURES, FEATURES)])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else error
            raise ModelCorrupt(f"`{name}` has a vision encoder that cannot be used: {reason}") from error
        if pixels.dtype not in (np.float32, np.float16):
            raise ModelUnsupported(f"the vision encoder of `{name}` takes pixels as `{pixels.dtype}`")
        return cls(name, str(model.get("type")), model, steps, pixels, features)

    @property
    def vision(self) -> Mapping[str, Any]:
        """The table `vision` of `genai_config.json`."""
        table: Mapping[str, Any] = self.model["vision"]
        return table

    @property
    def input_names(self) -> Mapping[str, str]:
        """What the graph calls its inputs, by the names that the runtime has for them."""
        return _names(self.vision, "inputs")

    def token(self, name: str) -> int:
        """Return the id of a token that the configuration names.

        Raises:
            ModelCorrupt: It does not.
        """
        token = self.model.get(name)
        if type(token) is not int or not 0 <= token < self.model["vocab_size"]:
            raise ModelCorrupt(f"`{self.name}` has an unusable {CONFIG_NAME}: `{name}` is `{token}`, which is no token")
        return token

    def side(self, value: Any, what: str) -> int:
        """Return a length in pixels or in patches, checked.

        Args:
            value: What a file says.
            what: What it is, for the error message.

        Raises:
            ModelCorrupt: It is not a whole number, or too large to be true.
        """
        return self._number(value, what, _LARGEST_SIDE)

    def count(self, value: Any, what: str) -> int:
        """Return a number of pixels, checked like a `side`."""
        return self._number(value, what, _LARGEST_COUNT)

    def colour(self, name: str, usual: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return what the step that normalises pixels has for red, green and blue.

        Args:
            name: `mean` or `std`.
            usual: What to return where no file says it.

        Raises:
            ModelCorrupt: They are not three numbers, or one of them would divide by nothing.
        """
        given = self.steps.get("Normalize", {}).get(name, list(usual))
        numbers = isinstance(given, list) and len(given) == 3 and all(type(one) in (int, float) for one in given)
        if not numbers or (name == "std" and not all(one > 0 for one in given)):
            raise ModelCorrupt(f"the vision encoder of `{self.name}` has an unusable `{name}`: `{given}`")
        red, green, blue = map(float, given)
        return red, green, blue

    def _number(self, value: Any, what: str, most: int) -> int:
        if type(value) is not int or not 0 < value <= most:
            raise ModelCorrupt(f"the vision encoder of `{self.name}` has an unusable {what}: `{value}`")
        return value


def _names(table: Mapping[str, Any], key: str) -> Mapping[str, str]:
    names = table.get(key, {})
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ValueError(f"`{key}` of `vision` are not names")
    return names


def _steps(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return the settings of the steps in a file. Without the file, every setting has its usual value."""
    if not path.is_file():
        return {}
    steps = orjson.loads(path.read_bytes())["processor"]["transforms"]
    operations = [step["operation"] for step in steps]
    settings = {each["type"]: each.get("attrs", {}) for each in operations}
    if not all(isinstance(each, dict) for each in settings.values()):
        raise ValueError(f"a step in `{path.name}` has no table of settings")
    return settings


def _signature(path: Path) -> Mapping[str, onnx.ValueInfoProto]:
    """Return the inputs and outputs of a graph by their names. Its weights are not read where they lie beside it."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(str(path), format="protobuf", load_external_data=False).graph
    except DecodeError as error:
        raise ValueError(f"`{path.name}` is not an ONNX file") from error
    return {value.name: value for value in (*graph.input, *graph.output)}


def _value(value: onnx.ValueInfoProto) -> Value:
    from onnx import helper

    tensor = value.type.tensor_type
    shape = tuple(one.dim_value if one.HasField("dim_value") else None for one in tensor.shape.dim)
    return Value(np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)), shape)
