"""Models made from others, and from files that are in the store."""

import json
import os
import resource
from dataclasses import replace

import numpy as np
import pytest

from olpipe.convert.adapter import write_adapter
from olpipe.errors import DiskFull, ModelNotFound, UsageError
from olpipe.messages import Message, TextPart, ThinkingPart
from olpipe.model import MEDIA_TYPE, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.create import NewModel, check, create
from olpipe.store.library import Library
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.store.templates import TEMPLATE_KEPT
from olpipe.testing.bert import write_tiny_bert
from olpipe.testing.models import write_tiny_gguf

BASE, NEW = ModelName.parse("base"), ModelName.parse("new")


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def plugins():
    return Plugins.load(Settings(plugins_allow=()))


@pytest.fixture
def base(library, plugins, tmp_path):
    return pulled(library, plugins, write_tiny_gguf(tmp_path / "base.gguf"))


@pytest.fixture
def make(library, plugins):
    """Return a function that makes the model `NEW` and returns it, with the statuses on the way."""

    def make(**fields):
        steps = []
        new = NewModel(NEW, **fields)
        check(new, library)
        create(new, library, plugins, progress=steps.append)
        return library.get(NEW), [step.status for step in steps]

    return make


def pulled(library, plugins, path):
    origin, _ = find_source(f"file:{path}", plugins)
    return pull(origin, BASE, library, plugins, progress=lambda progress: None)


def files_below(folder):
    return {path.relative_to(folder): path.stat().st_ino for path in folder.rglob("*") if path.is_file()}


def test_a_model_with_other_texts_shares_the_files_and_the_build_of_its_base(make, base, library):
    made, statuses = make(base=BASE, system="Be brief.")
    assert made.digest != base.digest
    assert files_below(made.cache) == files_below(base.cache) != {}
    assert "converting" not in statuses
    assert library.describe(NEW).parent == "base:latest"
    library.remove(BASE)
    assert files_below(made.cache)
    assert library.get(NEW) == made


def test_a_model_keeps_what_it_has_from_its_base(make, base, library, plugins):
    make(
        base=BASE,
        system="One.",
        parameters={"seed": 1, "top_k": 2},
        licenses=("MIT",),
        messages=(Message.of("user", "x"),),
    )
    create(
        NewModel(NEW, base=NEW, parameters={"top_k": 3}, licenses=("MIT", "BSD")),
        library,
        plugins,
        progress=lambda _: None,
    )
    made = library.get(NEW)
    assert (made.system, made.parameters) == ("One.", {"seed": 1, "top_k": 3})
    assert made.licenses == ("MIT", "BSD")
    assert made.messages == (Message.of("user", "x"),)


def test_the_same_texts_in_another_spelling_give_the_same_layers(make, base, library):
    texts = {
        "params": b'{"temperature":1,"stop":["x"]}',
        "messages": b'[{"role":"user","content":"hi"}]',
        "system": b"Be brief.",
        "license": b"MIT",
    }
    model = library.describe(BASE)
    layers = [
        replace(library.add_bytes(text), media_type=MEDIA_TYPE + kind, name="LICENSE" if kind == "license" else "")
        for kind, text in texts.items()
    ]
    library.commit(BASE, model.written, [*model.manifest.layers, *layers])
    _, statuses = make(
        base=BASE,
        system="Be brief.",
        parameters={"stop": ["x"], "temperature": 1.0},
        messages=(Message.of("user", "hi"),),
        licenses=("MIT",),
    )
    assert not any(status.startswith("creating new layer") for status in statuses)
    before, after = (
        [(layer.media_type, layer.digest) for layer in library.describe(name).manifest.layers] for name in (BASE, NEW)
    )
    assert before == after


def test_thinking_in_a_message_is_kept(make, base):
    turn = Message("assistant", (ThinkingPart("hm"), TextPart("yes")))
    made, _ = make(base=BASE, messages=(turn,))
    assert made.messages == (turn,)


def test_a_precision_of_its_own_needs_a_build_of_its_own(make, base):
    made, statuses = make(base=BASE, precision="int8")
    assert made.config.conversion == {"precision": "int8"}
    assert "converting" in statuses
    assert not set(files_below(made.cache).values()) & set(files_below(base.cache).values())


def test_an_adapter_is_added(make, base, library, tmp_path):
    path = tmp_path / "adapter.safetensors"
    factors = np.ones((2, 64), np.float32), np.ones((64, 2), np.float32)
    write_adapter(path, {"blk.0.attn_q.weight": factors}, scale=0.5)
    digest = library.add_file(path).digest
    made, statuses = make(base=BASE, adapters={"mine": digest})
    assert (made.path / "adapter.safetensors").read_bytes() == path.read_bytes()
    assert "converting" in statuses


