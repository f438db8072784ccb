"""A source that has its models on a shelf: a folder of GGUF files. It is a plugin for tests of a server that pulls.

Tests copy this module into a folder of plugins. `SHELF` names the folder. Where a file `NAME.wait` lies beside a model,
the source goes on telling how far it is until that file is gone, and it writes what happens into `NAME.log`.
"""

import os
import time
from pathlib import Path

from olpipe.errors import PullFailed
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource, Progress
from olpipe.model import ModelName
from olpipe.store.packages import add_package


class Shelf(ModelSource):
    scheme = "shelf"

    def names(self):
        return [path.stem for path in Path(os.environ["SHELF"]).glob("*.gguf")]

    def default_name(self, reference):
        return ModelName.parse(reference)

    def pull(self, reference, name, store, progress):
        shelf = Path(os.environ["SHELF"])
        model, gate, log = (shelf / f"{reference}.{kind}" for kind in ("gguf", "wait", "log"))
        with log.open("a") as file:
            print("begun", file=file, flush=True)
            done = 0
            try:
                while gate.exists():
                    done += 1
                    progress(Progress(f"fetching {reference}", done, 1_000_000))
                    time.sleep(0.01)
            except BaseException:
                print("cancelled", file=file, flush=True)
                raise
            if not model.stat().st_size:
                raise PullFailed(f"`{reference}` is an empty box", hint="fill it")
            add_package(model, name, store, progress)
            print("ended", file=file, flush=True)


@hookimpl
def register_model_sources():
    return [Shelf()]
