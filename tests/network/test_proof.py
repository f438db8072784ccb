"""The proof that a request comes from the user who runs a server."""

import stat
import threading

import pytest

from olpipe.network.proof import is_proved, prove


def test_a_proof_holds_for_its_text_and_its_home(tmp_path):
    proof = prove(tmp_path / "home", "file:/a.gguf")
    assert is_proved(tmp_path / "home", "file:/a.gguf", proof)
    assert not is_proved(tmp_path / "home", "file:/b.gguf", proof)
    assert not is_proved(tmp_path / "other", "file:/a.gguf", proof)


@pytest.mark.parametrize("text", ["file:/ä b.gguf", "file:/\udcff.gguf", ""])
def test_any_path_can_be_proved(tmp_path, text):
    assert is_proved(tmp_path, text, prove(tmp_path, text))


@pytest.mark.parametrize("proof", ["", "ü", "0" * 64])
def test_what_is_no_proof_proves_nothing(tmp_path, proof):
    assert not is_proved(tmp_path, "file:/a.gguf", proof)


def test_only_the_user_can_read_the_secret(tmp_path):
    prove(tmp_path, "x")
    (secret,) = tmp_path.iterdir()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_secret_that_is_none_proves_nothing(tmp_path):
    prove(tmp_path, "x")
    (secret,) = tmp_path.iterdir()
    secret.write_bytes(b"")
    assert prove(tmp_path, "x") == ""
    assert not is_proved(tmp_path, "x", "")


def test_a_home_that_cannot_be_made_proves_nothing(tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert prove(tmp_path / "file" / "home", "x") == ""
    assert not is_proved(tmp_path / "file" / "home", "x", "")


def test_who_begins_at_the_same_time_gets_one_secret(tmp_path):
    proofs = []
    threads = [threading.Thread(target=lambda: proofs.append(prove(tmp_path, "x"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(proofs) == 8
    assert len(set(proofs)) == 1
    assert len(list(tmp_path.iterdir())) == 1
