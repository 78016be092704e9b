"""What Ray says is told in sentences, with what helps."""

import socket

import pytest

from stylewatch_daemon.errors import UnavailableError
from stylewatch_daemon.executors.ray import ray_api


@pytest.mark.parametrize(
    ("said", "helps"),
    [
        ("Version mismatch: The cluster was\nstarted with Ray 1", "same minor version of Python"),
        ("ModuleNotFoundError: No module named 'stylewatch_daemon'", "install stylewatch on every"),
        ("Could not find any running Ray instance.", "executor.address"),
    ],
)
def test_what_helps_is_told_with_what_was_met(said: str, helps: str) -> None:
    told = ray_api.told(RuntimeError(said))
    assert told.startswith(said.replace("\n", " "))
    assert helps in told


def test_of_a_lost_actor_only_is_told_why() -> None:
    said = "The actor died.\n\tactor_id: 8f8a\nThe actor is dead because its owner has died."
    assert ray_api.told(RuntimeError(said)) == "its owner has died."


def test_what_is_long_or_silent_is_told_too() -> None:
    assert len(ray_api.told(RuntimeError("x" * 9999))) < 400
    assert ray_api.told(ValueError()) == "ValueError"


@pytest.mark.parametrize(
    "said",
    ["Token authentication is enabled but no token was found", "Failed to connect to Ray cluster"],
)
def test_without_its_token_a_cluster_lets_nobody_in(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**given: object) -> None:
        raise ConnectionError(f"{said} at auto")

    monkeypatch.setattr("ray.init", init)
    with pytest.raises(UnavailableError, match="does not let us in: give this machine its token"):
        ray_api.connect("auto")


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_where_nobody_listens_nothing_is_waited_for(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(UnavailableError, match="does not answer: Connection refused; start it"):
        ray_api.connect(f"{scheme}127.0.0.1:{port}")
