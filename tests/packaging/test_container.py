"""The container image: its file, the part of the checkout that it is built from, and its health check."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from fnmatch import fnmatch
from pathlib import Path

import pytest

import olpipe
from tests.packaging.conftest import ROOT, contents, ran
from tests.server.started import Started, free_port

DOCKERFILE = ROOT / "packaging/Dockerfile"
CERTIFICATE = ROOT / "tests/server/certificate.pem"


def instructions():
    """Return the Dockerfile's instructions as pairs of word and rest, long lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(word, " ".join(rest.split())) for word, rest in lines]


def all_of(word):
    return [rest for found, rest in instructions() if found == word]


def sent(root):
    """Return the files of the checkout that the build gets to see, as `.dockerignore` says: its last rule wins."""
    text = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8")
    rules = [line for line in text.splitlines() if line and not line.startswith("#")]

    def kept(path):
        keep = True
        parents = [path, *path.parents][:-1]
        for rule in rules:
            pattern = rule.removeprefix("!")
            names = [one.as_posix() for one in parents]
            if any(fnmatch(name, pattern) or fnmatch(f"/{name}", pattern.replace("**", "*")) for name in names):
                keep = rule.startswith("!")
        return keep

    top = {rule.removeprefix("!").split("/")[0] for rule in rules if rule.startswith("!")}
    files = [path.relative_to(root) for name in top for path in [root / name, *(root / name).rglob("*")]]
    return [path for path in files if (root / path).is_file() and kept(path)]


@pytest.mark.skipif(sys.platform == "win32", reason="the linter has no wheel for Windows")
def test_the_linter_of_dockerfiles_finds_nothing():
    linter = Path(sysconfig.get_path("scripts")) / "hadolint"
    ended = subprocess.run([linter, "--no-color", DOCKERFILE], capture_output=True, text=True)
    assert (ended.stdout, ended.returncode) == ("", 0)


def test_each_base_has_a_version():
    bases = [rest.split(" AS ") for rest in all_of("FROM")]
    assert [name for _, name in bases] == ["cpu", "cuda", "olpipe"]
    assert all(re.search(r":\d[\w.-]+$", base) for base, _ in bases[:-1])
    assert bases[-1][0] == "${RUNTIME}"


def test_the_container_serves_where_others_can_reach_it_and_keeps_its_models_in_a_volume():
    variables = dict(word.split("=", 1) for rest in all_of("ENV") for word in rest.split())
    assert (variables["OLLAMA_HOST"], variables["OLPIPE_HOME"]) == ("0.0.0.0", "/root/.olpipe")
    assert all_of("VOLUME") == [variables["OLPIPE_HOME"]]
    assert (all_of("ENTRYPOINT"), all_of("CMD")) == (['["olpipe"]'], ['["serve"]'])
    assert all_of("EXPOSE") == ["11434"]
    page = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    assert f"docker run -v $PWD/data:{variables['OLPIPE_HOME']} -p 11434:11434 olpipe\n" in page


def test_everything_that_the_dockerfile_copies_is_sent_to_the_build():
    files = {path.as_posix() for path in sent(ROOT)}
    copied = [rest.split()[0] for rest in all_of("COPY")]
    assert copied == ["packaging/healthy.py"]
    assert files >= set(copied)
    assert not [name for name in files if "/tests/" in name or "/training/" in name or "__pycache__" in name]


@pytest.mark.slow
def test_what_is_sent_to_the_build_is_enough_to_install(checkout, wheel, model_wheel, tmp_path):
    for path in sent(checkout):
        (tmp_path / "context" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkout / path, tmp_path / "context" / path)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path / "wheels"]
    ran(*pip, tmp_path / "context", tmp_path / "context/plugins/olpipe-photo-mini")
    for expected in (wheel, model_wheel):
        assert contents(tmp_path / "wheels" / expected.name) == contents(expected)


def healthy(**environment):
    """Run the health check in a process of its own; return its exit code and what it wrote."""
    command = [sys.executable, ROOT / "packaging/healthy.py"]
    ended = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("secret", ["", "a-secret"])
def test_the_health_check_finds_a_server_that_listens_everywhere(tmp_path, secret):
    keys = {"OLPIPE_API_KEY": secret} if secret else {}
    with Started(tmp_path / "home", tmp_path / "log", host="0.0.0.0", **keys) as server:
        code, said, _ = healthy(OLLAMA_HOST=f"0.0.0.0:{server.port}", **keys)
    assert (code, said.strip()) == (0, olpipe.__version__)


def test_the_health_check_speaks_tls_where_the_server_does(tmp_path):
    certificate = {"OLPIPE_TLS_CERT": str(CERTIFICATE)}
    with Started(tmp_path / "home", tmp_path / "log", host="0.0.0.0", **certificate) as server:
        code, said, _ = healthy(OLLAMA_HOST=f"0.0.0.0:{server.port}", **certificate)
    assert (code, said.strip()) == (0, olpipe.__version__)


def test_the_health_check_fails_where_no_server_is():
    code, said, error = healthy(OLLAMA_HOST=f"0.0.0.0:{free_port()}")
    assert (code, said) == (1, "")
    assert re.fullmatch(r"error: .+\n", error)
