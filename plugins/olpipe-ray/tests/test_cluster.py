"""How many workers a cluster gets, and where. No cluster is needed for that."""

import pytest

from olpipe.errors import UsageError
from olpipe.settings import Settings

pytestmark = pytest.mark.usefixtures("installed")


def places(*machines, **settings):
    from olpipe_ray.cluster import Cluster, Node

    nodes = {name: Node(name, name, cpus, gpus) for name, cpus, gpus in machines}
    return Cluster(Settings(**settings)).places(nodes)


def test_each_machine_gets_a_worker_because_a_model_uses_all_cores():
    assert places(("a", 16, 0), ("b", 4, 0)) == ["a", "b"]


def test_each_gpu_gets_a_worker_where_there_are_gpus():
    assert places(("a", 16, 2), ("b", 8, 1), ("head", 4, 0)) == ["a", "b", "a"]


def test_a_machine_without_a_cpu_gets_none():
    assert places(("head", 0, 0), ("a", 2, 0)) == ["a"]


def test_fewer_workers_are_spread_over_machines():
    assert places(("a", 16, 2), ("b", 8, 2), ray_actors=3) == ["a", "b", "a"]


def test_more_workers_than_machines_share_their_cpus():
    assert places(("a", 2, 0), ("b", 1, 0), ray_actors=8) == ["a", "b", "a"]


def test_workers_can_share_a_gpu():
    assert places(("a", 8, 1), ray_gpus=0.5) == ["a", "a"]


def test_workers_can_do_without_the_gpus_of_the_cluster():
    assert places(("a", 8, 4), ray_gpus=0.0) == ["a"]


@pytest.mark.parametrize("value", ["-1", "half", "1e3", ""])
def test_a_number_of_gpus_is_a_number(value, tmp_path):
    with pytest.raises(UsageError, match="OLPIPE_RAY_GPUS cannot be"):
        Settings.read({"OLPIPE_HOME": str(tmp_path), "OLPIPE_RAY_GPUS": value})


def test_settings_of_ray_are_read_from_the_environment(tmp_path):
    environment = {
        "OLPIPE_HOME": str(tmp_path),
        "RAY_ADDRESS": "auto",
        "OLPIPE_RAY_ACTORS": "4",
        "OLPIPE_RAY_GPUS": "0.5",
    }
    settings = Settings.read(environment)
    assert (settings.ray_address, settings.ray_actors, settings.ray_gpus) == ("auto", 4, 0.5)
