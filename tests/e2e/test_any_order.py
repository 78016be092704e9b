"""The promises hold whatever is dropped, removed and killed, in whatever order."""

import json
import re
import shutil
import signal
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.daemon.faults import KILL, Fault, in_fork, tree
from tests.daemon.world import DaemonWorld

NEVER = 1 << 30
JOBS = st.integers(0, 2)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["drop", "remove"]), JOBS),
        st.tuples(st.just("kill"), st.integers(1, 40) | st.integers(1, 130)),
    ),
    min_size=3,
    max_size=10,
)


class World:
    """An inbox with a user at it, and a daemon that is killed now and then."""

    def __init__(self, root: Path) -> None:
        self.root, self.place, self.dropped = root, DaemonWorld(root), 0
        self.removed: set[int] = set()
        self.kill(NEVER)  # the very first start makes folders

    def drop(self, job: int) -> None:
        """Drop a pair that differs from all others, unless the folder has files."""
        folder = self.place.inbox / f"job{job}"
        if not tree(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for half in ("content", "style"):
                (folder / f"{half}.jpg").write_text(f"<{half} {self.dropped}>")
            self.dropped += 1

    def remove(self, job: int) -> None:
        """Remove what is left of the job in the inbox."""
        folder = self.place.inbox / f"job{job}"
        self.removed.update(int(text.split()[1].rstrip(">")) for text in tree(folder).values())
        shutil.rmtree(folder, ignore_errors=True)

    def kill(self, change: int) -> None:
        """Run a daemon that is killed at that change."""
        fault = Fault(self.root, KILL, nth=change)
        assert in_fork(self.place.run, fault) in (0, -signal.SIGKILL)

    def check(self) -> None:
        """Check that nothing is lost, done twice or partial."""
        paths = (path for path in self.root.rglob("*") if path.is_file())
        there = "".join(path.read_text(errors="replace") for path in paths)
        found = {int(number) for number in re.findall(r"<content (\d+)>", there)}
        assert found | self.removed == {*range(self.dropped)}, "lost"
        assert max(self.done().values(), default=1) == 1, "done twice"
        for name, text in tree(self.place.outbox).items():
            if name.endswith((".png", "receipt.json")):
                about = json.loads(text)["about"] if name.endswith("receipt.json") else text
                assert about.startswith(name.partition("/")[2]) and about.endswith(">"), "half"

    def done(self) -> Counter[int]:
        """Count how often each pair was done."""
        texts = [path.read_text() for path in self.place.outbox.glob("*/receipt.json")]
        return Counter(int(re.findall(r"<content (\d+)>", text)[0]) for text in texts)


@given(EVENTS)
@settings(max_examples=15)
def test_in_any_order_every_pair_is_done_once_or_kept(events: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        world = World(Path(root))
        for name, argument in [("drop", 0), *events, ("kill", NEVER)]:
            getattr(world, name)(argument)
            world.check()
        assert {*range(world.dropped)} <= world.done().keys() | world.removed
