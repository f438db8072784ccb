"""`olpipe store`: what its commands write, ask and end with."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from olpipe.cli.main import main
from olpipe.model import ModelName
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.record import Evidence
from olpipe.store.leftovers import TEMPORARY_KEPT_S
from olpipe.store.library import Library
from olpipe.testing.models import write_tiny_gguf
from tests.store.ollama_like import OllamaLike

TINY = ModelName.parse("tiny")


@pytest.fixture
def olpipe(capsys):
    """Run a command in this process; return its exit code, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


@pytest.fixture
def library(isolated_home):
    return Library(isolated_home / "models", cache=isolated_home / "cache")


@pytest.fixture
def weights(tmp_path):
    return write_tiny_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def tiny(olpipe, weights, library):
    """Pull a model, and return the file of its weights in the store."""
    assert olpipe("pull", f"file:{weights}")[0] == 0
    return library.blob_path(library.describe(TINY).manifest.layers[0].digest)


def damage(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def make_old(*paths):
    then = time.time() - TEMPORARY_KEPT_S - 9
    for path in paths:
        os.utime(path, (then, then))


def test_a_sound_store_is_one_line(olpipe, tiny):
    code, out, said = olpipe("store", "verify")
    assert (code, said) == (0, "reading every file of the store\n")
    assert out.startswith("1 model sound (2 files read, ")


def test_damage_is_named_with_what_to_do_and_then_mended(olpipe, tiny):
    damage(tiny)
    code, out, _ = olpipe("store", "verify", "tiny")
    assert code == 1
    assert out.splitlines()[:3] == [
        "tiny:latest: damaged",
        f"    `model.gguf` has wrong bytes (blob sha256:{tiny.name[7:19]})",
        "    run `olpipe store repair tiny:latest`",
    ]
    assert out.splitlines()[3].startswith("1 of 1 model damaged (")
    code, out, _ = olpipe("store", "repair")
    assert (code, out.splitlines()[0]) == (0, "tiny:latest: mended")
    assert olpipe("store", "verify")[0] == 0
    assert olpipe("store", "repair")[1] == "nothing is damaged\n"


def test_what_is_lost_is_named_and_the_exit_code_is_1(olpipe, tiny, weights):
    damage(tiny)
    weights.unlink()
    code, out, _ = olpipe("store", "repair")
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == "tiny:latest: lost"
    assert lines[1].startswith("    lost: `model.gguf` has wrong bytes")
    assert lines[-1] == "    run `olpipe rm tiny:latest`, or pull it again from where it came"


def test_everything_can_be_had_as_json(olpipe, tiny):
    damage(tiny)
    code, out, _ = olpipe("store", "verify", "--json")
    found = json.loads(out)
    assert (code, found["sound"]) == (1, False)
    assert found["models"][0]["faults"][0] | {"what": ""} == {
        "part": "blob",
        "what": "",
        "digest": f"sha256:{tiny.name[7:]}",
    }
    done = json.loads(olpipe("store", "repair", "--json")[1])
    assert done["sound"] and done["models"][0]["lost"] == []
    used = json.loads(olpipe("store", "du", "--json")[1])
    assert used["models"][0]["model"] == "tiny:latest" and used["total"] > used["models"][0]["own"] > 0
    planned = json.loads(olpipe("store", "prune", "--dry-run", "--json")[1])
    assert planned["removed"] is False
    assert [one["kind"] for one in planned["leftovers"]] == ["damaged"] and planned["bytes"] > 0


def test_a_model_that_is_not_here_is_an_error(olpipe, tiny):
    code, out, said = olpipe("store", "verify", "tinny")
    assert (code, out) == (1, "")
    assert said.splitlines()[-2:] == [
        "error: model `tinny:latest` is not on this machine",
        "hint: did you mean `tiny:latest`?",
    ]


def test_nothing_is_removed_without_a_question(olpipe, library, isolated_home):
    old = library.add_bytes(b"old")
    make_old(library.blob_path(old.digest))
    code, _, said = olpipe("store", "prune")
    assert code == 2
    assert said.splitlines()[-2:] == [
        "error: nobody can be asked whether to remove something",
        "hint: allow it with `--yes`, or see what would be removed with `--dry-run`",
    ]
    code, out, _ = olpipe("store", "prune", "--dry-run")
    assert code == 0
    assert out.splitlines()[1].split("    ")[0] == "blobs that no model needs"
    assert library.blob_path(old.digest).exists()
    code, out, _ = olpipe("store", "prune", "--yes")
    assert code == 0 and re.fullmatch(r"removed: \S+ K?B are free now\n", out)
    assert not library.blob_path(old.digest).exists()
    assert olpipe("store", "prune", "--yes")[2] == "nothing to remove\n"


@pytest.mark.parametrize(("answer", "is_removed"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_the_question_is_asked(library, isolated_home, answer, is_removed):
    pexpect = pytest.importorskip("pexpect")
    old = library.add_bytes(b"old")
    make_old(library.blob_path(old.digest))
    shown = pexpect.spawn(sys.executable, ["-m", "olpipe", "store", "prune"], encoding="utf-8", timeout=60)
    shown.expect(r"Remove all this\? \[y/N\]: ")
    shown.sendline(answer)
    shown.expect(pexpect.EOF)
    shown.close()
    assert shown.exitstatus == (0 if is_removed else 130)
    assert library.blob_path(old.digest).exists() is not is_removed


def test_evidence_of_perceivers_that_are_gone_is_removed(olpipe, isolated_home):
    path = isolated_home / "cache" / "evidence.sqlite"
    cache = EvidenceCache(path)
    for version in ("0", "1"):
        cache.get("image", "gone", version, lambda: Evidence())
    cache.close()
    planned = json.loads(olpipe("store", "prune", "--dry-run", "--json")[1])
    assert planned["evidence"]["entries"] == 2
    assert olpipe("store", "prune", "--yes")[0] == 0
    assert json.loads(olpipe("store", "prune", "--dry-run", "--json")[1])["evidence"]["entries"] == 0
    looked = []
    EvidenceCache(path).get("image", "gone", "1", lambda: looked.append(1) or Evidence())
    assert looked == [1]


def test_the_table_of_the_disk_has_every_model_and_everything_else(olpipe, tiny, library):
    assert olpipe("cp", "tiny", "twin")[0] == 0
    library.add_bytes(b"x" * 9999)
    out = olpipe("store", "du")[1].splitlines()
    assert out[0].split() == ["NAME", "OWN", "SHARED", "CONVERTED", "TOTAL"]
    assert {line.split()[0] for line in out[1:3]} == {"tiny:latest", "twin:latest"}
    assert out[1].split()[1:3] == ["0", "B"]
    assert any(line.startswith("blobs that no model needs, or that are damaged ") for line in out)
    assert out[-1].startswith("all together ")


def test_models_of_ollama_are_listed_and_taken_over(olpipe, tmp_path, weights, library):
    ollama = OllamaLike(tmp_path / "ollama")
    ollama.put("registry.ollama.ai/library/tiny/1b", {"model": weights.read_bytes()})
    ollama.put("registry.ollama.ai/library/far/cloud", {}, remote_host="https://example.com")
    code, out, _ = olpipe("store", "import", "--list", ollama.folder)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["NAME", "far:cloud", "tiny:1b"]
    assert "skipped: it runs on `https://example.com`, and not on this machine" in out
    assert "can be imported" in out and library.names() == []
    code, out, _ = olpipe("store", "import", ollama.folder)
    assert code == 0 and out.splitlines()[-1].endswith("imported")
    assert library.names() == [ModelName.parse("tiny:1b")]
    code, out, _ = olpipe("run", "tiny:1b", "the cat", "--max-tokens", "2")
    assert code == 0 and out.strip()
    found = json.loads(olpipe("store", "import", ollama.folder, "--json")[1])
    assert [model["state"] for model in found["models"]] == ["skipped", "is here already"]


def test_without_a_folder_the_usual_ones_are_looked_at(olpipe, tmp_path, weights, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    if not os.path.exists("/usr/share/ollama"):
        code, _, said = olpipe("store", "import")
        assert (code, said.splitlines()[-1]) == (2, "hint: name the folder: `olpipe store import FOLDER`")
    ollama = OllamaLike(tmp_path / ".ollama" / "models")
    ollama.put("registry.ollama.ai/library/tiny/1b", {"model": weights.read_bytes()})
    assert "tiny:1b" in olpipe("store", "import", "--dry-run")[1]


def test_a_damaged_file_of_ollama_is_named_and_the_exit_code_is_1(olpipe, tmp_path, weights, library):
    ollama = OllamaLike(tmp_path / "ollama")
    data = weights.read_bytes()
    ollama.put("registry.ollama.ai/library/tiny/1b", {"model": data})
    (blob,) = (path for path in (ollama.folder / "blobs").iterdir() if path.stat().st_size == len(data))
    damage(blob)
    code, out, _ = olpipe("store", "import", ollama.folder)
    assert code == 1 and "skipped: `" in out and "has the digest sha256:" in out
    assert library.names() == []


def test_the_own_folder_is_not_imported(olpipe, isolated_home, tiny):
    code, _, said = olpipe("store", "import", isolated_home / "models")
    assert code == 2
    assert said.splitlines()[-2].endswith("is olpipe's own folder of models")


def test_a_download_that_was_interrupted_is_given_up_by_rm(olpipe, library):
    note = library.unfinished.begin(TINY, "oci:registry.ollama.ai/library/tiny:latest")
    folder = library.partial("blob:x")
    (folder / "data").write_bytes(b"x" * 9999)
    note.add_partial(folder.name)
    out = olpipe("store", "du")[1]
    assert "unfinished download of tiny:latest" in out
    assert "olpipe pull oci:registry.ollama.ai/library/tiny:latest --name tiny:latest" in out
    assert olpipe("rm", "tiny")[0] == 0
    assert not folder.exists() and olpipe("rm", "tiny")[0] == 1


def test_unfinished_downloads_are_given_up_where_that_is_asked_for(olpipe, library):
    folder = library.partial("of an earlier version")
    (folder / "data").write_bytes(b"x" * 9999)
    assert olpipe("store", "prune", "--yes")[0] == 0 and folder.exists()
    planned = json.loads(olpipe("store", "prune", "--partials", "--dry-run", "--json")[1])
    assert [one["model"] for one in planned["downloads"]] == [None]
    assert olpipe("store", "prune", "--partials", "--yes")[0] == 0
    assert not folder.exists()


@pytest.mark.usefixtures("unmeasured")
def test_help_of_a_command_within_is_shown():
    done = subprocess.run([sys.executable, "-m", "olpipe", "store", "verify", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "Read everything that MODELS consist of" in done.stdout
