"""A reporter that overrides nothing bears everything in silence."""

from inspect import getmembers, isfunction, signature
from pathlib import Path

from stylewatch_daemon.events import Both, Reporter


def test_every_hook_may_be_left_as_it_is(capsys: object, tmp_path: Path) -> None:
    hooks = dict(getmembers(Reporter, isfunction))
    assert {"job_started", "progress", "staged", "done", "refused", "failed", "incomplete"} <= set(
        hooks
    )
    for hook in hooks.values():
        names = [name for name in signature(hook).parameters if name not in ("self", "for_good")]
        more = {"for_good": True} if "for_good" in signature(hook).parameters else {}
        assert hook(Reporter(), *names, **more) is None


class AttemptEvent(Reporter):
    """Remembers some of what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def taken(self, job: str) -> None:
        self.heard.append(("taken", job))

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        self.heard.append(("failed", job, for_good))


def test_two_reporters_both_hear_of_everything() -> None:
    one, other = AttemptEvent(), AttemptEvent()
    both = Both(one, Both(Reporter(), other))
    both.taken("sea")
    both.failed("sea", "a fault", "", for_good=True)
    both.watching([])
    assert one.heard == other.heard == [("taken", "sea"), ("failed", "sea", True)]
