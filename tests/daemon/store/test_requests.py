"""Requests of commands are acted on once, in order, and never bring the daemon down."""

from pathlib import Path

import pytest
from tests.daemon.faults import killed_at

from stylewatch_daemon.errors import InProgressError, OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.store.requests import FOLDER, LONGEST, Act, Control, leave


class World(Reporter):
    """A state folder; each `act` is a new start of the daemon. Records what was reported."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.reasons: list[str] = []
        self.waits: list[str] = []

    def left_alone(self, path: Path, why: str) -> None:
        self.reasons.append(why)

    def paused(self, what: str, reason: str) -> None:
        self.waits.append(reason)

    def control(self, **acts: Act) -> Control:
        return Control(self.root, self, acts)

    def put(self, content: bytes, name: str = "1.json") -> Path:
        path = self.root / FOLDER / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    @property
    def waiting(self) -> list[str]:
        return sorted(path.name for path in (self.root / FOLDER).iterdir())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_requests_are_acted_on_once_in_their_order(world: World) -> None:
    done: list[int] = []

    def note(number: int) -> None:
        done.append(number)

    for number in range(5):
        leave(world.root, "note", number=number)
    for _ in range(2):
        world.control(note=note).act()
    assert (done, world.waiting) == ([0, 1, 2, 3, 4], [])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff\xfe{", "decode"),
        (b'{"verb": 1, "arguments": {}}', "no verb"),
        (b'{"verb": "note", "arguments": {"other": 1}}', "note: "),
        (b'{"verb": "note", "arguments": {"number": 7}}', "KeyError"),
        (b'{"verb": "a\\u001b[2J\\nb", "arguments": {}}', "nothing is known"),
        (b"[" * 50_000, "recursion"),
        (b" " * (LONGEST + 1), "longer than"),
    ],
)
def test_an_invalid_request_is_set_aside_with_a_warning(
    world: World, content: bytes, why: str
) -> None:
    def note(number: int = 0) -> None:
        raise KeyError

    world.put(content)
    world.put(b"", "real").with_name("2.json").symlink_to("real")
    world.put(b"{", ".3.json")
    world.control(note=note).act()
    assert world.waiting == [".3.json", "real"], "incomplete files and others are ignored"
    assert (world.root / "damaged/1.json").read_bytes() == content
    assert len(world.reasons) == 2
    assert why in world.reasons[0]
    assert world.reasons[0].isprintable()


def test_a_request_that_has_to_wait_is_made_again_also_after_a_start(world: World) -> None:
    reasons = [InProgressError("wait")] * 2

    def note() -> None:
        if reasons:
            raise reasons.pop()

    leave(world.root, "note")
    for left in (1, 1, 0):
        world.control(note=note).act()
        assert len(world.waiting) == left
    assert world.waits == world.reasons == []


def test_a_request_that_a_full_disk_prevents_is_retried_and_reported_once(world: World) -> None:
    full, done = [True], list[str]()

    def note() -> None:
        if full:
            raise OSError(28, "No space left on device")
        done.append("done")

    leave(world.root, "note")
    control = world.control(note=note)
    control.act()
    control.act()
    assert len(world.waits) == 1
    full.clear()
    control.act()
    assert done == ["done"]
    assert world.waiting == []


def test_a_kill_loses_no_request(world: World) -> None:
    leave(world.root, "note")
    done: list[str] = []
    control = world.control(note=lambda: done.append("done"))
    with killed_at(1):
        control.act()
    control.act()
    assert done == ["done", "done"]
    assert world.waiting == []


def test_a_state_folder_that_cannot_be_written_is_reported(world: World) -> None:
    (world.root / FOLDER).write_text("in the way")
    with pytest.raises(OutputError, match="as the user whom the daemon runs as"):
        leave(world.root, "pause")


def test_a_drain_is_forgotten_at_the_next_start(world: World) -> None:
    control = world.control()
    leave(world.root, "drain")
    control.act()
    assert control.draining and control.holds and not control.paused
    leave(world.root, "drain")  # for a daemon that is killed before it acts
    pause = leave(world.root, "pause")
    damaged = world.put(b"{")
    control = world.control()
    assert world.waiting == sorted([pause.name, damaged.name])
    assert not control.draining
