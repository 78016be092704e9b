"""The runs of a few jobs that are repeated: what is dropped, how it is set, what is asked for."""

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.daemon.faults import fill, replaced
from tests.daemon.world import DaemonWorld, run_jobs, scan, step
from tests.e2e.changes import Painter

from stylewatch_daemon.base.model import End, State, new_id
from stylewatch_daemon.files.system import system
from stylewatch_daemon.jobs.lifecycle import Asked
from stylewatch_daemon.ledger.requests import leave
from stylewatch_daemon.outbox import ending
from stylewatch_daemon.worker.messages import AttemptEvent

FOLDERS = ("in", "state", "out", "finals", "styles")
"""The folders of a world, each of which may be a mount of its own."""

SIDES = ("content.jpg", "style.jpg")

STEPS = 9
"""Rounds within which a pair is claimed."""


@dataclass(frozen=True)
class Scenario:
    """What a start of the daemon finds: files that are dropped, and what happened before."""

    name: str
    drops: tuple[str, ...] = ()
    job_yaml: str = ""
    """The job.yaml beside the first of these files."""
    after: str = "archive"
    library: tuple[str, ...] = ()
    """The style library; a lone picture is painted with each of its styles."""
    done: tuple[str, ...] = ()
    """Pairs that were done before."""
    asks: str = ""
    """The request for the first of these, `retry`, `favorite` or `delete`, which waits."""
    begun: tuple[str, ...] = ()
    """Pairs amid which an earlier daemon was killed: the last one while it was claimed, the others
    while they were painted, or waited for that."""
    canceled: str = ""
    """A pair that was canceled as its receipt was published; then an earlier daemon was killed."""

    @property
    def kept(self) -> tuple[bytes, ...]:
        """The contents that must be in the inbox, the state folder or the outbox at any time.

        With `after: delete`, this is so until all jobs are done.
        """
        pairs = *self.done[1 if self.asks == "delete" else 0 :], *self.begun
        pairs = *pairs, *filter(None, [self.canceled])
        files = *self.drops, *(f"{pair}/{side}" for pair in pairs for side in SIDES)
        return tuple(os.fsencode(text) for text in (*files, self.job_yaml) if text)

    def world(self, root: Path) -> DaemonWorld:
        """Return the folders of a daemon in `root`, as its next start finds them."""
        more: dict[str, Any] = {"default_style": "all"} if self.library else {}
        world = DaemonWorld(root, self.after, has_finals=True, styles=root / "styles", **more)
        world.executor, world.inspector.says = QuietPainter(), {"bad/": "it is no picture"}
        return world

    def prepare(self, root: Path) -> None:
        """Make the folders; let happen what happened before; drop the files."""
        for name in FOLDERS:
            (root / name).mkdir(parents=True)
        fill(root / "styles", *self.library)
        if self.done:
            self._finish(self.world(root))
        if self.begun:
            self._begin(self.world(root))
        if self.canceled:
            self._cancel(self.world(root))
        fill(root / "in", *self.drops)
        if self.job_yaml:
            (root / "in" / self.drops[0]).with_name("job.yaml").write_text(self.job_yaml)

    def _finish(self, world: DaemonWorld) -> None:
        """Paint the pairs that were done before, and leave the request."""
        world.drop(*self.done)
        scan(world.start())
        run_jobs(world.loop)
        job = world.job(self.done[0])
        world.close()
        more = {"new": new_id(), "settings": job.settings} if self.asks == "retry" else {}
        leave(world.state.root, self.asks, job=job.id, **more)

    def _begin(self, world: DaemonWorld) -> None:
        """Begin the pairs, in a process that ends itself."""
        if (pid := os.fork()) == 0:
            world.drop(*self.begun[:-1])
            scan(world.start())
            while not any(job.state is State.RUNNING and job.step for job in world.jobs):
                step(world.loop)
            world.drop(self.begun[-1])
            scan(world.loop)
            with replaced(system, rename=_ending_amid(world.inbox / self.begun[-1])):
                for _ in range(STEPS):
                    step(world.loop)
            os._exit(1)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            raise RuntimeError(f"{self.name}: the first daemon was not killed in a claim")

    def _cancel(self, world: DaemonWorld) -> None:
        """Publish the receipt of the pair, in a process that ends itself once it is canceled."""

        def published(*args: Any) -> None:
            publish(*args)
            world.loop.jobs.post(world.job(self.canceled).id, Asked(End.CANCELED))
            world.loop.jobs.commit()
            os._exit(0)

        publish = ending.publish_receipt
        if (pid := os.fork()) == 0:
            world.drop(self.canceled)
            with replaced(ending, publish_receipt=published):
                world.run()
            os._exit(1)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            raise RuntimeError(f"{self.name}: the first daemon published no receipt")


def _ending_amid(pair: Path) -> Callable[..., None]:
    """Return a function that renames, and ends the process once one file of a pair has left."""
    rename = system.rename

    def renamed(*args: Any, **more: Any) -> None:
        rename(*args, **more)
        if len([side for side in SIDES if (pair / side).exists()]) == 1:
            os._exit(0)

    return renamed


class QuietPainter(Painter):
    """A fake worker, whose calls `quiet` keeps apart from those of the daemon."""

    def __init__(self) -> None:
        super().__init__()
        self.quiet: Callable[[], Any] = nullcontext

    def events(self) -> Iterator[AttemptEvent]:
        with self.quiet():
            received = list(super().events())
        yield from received


SCENARIOS = (
    Scenario("pair", ("a/content.jpg", "a/style.jpg"), job_yaml="seed: 7\n"),
    Scenario("beside", ("a/content.jpg", "a/style.jpg", "b/content.jpg", "b/style.jpg")),
    Scenario("album", ("album/one.jpg", "album/style.jpg", "album/two.jpg"), after="keep"),
    Scenario("clip", ("clip/content.mp4", "clip/style.jpg")),
    Scenario("refused", ("bad/content.jpg", "bad/style.jpg")),
    Scenario("library", ("lone.jpg",), library=("sea.jpg", "wave.jpg")),
    Scenario("retry", done=("old",), asks="retry"),
    Scenario("favorite", done=("old",), asks="favorite"),
    Scenario("deletion", done=("gone", "stays"), asks="delete"),
    Scenario("after-delete", ("b/content.jpg", "b/style.jpg"), after="delete"),
    Scenario("restart", begun=("first", "second", "third")),
    Scenario("canceled", canceled="late"),
)
