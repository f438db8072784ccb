"""The executor on a real cluster of two machines, which are processes of this one."""

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import psutil
import pytest

from olpipe.cli.main import main
from olpipe.errors import BackendCrashed, MachineError, ModelNotFound
from olpipe.image import ImageFile, ImageRef
from olpipe.model import ModelConfig, ModelName
from olpipe.record import Failure, FailureKind, Record
from olpipe.store.library import Library
from olpipe.testing.contracts import ExecutorContract, PluginContract
from olpipe.testing.images import photo

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own warnings are not ours

NAMES = [f"{number:02}.jpg" for number in range(24)]


@pytest.fixture
def executor(machines):
    from olpipe_ray.executor import RayExecutor

    return RayExecutor()


@pytest.fixture(scope="module")
def jobs():
    """Return the module with the jobs. Workers do not have it, so it travels with each job."""
    from ray import cloudpickle

    specification = importlib.util.spec_from_file_location("ray_jobs", Path(__file__).with_name("ray_jobs.py"))
    module = importlib.util.module_from_spec(specification)
    sys.modules["ray_jobs"] = module
    specification.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    yield module
    cloudpickle.unregister_pickle_by_value(module)
    del sys.modules["ray_jobs"]


@pytest.fixture
def photos(tmp_path):
    """Return a function that writes photos and yields them as they are found."""

    def write(*names):
        for name in names:
            path, data = tmp_path / name, name.encode()
            path.write_bytes(data)
            yield ImageFile(ImageRef(path, name, len(data), 0), hashlib.sha256(data).hexdigest(), data)

    return write


class TestRay(ExecutorContract):
    @pytest.fixture
    def executor(self, executor, monkeypatch):
        monkeypatch.setenv("OLPIPE_RAY_ACTORS", "1")  # processes take long to start
        return executor


class TestPlugin(PluginContract):
    module = "olpipe_ray"

    @pytest.fixture(autouse=True)
    def found(self, installed):
        """Make the project a plugin while a test runs."""


def test_both_machines_work_and_a_setting_takes_fewer(executor, jobs, photos, tmp_path, monkeypatch):
    job = jobs.Traced(tmp_path, pause_s=0.05, meets=2)
    assert len(list(executor.map(job, photos(*NAMES)))) == len(NAMES)
    assert len({folder for _, folder in job.noted()}) == 2
    (tmp_path / "trace").unlink()
    monkeypatch.setenv("OLPIPE_RAY_ACTORS", "1")
    assert len(list(executor.map(job, photos(*NAMES[:4])))) == 4
    assert len({folder for _, folder in job.noted()}) == 1


def test_a_worker_that_is_killed_loses_nothing_and_nothing_is_done_again(executor, jobs, photos, tmp_path):
    job = jobs.Traced(tmp_path, kills="10", once=True)
    outcomes = list(executor.map(job, photos(*NAMES)))
    assert all(isinstance(outcome, Record) for outcome in outcomes)
    assert Counter(outcome.file for outcome in outcomes) == Counter(NAMES)
    times = Counter(name for name, _ in job.noted())
    assert set(times) == set(NAMES)
    assert sum(times.values()) <= len(NAMES) + 2  # what a neighbour had finished when the process died was not told


def test_a_photo_that_kills_every_worker_fails_and_the_others_do_not(executor, jobs, photos, tmp_path, caplog):
    outcomes = list(executor.map(jobs.Traced(tmp_path, kills="10"), photos(*NAMES)))
    (failure,) = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert (failure.file, failure.kind) == ("10.jpg", FailureKind.GENERATION)
    assert failure.message == "the worker that described it died, 3 times"
    assert sorted(outcome.file for outcome in outcomes) == NAMES
    assert sum("died, and its photos are tried again" in line for line in caplog.messages) == 3


def test_workers_that_die_at_every_photo_are_the_machines_fault(executor, jobs, photos, tmp_path):
    outcomes = []
    with pytest.raises(MachineError, match=r"no machine can work; .*: workers died there: "):
        outcomes.extend(executor.map(jobs.Traced(tmp_path, kills="jpg"), photos(*NAMES)))
    assert outcomes == []


