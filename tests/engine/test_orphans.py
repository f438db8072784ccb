"""What becomes of a runner's process when its parent is killed, or when the terminal says Ctrl-C."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from olpipe.testing.echo import EchoOptions, echo_bundle

PARENT = """
import signal
import sys
from pathlib import Path
from olpipe import logs
from olpipe.engine.process import RunnerProcess
from olpipe.engine.protocol import Load
from olpipe.generation import GenerateRequest
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelBundle, ModelName
from olpipe.settings import Settings

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without
folder = Path(sys.argv[1])
bundle = ModelBundle(ModelName.parse("echo"), "sha256:0", folder / "model", folder / "cache")
logs.configure(debug=True)
process = RunnerProcess(Load("echo", bundle, LoadOptions(), Settings(home=folder)))
process.wait_loaded()

def ask(text):
    return process.submit(GenerateRequest("echo", (Message.of("user", text),)))

print(process.pid, flush=True)
try:
    for chunk in ask(sys.argv[2]):
        print(chunk.text, flush=True)
except KeyboardInterrupt:
    print("interrupted, then", ask("still here").completion().text, flush=True)
sys.stdin.read()
process.close()
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd_open, which Linux has")


@pytest.fixture
def parent(tmp_path, echo_plugin) -> Iterator[Callable[[str], tuple[subprocess.Popen, int]]]:
    options = EchoOptions(endless_on="endless", hang_on="hang")
    echo_bundle(tmp_path, options=options)
    started = []

    def start(prompt: str) -> tuple[subprocess.Popen, int]:
        command = [sys.executable, "-c", PARENT, str(tmp_path), prompt]
        pipe = subprocess.PIPE
        parent = subprocess.Popen(command, stdout=pipe, stderr=pipe, stdin=pipe, text=True, start_new_session=True)
        started.append(parent)
        return parent, os.pidfd_open(int(parent.stdout.readline()))

    yield start
    for parent in started:
        parent.kill()
        parent.communicate()


def ends(pidfd: int) -> bool:
    """Wait for a process that is not ours to wait for; a minute is the guard against hanging."""
    readable, _, _ = select.select([pidfd], [], [], 60)
    os.close(pidfd)
    return readable == [pidfd]


def test_the_process_ends_when_its_parent_is_killed_while_it_is_idle(parent):
    killed, child = parent("one two")
    assert [killed.stdout.readline() for _ in range(3)] == ["one\n", " two\n", "\n"]
    killed.send_signal(signal.SIGKILL)
    assert ends(child)


def test_the_process_ends_when_its_parent_is_killed_in_the_middle_of_a_stream(parent):
    killed, child = parent("endless")
    assert killed.stdout.readline() == "endless\n"
    killed.send_signal(signal.SIGKILL)
    assert ends(child)


def test_the_process_ends_when_its_parent_is_killed_in_the_middle_of_a_step_that_never_ends(parent):
    killed, child = parent("hang now")
    assert any("echo hangs as told" in line for line in killed.stderr)
    killed.send_signal(signal.SIGKILL)
    assert ends(child)


def test_the_terminals_ctrl_c_interrupts_the_parent_only(parent):
    interrupted, child = parent("endless")
    assert interrupted.stdout.readline() == "endless\n"
    os.killpg(interrupted.pid, signal.SIGINT)
    said, _ = interrupted.communicate(timeout=60)
    assert said.endswith("interrupted, then still here\n")
    assert interrupted.returncode == 0
    assert ends(child)
