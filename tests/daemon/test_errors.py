"""The catalogue of errors: what was wrong, the sentence that says so and what helps, the exit code.

Mistakes on command lines have a catalogue of their own, in cli/test_mistakes.py.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.daemon.faults import fill, replaced
from tests.daemon.outbox.endings import digest, make_ending, output
from tests.daemon.worker.orders import order, with_settings
from tests.daemon.world import FakeExecutor, changed_settings, make_inbox, make_settings

from stylewatch_daemon.app.daemon import once
from stylewatch_daemon.base.errors import (
    DamagedError,
    InputError,
    MemoryShortError,
    OutputError,
    SettingsError,
    ShortageError,
    UnavailableError,
    UsageError,
    WorkerError,
)
from stylewatch_daemon.base.model import Cause, Input, Job, State
from stylewatch_daemon.cli.exit_codes import explain
from stylewatch_daemon.client import operations, retries
from stylewatch_daemon.client.submit import checked_name, put
from stylewatch_daemon.files import disks
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.ending import publish_output
from stylewatch_daemon.outbox.publish import RECEIPT, STAGING, Outbox
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import JobFile
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import Failed, Order, Refused
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_painter.errors import (
    DivergedError,
    LibraryError,
    PictureError,
    RecipeError,
    SaveError,
    WeightsError,
)
from stylewatch_plugins.errors import BackendFaultError, BackendMissingError, BackendOptionError

REFUSED_FOR, FAILS_FOR = partial(Refused, "why"), partial(Failed, "why")
KINDS: dict[type[Exception], tuple[int, Refused | Failed | None]] = {
    PictureError: (65, REFUSED_FOR(Cause.PICTURE)),
    DivergedError: (65, REFUSED_FOR(Cause.PICTURE)),
    InputError: (65, REFUSED_FOR(Cause.PICTURE)),
    RecipeError: (64, REFUSED_FOR(Cause.SETTINGS)),
    SettingsError: (78, REFUSED_FOR(Cause.SETTINGS)),
    SaveError: (65, REFUSED_FOR(Cause.SETTINGS)),
    UsageError: (64, None),
    WeightsError: (69, FAILS_FOR(Cause.DEVICE)),
    LibraryError: (69, Failed("why", Cause.DEVICE, recycle=True)),
    BackendMissingError: (69, FAILS_FOR(Cause.DEVICE)),
    BackendOptionError: (78, FAILS_FOR(Cause.DEVICE)),
    BackendFaultError: (70, FAILS_FOR(Cause.BUG)),
    UnavailableError: (69, FAILS_FOR(Cause.DEVICE)),
    MemoryShortError: (69, FAILS_FOR(Cause.MEMORY)),
    OutputError: (73, FAILS_FOR(Cause.DISK)),
    DamagedError: (78, FAILS_FOR(Cause.DISK)),
    ShortageError: (75, None),
    WorkerError: (70, None),
}
"""The exit code of a command that meets such an error, and the End of an attempt."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_kind_of_error_has_an_exit_code_and_refuses_a_job_or_lets_it_wait(
    kind: type[Exception],
) -> None:
    code, end = KINDS[kind]
    assert explain(kind("why")) == (code, "why")
    assert end is None or as_end(kind("why")) == end


