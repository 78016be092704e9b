"""Errors of Ray, explained in sentences."""

import pytest

from stylewatch_daemon.executors.ray import ray_api


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("Version mismatch: The cluster was\nstarted with Ray 1", "same minor version of Python"),
        ("ModuleNotFoundError: No module named 'stylewatch_daemon'", "install stylewatch on every"),
        ("The actor died.\n\tactor_id: 8f8a\nThe actor is dead because its owner has died.",
         "its owner has died."),
        ("", "RuntimeError"),
        ("x" * 9999, "xxx..."),
    ],
)  # fmt: skip
def test_an_error_is_a_short_sentence_with_a_hint(error: str, reason: str) -> None:
    explained = ray_api.explain(RuntimeError(error))
    assert reason in explained
    assert "\n" not in explained and "actor_id" not in explained
    assert len(explained) < 400
