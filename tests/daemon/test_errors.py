"""The catalogue of errors: what was wrong, the sentence that says so and what helps, the exit code.

Mistakes on command lines have a catalogue of their own, in cli/test_mistakes.py.
"""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.daemon.faults import failing, fill, replaced
from tests.daemon.outbox.endings import digest, make_ending, output
from tests.daemon.worker.orders import order, painted, with_settings
from tests.daemon.world import FakeExecutor, changed_settings, make_inbox, make_settings
from tests.painter.films import film

from stylewatch_daemon.app.daemon import once
from stylewatch_daemon.artifacts import drawing, loss_plot
from stylewatch_daemon.artifacts.request import ArtifactRequest, LossTable, Source
from stylewatch_daemon.base.errors import (
    DamagedError,
    FullError,
    InputError,
    OutputError,
    SettingsError,
    ShortageError,
    UnavailableError,
    UsageError,
    WorkerError,
)
from stylewatch_daemon.base.model import Cause, Input, Job, State
from stylewatch_daemon.cli.exit_codes import explain
from stylewatch_daemon.executors.ray import demand, ray_api
from stylewatch_daemon.executors.ray.demand import Demand
from stylewatch_daemon.files import disks, safe_dirs
from stylewatch_daemon.intake.submit import check_name, free, put
from stylewatch_daemon.jobs import retries
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.outbox import job_files, publish
from stylewatch_daemon.outbox.ending import publish_output
from stylewatch_daemon.outbox.publish import RECEIPT, STAGING, Outbox
from stylewatch_daemon.outbox.removal import remove
from stylewatch_daemon.outbox.staging import AttemptFiles
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.style_library import check_default_style
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import Failed, Order, Refused
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_painter.errors import (
    DivergedError,
    PictureError,
    RecipeError,
    SaveError,
    WeightsError,
)
from stylewatch_plugins.errors import BackendMissingError, BackendOptionError

