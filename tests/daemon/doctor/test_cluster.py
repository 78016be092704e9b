"""The check of a Ray cluster."""

from importlib.metadata import PackageNotFoundError

import pytest
from tests import nodes

from stylewatch_daemon.doctor import cluster
from stylewatch_daemon.doctor.finding import Finding, mend, ok
from stylewatch_daemon.executors.ray.messages import Capacity, ClusterLost
from stylewatch_daemon.settings import resources
from stylewatch_daemon.settings.resources import Demand

pytestmark = nodes.TIME_ENOUGH


def check(demand: Demand) -> Finding:
    (finding,) = cluster.look(demand)
    return finding


def test_a_cluster_that_answers_is_reported_with_its_places() -> None:
    """It asks for a token, which this process has in its environment."""
    assert not list(cluster.look(None))
    address = nodes.shared().address
    words = f"{address} answers, with places for 4 jobs at once"
    assert check(Demand(address, gpus=0.5)) == ok("cluster", words)


def test_a_cluster_that_is_not_there_is_a_problem() -> None:
    finding = check(Demand("127.0.0.1:1"))
    assert (finding.verdict, finding.exit_code) == ("mend", 69)
    assert "127.0.0.1:1 does not answer" in finding.words


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Capacity(0), "auto answers, and no machine there has GPU 1, tpu 1: correct executor"),
        (ClusterLost("it does not let us in"), "it does not let us in"),
    ],
)
def test_a_cluster_without_a_place_is_a_problem(
    answer: Capacity | ClusterLost, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_answer", lambda demand: answer)
    assert check(Demand("auto", resources={"tpu": 1})) == mend("cluster", words, 69)


def test_a_missing_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(resources, "version", version)
    finding = check(Demand())
    assert (finding.verdict, finding.exit_code) == ("mend", 78)
    assert "stylewatch[ray]" in finding.words
