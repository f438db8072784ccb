"""`olpipe doctor` and `olpipe doctor MODEL`: a report on the machine, and what a model needs."""

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
    titles = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert titles == [
        *("Machine", "Runtimes", "Store", "Models", "Images and languages", "Server", "Settings", "Plugins"),
        "What to do next",
    ]
    rows = {line[8:].split("  ")[0]: (line[:8].strip(), line) for line in out.splitlines()}
    assert rows["onnxruntime"][0] == "ok"
    assert rows["onnxruntime"][1].endswith(f"  {onnxruntime.__version__}")
    assert rows["folder"][0] == ""
    assert f"  {isolated_home / 'models'}, 1 model, " in rows["folder"][1]
    assert rows["tiny:latest"][0] == "ok"


def test_the_columns_of_all_sections_begin_at_the_same_places(olpipe, tiny):
    lines = [line for line in olpipe("doctor")[1].splitlines() if line.startswith("  ok  ")]
    assert len({len(line) - len(line[8:].partition("  ")[2].lstrip()) for line in lines}) == 1


def test_the_machine_is_described_for_programs(olpipe, tiny, isolated_home):
    code, out, _ = olpipe("doctor", "--json")
    found = json.loads(out)
    assert (code, found["well"], found["next"]) == (0, True, [])
    assert found["store"]["models"] == 1
    assert found["runtimes"]["providers"] == onnxruntime.get_available_providers()
    assert found["machine"]["available_memory"] > 0
    assert found["models"]["models"][0]["model"] == "tiny:latest"


def test_a_machine_without_models_can_run_them_and_is_told_how_to_get_one(olpipe, isolated_home):
    code, out, _ = olpipe("doctor")
    assert code == 0
    assert out.partition("What to do next\n")[2].splitlines()[0].startswith("  olpipe pull ")
    assert not isolated_home.exists()


def test_a_machine_that_lacks_nothing_has_nothing_to_do(olpipe, tiny):
    assert olpipe("doctor")[1].splitlines()[-2:] == ["What to do next", "  nothing: everything is there"]


def test_a_machine_without_a_runtime_is_not_well(olpipe, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, out, _ = olpipe("doctor")
    assert code == 1
    assert "\n  fail  onnxruntime " in out


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_marks_have_colours_only_where_they_are_wanted(olpipe, tiny, monkeypatch, variables, coloured):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in olpipe("doctor")[1]) is coloured


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