def test_an_adapter_for_another_model_is_refused(make, base, library, tmp_path):
    path = tmp_path / "adapter.safetensors"
    write_adapter(path, {"blk.7.attn_q.weight": (np.ones((2, 64), np.float32),) * 2}, scale=0.5)
    with pytest.raises(UsageError) as caught:
        make(base=BASE, adapters={"mine": library.add_file(path).digest})
    assert str(tmp_path) not in caught.value.message


def test_a_model_of_files_needs_no_copy_of_them(make, library, tmp_path):
    digest = library.add_file(write_tiny_gguf(tmp_path / "x.gguf")).digest
    made, statuses = make(files={"deep/name": digest})
    assert statuses[0] == f"using existing layer {digest}"
    assert [path.name for path in made.path.iterdir()] == ["model.gguf"]
    assert [path for path in (tmp_path / "models" / "incoming").iterdir() if path.suffix != ".lock"] == []


def test_a_folder_of_files_keeps_its_names(make, library, tmp_path):
    write_tiny_bert(tmp_path / "bert")
    paths = {path.relative_to(tmp_path / "bert").as_posix(): path for path in (tmp_path / "bert").rglob("*")}
    made, _ = make(files={name: library.add_file(path).digest for name, path in paths.items() if path.is_file()})
    assert made.config.capabilities == ("embedding",)
    assert (made.path / "model.safetensors").is_file()


def test_a_template_of_go_is_told_and_kept(make, base, library):
    _, statuses = make(base=BASE, template="{{ .Prompt }}")
    assert TEMPLATE_KEPT in statuses
    assert library.texts(library.describe(NEW), "template") == ["{{ .Prompt }}"]


def test_a_create_that_is_cancelled_makes_no_model(library, plugins, base):
    class Cancelled(Exception):
        pass

    def cancel(step):
        if step.status == "writing manifest":
            raise Cancelled

    with pytest.raises(Cancelled):
        create(NewModel(NEW, base=BASE, system="x"), library, plugins, progress=cancel)
    assert library.names() == [BASE]


def test_a_base_that_is_not_here_is_not_found(make):
    with pytest.raises(ModelNotFound):
        make(base=BASE)


def test_the_config_of_the_base_is_written_as_it_was(make, base, library, tmp_path):
    make(base=BASE, system="x")
    digest = library.describe(NEW).manifest.config.digest
    assert json.loads(library.blob_path(digest).read_bytes())["capabilities"] == ["completion"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"files": {"../x": "sha256:" + "0" * 64}}, "file path must be relative"),
        ({"files": {"x": "sha256:" + "0" * 64}}, 'blob "sha256:000'),
        ({"files": {"x": "0" * 64}}, "invalid digest format"),
        ({"base": BASE, "template": "{% for %}"}, "the template cannot be used: "),
        ({"base": BASE, "system": "x" * (4 << 20) + "y"}, "the layer `system` of `new:latest` would have more than"),
        ({"base": BASE, "precision": "int3"}, "there is no precision `int3`"),
    ],
)
def test_what_cannot_be_made_is_refused(make, base, library, fields, message):
    with pytest.raises(UsageError) as caught:
        make(**fields)
    assert caught.value.message.startswith(message)
    assert library.names() == [BASE]


@pytest.mark.parametrize("fields", [{"precision": "int8"}, {"adapters": True}])
def test_a_model_that_is_not_converted_to_a_precision_takes_neither_a_precision_nor_an_adapter(
    make, library, plugins, tmp_path, fields
):
    write_tiny_bert(tmp_path / "bert")
    pulled(library, plugins, tmp_path / "bert")
    if "adapters" in fields:
        fields = {"adapters": {"a": library.add_bytes(b"x").digest}}
    with pytest.raises(UsageError, match="only GGUF models that write answers"):
        make(base=BASE, **fields)


def test_bytes_that_come_in_become_a_blob_only_when_they_are_kept(library, tmp_path):
    blob = library.receive()
    blob.write(b"one")
    blob.close()
    assert not library.has(blob.digest)
    blob = library.receive()
    blob.write(b"one")
    blob.write(b"two")
    blob.keep()
    blob.close()
    assert library.blob_path(blob.digest).read_bytes() == b"onetwo"
    assert [name for name in os.listdir(tmp_path / "models" / "incoming") if name.startswith("blob-")] == []


def test_a_disk_that_fills_up_is_told_and_leaves_nothing(library, tmp_path):
    blob = library.receive()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limit[1]))
    try:
        with pytest.raises(DiskFull, match="no space left to write"):
            blob.write(bytes(1 << 17))
            blob.keep()
        blob.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [name for name in os.listdir(tmp_path / "models" / "incoming") if name.startswith("blob-")] == []
    assert not (tmp_path / "models" / "blobs").exists() or not os.listdir(tmp_path / "models" / "blobs")
