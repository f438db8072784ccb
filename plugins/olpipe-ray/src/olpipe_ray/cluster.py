"""The Ray cluster: connect to one or start one, and choose how many workers each of its machines gets."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from olpipe.errors import MachineError, UsageError, first_line
from olpipe.settings import Settings

OBJECT_STORE_BYTES = 150_000_000
"""What Ray sets aside for large objects where we start it. Paths and records are small, and go without it."""

ANSWER_S = 10.0
"""How long a cluster may take to accept a connection."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to Ray's makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns of that at every start
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what Ray says of dead workers would go to stdout, and we say it ourselves
}
"""Variables of Ray's own, where the user has not set them."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: Ray's name for it.
        host: Its host name.
        cpus: How many CPUs it brings to the cluster.
        gpus: How many GPUs it brings.
    """

    id: str
    host: str
    cpus: float
    gpus: float


class Cluster:
    """A Ray cluster, to which this process is connected."""

    def __init__(self, settings: Settings) -> None:
        self._actors = settings.ray_actors
        self._gpus = settings.ray_gpus

    def nodes(self) -> dict[str, Node]:
        """Return the machines that are alive, by Ray's name."""
        import ray

        return {
            row["NodeID"]: Node(
                row["NodeID"],
                row["NodeManagerHostname"],
                row["Resources"].get("CPU", 0),
                row["Resources"].get("GPU", 0),
            )
            for row in ray.nodes()
            if row["Alive"]
        }

    def gpus_each(self, nodes: Collection[Node]) -> float:
        """Return how many GPUs a worker gets: what the settings say, else one where the cluster has any."""
        if self._gpus is not None:
            return self._gpus
        return 1.0 if any(node.gpus >= 1 for node in nodes) else 0.0

    def places(self, nodes: Mapping[str, Node]) -> list[str]:
        """Return the machine of every worker that there should be, by Ray's name; the first on a machine come first.

        By default, each GPU gets a worker, or each machine where there are no GPUs: a model uses all cores.
        """
        gpus = self.gpus_each(nodes.values())
        room = {node.id: self._room(node, gpus) for node in sorted(nodes.values(), key=lambda node: node.id)}
        rounds = range(max(room.values(), default=0))
        places = [node for number in rounds for node, most in room.items() if most > number]
        return places[: self._actors] if self._actors else places

    def _room(self, node: Node, gpus: float) -> int:
        """Return how many workers a machine has room for."""
        if gpus:
            return min(int(node.gpus / gpus), int(node.cpus))
        return int(node.cpus) if self._actors else min(1, int(node.cpus))

    def start(self, worker: type, node: Node, gpus: float) -> Any:
        """Start an actor on a machine. It gets one CPU of Ray's account, whatever it really uses."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(node.id, soft=False)
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "scheduling_strategy": here}
        return ray.remote(**options)(worker).remote()


def _find(address: str) -> None:
    """Look whether anybody listens at an address with a port. Ray itself would try for minutes.

    Raises:
        MachineError: Nobody does.
    """
    found = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)
    if found is None:
        return
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        message = f"no Ray cluster answers at `{address}`: {first_line(error)}"
        raise MachineError(message, hint="start it with `ray start --head`, or correct RAY_ADDRESS") from error


@contextmanager
def connected(settings: Settings) -> Iterator[Cluster]:
    """Connect to the cluster that the settings name, or start one on this machine; in the end, leave or stop it.

    A connection that the process has already is used, and stays.

    Raises:
        MachineError: No cluster answers, or none can be started.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)  # before the import, which reads them
    import ray

    if ray.is_initialized():
        yield Cluster(settings)
        return
    _connect(settings.ray_address)
    try:
        yield Cluster(settings)
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    import ray

    _find(address)
    quietly: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address:
            ray.init(address, **quietly)
        else:
            ray.init("local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quietly)
    except Exception as error:  # Ray has no class for what goes wrong at its start
        ray.shutdown()  # else what has started already stays
        if isinstance(error, ValueError) and address:
            hint = "write it as `HOST:PORT`, or as `auto` on a machine of the cluster"
            raise UsageError(f"RAY_ADDRESS cannot be `{address}`: {first_line(error)}", hint=hint) from error
        what = f"the Ray cluster at `{address}` cannot be used" if address else "Ray cannot be started on this machine"
        hint = "look whether it runs with `ray status`" if address else "see the logs in /tmp/ray/session_latest/logs"
        raise MachineError(f"{what}: {first_line(error)}", hint=hint) from error
