"""The doctor says whether the cluster answers, and what stands in the way."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from tests import nodes

from stylewatch_daemon.doctor import cluster
from stylewatch_daemon.executors.ray.messages import Room
from stylewatch_daemon.settings import resources
from stylewatch_daemon.settings.resources import Demand

pytestmark = nodes.TIME_ENOUGH


def words(wanted: Demand) -> tuple[str, str, int]:
    (one,) = cluster.look(wanted)
    assert one.what == "cluster"
    return one.verdict, one.words, one.exit_code


def test_nothing_is_said_where_no_cluster_is_wanted() -> None:
    assert not list(cluster.look(None))


def test_a_cluster_that_answers_says_how_many_places_it_has() -> None:
    """It asks for a token, and this process has it in its environment."""
    address = nodes.shared().address
    assert words(Demand(address, gpus=0.5)) == (
        "ok",
        f"{address} answers, with places for 4 jobs at once",
        0,
    )


@pytest.mark.parametrize("token", ["another token", ""])
def test_one_that_does_not_let_us_in_is_to_be_mended(
    token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = nodes.shared().address
    (tmp_path / "token").write_text(token)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert words(Demand(address)) == (
        "mend",
        f"the Ray cluster at {address} does not let us in: give this machine its token "
        "(RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH, its file), or correct executor.address",
        69,
    )


def test_what_no_machine_has_is_to_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_answer", lambda wanted: Room(0))
    verdict, said, exit_code = words(Demand("auto", resources={"tpu": 1}))
    assert (verdict, exit_code) == ("mend", 69)
    assert "auto answers, and no machine there has GPU 1, tpu 1" in said


def test_one_that_is_not_there_is_to_be_mended() -> None:
    verdict, said, exit_code = words(Demand("127.0.0.1:1"))
    assert (verdict, exit_code) == ("mend", 69)
    assert "127.0.0.1:1 does not answer" in said


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(resources, "version", version)
    verdict, said, exit_code = words(Demand())
    assert (verdict, exit_code) == ("mend", 78)
    assert "stylewatch[ray]" in said
