"""A reporter that overrides nothing bears everything in silence."""

from inspect import getmembers, isfunction, signature
from pathlib import Path

from stylewatch_daemon.reporter import Reporter


def test_every_hook_may_be_left_as_it_is(capsys: object, tmp_path: Path) -> None:
    hooks = dict(getmembers(Reporter, isfunction))
    assert {"job_started", "progress", "staged", "done", "refused", "failed", "incomplete"} <= set(
        hooks
    )
    for hook in hooks.values():
        names = [name for name in signature(hook).parameters if name not in ("self", "for_good")]
        more = {"for_good": True} if "for_good" in signature(hook).parameters else {}
        assert hook(Reporter(), *names, **more) is None