REFUSED_FOR, FAILS_FOR = partial(Refused, "why"), partial(Failed, "why")
KINDS: dict[type[Exception], tuple[int, Refused | Failed | None]] = {
    PictureError: (65, REFUSED_FOR(Cause.PICTURE)),
    DivergedError: (65, REFUSED_FOR(Cause.PICTURE)),
    InputError: (65, REFUSED_FOR(Cause.PICTURE)),
    RecipeError: (64, REFUSED_FOR(Cause.SETTINGS)),
    SettingsError: (78, REFUSED_FOR(Cause.SETTINGS)),
    UsageError: (64, None),
    WeightsError: (69, FAILS_FOR(Cause.DEVICE)),
    BackendMissingError: (69, FAILS_FOR(Cause.DEVICE)),
    BackendOptionError: (78, FAILS_FOR(Cause.DEVICE)),
    UnavailableError: (69, FAILS_FOR(Cause.DEVICE)),
    SaveError: (73, FAILS_FOR(Cause.DISK)),
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

    def clip(self, shape: tuple[int, int] = (64, 48), **settings: Any) -> Order:
        """Return an order for a clip of this width and height."""
        frames = [np.zeros((shape[1], shape[0], 3), np.uint8)] * 2
        path = film(self.root / "film.mkv", "ffv1", frames=frames, pix_fmt="bgr0")
        return with_settings(replace(self.on_torch, content=path), **settings)

    def masked(self, name: str = "content.mask.png", size: tuple[int, int] = (48, 36)) -> Order:
        """Return an order with a mask of the content."""
        Image.new("L", size, 255).save(self.root / name)
        return replace(self.on_torch, masks={"content-mask": self.root / name})

    def masked_by_a_clip(self) -> Order:
        return replace(self.on_torch, masks={"content-mask": self.clip().main})

    def memory(self) -> None:
        prepared = prepare(replace(self.on_torch, memory=1000))
        prepared.backend.provenance(prepared.task)

    def job(self, **more: Any) -> Job:
        """Return a job that is done, with the stages 5 and 10."""
        fill(self.root / "out/a", "stages/0005.png", "stages/0010.png")
        inputs = (Input("content", "c.jpg", str(self.root / "gone"), 5, digest("c.jpg")),)
        values = {"state": State.ENDED, "inputs": inputs, "place": "a", **more}
        return Job("1", "a", str(self.root / "in"), str(self.root / "out"), "then", **values)

    def settings_for(self, job: Job, stage: int | None = 5, **overrides: Any) -> None:
        changes = {f"job.{key}": value for key, value in overrides.items()}
        retries.settings_for(job, Config(), changes, stage)

    def job_file(self, content: bytes) -> Job:
        """Return such a job with a job.yaml."""
        path = self.root / "out/a/inputs/job.yaml"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        file = Input("job", "job.yaml", "", len(content), digest(content.decode("latin-1")))
        return self.job(inputs=(replace(file, sha256=""),))

    def put(self, content: str, folder: str = "job") -> None:
        put(self.root / folder, free("sea"), {"content.jpg": self.root / content}, {})

    def once(self, **changes: Any) -> None:
        inboxes = (make_inbox(self.root / "in", self.root / "out"),)
        settings = make_settings(inboxes, self.root / "state", quiet_s=0.0)
        try:
            once(changed_settings(settings, **changes), executor=FakeExecutor())
        finally:
            assert not self.state.root.exists(), "nothing is made before"

    def without_ray(self) -> None:
        with replaced(demand, version=lambda name: version("no-such-package")):
            self.once(cluster=Demand())

    def of_another_cluster(self) -> None:
        import ray

        refusal = ConnectionError("Token authentication is enabled but no token was found")
        with replaced(ray, init=failing(refusal)):
            ray_api.connect("auto")

    def open(self, change: Callable[[Path], object] | str = "") -> None:
        """Open a ledger that was changed."""
        self.state.make()
        LedgerWriter.open(self.state.ledger).close()
        if isinstance(change, str):
            with closing(sqlite3.connect(self.state.ledger, isolation_level=None)) as connection:
                connection.execute(change)
        else:
            self.state.ledger.unlink()
            change(self.state.ledger)
        LedgerWriter.open(self.state.ledger)

    def read_no_ledger(self) -> None:
        with reading(self.root / "no.sqlite3"):
            pass

    def probe_full(self) -> None:
        with replaced(os, replace=failing(OSError(errno.ENOSPC, "No space left on device"))):
            self.outbox.probe()

    def remove_changed(self, make: Callable[[Path], object]) -> None:
        """Remove a file of a job from an outbox that was changed."""
        fill(self.outbox.root, "a/final.png")
        make(self.outbox.root)
        remove(self.outbox.root, [output("a/final.png", text="a/final.png")])

    def on_a_network(self) -> None:
        with replaced(disks, table=lambda: "1 0 0:1 / / rw - nfs4 server:/ rw"):
            self.open()

    def in_the_way(self, name: str, make: Callable[[Path], object]) -> None:
        """Make the state folder, in which something else has a name of it."""
        self.state.root.mkdir()
        make(self.state.root / name)
        self.state.make()

    def full(self) -> None:
        with replaced(
            os, statvfs=lambda path: os.statvfs_result([1, 1, 1 << 40, 0, 1500, *[0] * 5])
        ):
            disks.check([(self.root, 1000)], 501)

    def no_receipt(self) -> None:
        ending = make_ending(self.root / "ending")
        (ending.claim.outbox / STAGING / "1" / RECEIPT).unlink()
        publish_output(ending)

    def reserve_behind_a_link(self) -> None:
        self.outbox.root.mkdir()
        (self.outbox.root / "album").symlink_to(self.root)
        self.outbox.reserve("album/job", lambda place: None)

    def announce(self, path: str) -> None:
        files = AttemptFiles(self.outbox, "1")
        files.begin(".1-1-1")
        files.check(path, digest(path))

    def leads_out(self, path: str) -> None:
        with safe_dirs.opened(self.root, path):
            pass

    def draw_nothing(self) -> None:
        gone = Source((str(self.root / "gone.png"),))
        drawing.animation(
            ArtifactRequest((), LossTable(), content=None, styles=(), stages=(), final=gone), "gif"
        )

    def read_no_styles(self) -> None:
        pairing = make_settings([], self.root, default_style="wave", styles=self.root).pairing
        with replaced(Path, iterdir=failing(PermissionError(13, "Permission denied"))):
            check_default_style(pairing)


ABSENT, DONE, GONE_STYLE = Path("absent.jpg"), {"done": 3}, {"styles": (Path("absent.jpg"),)}
WIDE: dict[str, Any] = {"size": "16384x2", "set": {"fit": "stretch"}, "enlarge": True}
LARGE: dict[str, Any] = {"size": "3000x3000", "set": {"fit": "stretch"}, "enlarge": True}
STROKES: dict[str, Any] = {"size": "3000", "preview": "300", "style_size": "300", "stroke": 1.2,
                           "enlarge": True}  # fmt: skip
UNREAD: dict[str, Any] = {"content": ABSENT}
"""The mistake is found before the content is read."""


def swap_for_a_link(outbox: Path) -> None:
    (outbox / "a").rename(outbox.with_name("away"))
    (outbox / "a").symlink_to(outbox.with_name("away"))


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
    ("add one, or leave out only: style", SettingsError,
     lambda it: it.prepare(fields={"styles": (), "content": ABSENT}, only="style")),
    ("unknown key 'speed'", BackendOptionError,
     lambda it: it.prepare(fields={"backend_options": {"speed": 3}})),
    ("did you mean 'best'", RecipeError, lambda it: it.prepare(fields=UNREAD, recipe="bset")),
    ("2 numbers for 1 style pictures: give one", SettingsError,
     lambda it: it.prepare(fields=UNREAD, style_weights=(1.0, 2.0))),
    ("2 sizes for 1 style pictures", SettingsError,
     lambda it: it.prepare(fields=UNREAD, style_size=("50%", "area"))),
    ("finds no device cuda:7", BackendMissingError,
     lambda it: it.prepare(fields=UNREAD, device="cuda:7", backend="torch")),
    ("color: content needs a content picture", SettingsError,
     lambda it: it.prepare(fields=UNREAD, only="style", color="content")),
    ("color: match recolors the styles", SettingsError,
     lambda it: it.prepare(fields=GONE_STYLE, only="content", color="match")),
    ("done: 3 is for a picture", SettingsError, lambda it: it.prepare(set=DONE)),
    ("done: 999 leaves no steps of the recipe: ask for more", SettingsError,
     lambda it: it.prepare(fields={"init": it.order.content}, set={"done": 999})),
    ("the painting would be", SettingsError,
     lambda it: it.prepare(fields={"max_pixels": 7_000_000}, **LARGE)),
    ("style-1 would be", SettingsError,
     lambda it: it.prepare(fields={"max_pixels": 7_000_000}, **STROKES)),
    ("would be 16384x2 pixels, and webp holds at most 16383 pixels a side: ask for", SettingsError,
     lambda it: it.prepare(format="webp", **WIDE)),
    # masks and clips
    ("content.mask.png says where styles act", SettingsError,
     lambda it: it.prepare(it.masked(), only="content")),
    ("content.mask.png: backend sketch does not support masks: choose another", SettingsError,
     lambda it: it.prepare(it.masked(), backend="sketch")),
    ("high.png has 36x48 pixels and content.jpg 48x36", PictureError,
     lambda it: it.prepare(it.masked("high.png", (36, 48)))),
    ("film.mkv is a clip, and a mask is a picture", SettingsError,
     lambda it: it.prepare(it.masked_by_a_clip())),
    *((f"{word} is for pictures, and film.mkv is a clip", SettingsError,
       lambda it, settings=settings: painted(it.clip(**settings)))
      for word, settings in (("only", {"only": "content"}), ("preview", {"preview": 16}))),
    ("film.mkv is a clip", SettingsError,
     lambda it: painted(replace(it.clip(init="picture"), init=it.order.content))),
    ("would be 16386x2 pixels, and mp4 holds at most 16384 pixels a side: ask", SettingsError,
     lambda it: painted(it.clip((16_386, 2), size="16386"))),
    # jobs that run again
    ("no steps are left", UsageError, lambda it: it.settings_for(it.job(settings={}), 999_999)),
    ("--from-stage sets the start: leave out", UsageError,
     lambda it: it.settings_for(it.job(settings={}), init="noise")),
    ("a is a clip, which cannot continue from a stage", UsageError, lambda it: it.settings_for(
        it.job(settings={}, inputs=(Input("content", "c.mp4", "", 5, frames=48),)))),
    ("job.yaml", InputError, lambda it: it.settings_for(it.job_file(b"name: caf\xe9\n"), None)),
    ("the limit of settings", InputError,
     lambda it: it.settings_for(it.job_file(b"#" * 100_001), None)),
    ("steps", InputError, lambda it: it.settings_for(it.job_file(b"steps: x\nseed: 7\n"), None)),
    ("c.jpg (content) is no longer as it was", InputError,
     lambda it: next(iter(job_files.inputs(it.job()))).find()),
    ("a has no stage 7; there are 5, 10", InputError, lambda it: job_files.stage(it.job(), 7)),
    *(("retention.stages", InputError,
       lambda it, place=place: job_files.stage(it.job(place=place), 5)) for place in ("b", None)),
    ("no longer as it was", InputError, lambda it: job_files.stage(
        it.job(), 10, [output("a/stages/0010.png", "stages", "painted")]).find()),
    # what is put into an inbox
    ("missing does not exist; the daemon creates it", OutputError,
     lambda it: it.put("job", "missing")),
    ("gone.jpg: No such file", OutputError, lambda it: it.put("gone.jpg")),
    ("not a regular file", InputError, lambda it: it.put("job")),
    *(("would do", UsageError, lambda _, name=name: check_name(name, ()))
      for name in ("a/b", "..", ".hidden", "-x", "a\nb", "_refused", "")),
    *(("an inbox ignores names like", UsageError, lambda _, name=name: check_name(name, ("*.BAK",)))
      for name in ("sea.tmp", "old.bak")),
    # the start of a daemon
    ("lies in the inbox", SettingsError,
     lambda it: it.once(inboxes=(make_inbox(it.root / "in", it.root / "in/out"),))),
    ("'night'", SettingsError, lambda it: it.once(default_style="night", styles=it.root)),
    ("cannot be read: Permission denied", SettingsError, Here.read_no_styles),
    ("Ray is not installed: `", SettingsError, Here.without_ray),
    ("gpus_per_job", SettingsError, lambda _: Demand(resources={"GPU": 1}).check()),
    ("refuses access: give this machine its token", UnavailableError, Here.of_another_cluster),
    *((f"{name} is not a {kind}", OutputError,
       lambda it, name=name, make=make: it.in_the_way(name, make))
      for name, kind, make in (
          ("claims", "folder", Path.touch), ("uploads", "folder", os.mkfifo),
          ("wake", "pipe", Path.touch),
          *((name, kind, lambda path: path.symlink_to(path.parent.parent))
            for name, kind in (("trash", "folder"), ("thumbs", "folder"), ("wake", "pipe"))))),
    # the ledger
    *((f"{why}) and was left as it is", DamagedError, lambda it, change=change: it.open(change))
      for why, change in (
          ("(it is empty", Path.touch), ("is not a regular file", os.mkfifo),
          ("is not a regular file", Path.mkdir),
          ("not a database", lambda path: path.write_bytes(b"this is no database" * 9)),
          ("it has no tables of stylewatch", "PRAGMA user_version = 0"))),
    ("newer stylewatch (version 99", SettingsError,
     lambda it: it.open("PRAGMA user_version = 99")),
    ("set state.path to a folder", SettingsError, Here.on_a_network),
    ("no.sqlite3 cannot be used", OutputError, Here.read_no_ledger),
    ("as the user whom the daemon", OutputError,
     lambda it: requests.leave(it.order.main / "state", "pause")),
    # outboxes and disks
    ("has no files of it: mount the disk", OutputError, Here.no_receipt),
    ("No space left", OutputError, Here.probe_full),
    ("is not there", OutputError, lambda it: it.remove_changed(shutil.rmtree)),
    ("remove the link there", OutputError, lambda it: it.remove_changed(swap_for_a_link)),
    ("leads out of the outbox", OutputError, Here.reserve_behind_a_link),
    *(("outside of its folder", OutputError,
       lambda it, path=path: it.outbox.publish("1", it.root / "out/a", path))
      for path in ("../escaped", "/escaped", "a/../../escaped")),
    ("No such file", OutputError, lambda it: it.outbox.publish("1", it.root / "out/a", "no.png")),
    ("gone; is its disk still mounted", OutputError,
     lambda it: publish.stage(it.root / "gone", "final.png", b"painted")),
    *(("leads out", OutputError, lambda it, path=path: it.announce(path))
      for path in ("../2/final.png", "/etc/hostname")),
    *(("leads out", OutputError, lambda it, path=path: it.leads_out(path))
      for path in ("../elsewhere", "/etc", "job/../../elsewhere")),
    ("1.5 kB free", FullError, Here.full),
    ("501 bytes that limits.free_bytes keeps: 1 bytes more must be free", FullError, Here.full),
    # artifacts and child processes
    ("none of its pictures", PictureError, Here.draw_nothing),
    ("no losses", PictureError, lambda _: loss_plot.draw(LossTable())),
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
