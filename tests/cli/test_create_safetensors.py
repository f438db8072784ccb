"""`olpipe create` and `olpipe pull` of decoders in folders of Hugging Face, from the folder to an answer."""

from __future__ import annotations

import json

import numpy as np
import pytest

from olpipe.cli.main import main
from olpipe.convert.adapter import write_adapter
from olpipe.model import ModelName
from olpipe.store.library import Library
from olpipe.testing.decoder_folder import write_decoder_folder, write_json, write_safetensors
from olpipe.testing.gguf import write_gguf
from olpipe.testing.models import CHAT_TEMPLATE, tiny_metadata, tiny_tensors, vocabulary

TOKENS, MERGES = vocabulary()
METADATA = tiny_metadata(TOKENS, MERGES, 256)
TENSORS = tiny_tensors(len(TOKENS), 3)
GREEDY = ("PARAMETER temperature 0", "PARAMETER num_predict 12")


@pytest.fixture
def run(capsys):
    """Run a command line and return exit code, data and talk."""

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Return the folder in which commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def library(isolated_home):
    return Library(isolated_home / "models", cache=isolated_home / "cache")


def modelfile(here, source, *more):
    (here / "Modelfile").write_text("\n".join((f"FROM {source}", *GREEDY, *more)))


def made(run, here, source):
    """Make a model, and return what it answers."""
    modelfile(here, source)
    code, _, err = run("create", "made")
    assert code == 0, err
    assert err.endswith("writing manifest\nsuccess\n")
    code, out, err = run("run", "made", "the dog is in the street")
    assert code == 0, err
    assert out.strip()
    return out


def test_a_folder_answers_what_a_gguf_file_with_the_same_weights_answers(run, here):
    write_gguf(here / "tiny.gguf", METADATA, TENSORS)
    expected = made(run, here, "./tiny.gguf")
    write_decoder_folder(here / "one", METADATA, TENSORS)
    write_decoder_folder(here / "several", METADATA, TENSORS, shards=3)
    assert made(run, here, "./one") == expected
    assert made(run, here, "./several") == expected


def test_the_model_is_shown_with_its_architecture_and_its_parameters(run, here):
    write_decoder_folder(here / "model", METADATA, TENSORS, dtype="BF16", shards=2)
    modelfile(here, "./model", "SYSTEM Be brief.")
    assert run("create", "shown")[0] == 0
    shown = json.loads(run("show", "shown", "--json")[1])
    details = {"format": "safetensors", "family": "llama", "parameter_size": "116K", "quantization_level": "BF16"}
    assert {name: shown["details"][name] for name in details} == details
    assert (shown["template"], shown["system"], shown["capabilities"]) == (CHAT_TEMPLATE, "Be brief.", ["completion"])
    assert shown["model_info"]["llama.context_length"] == 256
    assert shown["model_info"]["llama.block_count"] == 2
    assert "  architecture        llama  " in run("show", "shown")[1].replace("\n", "  \n")


def test_only_the_files_of_the_model_are_kept(run, here, library):
    folder = write_decoder_folder(here / "model", METADATA, TENSORS, shards=2)
    write_safetensors(folder / "consolidated.safetensors", TENSORS)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")
    (folder / "modeling.py").write_text("raise SystemExit")
    (folder / "LICENSE").write_text("Free for all.")
    assert run("pull", "file:./model", "--name", "kept")[0] == 0
    assert {layer.name for layer in library.describe(ModelName.parse("kept")).manifest.layers} == {
        *("LICENSE", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
        *("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"),
    }
    assert run("show", "kept", "--license")[1] == "Free for all.\n"
    assert run("store", "verify")[0] == 0


def test_both_ways_make_the_same_model(run, here, library):
    write_decoder_folder(here / "model", METADATA, TENSORS)
    (here / "Modelfile").write_text("FROM ./model\n")
    assert run("create", "created")[0] == 0
    assert run("pull", "file:./model", "--name", "pulled")[0] == 0
    created, pulled = (library.get(ModelName.parse(name)).digest for name in ("created", "pulled"))
    assert created == pulled


def test_a_model_made_from_a_folder_takes_an_adapter_and_another_precision(run, here, library):
    write_gguf(here / "tiny.gguf", METADATA, TENSORS)
    write_decoder_folder(here / "model", METADATA, TENSORS)
    random = np.random.default_rng(4)
    factors = (random.normal(size=(2, 64)).astype(np.float32), random.normal(size=(64, 2)).astype(np.float32))
    write_adapter(here / "adapter.safetensors", {"blk.0.attn_q.weight": factors}, scale=1.0)
    answers = []
    for source, more in (("./tiny.gguf", ()), ("./model", ()), ("./model", ("ADAPTER ./adapter.safetensors",))):
        modelfile(here, source, *more)
        code, _, err = run("create", "base")
        assert code == 0, err
        (here / "Modelfile").write_text("FROM base\n")
        assert run("create", "finer", "--quantize", "q8_0")[0] == 0
        assert library.describe(ModelName.parse("finer")).config.conversion == {"precision": "int8"}
        answers.append(run("run", "finer", "the dog")[1])
    assert answers[0] == answers[1] != answers[2]


def refused(run, here):
    """Make a model that cannot be made, and return the error and its hint."""
    modelfile(here, "./model")
    code, out, err = run("create", "never")
    assert (code, out) == (1, "")
    assert json.loads(run("list", "--json")[1]) == []
    return [line for line in err.splitlines() if line.startswith(("error: ", "hint: "))]


def test_an_architecture_that_is_not_converted_is_refused_by_name(run, here, isolated_home):
    folder = write_decoder_folder(here / "model", METADATA, TENSORS)
    write_json(folder / "config.json", {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral"})
    error, hint = refused(run, here)
    assert error.endswith("has the architecture `MixtralForCausalLM`, which cannot be converted")
    assert hint.startswith("hint: these can be converted from a folder: LlamaForCausalLM, ")
    assert list(isolated_home.rglob("*.safetensors")) == []


def test_a_model_that_sees_is_refused_with_what_to_use(run, here):
    folder = write_decoder_folder(here / "model", METADATA, TENSORS)
    values = {"architectures": ["Qwen2_5_VLForConditionalGeneration"], "vision_config": {"depth": 2}}
    write_json(folder / "config.json", values)
    error, hint = refused(run, here)
    assert "`Qwen2_5_VLForConditionalGeneration`, of a model that reads images" in error
    assert hint == "hint: use its GGUF file and that of its projector, each behind a `FROM` of its own"


def test_pickles_are_refused(run, here):
    folder = write_decoder_folder(here / "model", METADATA, TENSORS)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    error, hint = refused(run, here)
    assert error.endswith("`pytorch_model.bin`, a pickle. It is never loaded, because it may run code")
    assert hint == "hint: use the same model in safetensors files, or a GGUF file"


def test_a_missing_shard_is_an_error_of_one_line(run, here):
    folder = write_decoder_folder(here / "model", METADATA, TENSORS, shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    error, hint = refused(run, here)
    assert error.endswith("lacks 1 of 3 files with weights: `model-00002-of-00003.safetensors`")
    assert hint == "hint: fetch all files of the model"