def test_a_single_photo_at_which_workers_die_is_not_marked(executor, jobs, photos, tmp_path):
    with pytest.raises(MachineError, match=r"`a.jpg`: the worker that described it died, 3 times"):
        list(executor.map(jobs.Traced(tmp_path, kills="jpg"), photos("a.jpg")))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_machine_that_does_not_see_photos_is_left_out(executor, jobs, machines, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(machines.drive)
    images = []
    for name in NAMES:
        Path(name).write_bytes(b"x")
        ref = ImageRef(Path("/proc/self/cwd", name), name, 1, 0)  # this folder, here and on the first machine
        images.append(ImageFile(ref, hashlib.sha256(b"x").hexdigest(), b"x"))
    job = jobs.Traced(tmp_path, pause_s=0.05, meets=2)
    outcomes = list(executor.map(job, images))
    assert sorted(outcome.file for outcome in outcomes if isinstance(outcome, Record)) == NAMES
    assert {folder for _, folder in job.noted()} == {str(machines.drive)}
    (warning,) = [line for line in caplog.messages if "is left out" in line]
    assert "does not see `/proc/self/cwd/" in warning


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_photos_that_no_machine_sees_stop_the_batch(executor, jobs, tmp_path):
    path = Path("/proc/self/comm")  # each process has another one
    ref, data = ImageRef(path, "comm.jpg", 1, 0), path.read_bytes()
    image = ImageFile(ref, hashlib.sha256(data).hexdigest(), data)
    with pytest.raises(MachineError, match="does not see `/proc/self/comm`: another file is there") as caught:
        list(executor.map(jobs.Traced(tmp_path), [image]))
    assert "under the same path" in caught.value.hint


def test_a_photo_that_has_gone_everywhere_fails_alone(executor, jobs, photos, tmp_path):
    def vanishing():
        for image in photos(*NAMES[:6]):
            if image.ref.name == "03.jpg":
                image.ref.path.unlink()
            yield image

    outcomes = {outcome.file: outcome for outcome in executor.map(jobs.Traced(tmp_path), vanishing())}
    assert sorted(outcomes) == NAMES[:6]
    (failure,) = [outcome for outcome in outcomes.values() if isinstance(outcome, Failure)]
    assert (failure.file, failure.kind, failure.sha256) == ("03.jpg", FailureKind.UNREADABLE, None)
    assert failure.message == "the file cannot be read: No such file or directory"


def test_a_machine_where_the_job_cannot_be_opened_is_left_out(executor, jobs, machines, photos, tmp_path, caplog):
    job = jobs.Traced(tmp_path, lacks=str(machines.drive), meets=2)
    outcomes = list(executor.map(job, photos(*NAMES[:12])))
    assert sorted(outcome.file for outcome in outcomes) == NAMES[:12]
    assert any("is left out: model `x` is not on this machine" in line for line in caplog.messages)


def test_an_error_that_all_machines_have_comes_out_as_it_is(executor, jobs, photos, tmp_path, monkeypatch):
    class Nowhere(jobs.Traced):
        def open(self):
            raise ModelNotFound("model `x` is not on this machine")

    with pytest.raises(ModelNotFound, match="model `x` is not on this machine"):
        list(executor.map(Nowhere(tmp_path), photos(*NAMES)))


def test_what_workers_warn_of_is_told(executor, jobs, photos, tmp_path, caplog):
    list(executor.map(jobs.Traced(tmp_path, warns="the sky is falling"), photos("a.jpg")))
    assert any(line.endswith(": the sky is falling") for line in caplog.messages)


def test_a_machine_that_leaves_loses_nothing(executor, jobs, machines, photos, tmp_path):
    third = machines.join()
    job = jobs.Traced(tmp_path, pause_s=0.2, meets=3)
    outcomes = executor.map(job, photos(*NAMES))
    first = list(islice(outcomes, 4))
    machines.leave(third)
    names = [outcome.file for outcome in [*first, *outcomes] if isinstance(outcome, Record)]
    assert Counter(names) == Counter(NAMES)


def test_the_error_of_a_machine_is_that_of_the_photo_where_it_happened(executor, jobs, photos, tmp_path):
    class Crashing(jobs.Traced):
        def note(self, name, *words):
            super().note(name)
            if name == "05.jpg":
                raise BackendCrashed(f"the process died at {name}")

    job = Crashing(tmp_path)
    with pytest.raises(BackendCrashed, match=r"died at 05.jpg"):
        list(executor.map(job, photos(*NAMES)))
    assert Counter(name for name, *_ in job.noted())["05.jpg"] == 3


# --- the command -------------------------------------------------------------------------------


class Batch:
    """A folder of photos, the echo model, and `olpipe batch` over both."""

    def __init__(self, root, home):
        self.root, self._home = root, home
        (root / "photos").mkdir()

    def model(self, **options):
        library = Library(self._home / "models", cache=self._home / "cache")
        layer = replace(library.add_bytes(json.dumps(options).encode()), name="echo.json")
        library.commit(ModelName.parse("echo"), ModelConfig("echo", capabilities=("completion", "vision")), [layer])

    def put(self, name, data=None):
        (self.root / "photos" / name).write_bytes(photo() + name.encode() if data is None else data)

    def arguments(self, output, *more):
        return ["batch", str(self.root / "photos"), "-o", str(self.root / output), "--model", "echo", *more]

    def run(self, output, *more):
        with pytest.raises(SystemExit) as ended:
            main(self.arguments(output, *more))
        return ended.value.code

    def start(self, output, *more, **environment):
        command = [sys.executable, "-P", "-m", "olpipe", *self.arguments(output, *more)]
        environment = {**os.environ, **environment}
        return subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def rows(self, output, name="records.jsonl"):
        path = self.root / output / name
        return sorted(path.read_text(encoding="utf-8").splitlines()) if path.exists() else []

    def wait_for(self, output, number, process):
        while len(self.rows(output)) < number:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)


