"""Clusters of two machines for tests, all on this one, with GPUs that exist in name only."""

import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HERE = find_spec("ray") is not None
"""True if Ray is installed."""

MEMORY = 80_000_000
"""Bytes of the object store of each machine."""

TOKEN = "not so secret a token, which is as long as those of Ray are"
_SPARE = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
"""Options of a head without the parts that tests do not use."""

PATIENCE = 600
"""Seconds for the start of a machine, and for a test that starts some."""

TIME_ENOUGH = pytest.mark.timeout(PATIENCE)

_FILL = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
objects = [ray.put(bytes(8_000_000)) for _ in range(30)]
print("full", flush=True)
sys.stdin.read()
"""


@contextmanager
def with_a_token(folder: Path) -> Iterator[None]:
    """Put the token that clusters ask for into a file of `folder`; end the shared cluster after."""
    path = folder / "ray-token"
    path.write_text(TOKEN, encoding="ascii")
    path.chmod(0o400)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        try:
            yield
        finally:
            end()


@cache
def shared() -> Any:
    """Return the cluster that all tests share, started for the first one; `end` ends it."""
    return start()


def end() -> None:
    """End the shared cluster, if there is one."""
    if shared.cache_info().currsize:
        shared().shutdown()
        shared.cache_clear()


def kill(cluster: Any) -> None:
    """Kill all machines of a cluster."""
    for node in cluster.list_all_nodes():
        cluster.remove_node(node, allow_graceful=False)


def start() -> Any:
    """Start a cluster: a head with a GPU in zone a, another machine with one in zone b."""
    cluster = head({})
    add(cluster, "b")
    return cluster


def head(more: Mapping[str, Any]) -> Any:
    """Start a head alone, with a GPU in zone a; `more` are options of Ray."""
    from ray.cluster_utils import Cluster

    with _environment():
        options = {**_machine("a"), **_SPARE, **more}
        return Cluster(initialize_head=True, head_node_args=options)


def unused_port() -> int:
    """Return a free port, none of those that the system or Ray gives to whoever wants any."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def add(cluster: Any, zone: str) -> Any:
    """Add a machine in a zone, which is one of its resources."""
    with _environment():
        return cluster.add_node(**_machine(zone))


def _machine(zone: str) -> dict[str, Any]:
    return {"num_cpus": 0, "num_gpus": 1, "object_store_memory": MEMORY, "resources": {zone: 1}}


def installed() -> dict[str, str]:
    """Return the environment in which machines find the installed packages."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@contextmanager
def _environment() -> Iterator[None]:
    """Let machines find the packages, and have time to start, however busy this one is."""
    from ray._private import services

    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in installed().items():
            patch.setenv(name, value)
        patch.setenv("RAY_gcs_server_port_wait_time_s", str(PATIENCE))
        patch.setenv("RAY_worker_register_timeout_seconds", str(PATIENCE))
        patch.setenv("RAY_health_check_timeout_ms", str(1000 * PATIENCE))
        patch.setenv("RAY_worker_niceness", "0")  # 15 would stop them while others keep all cores
        patch.setattr(services, "get_node", partial(_patient, services.get_node))
        yield
    signal.signal(signal.SIGTERM, before)  # which Ray replaces, and then only drains a node


def _patient(look: Callable[..., Any], *which: object) -> Any:
    """Look for a machine for longer than the half minute that Ray does."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return look(*which)
        except RuntimeError:
            if time.monotonic() > until:
                raise
