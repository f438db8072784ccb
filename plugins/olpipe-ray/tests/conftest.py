import gc
import importlib.util
import os
import tempfile
from pathlib import Path

import pytest

from olpipe.testing.fixtures import announce_project, echo_plugin, plugin_folder
from olpipe.testing.install import install_plugin, install_project

__all__ = ["announce_project", "echo_plugin", "plugin_folder"]

PROJECT = Path(__file__).parents[1]
if importlib.util.find_spec("ray") is None:  # it is not imported here: the executor sets variables first
    pytest.skip("ray is not installed: pip install ./plugins/olpipe-ray", allow_module_level=True)


@pytest.fixture
def installed(announce_project, echo_plugin):
    """Make the project and the echo backend plugins of this process and of those that it starts."""
    return announce_project(PROJECT)


class Machines:
    """A Ray cluster of several machines, which are processes of this one. Each has one CPU.

    Attributes:
        address: What `RAY_ADDRESS` is for it.
        drive: A folder, which only the first machine has as its working folder.
    """

    def __init__(self, drive):
        from ray.cluster_utils import Cluster

        self.drive = drive
        self._options = {"num_cpus": 1, "object_store_memory": 150_000_000, "include_dashboard": False}
        os.chdir(drive)
        self._cluster = Cluster(initialize_head=True, head_node_args=self._options)
        os.chdir("/")
        self.address = self._cluster.address
        self.join()

    def join(self):
        return self._cluster.add_node(**self._options)

    def leave(self, node):
        self._cluster.remove_node(node, allow_graceful=False)

    def stop(self):
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def machines():
    """Start a cluster whose machines know the plugins, and connect this process to it."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="olpipe-ray-") as root:
        site, drive = Path(root, "site"), Path(root, "drive")
        site.mkdir()
        drive.mkdir()
        install_plugin(site, "echo", "olpipe.testing.echo")
        install_project(site, PROJECT)
        before = os.environ.get("PYTHONPATH")
        paths = [str(site), str(PROJECT / "src"), *([before] if before else [])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.syspath_prepend(PROJECT / "src")
        from olpipe_ray.cluster import QUIET

        for name, value in QUIET.items():
            patch.setenv(name, value)
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else Ray leaves a token in the home of whoever runs the tests
        for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
            patch.delenv(name)  # workers are killed, and start faster without
        import ray

        folder = os.getcwd()
        started = Machines(drive)
        os.chdir(folder)
        ray.init(started.address, log_to_driver=False, logging_level="ERROR")
        yield started
        ray.shutdown()
        started.stop()
        del ray
        gc.collect()  # what Ray has left open is no warning of a later test
