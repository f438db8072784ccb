"""The backend `counts`: which models it takes, how they are built, and what loads them.

A model of it is a folder with `text.txt` and the files of a tokenizer. This module is imported by every command that
loads plugins, so what needs numpy is imported inside methods.
"""

from __future__ import annotations

import os

from olpipe.errors import ModelCorrupt
from olpipe.interfaces import Backend, Progress, ProgressCallback, Runner
from olpipe.model import LoadOptions, ModelBundle

TEXT = "text.txt"
BUILT = "counts-1.npz"
"""What is built. Its name has the version of its format: an upgrade that changes the format builds again."""

CONTEXT_LENGTH = 4096


class CountsBackend(Backend):
    """Counts once, when a model is built."""

    name = "counts"
    version = "1"

    def refuses(self, bundle: ModelBundle) -> str | None:
        """Look for the text, and into the tokenizer."""
        from olpipe.decoding.vocabulary import Vocabulary

        if not (bundle.path / TEXT).is_file():
            return f"it has no {TEXT}"
        try:
            Vocabulary.read(bundle.path)
        except ModelCorrupt:
            return "its tokenizer cannot be used"
        return None

    def build(self, bundle: ModelBundle, progress: ProgressCallback) -> None:
        """Count into a file beside the final one, which is then renamed: what is half made never looks finished."""
        from olpipe_template.counts import count

        built = bundle.cache / BUILT
        if built.exists():
            return
        progress(Progress("counting"))
        bundle.cache.mkdir(parents=True, exist_ok=True)
        unfinished = built.with_suffix(".unfinished")
        count(bundle.path / TEXT, bundle.path, unfinished)
        os.replace(unfinished, built)

    def load(self, bundle: ModelBundle, options: LoadOptions) -> Runner:
        """Load what was counted, in this process."""
        from olpipe_template.counts import load

        context_length = min(options.context_length or CONTEXT_LENGTH, CONTEXT_LENGTH)
        return load(bundle.cache / BUILT, bundle, context_length=context_length)