@pytest.fixture
def batch(tmp_path, isolated_home, installed):
    return Batch(tmp_path, isolated_home)


def test_records_and_failures_are_those_of_the_local_executor(machines, batch, capsys):
    batch.model(slots=2)
    for number in range(6):
        batch.put(f"{number}.jpg", photo(40 + number, 32))  # each shows something else
    batch.put("turned.jpg", photo(orientation=6))
    batch.put("broken.jpg", photo()[:60])
    assert (batch.run("local"), batch.run("ray", "--executor", "ray")) == (3, 3)
    assert batch.rows("ray") == batch.rows("local")
    assert len(batch.rows("ray")) == 7
    assert batch.rows("ray", "failures.jsonl") == batch.rows("local", "failures.jsonl")
    assert len(batch.rows("ray", "failures.jsonl")) == 1
    assert capsys.readouterr().out == ""


def test_a_picture_has_one_record_whichever_process_described_it(machines, batch):
    batch.model(delay_s=0.05)
    names = [f"{number:02}.jpg" for number in range(12)]
    for name in names:
        batch.put(name)  # all look the same
    assert batch.run("out", "--executor", "ray") == 0
    rows = [json.loads(row) for row in batch.rows("out")]
    assert [row["file"] for row in rows] == names
    (first,) = [row["file"] for row in rows if "copied_from" not in row]
    assert {row["copied_from"] for row in rows if row["file"] != first} == {first}


def test_a_run_that_was_killed_goes_on(machines, batch):
    batch.model(delay_s=0.02)
    names = [f"{number:02}.jpg" for number in range(30)]
    for name in names:
        batch.put(name)
    process = batch.start("out", "--executor", "ray", RAY_ADDRESS=machines.address)
    batch.wait_for("out", 10, process)
    process.kill()
    process.communicate()
    assert batch.run("out", "--executor", "ray") == 0
    assert sorted(json.loads(row)["file"] for row in batch.rows("out")) == names
    photos = json.loads((batch.root / "out/run.json").read_text())["photos"]
    assert photos["records_before"] >= 10
    assert photos["records"] == len(names) - photos["records_before"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no process groups")
def test_ctrl_c_ends_a_batch_and_the_cluster_that_it_has_started(batch, unmeasured):
    batch.model(delay_s=0.02)
    for number in range(300):
        batch.put(f"{number:03}.jpg")
    process = batch.start("out", "--executor", "ray", RAY_AUTH_MODE="disabled")
    batch.wait_for("out", 1, process)
    started = psutil.Process(process.pid).children(recursive=True)
    assert {"raylet", "gcs_server"} <= {one.name() for one in started}
    os.killpg(process.pid, signal.SIGINT)
    said, told = process.communicate()
    assert (process.returncode, said) == (130, "")
    assert "ray" not in told.lower().replace("--executor ray", "")
    assert 1 <= len(batch.rows("out")) < 300
    assert psutil.wait_procs(started, timeout=60)[1] == []


def test_an_address_where_no_cluster_is_is_told_at_once(batch, capsys):
    batch.model()
    batch.put("a.jpg")
    process = batch.start("out", "--executor", "ray", RAY_ADDRESS="127.0.0.1:1")
    _, told = process.communicate()
    assert process.returncode == 4
    assert "error: no Ray cluster answers at `127.0.0.1:1`: Connection refused\n" in told
    assert "hint: start it with `ray start --head`, or correct RAY_ADDRESS\n" in told
