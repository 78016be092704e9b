"""The invariants hold whatever is dropped, renamed, removed and killed, in whatever order."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.daemon.faults import killed_at, tree
from tests.daemon.world import DaemonWorld

from stylewatch_daemon.ledger.ledger import reading

NEVER = 1 << 30
HALVES = ("content", "style")

Events = list[tuple[str, int]]
JOBS = st.integers(0, 2)
EVENTS: st.SearchStrategy[Events] = st.lists(
    st.one_of(
        st.tuples(st.just("drop"), JOBS),
        st.tuples(st.just("rename"), JOBS),
        st.tuples(st.just("remove"), JOBS),
        st.tuples(st.just("kill"), st.integers(1, 40) | st.integers(1, 130)),
    ),
    min_size=3,
    max_size=10,
)


class World:
    """An inbox with a user at it, and a daemon that is killed now and then."""

    def __init__(self, root: Path) -> None:
        self.root, self.place = root, DaemonWorld(root)
        self.inbox, self.outbox = self.place.inbox, self.place.outbox
        self.inbox.mkdir()
        self.dropped: list[int] = []
        self.removed: set[int] = set()
        self.torn: set[int] = set()
        """Pairs that were removed or renamed while half of them was claimed: kept, if not done."""
        self.kill(NEVER)  # the very first start makes folders

    def drop(self, job: int) -> None:
        """Drop a pair that differs from all others, unless the folder has files."""
        folder = self.inbox / f"job{job}"
        if not self._there(folder):
            folder.mkdir(exist_ok=True)
            number = len(self.dropped)
            for half in HALVES:
                (folder / f"{half}.jpg").write_text(f"<{half} {number}>")
            self.dropped.append(number)

    def rename(self, job: int) -> None:
        """Give the job a new name."""
        folder = self.inbox / f"job{job}"
        if folder.exists():
            self._tear(folder)
            folder.rename(self.inbox / f"renamed{len(list(self.inbox.iterdir()))}-{job}")

    def remove(self, job: int) -> None:
        """Remove what is left of the job in the inbox."""
        folder = self.inbox / f"job{job}"
        if folder.exists():
            self._tear(folder)
            if "content" in (there := self._there(folder)):
                self.removed.add(there["content"])
            shutil.rmtree(folder)

    def kill(self, change: int) -> None:
        """Run a daemon that is killed at that change of a file."""
        with killed_at(change):
            self.place.run()

    def check(self) -> None:
        """Check that nothing is lost, done twice or partial."""
        everything = "".join(
            path.read_text(errors="replace") for path in self.root.rglob("*") if path.is_file()
        )
        for number in set(self.dropped) - self.removed:
            assert f"<content {number}>" in everything, "lost"
        assert not [number for number, times in self.done().items() if times > 1], "done twice"
        for name, text in tree(self.outbox).items():
            if name.endswith((".png", "receipt.json")):
                assert text.startswith(name.partition("/")[2]) and text.endswith(">"), "half"

    def done(self) -> Counter[int]:
        """Count how often each pair was done."""
        receipts = self.outbox.glob("*/receipt.json")
        return Counter(int(path.read_text().split("<content ")[1].split(">")[0])
                       for path in receipts)  # fmt: skip

    def _there(self, folder: Path) -> dict[str, int]:
        """Return the halves in `folder`, with the numbers of their pairs."""
        paths = {half: folder / f"{half}.jpg" for half in HALVES}
        return {
            half: int(path.read_text().split()[1].rstrip(">"))
            for half, path in paths.items()
            if path.exists()
        }

    def _tear(self, folder: Path) -> None:
        there = self._there(folder)
        if len(there) == 1:
            self.torn.update(there.values())


@given(EVENTS)
@settings(max_examples=15)
def test_in_any_order_every_pair_is_done_once_or_kept(events: Events) -> None:
    with tempfile.TemporaryDirectory() as root:
        world = World(Path(root))
        world.drop(0)
        for name, argument in events:
            getattr(world, name)(argument)
            world.check()
        world.kill(NEVER)
        world.check()
        expected = set(world.dropped) - world.removed - world.torn
        assert expected <= world.done().keys()
        with reading(world.place.state.ledger) as ledger:
            counts = {state: count for state, count in ledger.counts().items() if count}
        assert counts.keys() <= ({"done", "waiting", "refused"} if world.torn else {"done"})
