"""A good source of models, and sources with one fault each."""

import json
import shutil
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from mutants.breaking import Mutants

from olpipe.errors import OlpipeError, PullFailed
from olpipe.interfaces import FoundModel, ModelSource, Progress
from olpipe.model import ModelConfig, ModelName
from olpipe.testing.contracts import ModelSourceContract

CONTRACT = ModelSourceContract
NUMBERS = count()


class Shelf(ModelSource):
    """Takes models from a folder: `shelf:NAME` or `shelf:NAME@sha256:…`, and `shelf.example/somebody/NAME`."""

    scheme, hosts = "shelf", ("shelf.example",)
    folder = Path("never set")
    takes_models = True

    def names(self):
        return ("announced",)

    def default_name(self, reference):
        return ModelName.parse(reference.partition("@")[0])

    def search(self, words, limit):
        return [FoundModel(f"shelf:{'-'.join(words)}")][:limit]

    def pull(self, reference, name, store, progress):
        wanted, _, digest = reference.partition("@")
        path = self.folder / wanted
        progress(Progress("looking"))
        if (path / "manifest").is_file():
            for blob in path.glob("[0-9a-f]*[0-9a-f]"):
                store.add_file(blob)
            store.commit_manifest(name, (path / "manifest").read_bytes())
            return
        if not path.is_file():
            raise PullFailed(f"`{wanted}` is not on the shelf")
        own = store.partial(f"shelf:{reference}") / "weights"
        shutil.copy(path, own)
        progress(Progress("storing"))
        self.put(own, digest or None, name, store)

    def put(self, path, digest, name, store):
        layer = replace(store.add_file(path, digest=digest, move=True), name="weights.bin")
        notes = replace(store.add_bytes(b"notes"), name="notes.txt")
        store.commit(name, self.config(), [layer, notes])

    def config(self):
        return ModelConfig("shelf", "none")

    def push(self, reference, model, progress):
        progress(Progress("pushing"))
        folder = self.folder / reference
        folder.mkdir(exist_ok=True)
        for layer in (model.config, *model.layers):
            shutil.copy(model.path_of(layer.digest), folder / layer.digest.removeprefix("sha256:"))
        (folder / "manifest").write_bytes(self.written(model.manifest))

    def written(self, manifest):
        return manifest


PLUGINS = Mutants(Shelf)


@PLUGINS.broken("test_it_has_a_scheme")
class ShoutsItsScheme(Shelf):
    """Its scheme is no scheme."""

    scheme = "Shelf:"


@PLUGINS.broken("test_it_claims_hosts_by_name")
class RenamesWhatIsClaimed(Shelf):
    """A model on a claimed host gets another name."""

    def default_name(self, reference):
        return ModelName.parse(reference.rpartition("/")[2].partition("@")[0])


@PLUGINS.broken("test_it_claims_hosts_by_name")
class ClaimsOneText(Shelf):
    """It claims the letters of a host."""

    hosts = "shelf.example"


@PLUGINS.broken("test_it_claims_hosts_by_name")
class ClaimsCapitals(Shelf):
    """Its host has capitals, and names are handed to it in lower case."""

    hosts = ("Shelf.example",)


@PLUGINS.broken("test_what_it_finds_can_be_named")
class FindsWhatNobodyCanPull(Shelf):
    """What it finds has a name that leads elsewhere."""

    def search(self, words, limit):
        return [FoundModel("-".join(words))]


@PLUGINS.broken("test_what_it_finds_can_be_named")
class FindsTooMuch(Shelf):
    """It finds more models than were asked for."""

    def search(self, words, limit):
        return [FoundModel(f"shelf:{words[0]}-{number}") for number in range(limit + 1)]


@PLUGINS.broken("test_it_announces_names")
class AnnouncesLetters(Shelf):
    """It announces one text, which is read as many names of one letter."""

    def names(self):
        return "announced"


@PLUGINS.broken("test_it_announces_names")
class AnnouncesWhatIsNoName(Shelf):
    """An announced name is no model's name."""

    def names(self):
        return ("some model!",)


