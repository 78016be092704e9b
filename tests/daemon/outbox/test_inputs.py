"""Nothing is removed that is not accounted for, and what is accounted for does not stay (law 1)."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.daemon.faults import fill, replaced, tree
from tests.daemon.outbox.endings import digest, everything, make_ending, output, publish

from stylewatch_daemon.base.model import End, Input, Job
from stylewatch_daemon.files import atomic, identity, safe_dirs
from stylewatch_daemon.files.identity import Look, Version, Writers
from stylewatch_daemon.files.system import system
from stylewatch_daemon.ledger.claim import Claim, File
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.outbox.inputs import Account, FirstSights, Removal, remove, remove_all

NAME, TEXT, LATER, OTHER = "a.jpg", "as it was claimed", "as it is later on", "of another file"


def write_at(path: Path, time_ns: int) -> None:
    """Write a file that has this time."""
    path.write_text(TEXT)
    os.utime(path, ns=(time_ns, time_ns))


KINDS: dict[str, Callable[[Path], object]] = {
    "as it was": lambda path: write_at(path, 0),
    "changed": lambda path: path.write_text(LATER),
    "gone": lambda path: None,
    "link": lambda path: path.symlink_to(path.parent / "elsewhere"),
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
}
"""What there is under the name of an input, and how it is made."""


def write_on(path: Path) -> None:
    """Write to a file, and set its time back."""
    before = path.stat().st_mtime_ns
    path.write_text(LATER)
    os.utime(path, ns=(before, before))


def replace_it(path: Path) -> None:
    """Put another file in the place of a file."""
    path.with_name("new").write_text(OTHER)
    path.with_name("new").rename(path)


MEANWHILE: dict[str, Callable[[Path], None]] = {
    "": lambda path: None, "written": write_on, "replaced": replace_it,
}  # fmt: skip
"""What somebody does to a file while it is read."""


SETTLES_IN = 60.0
JOB = Job("1", "a", "/in", "/out", "2026-01-02")


@dataclass(frozen=True)
class Case:
    """An input of a job, what the ledger and the settings say of it, and what others do."""

    after: str = "archive"
    role: str = "content"
    own: bool = True
    is_retry: bool = False
    source: str = "/in"
    """Folder in which a retry found it."""
    end: End = End.DONE
    part: str = "inputs"
    """Part of the output that a file with the bytes `text` belongs to, by the ledger."""
    text: str = TEXT
    is_deleted: bool = False
    kind: str = "as it was"
    meanwhile: str = ""
    writers: Writers = Writers.NONE
    is_settled: bool = True

    @property
    def file(self) -> File:
        """The input by the claim."""
        return File(self.role, NAME, Path(self.source) / NAME, Look(len(TEXT), 0), self.own)

    @property
    def account(self) -> Account:
        """What the daemon says that allows the removal."""
        claim = Claim("1", "a", Path("/in"), Path("/out"), self.after, (self.file,),
                      retry_of="old" if self.is_retry else "")  # fmt: skip
        listed = [output("a/x", self.part, self.text)] if self.part else []
        sha256 = "" if self.role == "job" else digest(TEXT)  # it is used unread
        used = Input(self.role, NAME, "", len(TEXT), sha256)
        job = replace(JOB, end=self.end, inputs=(used,))
        account = Account.of(job, claim, listed, SETTLES_IN)
        return replace(account, is_deleted=self.is_deleted)

    def allows(self, text: str) -> bool:
        """Return whether the law allows that a file with this text is removed."""
        is_published = self.part in ("inputs", "refused") and self.text == text
        # a mask or a content that jobs share is archived by each of them
        is_kept = self.role == "job" or not self.is_retry or self.source == "/in"
        stays_elsewhere = (self.after == "keep" and is_kept) or not (
            self.own or self.role == "content"
        )
        has_picture = self.end in (End.DONE, End.STOPPED_EARLY)
        is_unwanted = self.after == "delete" and has_picture and text == TEXT
        return is_published or stays_elsewhere or is_unwanted or self.is_deleted

    @property
    def may_be_written(self) -> bool:
        """True if a program may still write to what was a file of the inbox."""
        is_original = self.own and self.after != "keep" and not self.is_retry
        is_seen = self.writers is Writers.SOME
        return is_original and (
            is_seen or (self.writers is Writers.UNKNOWN and not self.is_settled)
        )


CASES = st.builds(
    Case,
    after=st.sampled_from(["archive", "keep", "delete"]),
    role=st.sampled_from(["content", "style", "job"]),
    own=st.booleans(),
    is_retry=st.booleans(),
    source=st.sampled_from(["/in", "/out/a/inputs", "/uploads"]),
    end=st.sampled_from(End),
    part=st.sampled_from(["inputs", "refused", "final", "files", "finals", ""]),
    text=st.sampled_from([TEXT, LATER, OTHER]),
    is_deleted=st.booleans(),
    kind=st.sampled_from([*KINDS]),
    meanwhile=st.sampled_from([*MEANWHILE]),
    writers=st.sampled_from(Writers),
    is_settled=st.booleans(),
)


@settings(max_examples=400)
@given(CASES)
@example(Case())
@example(Case(text=LATER, kind="changed"))
@example(Case(text=LATER, meanwhile="written"))
@example(Case(meanwhile="written"))
@example(Case(meanwhile="replaced"))
@example(Case(writers=Writers.UNKNOWN, is_settled=False))
@example(Case(writers=Writers.SOME))
@example(Case(after="delete", part="", kind="changed"))
def test_an_input_goes_exactly_if_it_is_accounted_for_whole_and_not_being_written(
    case: Case,
) -> None:
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / NAME
        fill(path.parent, "elsewhere")
        KINDS[case.kind](path)
        was_read: list[str] = []

        def step() -> None:
            if not was_read:
                was_read.append(path.read_text())
                MEANWHILE[case.meanwhile](path)

        was_there, before = os.path.lexists(path), everything(path.parent)
        with (
            safe_dirs.opened(path.parent) as folder,
            replaced(identity, writers=lambda *args: case.writers),
            replaced(atomic, seconds_unchanged=lambda *args: SETTLES_IN - 1 + case.is_settled),
        ):
            result = remove(NAME, folder, case.file, case.account, step)
        is_gone = not os.path.lexists(path)
        assert (result is Removal.GONE) == is_gone
        assert (path.parent / "elsewhere").read_text() == "elsewhere"
        if not was_there:
            assert result is Removal.GONE
        elif case.kind not in ("as it was", "changed"):
            assert result is Removal.CHANGED and everything(path.parent) == before
        else:
            text = before[NAME]
            if is_gone:
                assert case.allows(text)
                assert case.is_deleted or not case.may_be_written
                assert not (was_read and case.meanwhile), "it is not what was read"
            elif not (was_read and case.meanwhile):
                assert path.read_text() == text
                assert not case.allows(text) or (case.may_be_written and not case.is_deleted)
            if case.may_be_written and not case.is_deleted:
                assert result is Removal.OPEN


@pytest.mark.parametrize("after", ["archive", "delete"])
def test_a_file_that_takes_the_place_of_another_at_the_last_moment_stays(
    after: str, tmp_path: Path
) -> None:
    case, path = Case(after), tmp_path / NAME
    path.write_text(TEXT)

    def look_for_writers(*args: object) -> Writers:
        replace_it(path)
        return Writers.NONE

    with safe_dirs.opened(tmp_path) as folder, replaced(identity, writers=look_for_writers):
        assert remove(NAME, folder, case.file, case.account) is Removal.CHANGED
    assert path.read_text() == OTHER


# -- all inputs of a job


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """The state folder, with the inputs of a job that was published."""
    state = StateDir(tmp_path / "state")
    state.make()
    return state


def published(root: Path, after: str = "archive") -> Account:
    """Publish the end of the job, and return the account that follows from it."""
    ending = make_ending(root, after)
    files = publish(ending).files
    return Account.of(ending.job, ending.claim, files, SETTLES_IN)


@pytest.mark.parametrize("after", ["archive", "keep", "delete"])
def test_a_job_that_was_published_leaves_nothing_in_the_state_folder(
    after: str, state: StateDir, tmp_path: Path
) -> None:
    account = published(tmp_path, after)
    fill(state.files("1"), f".{'0' * 16}.tmp")
    assert remove_all(state, account) == {}
    state.discard("1")
    assert remove_all(state, account) == {}, "again after a kill"
    assert tree(state.jobs) == {}


def test_what_nobody_published_stays_and_is_named(state: StateDir, tmp_path: Path) -> None:
    account = published(tmp_path)
    (state.files("1") / "photo.jpg").write_text("its last bytes")
    fill(state.files("1"), "theirs.jpg")
    expected = {"photo.jpg": Removal.CHANGED, "theirs.jpg": Removal.STRANGE}
    assert remove_all(state, account) == expected
    (state.files("1") / "photo.jpg").unlink()
    assert remove_all(state, account) == {"theirs.jpg": Removal.STRANGE}
    assert tree(state.files("1")) == {"theirs.jpg": "theirs.jpg"}
    with pytest.raises(OSError, match="is not empty: its files are kept"):
        state.discard("1")


def test_an_input_of_another_size_than_all_published_files_is_not_read(tmp_path: Path) -> None:
    ending = make_ending(tmp_path)
    files = list(publish(ending).files)
    with (ending.inputs / "photo.jpg").open("wb") as file:  # a sparse file takes no space
        file.truncate(1 << 40)
    account = Account.of(ending.job, ending.claim, files, SETTLES_IN)
    steps: list[int] = []
    left = remove_all(StateDir(tmp_path / "state"), account, step=lambda: steps.append(1))
    assert (left, len(steps)) == ({"photo.jpg": Removal.CHANGED}, 1), "only the job.yaml is read"


@pytest.mark.parametrize("told", [SETTLES_IN, inf])
def test_the_times_of_a_file_count_if_it_changed_since_the_start(told: float) -> None:
    now = [0.0]
    sights = FirstSights(lambda: now[0])
    now[0] += SETTLES_IN
    assert sights.unchanged(told, "1", NAME, Version(1, 2, 3)) == told


@pytest.mark.parametrize("told", [None, 5 * 86_400.0], ids=["the future", "days ago"])
def test_a_file_from_before_the_start_stays_until_it_is_seen_unchanged(
    told: float | None, tmp_path: Path
) -> None:
    """Its times say nothing if the clock was set while no daemon ran, back or forward."""
    case, path, now = Case(), tmp_path / NAME, [0.0]
    path.write_text(TEXT)
    account = replace(case.account, first_sights=FirstSights(lambda: now[0]))
    results = list[Removal]()
    with (
        safe_dirs.opened(tmp_path) as folder,
        replaced(identity, writers=lambda *args: Writers.UNKNOWN),
        replaced(atomic, seconds_unchanged=lambda *args: told),
    ):
        for seconds in (0, SETTLES_IN - 1, 2):
            now[0] += seconds
            if seconds == SETTLES_IN - 1:
                os.utime(path, (0, 0))  # a program that cannot be seen changes it
            results.append(remove(NAME, folder, case.file, account))
        now[0] += SETTLES_IN
        results.append(remove(NAME, folder, case.file, account))
    assert results == [Removal.OPEN, Removal.OPEN, Removal.OPEN, Removal.GONE]


def test_for_how_long_a_file_has_not_changed_is_told_by_the_clock_of_its_disk(
    tmp_path: Path,
) -> None:
    path = tmp_path / NAME
    path.write_text(TEXT)
    os.utime(path, (0, 0))  # a program may set this time
    with safe_dirs.opened(tmp_path) as folder, path.open("rb") as file:
        assert 0 <= (atomic.seconds_unchanged(file, NAME, folder) or 0) < 5
        os.utime(path, (2e10, 2e10))
        assert 0 <= (atomic.seconds_unchanged(file, NAME, folder) or 0) < 5
        ahead = os.stat_result([*path.stat()[:9], 0], {"st_mtime_ns": 0, "st_ctime_ns": 10**19})
        with replaced(
            system, fstat=lambda handle: ahead if handle == file.fileno() else os.fstat(handle)
        ):
            assert atomic.seconds_unchanged(file, NAME, folder) is None, "the clock was set back"
        (tmp_path / "link").hardlink_to(path)
        assert atomic.seconds_unchanged(file, NAME, folder) == inf, "its bytes stay there"
    assert {*tree(tmp_path)} == {NAME, "link"}
