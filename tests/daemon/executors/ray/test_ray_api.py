"""Errors of Ray, explained in sentences."""

import socket

import pytest

from stylewatch_daemon.errors import UnavailableError
from stylewatch_daemon.executors.ray import ray_api


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("Version mismatch: The cluster was\nstarted with Ray 1", "same minor version of Python"),
        ("ModuleNotFoundError: No module named 'stylewatch_daemon'", "install stylewatch on every"),
        ("Could not find any running Ray instance.", "executor.address"),
        ("", "RuntimeError"),
    ],
)
def test_an_error_has_its_hint(error: str, hint: str) -> None:
    reason = ray_api.explain(RuntimeError(error))
    assert reason.startswith(error.replace("\n", " "))
    assert hint in reason


def test_an_explanation_is_short() -> None:
    lost = "The actor died.\n\tactor_id: 8f8a\nThe actor is dead because its owner has died."
    assert ray_api.explain(RuntimeError(lost)) == "its owner has died."
    assert len(ray_api.explain(RuntimeError("x" * 9999))) < 400


def test_a_cluster_that_refuses_us_or_does_not_listen_is_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def init(**_: object) -> None:
        raise ConnectionError("Token authentication is enabled but no token was found")

    monkeypatch.setattr("ray.init", init)
    with pytest.raises(UnavailableError, match="does not let us in: give this machine its token"):
        ray_api.connect("auto")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    for scheme in ("", "ray://"):
        with pytest.raises(UnavailableError, match="not answer: Connection refused; start it"):
            ray_api.connect(f"{scheme}127.0.0.1:{port}")
