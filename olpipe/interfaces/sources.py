"""Where models come from, and the store that they go into."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from olpipe.errors import PushFailed
from olpipe.interfaces.blobs import Outgoing, PartialBlob
from olpipe.interfaces.progress import ProgressCallback
from olpipe.model import Layer, ModelConfig, ModelName


class ModelStore(Protocol):
    """The model store as a source sees it: put blobs in, then name them with a manifest."""

    def has(self, digest: str) -> bool:
        """Say whether a blob is already stored."""

    def partial(self, key: str) -> Path:
        """Return a folder that survives an interrupted pull, the same for the same key."""

    def add_file(
        self, path: Path, *, digest: str | None = None, move: bool = False, progress: ProgressCallback | None = None
    ) -> Layer:
        """Put a file in and return a layer for it (set its media type and name with `dataclasses.replace`).

        Args:
            path: The file.
            digest: What its bytes must be, `sha256:…`, or None.
            move: Whether the store may move the file instead of copying it. Set this only for files that you made
                yourself in a folder of `partial`.
            progress: Called with the number of bytes so far.

        Raises:
            DigestMismatch: The bytes do not have the digest `digest`.
            DiskFull: There was no space for a copy.
        """

    def add_bytes(self, data: bytes) -> Layer:
        """Put bytes in and return a layer for them."""

    def receiving(
        self, digest: str, size: int, progress: ProgressCallback
    ) -> AbstractContextManager[PartialBlob | None]:
        """Hold the place of a blob that comes in part by part, with what came of it before.

        One process at a time does so for a digest. Others wait for it, and then find the blob in the store.

        Args:
            digest: What the blob's bytes must be, `sha256:…`.
            size: How many bytes it has.
            progress: Told that this waits for another process.

        Returns:
            A context manager, which gives None where the blob is in the store already.

        Raises:
            ValueError: That is not a digest.
        """

    def check_manifest(self, name: ModelName, manifest: bytes, beginnings: Mapping[str, Path] | None = None) -> None:
        """Refuse a model before its files are fetched, as far as anything can be told by then.

        Args:
            name: What it will be called.
            manifest: Its manifest. The blob of its config is in the store.
            beginnings: By their digests, files that tell whether the model can be run: GGUF files that are as long as
                they will be and have their headers by now, or the configuration of a package.

        Raises:
            ModelCorrupt: It is not a manifest, or it contradicts itself.
            ModelUnsupported: No backend can run the model.
            DigestMismatch: It is not the model that was asked for.
            DiskFull: There is not enough space for what is missing.
        """

    def commit(self, name: ModelName, config: ModelConfig, layers: Sequence[Layer]) -> None:
        """Write a manifest of these layers, atomically. From then on the model exists.

        Raises:
            ModelCorrupt: The model cannot be built, so it is not kept.
            ModelUnsupported: No backend can run the model, so it is not kept.
        """

    def commit_manifest(self, name: ModelName, manifest: bytes) -> None:
        """Keep a manifest byte for byte as a registry sent it, so that the model's digest is the registry's.

        A manifest is a JSON object. Its `config` is a layer, and its `layers` are a list of layers. A layer is an
        object with `mediaType`, `digest` (`sha256:…`) and `size` in bytes, and with `name` where it is a file. The
        blob of `config` is a JSON object with the attributes of `ModelConfig`. The page on models shows an example.

        Raises:
            ModelCorrupt: It is not a manifest, or the model cannot be built.
            ModelUnsupported: No backend can run the model.
            StoreError: A blob that it names is not in the store.
        """


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model that a source found for some words.

    Attributes:
        name: What `olpipe pull` takes.
        about: What is known of it, in a few words.
        license: The name of its licence; empty where it is not known.
        capabilities: What it does, by the names in `CAPABILITIES`, as far as it is known.
        architecture: What its GGUF files name as their architecture; empty where it is not known.
    """

    name: str
    about: str = ""
    license: str = ""
    capabilities: tuple[str, ...] = ()
    architecture: str = ""


class ModelSource(ABC):
    """A place that models come from.

    A source is found by the scheme before the colon (`pip:…`), by a name that it announces, or by a host that it
    claims.

    `@sha256:…` behind a name pins the model's digest. It is taken off before the source gets the name, and the store
    refuses a model with another digest. What follows a scheme is handed over as it was written: whether it may have a
    digest, and of what, the source decides, and the source checks it.
    """

    scheme: str
    """What stands before the colon: lower case, without the colon."""

    hosts: tuple[str, ...] = ()
    """Hosts whose models it pulls, in lower case. A name on a host needs a namespace: `hf.co` claims the names
    `hf.co/NAMESPACE/MODEL` and `hf.co/NAMESPACE/MODEL:TAG`, and `hf.co/MODEL` is no name. A text on the host that has
    these parts and yet is no name, such as `hf.co/NAMESPACE/MODEL@REVISION`, is handed over as it was written."""

    def names(self) -> Iterable[str]:
        """Announce plain names that this source can pull, like `photo-mini`. Do not use the network for that.

        `olpipe plugins` lists them. They come before the hosts that other sources claim.
        """
        return ()

    def may_have(self, name: ModelName) -> bool:
        """Say whether it is worth asking this source for a name that no source announces, on a host that none claims.

        Do not use the network for that. The first such source is asked by `olpipe pull` and `olpipe push`, and by
        `olpipe run` where the model is not here. It gets the whole name as its reference, with the host. `http://`
        stands before the host where the user allowed a connection that others can read, with `--insecure`.
        """
        return False

    def search(self, words: Sequence[str], limit: int) -> Iterable[FoundModel]:
        """Ask over the network which models fit all of some words, the most used first.

        `olpipe search --hub` asks every source. One that cannot be searched finds nothing.

        Args:
            words: The words.
            limit: How many models are enough.

        Raises:
            PullFailed: The source could not be asked.
        """
        return ()

    @abstractmethod
    def default_name(self, reference: str) -> ModelName:
        """Return the name that a model from here gets when the user gives none.

        Args:
            reference: What follows the scheme, an announced name as it was announced, or a whole name on a claimed
                host: the host in lower case, as it is in `hosts`, then the namespace and the model, then the tag if
                the user wrote one.
        """

    @abstractmethod
    def pull(self, reference: str, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
        """Bring the model into the store under `name`: first the blobs, then the manifest, once.

        The same model has the same digest, whenever it is pulled and under whatever name. Call `progress` at least once
        before the manifest is written. Let through what `progress` and the store raise; no model is left behind then.

        Args:
            reference: What to bring, as `default_name` gets it.
            name: What the model is called here. The user may have chosen it.
            store: Where it goes.
            progress: Told about every step.

        Raises:
            NotAtSource: The source has no such model.
            PullFailed: The model could not be fetched. What was fetched so far is kept where that helps.
            DigestMismatch: What was fetched does not have the digest in the reference.
        """

    def push(self, reference: str, model: Outgoing, progress: ProgressCallback) -> None:
        """Send a model to where `pull` would find it: first what is missing there, then the manifest, byte for byte.

        A source that takes no models leaves this method as it is. Let through what `progress` raises.

        Args:
            reference: Where to send it, as `pull` gets it.
            model: What to send.
            progress: Told about every step.

        Raises:
            PushFailed: The model could not be sent.
        """
        raise PushFailed(f"models cannot be pushed to `{self.scheme}:`")
