"""The source `counts:FILE`: makes a model for the backend `counts` of any text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from olpipe.errors import PullFailed
from olpipe.interfaces import ModelSource, ModelStore, Progress, ProgressCallback
from olpipe.model import Layer, ModelConfig, ModelName

TOKENIZER = Path(__file__).parent / "tokenizer"
"""The files of a tokenizer that can say everything, byte by byte; `tests/test_counts.py` says what made them."""


class CountsSource(ModelSource):
    """Stores a text beside the tokenizer that this plugin brings."""

    scheme = "counts"

    def default_name(self, reference: str) -> ModelName:
        """Return the file's name."""
        from olpipe.store.packages import name_from

        return name_from(Path(reference).stem)

    def pull(self, reference: str, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
        """Store the files, then the manifest.

        Raises:
            PullFailed: There is no such file.
        """
        text = Path(reference).expanduser()
        if not text.is_file():
            raise PullFailed(f"`{reference}` does not exist", hint="name a file of plain text")
        layers = [replace(store.add_file(text, progress=progress), name="text.txt"), *_tokenizer(store)]
        progress(Progress("writing manifest"))
        store.commit(name, ModelConfig(model_format="counts", model_family="counts"), layers)


def _tokenizer(store: ModelStore) -> Iterator[Layer]:
    for path in sorted(TOKENIZER.glob("*.json")):
        yield replace(store.add_file(path), name=path.name)