@PLUGINS.broken("test_it_says_whether_it_is_worth_asking_for_a_name")
class SaysWhatItThinks(Shelf):
    """It answers with a text where yes or no is expected."""

    def may_have(self, name):
        return "perhaps"


@PLUGINS.broken("test_it_says_whether_it_is_worth_asking_for_a_name")
class CallsEverythingTheSame(Shelf):
    """It may have any name, and brings each of them under one name."""

    def may_have(self, name):
        return True

    def default_name(self, reference):
        return ModelName.parse("shelf.example/somebody/some-model:some-tag")


@PLUGINS.broken("test_it_names_what_it_brings", "test_it_claims_hosts_by_name")
class NamesWithTexts(Shelf):
    """A name is a text and no `ModelName`."""

    def default_name(self, reference):
        return str(super().default_name(reference))


@PLUGINS.broken("test_it_names_what_it_brings")
class NumbersNames(Shelf):
    """A model gets another name each time."""

    def default_name(self, reference):
        return ModelName.parse(f"shelf-{next(NUMBERS)}")


@PLUGINS.broken("test_what_is_pulled_is_in_the_store")
class PrefersItsOwnName(Shelf):
    """The model is there under another name than the one asked for."""

    def pull(self, reference, name, store, progress):
        super().pull(reference, self.default_name(reference), store, progress)


@PLUGINS.broken("test_what_is_pulled_is_in_the_store")
class LeavesFilesUnnamed(Shelf):
    """No file of the model is ever laid out."""

    def put(self, path, digest, name, store):
        store.commit(name, self.config(), [replace(store.add_file(path), media_type="shelf/unknown")])


@PLUGINS.broken("test_what_is_pulled_is_in_the_store")
class SaysNothingOfTheKind(Shelf):
    """Nobody knows what kind of package it is."""

    def config(self):
        return ModelConfig()


@PLUGINS.broken("test_the_manifest_comes_last")
class CommitsTwice(Shelf):
    """The model exists before its notes are there."""

    def put(self, path, digest, name, store):
        layer = replace(store.add_file(path, digest=digest, move=True), name="weights.bin")
        store.commit(name, self.config(), [layer])
        notes = replace(store.add_bytes(b"notes"), name="notes.txt")
        store.commit(name, self.config(), [layer, notes])


@PLUGINS.broken("test_the_manifest_comes_last")
class CommitsTooEarly(Shelf):
    """The manifest names bytes that come only afterwards."""

    def put(self, path, digest, name, store):
        data = path.read_bytes()
        there = replace(store.add_bytes(b"notes"), name="notes.txt")
        from hashlib import sha256

        promised = replace(there, digest=f"sha256:{sha256(data).hexdigest()}", size=len(data), name="weights.bin")
        store.commit(name, self.config(), [promised, there])
        store.add_file(path)


@PLUGINS.broken("test_files_that_the_store_may_take_are_its_own")
class GivesFilesAway(Shelf):
    """The user's own file is moved into the store."""

    def pull(self, reference, name, store, progress):
        path = self.folder / reference.partition("@")[0]
        if not path.is_file():
            raise PullFailed(f"`{reference}` is not on the shelf")
        progress(Progress("storing"))
        self.put(path, None, name, store)


@PLUGINS.broken("test_pulling_again_gives_the_same_model")
class StampsModels(Shelf):
    """A model has another digest each time."""

    def config(self):
        return ModelConfig("shelf", f"pulled {next(NUMBERS)} times")


@PLUGINS.broken("test_pulling_again_gives_the_same_model")
class WritesItsNameDown(Shelf):
    """A model's digest depends on what it is called here."""

    def put(self, path, digest, name, store):
        layer = replace(store.add_file(path, move=True), name="weights.bin")
        store.commit(name, self.config(), [layer, replace(store.add_bytes(str(name).encode()), name="notes.txt")])


@PLUGINS.broken("test_what_is_not_there_is_not_in_the_store_either")
class MakesItUp(Shelf):
    """A model that is not there is pulled all the same."""

    def pull(self, reference, name, store, progress):
        layer = replace(store.add_bytes(b"nothing"), name="weights.bin")
        store.commit(name, self.config(), [layer])
        super().pull(reference, name, store, progress)


