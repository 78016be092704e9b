"""Requests of commands are acted on once, in order, and never bring the daemon down."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.daemon.faults import killed_at

from stylewatch_daemon.errors import InProgressError, OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.store.requests import FOLDER, LONGEST, Control, leave


class World(Reporter):
    """A state folder; records what was reported, and the numbers that `note` was called with."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / FOLDER
        self.noted: list[int] = []
        self.reasons: list[str] = []
        self.waits: list[str] = []
        self.asks: list[str] = []
        self.before: Callable[[], object] = int
        """Called before a request is acted on."""

    def ignored(self, path: Path, why: str) -> None:
        self.reasons.append(why)

    def paused(self, what: str, reason: str) -> None:
        self.waits.append(reason)

    def requested(self, what: str) -> None:
        self.asks.append(what)

    def note(self, number: int = 0) -> None:
        self.before()
        self.noted.append(number)

    def start(self) -> Control:
        """Start the daemon anew."""
        return Control(self.root, self, {"note": self.note})

    @property
    def waiting(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def raiser(*errors: BaseException) -> Callable[[], None]:
    """Return a function that raises each of `errors`, and then none."""
    left = [*errors]

    def fail() -> None:
        if left:
            raise left.pop(0)

    return fail


def test_requests_are_acted_on_once_in_their_order_whatever_is_killed(world: World) -> None:
    for number in range(3):
        leave(world.root, "note", number=number)
    with killed_at(1):
        world.start().act()
    for _ in range(2):
        world.start().act()
    assert (world.noted, world.waiting) == ([0, 0, 1, 2], [])


def test_every_start_during_a_pause_says_so(world: World) -> None:
    world.start().pause()
    for _ in range(2):
        world.asks.clear()
        control = world.start()
        assert world.asks == ["paused: no new job is started until `stylewatch resume`"]
    control.resume()
    world.asks.clear()
    world.start()
    assert world.asks == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff\xfe{", "decode"),
        (b'{"verb": 1, "arguments": {}}', "no verb"),
        (b'{"verb": "note", "arguments": {"other": 1}}', "note: "),
        (b'{"verb": "note", "arguments": {"number": 7}}', "KeyError"),
        (b'{"verb": "a\\u001b[2J\\nb", "arguments": {}}', "there is no request"),
        (b"[" * 50_000, "recursion"),
        (b" " * (LONGEST + 1), "longer than"),
    ],
)
def test_an_invalid_request_is_set_aside_with_a_warning(
    world: World, content: bytes, why: str
) -> None:
    world.before = raiser(KeyError())
    world.folder.mkdir()
    for name, written in {"1.json": content, "real": b"", ".3.json": b"{"}.items():
        (world.folder / name).write_bytes(written)
    (world.folder / "2.json").symlink_to("real")
    world.start().act()
    assert world.waiting == [".3.json", "real"], "incomplete files and others are ignored"
    assert (world.root / "damaged/1.json").read_bytes() == content
    assert len(world.reasons) == 2
    assert why in world.reasons[0]
    assert world.reasons[0].isprintable()


def test_a_request_that_has_to_wait_is_made_again_also_after_a_start(world: World) -> None:
    world.before = raiser(InProgressError("wait"), InProgressError("wait"))
    leave(world.root, "note")
    for left in (1, 1, 0):
        world.start().act()
        assert len(world.waiting) == left
    assert world.waits == world.reasons == []


def test_a_request_that_a_full_disk_prevents_is_retried_and_reported_once(world: World) -> None:
    world.before = raiser(*[OSError(28, "No space left on device")] * 2)
    leave(world.root, "note")
    control = world.start()
    for _ in range(3):
        control.act()
    assert (len(world.waits), world.noted, world.waiting) == (1, [0], [])


def test_a_state_folder_that_cannot_be_written_is_reported(world: World) -> None:
    world.folder.write_text("in the way")
    with pytest.raises(OutputError, match="as the user whom the daemon runs as"):
        leave(world.root, "pause")


def test_a_drain_is_forgotten_at_the_next_start(world: World) -> None:
    control = world.start()
    leave(world.root, "drain")
    control.act()
    assert control.draining and control.holds and not control.paused
    leave(world.root, "drain")  # for a daemon that is killed before it acts
    pause = leave(world.root, "pause")
    (world.folder / "1.json").write_bytes(b"{")
    control = world.start()
    assert world.waiting == sorted([pause.name, "1.json"])
    assert not control.draining
