"""`olpipe doctor` and `olpipe doctor MODEL`: what this machine has, and what a model needs."""

import json
import sys
from dataclasses import replace

import onnxruntime
import pytest

from olpipe.model import ModelConfig, ModelName
from olpipe.testing.models import write_tiny_gguf


@pytest.fixture
def tiny(tmp_path, library):
    gguf = write_tiny_gguf(tmp_path / "weights.gguf")
    layer = replace(library.add_file(gguf), name="model.gguf")
    library.commit(ModelName.parse("tiny"), ModelConfig(model_format="gguf"), [layer])
    return layer


def test_the_machine_is_described(olpipe, tiny, isolated_home):
    code, out, said = olpipe("doctor")
    assert (code, said) == (0, "")
    rows = {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in out.splitlines()}
    assert rows["onnxruntime"] == onnxruntime.__version__
    assert "CPUExecutionProvider" in rows["computes on"]
    assert rows["store"].startswith(f"{isolated_home / 'models'}, ")
    assert rows["store"].endswith(", 1 model")


def test_the_machine_is_described_for_programs(olpipe, tiny, isolated_home):
    code, out, _ = olpipe("doctor", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["store"]["models"] == 1
    files = [path for path in (isolated_home / "models").rglob("*") if path.is_file()]
    assert found["store"]["size"] == sum(path.stat().st_size for path in files) > tiny.size
    assert found["providers"] == onnxruntime.get_available_providers()
    assert found["available_memory"] > 0


def test_an_empty_store_has_no_models_and_is_not_made(olpipe, isolated_home):
    found = json.loads(olpipe("doctor", "--json")[1])
    assert found["store"] == {"folder": str(isolated_home / "models"), "size": 0, "models": 0}
    assert not isolated_home.exists()


def test_a_model_that_can_run_is_well(olpipe, tiny):
    code, out, _ = olpipe("doctor", "tiny", "--json")
    found = json.loads(out)
    assert (code, found["well"]) == (0, True)
    assert found["parts"] == [{"name": "model.gguf", "size": tiny.size, "here": True}]
    assert (found["backend"], found["runtime"]) == ("onnx", {"module": "onnxruntime", "installed": True})
    assert found["verdict"] is None


def test_a_part_that_is_missing_is_named(olpipe, tiny, library):
    (library.folder / "blobs" / tiny.digest.replace(":", "-")).unlink()
    code, out, _ = olpipe("doctor", "tiny")
    assert code == 1
    assert out.splitlines()[0].startswith("model.gguf      ")
    assert out.splitlines()[0].endswith(", missing")
    assert "backend         none: parts of it are missing" in out


def test_a_runtime_that_is_not_installed_is_told(olpipe, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, out, _ = olpipe("doctor", "tiny")
    assert code == 1
    assert "runtime         onnxruntime, not installed" in out
    assert "computes on" in (machine := olpipe("doctor")[1])
    assert "nothing: ONNX Runtime is not installed" in machine


def test_memory_that_may_not_be_enough_is_told(olpipe, tiny, monkeypatch):
    monkeypatch.setattr("olpipe.machine.available_bytes", lambda: tiny.size - 1)
    code, out, _ = olpipe("doctor", "tiny")
    assert code == 0  # whether it is enough is known only when the model is loaded
    assert ": it may not be enough" in out


def test_a_model_that_no_backend_can_run_is_told(olpipe, library):
    library.commit(ModelName.parse("odd"), ModelConfig(), [replace(library.add_bytes(b"x"), name="odd.bin")])
    code, out, _ = olpipe("doctor", "odd")
    assert code == 1
    assert "none: no backend can run `odd:latest`" in out


def test_a_model_that_sees_says_whether_it_was_examined(eyes, olpipe):
    eyes()
    assert "eyes            not examined: `olpipe doctor eyes:latest --eyes` does that" in olpipe("doctor", "eyes")[1]
    olpipe("doctor", "eyes", "--eyes")
    assert "eyes            `eyes:latest` sees: colours" in olpipe("doctor", "eyes")[1]
    assert json.loads(olpipe("doctor", "eyes", "--json")[1])["verdict"].startswith("`eyes:latest` sees: ")


def test_a_model_that_is_not_here_is_told(olpipe):
    code, out, said = olpipe("doctor", "nothing")
    assert (code, out) == (1, "")
    assert said.splitlines()[0] == "error: model `nothing:latest` is not on this machine"
