"""Groups of a watch: runs of one engine, each with what has settled."""

from dataclasses import replace

import pytest

from olpipe.describing.recipe_file import read_recipe
from olpipe.engine.manager import Engine
from olpipe.imaging.watched import WatchedFolders
from olpipe.model import ModelConfig, ModelName
from olpipe.pipeline.run import BatchOptions
from olpipe.pipeline.selection import Selection
from olpipe.pipeline.watch import Pace, Teller, Watch
from olpipe.plugins import Plugins
from olpipe.record import FailureKind
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.testing.fixtures import echo_plugin, plugin_folder
from olpipe.testing.images import photo

__all__ = ["echo_plugin", "plugin_folder"]


class Groups:
    """Watches a folder with the echo model until nothing is left, and notes what each group was."""

    def __init__(self, root, home):
        self.photos, self.output = root / "photos", root / "out"
        self.photos.mkdir()
        self.settings = Settings(home=home)
        self.results, self.processes, self.statuses = [], set(), []

    def put(self, *names, data=None):
        for name in names:
            (self.photos / name).write_bytes(photo() + name.encode() if data is None else data)

    def watch(self, enough, *, pace, selection=None, options=b"{}", later=()):
        """Watch until so many photos have an outcome. Those that come `later` follow the first group."""
        names = list(later)
        plugins = Plugins.load(self.settings)
        library = Library(self.settings.models_folder, cache=self.settings.home / "cache")
        layer = replace(library.add_bytes(options), name="echo.json")
        config = ModelConfig(model_format="echo", capabilities=("completion", "vision"))
        library.commit(ModelName.parse("echo"), config, [layer])
        folders = WatchedFolders([str(self.photos)], {".jpg"}, leave_out=self.output)
        self.results.clear()
        with Engine(library, plugins, self.settings) as engine:

            def finished(result):
                self.results.append(result)
                self.processes |= {model.pid for model in engine.loaded()}
                if sum(one.counts.records + one.counts.failures for one in self.results) >= enough:
                    watch.end()
                elif self.outcomes and names:
                    self.put(names.pop())

            teller = Teller(self.statuses.append, lambda line: None, lambda found: None, finished)
            watch = Watch(
                folders,
                read_recipe("photo-tags").override(model="echo"),
                BatchOptions(self.output, selection or Selection(), page=True),
                teller,
                pace=pace,
                plugins=plugins,
                engine=engine,
                settings=self.settings,
            )
            watch.run()

    @property
    def outcomes(self):
        """Return the records and failures of each group that had any."""
        counts = [(result.counts.records, result.counts.failures) for result in self.results]
        return [pair for pair in counts if pair != (0, 0)]


@pytest.fixture
def groups(tmp_path, isolated_home, echo_plugin):
    return Groups(tmp_path, isolated_home)


def test_a_large_group_ends_after_a_while_and_the_next_goes_on_with_the_same_process(groups):
    names = [f"{number:02}.jpg" for number in range(12)]
    groups.put(*names)
    groups.watch(12, pace=Pace(settle_s=0.0, group_s=0.2), options=b'{"delay_s": 0.05}')
    assert len(groups.outcomes) > 1
    assert sum(records for records, _ in groups.outcomes) == 12
    assert groups.results[1].status == "interrupted"
    assert (groups.output / "records.jsonl").read_bytes().count(b"\n") == 12
    assert len(groups.processes) == 1
    assert groups.statuses[-1].described == 12


def test_what_failed_before_is_tried_again_once(groups):
    groups.put("bad.jpg", data=b"\xff\xd8 no photo")
    groups.put("raw.jpg", data=b"no format that anybody reads")
    groups.watch(2, pace=Pace(settle_s=0.0))
    groups.put("a.jpg")
    again = Selection(retry=frozenset(FailureKind))
    groups.watch(4, pace=Pace(settle_s=0.0), selection=again, later=["b.jpg"])
    assert groups.outcomes == [(1, 2), (1, 0)]