class Here:
    """A folder with an order, whose pictures are in it, and with other things on demand."""

    def __init__(self, root: Path, pictures: Path) -> None:
        self.root, self.order = root, order(root / "job", pictures)
        self.on_torch = with_settings(self.order, backend="torch", device="cpu")
        self.state, self.outbox = StateDir(root / "state"), Outbox(root / "out")

    def prepare(self, of: Order | None = None, fields: dict[str, Any] | None = None,
                **settings: Any) -> None:  # fmt: skip
        """Prepare an order with other fields and settings."""
        prepare(with_settings(replace(of or self.order, **(fields or {})), **settings))

    def masked(self, name: str = "content.mask.png", size: tuple[int, int] = (48, 36)) -> Order:
        """Return an order with a mask of the content."""
        Image.new("L", size, 255).save(self.root / name)
        return replace(self.on_torch, masks={"content-mask": self.root / name})

    def memory(self) -> None:
        prepared = prepare(replace(self.on_torch, memory=1000))
        prepared.backend.provenance(prepared.task)

    def job(self, **more: Any) -> Job:
        """Return a job that is done, with the stages 5 and 10."""
        fill(self.root / "out/a", "stages/0005.png", "stages/0010.png")
        inputs = (Input("content", "c.jpg", str(self.root / "gone"), 5, digest("c.jpg"),
                        pixels=(48, 36)),)  # fmt: skip
        values = {"state": State.ENDED, "inputs": inputs, "place": "a", **more}
        return Job("1", "a", str(self.root / "in"), str(self.root / "out"), "then", **values)

    def settings_for(self, job: Job, stage: int | None = 5, **overrides: Any) -> None:
        changes = {f"job.{key}": value for key, value in overrides.items()}
        retries.settings_for(job, Config(), changes, stage)

    def retry(self, job: Job, **settings: Any) -> None:
        operations.retry(self.state.root, job, "2", JobFile.model_validate(settings))

    def once(self, **changes: Any) -> None:
        inboxes = (make_inbox(self.root / "in", self.root / "out"),)
        settings = make_settings(inboxes, self.root / "state", quiet_s=0.0)
        try:
            once(changed_settings(settings, **changes), executor=FakeExecutor())
        finally:
            assert not self.state.root.exists(), "nothing is made before"

    def open(self, statement: str = "") -> None:
        """Open a ledger that was changed by this statement."""
        self.state.make()
        LedgerWriter.open(self.state.ledger).close()
        with closing(sqlite3.connect(self.state.ledger, isolation_level=None)) as connection:
            connection.execute(statement)
        LedgerWriter.open(self.state.ledger)

    def on_a_network(self) -> None:
        with replaced(disks, table=lambda: "1 0 0:1 / / rw - nfs4 server:/ rw"):
            self.open()

    def in_the_way(self, name: str) -> None:
        """Make the state folder, in which a link has a name of it."""
        self.state.root.mkdir()
        (self.state.root / name).symlink_to(self.root)
        self.state.make()

    def no_receipt(self) -> None:
        ending = make_ending(self.root / "ending")
        (ending.claim.outbox / STAGING / "1" / RECEIPT).unlink()
        publish_output(ending)


CLIP = (Input("content", "c.mp4", "", 5, frames=48),)
ABSENT, GONE_STYLE = Path("absent.jpg"), {"styles": (Path("absent.jpg"),)}
WIDE: dict[str, Any] = {"size": "16384x2", "set": {"fit": "stretch"}, "enlarge": True}
LARGE: dict[str, Any] = {"size": "3000x3000", "set": {"fit": "stretch"}, "enlarge": True}
UNREAD: dict[str, Any] = {"content": ABSENT}
"""The mistake is found before the content is read."""


