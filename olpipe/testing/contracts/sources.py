"""The contract of sources of models."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from olpipe.errors import DigestMismatch, ModelUnsupported, PullFailed, PushFailed
from olpipe.interfaces import FoundModel, ModelSource, ModelStore, Outgoing, PartialBlob, Progress, ProgressCallback
from olpipe.model import MEDIA_TYPE, Layer, ModelConfig, ModelName
from olpipe.store.library import Library
from olpipe.testing.contracts.asking import Cancelled, ignore

MINE = ModelName.parse("mine:1")
WEIGHTS = bytes(range(256)) * 40
SYSTEM = "Answer in one word."


class ModelSourceContract:
    """Every `ModelSource`. Give it the fixtures `source` and `reference`, something it can pull without a network.

    Where references of the source may have a digest, give it the fixture `wrongly_pinned`, too: a reference to
    something that is there, with a digest that it does not have. Otherwise that check is skipped.

    Where the source takes models, too, give it the fixture `push_reference`: a reference to what is not there yet, and
    can be pulled once it was pushed. Otherwise it is checked that the source refuses models.

    Where the source can be searched, give it the fixture `search_words`: words that it finds something for, without a
    network. Otherwise that check is skipped.

    Attributes:
        missing: A reference to what is not there.
    """

    missing: str = "there-is-no-such-thing"

    @pytest.fixture
    def source(self) -> ModelSource:
        """Return the source."""
        raise NotImplementedError

    @pytest.fixture
    def reference(self) -> str:
        """Return what follows the scheme, or an announced name; skip where that needs a network."""
        raise NotImplementedError

    @pytest.fixture
    def wrongly_pinned(self) -> str | None:
        """Return a reference to something that is there with a wrong digest; None where references have no digests."""
        return None

    @pytest.fixture
    def push_reference(self) -> str | None:
        """Return a reference to push to; None where the source takes no models."""
        return None

    @pytest.fixture
    def search_words(self) -> Sequence[str] | None:
        """Return words to search for; None where the source cannot be searched."""
        return None

    @pytest.fixture
    def library(self, tmp_path: Path) -> Library:
        """Return an empty store."""
        return Library(tmp_path / "models", cache=tmp_path / "cache")

    def test_it_has_a_scheme(self, source: ModelSource) -> None:
        """It is lower case and has no colon."""
        assert re.fullmatch("[a-z][a-z0-9+.-]*", source.scheme)

    def test_it_claims_hosts_by_name(self, source: ModelSource) -> None:
        """A claimed host is in lower case. A name on it has a namespace, too, and is its own default name."""
        assert isinstance(source.hosts, tuple)
        for host in source.hosts:
            assert host == host.lower()
            name = ModelName.parse(f"{host}/somebody/some-model:some-tag")
            assert source.default_name(str(name)) == name

    def test_it_announces_names(self, source: ModelSource) -> None:
        """Each is a text that is a model's name, and its own default name. No network is used to announce them."""
        names = source.names()
        assert not isinstance(names, str)
        for name in names:
            assert source.default_name(name) == ModelName.parse(name)

    def test_it_says_whether_it_is_worth_asking_for_a_name(self, source: ModelSource) -> None:
        """It says yes or no, without the network. A name that it may have is its own default name, insecure or not."""
        for text in ("registry.ollama.ai/library/some-model:some-tag", "some.example/somebody/some-model:some-tag"):
            may_have = source.may_have(ModelName.parse(text))
            assert isinstance(may_have, bool)
            if may_have:
                assert source.default_name(text) == source.default_name(f"http://{text}") == ModelName.parse(text)

    def test_what_it_finds_can_be_named(self, source: ModelSource, search_words: Sequence[str] | None) -> None:
        """Each model that it finds has a name that it can pull, on a host that it claims or with its scheme."""
        if search_words is None:
            pytest.skip("the fixture `search_words` gives no words: this source cannot be searched")
        found = list(source.search(search_words, 3))
        assert 0 < len(found) <= 3
        for model in found:
            assert isinstance(model, FoundModel)
            assert model.name.startswith((f"{source.scheme}:", *(f"{host}/" for host in source.hosts)))
            assert isinstance(source.default_name(model.name.removeprefix(f"{source.scheme}:")), ModelName)

    def test_it_names_what_it_brings(self, source: ModelSource, reference: str) -> None:
        """The name depends on the reference only."""
        name = source.default_name(reference)
        assert isinstance(name, ModelName)
        assert source.default_name(reference) == name == ModelName.parse(str(name))

    def test_what_is_pulled_is_in_the_store(self, source: ModelSource, reference: str, library: Library) -> None:
        """It is there under the name that was asked for, with files, and says what kind of package they are."""
        source.pull(reference, MINE, library, ignore)
        assert library.names() == [MINE]
        bundle = library.get(MINE)
        assert [path for path in bundle.path.rglob("*") if path.is_file() and path.stat().st_size]
        assert bundle.config.model_format

    def test_the_manifest_comes_last(self, source: ModelSource, reference: str, library: Library) -> None:
        """It is written once, when everything that it names is there, and nothing follows it."""
        store = _WatchedStore(library)
        source.pull(reference, MINE, store, ignore)
        assert store.done[-1] == "commit"
        assert store.done.count("commit") == 1
        assert len(store.done) > 1

    def test_files_that_the_store_may_take_are_its_own(
        self, source: ModelSource, reference: str, library: Library
    ) -> None:
        """Only what lies in a folder of `partial` is moved: the user's files stay where they are."""
        store = _WatchedStore(library)
        source.pull(reference, MINE, store, ignore)
        assert [path for path in store.moved if not any(path.is_relative_to(own) for own in store.partials)] == []

    def test_pulling_again_gives_the_same_model(self, source: ModelSource, reference: str, library: Library) -> None:
        """Its digest depends on what was pulled, not on when or under which name."""
        names = ModelName.parse("one"), source.default_name(reference)
        for name in names:
            source.pull(reference, name, library, ignore)
        assert len({library.get(name).digest for name in names}) == 1

    def test_what_is_not_there_is_not_in_the_store_either(self, source: ModelSource, library: Library) -> None:
        """The error says what was looked for."""
        with pytest.raises(PullFailed, match=re.escape(self.missing)):
            source.pull(self.missing, MINE, library, ignore)
        assert library.names() == []

    def test_a_pull_that_is_cancelled_leaves_no_model(
        self, source: ModelSource, reference: str, library: Library
    ) -> None:
        """What `progress` raises comes out, and the next pull gets the whole model."""
        calls: list[Progress] = []
        source.pull(reference, MINE, library, calls.append)
        digest = library.get(MINE).digest
        assert calls, "a pull tells how far it is"
        library.remove(MINE)
        told = list(dict.fromkeys(call.status for call in calls))
        for last in dict.fromkeys((told[0], told[len(told) // 2], told[-1])):
            with pytest.raises(Cancelled):
                source.pull(reference, MINE, library, _cancelling_at(last))
            assert library.names() == []
        source.pull(reference, MINE, library, ignore)
        assert library.get(MINE).digest == digest

    def test_a_model_that_the_store_refuses_is_refused(
        self, source: ModelSource, reference: str, library: Library
    ) -> None:
        """The store raises an error because no backend runs the model, and the source lets the error through."""
        store = _WatchedStore(library, refuses=True)
        with pytest.raises(ModelUnsupported, match="nobody runs it"):
            source.pull(reference, MINE, store, ignore)
        assert library.names() == []

    def test_what_is_not_what_was_pinned_is_refused(
        self, source: ModelSource, wrongly_pinned: str | None, library: Library
    ) -> None:
        """Bytes with another digest do not become a model."""
        if wrongly_pinned is None:
            pytest.skip("the fixture `wrongly_pinned` gives no reference: references of this source have no digests")
        with pytest.raises(DigestMismatch):
            source.pull(wrongly_pinned, MINE, library, ignore)
        assert library.names() == []

    def test_a_source_that_takes_no_models_says_so(
        self, source: ModelSource, push_reference: str | None, library: Library
    ) -> None:
        """The error names the source by its scheme."""
        if push_reference is not None:
            pytest.skip("this source takes models")
        with pytest.raises(PushFailed, match=re.escape(f"`{source.scheme}:`")):
            source.push("mine", _outgoing(library), ignore)

    def test_what_is_pushed_can_be_pulled(
        self, source: ModelSource, push_reference: str | None, library: Library, tmp_path: Path
    ) -> None:
        """It has the same digest and the same files elsewhere. To push it again changes nothing."""
        if push_reference is None:
            pytest.skip("the fixture `push_reference` gives no reference: this source takes no models")
        outgoing = _outgoing(library)
        for _ in range(2):
            source.push(push_reference, outgoing, ignore)
        elsewhere = Library(tmp_path / "elsewhere", cache=tmp_path / "cache-elsewhere")
        source.pull(push_reference, MINE, elsewhere, ignore)
        found = elsewhere.get(MINE)
        assert found.digest == library.digest(MINE)
        assert (found.path / "weights.bin").read_bytes() == WEIGHTS
        assert found.system == SYSTEM

    def test_a_push_that_is_cancelled_leaves_no_model(
        self, source: ModelSource, push_reference: str | None, library: Library, tmp_path: Path
    ) -> None:
        """What `progress` raises comes out, and the next push sends the whole model."""
        if push_reference is None:
            pytest.skip("the fixture `push_reference` gives no reference: this source takes no models")
        outgoing, calls = _outgoing(library), list[Progress]()

        def cancel(progress: Progress) -> None:
            calls.append(progress)
            raise Cancelled

        with pytest.raises(Cancelled):
            source.push(push_reference, outgoing, cancel)
        assert len(calls) == 1
        elsewhere = Library(tmp_path / "elsewhere", cache=tmp_path / "cache-elsewhere")
        with pytest.raises(PullFailed):
            source.pull(push_reference, MINE, elsewhere, ignore)
        source.push(push_reference, outgoing, ignore)
        source.pull(push_reference, MINE, elsewhere, ignore)
        assert elsewhere.digest(MINE) == library.digest(MINE)


def _outgoing(library: Library) -> Outgoing:
    """Put a small model into a library, and return it as it is pushed."""
    weights = replace(library.add_bytes(WEIGHTS), name="weights.bin")
    system = replace(library.add_bytes(SYSTEM.encode()), media_type=f"{MEDIA_TYPE}system")
    library.commit(MINE, ModelConfig(model_format="contract"), [weights, system])
    stored = library.describe(MINE)
    return Outgoing(MINE, stored.data, stored.manifest.config, stored.manifest.layers, library.blob_path)


class _WatchedStore(ModelStore):
    """A library that notes what a source does to it.

    Attributes:
        done: `add` and `commit`, in order.
        moved: Files that the store was allowed to take.
        partials: Folders that the source was given.
    """

    def __init__(self, library: Library, *, refuses: bool = False) -> None:
        self._library = library
        self._refuses = refuses
        self.done: list[str] = []
        self.moved: list[Path] = []
        self.partials: list[Path] = []

    def has(self, digest: str) -> bool:
        """Say whether a blob is stored."""
        return self._library.has(digest)

    def partial(self, key: str) -> Path:
        """Note a folder whose files belong to the source."""
        folder = self._library.partial(key)
        self.partials.append(folder.resolve())
        return folder

    def add_file(
        self, path: Path, *, digest: str | None = None, move: bool = False, progress: ProgressCallback | None = None
    ) -> Layer:
        """Note a file."""
        self.done.append("add")
        if move:
            self.moved.append(path.resolve())
        return self._library.add_file(path, digest=digest, move=move, progress=progress)

    def receiving(
        self, digest: str, size: int, progress: ProgressCallback
    ) -> AbstractContextManager[PartialBlob | None]:
        """Note a blob that comes in part by part."""
        self.done.append("add")
        return self._library.receiving(digest, size, progress)

    def check_manifest(self, name: ModelName, manifest: bytes, beginnings: Mapping[str, Path] | None = None) -> None:
        """Take any model of the name that was asked for."""
        assert name == MINE
        self._library.check_manifest(name, manifest, beginnings)

    def add_bytes(self, data: bytes) -> Layer:
        """Note bytes."""
        self.done.append("add")
        return self._library.add_bytes(data)

    def commit(self, name: ModelName, config: ModelConfig, layers: Sequence[Layer]) -> None:
        """Note the manifest."""
        self._committed(name)
        assert [layer for layer in layers if not self._library.has(layer.digest)] == []
        self._library.commit(name, config, layers)

    def commit_manifest(self, name: ModelName, manifest: bytes) -> None:
        """Note the manifest."""
        self._committed(name)
        self._library.commit_manifest(name, manifest)

    def _committed(self, name: ModelName) -> None:
        assert name == MINE
        self.done.append("commit")
        if self._refuses:
            raise ModelUnsupported("nobody runs it")


def _cancelling_at(status: str) -> ProgressCallback:
    """Return a progress callback that cancels at a status. It counts no calls: a second pull may make fewer of them."""

    def progress(one: Progress) -> None:
        if one.status == status:
            raise Cancelled

    return progress