@PLUGINS.broken("test_what_is_not_there_is_not_in_the_store_either")
class RaisesWhateverComes(Shelf):
    """A file that is not there is an error of the system."""

    def pull(self, reference, name, store, progress):
        layer = replace(store.add_file(self.folder / reference), name="weights.bin")
        store.commit(name, self.config(), [layer])


@PLUGINS.broken("test_a_pull_that_is_cancelled_leaves_no_model")
class GoesOnRegardless(Shelf):
    """Nobody can cancel it."""

    def pull(self, reference, name, store, progress):
        def tell(one):
            with suppress(Exception):
                progress(one)

        super().pull(reference, name, store, tell)


@PLUGINS.broken("test_a_pull_that_is_cancelled_leaves_no_model")
class CommitsBeforeItIsDone(Shelf):
    """A pull that was cancelled leaves a model behind."""

    def put(self, path, digest, name, store):
        super().put(path, digest, name, store)
        self.tell(Progress("success"))

    def pull(self, reference, name, store, progress):
        self.tell = progress
        super().pull(reference, name, store, progress)


@PLUGINS.broken("test_a_pull_that_is_cancelled_leaves_no_model")
class TakesUpWhatIsHalf(Shelf):
    """What an earlier pull left is taken for whole."""

    def pull(self, reference, name, store, progress):
        wanted, _, digest = reference.partition("@")
        own = store.partial(f"shelf:{reference}") / "weights"
        if not (self.folder / wanted).is_file():
            raise PullFailed(f"`{wanted}` is not on the shelf")
        data = (self.folder / wanted).read_bytes()
        if not own.exists():
            own.write_bytes(data[:3])
            progress(Progress("half"))
            own.write_bytes(data)
        progress(Progress("storing"))
        self.put(own, digest or None, name, store)


@PLUGINS.broken("test_a_model_that_the_store_refuses_is_refused")
class HidesRefusals(Shelf):
    """A model that nobody runs is reported as pulled."""

    def put(self, path, digest, name, store):
        try:
            super().put(path, digest, name, store)
        except OlpipeError as error:
            if "runs" not in error.message:
                raise


@PLUGINS.broken("test_what_is_not_what_was_pinned_is_refused")
class IgnoresDigests(Shelf):
    """What was pinned is not compared."""

    def put(self, path, digest, name, store):
        super().put(path, None, name, store)


@PLUGINS.broken("test_a_source_that_takes_no_models_says_so")
class TakesModelsAndDropsThem(Shelf):
    """It takes no models, and whoever pushes one never learns of that."""

    takes_models = False

    def push(self, reference, model, progress):
        pass


@PLUGINS.broken("test_what_is_pushed_can_be_pulled")
class WritesManifestsAnew(Shelf):
    """A manifest is understood and written again, so that its digest is another one."""

    def written(self, manifest):
        return json.dumps(json.loads(manifest), indent=1).encode()


@PLUGINS.broken("test_a_push_that_is_cancelled_leaves_no_model")
class TellsTooLate(Shelf):
    """A push can be cancelled when the model is there already."""

    def push(self, reference, model, progress):
        super().push(reference, model, lambda one: None)
        progress(Progress("pushed"))


@PLUGINS.broken("test_a_push_that_is_cancelled_leaves_no_model")
class CannotBeStopped(Shelf):
    """A push goes on when it is cancelled."""

    def push(self, reference, model, progress):
        with suppress(Exception):
            progress(Progress("pushing"))
        super().push(reference, model, lambda one: None)


class TestSource(ModelSourceContract):
    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def source(self, plugin, tmp_path):
        source = plugin.make()
        source.folder = tmp_path / "shelf"
        source.folder.mkdir()
        (source.folder / "small").write_bytes(b"weights of a model")
        return source

    @pytest.fixture
    def reference(self):
        return "small"

    @pytest.fixture
    def search_words(self):
        return ("small",)

    @pytest.fixture
    def wrongly_pinned(self):
        return f"small@sha256:{'0' * 64}"

    @pytest.fixture
    def push_reference(self, source):
        return "sent" if source.takes_models else None