Row = tuple[str, type[Exception], Callable[[Here], object]]
ROWS: list[Row] = [
    # pictures and settings of a job
    ("absent.jpg is not there", PictureError, lambda it: it.prepare(fields=GONE_STYLE)),
    ("content.jpg is 1,728 pixels; the limit is 100", PictureError,
     lambda it: it.prepare(fields={"max_pixels": 100})),
    ("limits.memory allows 1e-06 GB", PictureError, Here.memory),
    ("no content picture: add one, or use only: style", SettingsError,
     lambda it: it.prepare(fields={"content": None})),
    ("no style picture: add one, or use only: content", SettingsError,
     lambda it: it.prepare(fields={"styles": ()})),
    ("unknown key 'speed'", BackendOptionError,
     lambda it: it.prepare(fields={"backend_options": {"speed": 3}})),
    ("did you mean 'best'", RecipeError, lambda it: it.prepare(fields=UNREAD, recipe="bset")),
    ("2 numbers for 1 style pictures: give one", SettingsError,
     lambda it: it.prepare(fields=UNREAD, style_weights=(1.0, 2.0))),
    ("finds no device cuda:7", BackendMissingError,
     lambda it: it.prepare(fields=UNREAD, device="cuda:7", backend="torch")),
    ("the painting would be", SettingsError,
     lambda it: it.prepare(fields={"max_pixels": 7_000_000}, **LARGE)),
    ("would be 16384x2 pixels, and webp holds at most 16383 pixels a side: ask for", SettingsError,
     lambda it: it.prepare(format="webp", **WIDE)),
    # masks
    ("content.mask.png says where styles act", SettingsError,
     lambda it: it.prepare(it.masked(), only="content")),
    ("content.mask.png is the mask of a content picture, and none is used", SettingsError,
     lambda it: it.prepare(it.masked(), only="style")),
    ("content.mask.png: backend sketch does not support masks: choose another", SettingsError,
     lambda it: it.prepare(it.masked(), backend="sketch")),
    ("high.png has 36x48 pixels and content.jpg 48x36", PictureError,
     lambda it: it.prepare(it.masked("high.png", (36, 48)))),
    # jobs that run again
    ("no steps are left", UsageError, lambda it: it.settings_for(it.job(settings={}), 999_999)),
    ("no steps are left after stage 5: ask for more", UsageError,
     lambda it: it.settings_for(it.job(settings={}), steps=5, recipe="best", size=64)),
    ("--from-stage sets the start: leave out", UsageError,
     lambda it: it.settings_for(it.job(settings={}), init="noise")),
    ("a is a clip, which cannot continue from a stage", UsageError,
     lambda it: it.settings_for(it.job(settings={}, inputs=CLIP))),
    ("steps: 0 only measures, and is for `stylewatch render`: ask for some", UsageError,
     lambda it: it.retry(it.job(), steps=0)),
    ("preview is for pictures, and c.mp4 is a clip", UsageError,
     lambda it: it.retry(it.job(inputs=CLIP), preview=64)),
    ("only is for pictures, and c.mp4 is a clip", UsageError,
     lambda it: it.retry(it.job(inputs=CLIP), only="content")),
    ("c.jpg (content) is no longer as it was", InputError,
     lambda it: next(iter(job_files.inputs(it.job()))).find(MountGuard())),
    ("retention.stages", InputError, lambda it: job_files.stage(it.job(place="b"), 5)),
    ("no longer as it was", InputError, lambda it: job_files.stage(
        it.job(), 10, [output("a/stages/0010.png", "stages", "painted")]).find(MountGuard())),
    # what is put into an inbox
    ("missing does not exist: create it", OutputError,
     lambda it: put(
         it.root / "missing", MountGuard(), iter(["sea"]), {"content.jpg": it.order.main}, {})),
    *(("would do", UsageError, lambda _, name=name: checked_name(name, ()))
      for name in ("a/b", "..", ".hidden", "a\nb", "_refused")),
    *(("an inbox ignores names like", UsageError,
       lambda _, name=name: checked_name(name, ("*.BAK",)))
      for name in ("sea.tmp", "old.bak")),
    # the start of a daemon
    ("lies in the inbox", SettingsError,
     lambda it: it.once(inboxes=(make_inbox(it.root / "in", it.root / "in/out"),))),
    ("'night'", SettingsError, lambda it: it.once(default_style="night", styles=it.root)),
    ("gpus_per_job", SettingsError, lambda it: it.once(cluster={"resources": {"GPU": 1}})),
    *((f"{name} is not a {kind}", OutputError, lambda it, name=name: it.in_the_way(name))
      for name, kind in (("trash", "folder"), ("wake", "pipe"))),
    # the ledger
    ("it has no tables of stylewatch) and was left as it is", DamagedError,
     lambda it: it.open("PRAGMA user_version = 0")),
    ("newer stylewatch (version 99", DamagedError,
     lambda it: it.open("PRAGMA user_version = 99")),
    ("set state.path to a folder", SettingsError, Here.on_a_network),
    ("as the user whom the daemon", OutputError,
     lambda it: requests.leave(it.order.main / "state", "pause")),
    # outboxes and disks
    ("has no files of it: mount the disk", OutputError, Here.no_receipt),
    *(("outside of its folder", OutputError,
       lambda it, path=path: it.outbox.publish("1", "a", path))
      for path in ("/escaped", "a/../../escaped")),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:50])
def test_a_mistake_is_an_error_that_says_what_is_wrong_and_what_helps(
    row: Row, tmp_path: Path, pictures: Path
) -> None:
    sentence, kind, act = row
    with pytest.raises(kind) as caught:
        act(Here(tmp_path, pictures))
    assert caught.type is kind
    assert sentence in " ".join(str(caught.value).split())
