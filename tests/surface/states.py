"""The texts of all surfaces about each condition of the daemon and each state of a job.

`status` (also on a small terminal), `_status.txt`, the page, the API, `/metrics`, `/readyz`, the
doctor, `submit --wait` and the answers of commands agree: one sentence, the same reasons, problems
before the queue, the same progress, and only operations that are permitted, all of them. The
command on the page of a job is accepted, the page's checks find what `doctor` finds, and an end has
one exit code. What a surface does not say is in a short list.
The ledger and the status are written by the daemon's own code. Commands run in this process, and
the page answers a client of the tests.
"""

import errno
import html
import json
import re
import resource
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import (
    ExitStack,
    chdir,
    closing,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
    suppress,
)
from dataclasses import dataclass, field, replace
from datetime import datetime
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args
from unittest.mock import patch

import yaml
from tests.daemon.faults import fill
from tests.daemon.web.world import BROWSER, a_job, client, enter, finished_job, settings
from tests.daemon.world import LanesNow

from stylewatch_daemon.app.daemon import Summary
from stylewatch_daemon.app.status import Snapshot, StatusFiles
from stylewatch_daemon.base.errors import (
    EXIT_OF_END,
    DaemonError,
    Exit,
    InputError,
    OutputError,
    StateError,
)
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import PICTURES, REFUSALS, Attempt, Cause, End, Job, Pair, State
from stylewatch_daemon.cli import control, submit
from stylewatch_daemon.cli.exit_codes import explain
from stylewatch_daemon.cli.lookup import find
from stylewatch_daemon.cli.main import call
from stylewatch_daemon.client import operations
from stylewatch_daemon.doctor import backends, diagnose
from stylewatch_daemon.doctor.finding import Finding
from stylewatch_daemon.files import lock
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.system import system
from stylewatch_daemon.jobs.lifecycle import ALLOWED, Activity, Kind
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.ledger import FILE_NAME
from stylewatch_daemon.ledger.requests import PAUSED
from stylewatch_daemon.ledger.state_dir import LOCK
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.settings.config import Config, Start
from stylewatch_daemon.views import readers
from stylewatch_daemon.views.formatting import duration_range
from stylewatch_daemon.web import actions, doctor_runner, overview, serve
from stylewatch_daemon.web.http import API
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import Refused
from stylewatch_painter.errors import PictureError

LINES = 24
"""Height of the terminal in which the status is watched."""

NOON = "2026-01-02T12:00:00+00:00"

NO_SENTENCE = {"/metrics", "/healthz"}
"""Surfaces with numbers, and one about the page's process alone."""

NO_REASONS = {"/metrics", "/healthz", "/readyz", "doctor", "systemd"}
"""Surfaces without the reasons of what waits: numbers, what is public, a line; the doctor finds
them itself."""

OF_ONE = {"submit --wait": ("/place/out",), "submit --wait of a pair": ("/place/in", "/place/out")}
"""Surfaces with the reasons of one job, or of one pair that is in the inbox: its folders."""

NO_NOTES = {"overview", "status --watch"}
"""The overview links to Health, which has the notes; a window may end before them."""

NO_COMMAND = {"favorite", "unfavorite", "trash", "restore", "delete"}
"""Operations without a command."""

VERBS: tuple[str, ...] = get_args(operations.Verb)


class Terminal(StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Moment:
    """A condition of the daemon: what it has published, if anything, and whether it lives."""

    name: str
    is_held: bool = True
    """True if a daemon holds the state folder."""
    published: Mapping[str, Any] | None = field(default_factory=dict)
    """Fields of its published Snapshot; None if it has published nothing."""
    is_anew: bool = False
    """True if a daemon starts after the one that published."""
    is_paused: bool = False
    is_running: bool = False
    is_ready: bool = False
    """True if new jobs start."""

    @property
    def is_told(self) -> bool:
        """True if a daemon tells what it has seen of its folders; what others saw is history."""
        return self.published is not None and self.is_held and not self.is_anew

    def at(self, root: Path) -> "Moment":
        """Return the moment with the folders of a place, in its reasons."""
        blocked = (self.published or {}).get("blocked")
        if blocked is None:
            return self
        there = {what.replace("ROOT", str(root)): why for what, why in blocked.items()}
        return replace(self, published={**(self.published or {}), "blocked": there})


OBSTACLES: Mapping[str, Mapping[str, str]] = {
    "an inbox is away": {"/disks/card": "the inbox is on a disk that is not mounted"},
    "an inbox of a pair is away": {"ROOT/in": "the inbox is on a disk that is not mounted"},
    "an outbox is away, which no job has tried": {"ROOT/out": "its disk is not mounted now"},
    "an outbox is away": {"waits-1": "the outbox /disks/out is on a disk that is not mounted"},
    "a disk is full": {"waits-1": "the disk of /srv/out has 38 GB free and needs 214 kB"},
    "a device is missing": {"waits-1": "the backend torch has no device cuda:0"},
    "the executor is unreachable": {"waits-1": "the Ray cluster at auto did not answer"},
    "a folder is silent": {"/disks/in": "it has not answered for 9 s; what needs it waits"},
    "the ledger is locked": {"the ledger": "another program has locked it"},
    "a request waits": {"request 3 to delete sea": "the disk with its files is away"},
}
WRONG = {"the settings": "config.yaml line 3: unknown key 'joob'; did you mean 'job'?"}

OPENS = datetime(2026, 11, 28, 22).astimezone()
"""When `executor.hours` begin next."""

MOMENTS = (
    Moment("never started", is_held=False, published=None),
    Moment("never started, paused", is_held=False, published=None, is_paused=True),
    Moment("starting", published=None),
    Moment("starting, paused", published=None, is_paused=True),
    Moment("starting after a kill", is_anew=True),
    Moment("starting after a stop", published={"leaving": True}, is_anew=True),
    Moment("idle", is_ready=True),
    Moment("running", is_running=True, is_ready=True),
    Moment("running without events", published={"events": False}, is_running=True, is_ready=True),
    Moment("paused", is_paused=True),
    Moment("trying", published={"trying": True}, is_ready=True),
    Moment("learning", published={"learning": ["sea.jpg: step 2 of 9"]}, is_ready=True),
    Moment("learning, running", published={"learning": ["sea.jpg: step 2 of 9"]}, is_ready=True,
           is_running=True),
    Moment("outside of the hours", published={"opens": OPENS}, is_ready=True),
    Moment("outside of the hours, blocked", published={
        "opens": OPENS, "blocked": OBSTACLES["a disk is full"]}),
    Moment("outside of the hours, paused", published={"opens": OPENS}, is_paused=True),
    Moment("paused, running", is_paused=True, is_running=True),
    Moment("draining", published={"draining": True}, is_running=True),
    Moment("draining, paused", published={"draining": True}, is_running=True, is_paused=True),
    Moment("stopping", published={"stopping": True}, is_running=True),
    Moment("stopping, the last moment", published={"leaving": True, "stopping": True}),
    Moment("restarting", published={"stopping": True, "restarting": True}, is_running=True),
    Moment("drained", is_held=False, published={"leaving": True, "stopping": True}),
    Moment("stopped, paused", is_held=False, published={"leaving": True, "stopping": True},
           is_paused=True),
    Moment("died", is_held=False, is_running=True),
    Moment("died, blocked", is_held=False, published={"blocked": OBSTACLES["a disk is full"]}),
    Moment("stopped with wrong settings", is_held=False, published={
        "blocked": WRONG, "old_settings": True, "leaving": True, "stopping": True}),
    Moment("starting, blocked before", is_anew=True, published={
        "blocked": OBSTACLES["an inbox is away"]}),
    Moment("wrong settings", published={"blocked": WRONG, "old_settings": True}, is_ready=True),
    Moment("wrong settings, running", published={"blocked": WRONG, "old_settings": True},
           is_ready=True, is_running=True),
    Moment("wrong settings and an obstacle", published={
        "blocked": {**WRONG, **OBSTACLES["a disk is full"]}, "old_settings": True}),
    *(Moment(name, published={"blocked": reasons}) for name, reasons in OBSTACLES.items()),
    Moment("an obstacle, running", published={"blocked": OBSTACLES["a disk is full"]},
           is_running=True),
    Moment("an obstacle, paused", published={"blocked": OBSTACLES["a disk is full"]},
           is_paused=True),
)  # fmt: skip


class Place:
    """Folders of a daemon, with 29 waiting jobs, a refused and a done one, and its surfaces."""

    def __init__(self, root: Path, *jobs: Job) -> None:
        self.root, self.state, self.out = root, root / "state", root / "out"
        plain = settings(root).model_dump(mode="json", include={
            "inboxes", "state", "job", "pairing", "web"})  # fmt: skip
        self.config = root / "config.yaml"
        self.config.write_text(yaml.safe_dump(plain))
        self.page = client(root, *jobs)
        self.titles: dict[str, str] = {}

    def command(self, *words: object, stdout: StringIO | None = None) -> tuple[int, str, str]:
        """Run a command in this process; return its exit code, stdout and stderr."""
        out, err = stdout or StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = call([str(word) for word in words])
        return code, out.getvalue(), err.getvalue()

    def told(self, *words: object) -> tuple[int, str, str]:
        """Run a command that is told of the settings."""
        return self.command(*words, "--config", self.config)

    def text(self, path: str) -> str:
        """Return the text of a page, without markup."""
        return text_of(self.page.get(path, headers=BROWSER).text)

    def watched(self) -> str:
        """Return the first window of `status --watch`."""
        stream, windows = Terminal(), []

        def sleep(seconds: float) -> None:
            windows.append(stream.getvalue())
            raise KeyboardInterrupt

        size = {"TERM": "xterm", "COLUMNS": "160", "LINES": str(LINES)}
        with patch("time.sleep", sleep), patch.dict("os.environ", size):
            self.command("status", "--watch", "--config", self.config, stdout=stream)
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", windows[0])

    def followed(self, name: str) -> str:
        """Return what `submit --wait` first says of a job or, without one, of a pair."""
        folder = self.root / "in" / name
        if (job := find(self.state, name)) is None:
            fill(folder, "content.jpg")
        else:
            moved = [replace(each, source=str(folder / each.name)) for each in job.inputs]
            enter(self.state, replace(job, inputs=tuple(moved)))

        def sleep(seconds: float) -> None:
            raise KeyboardInterrupt

        err = StringIO()
        with (
            patch("time.sleep", sleep),
            redirect_stderr(err), suppress(KeyboardInterrupt),
        ):  # fmt: skip
            submit.follow(self.state, name, self.root / "in", quiet=False)
        return err.getvalue()

    def status_files(self, ledger: LedgerWriter) -> StatusFiles:
        jobs: Any = SimpleNamespace(
            state=SimpleNamespace(root=self.state), ledger=ledger, reporter=Reporter(),
            settings=SimpleNamespace(outboxes=[self.out]), mount_guard=MountGuard(), turns={},
        )  # fmt: skip
        return StatusFiles(jobs, LanesNow(lambda call: call()))

    def publish(self, *running: Job, is_anew: bool = False, **values: Any) -> None:
        """Publish a status as the daemon does, with `values` of its snapshot."""
        half = Pair("half", Path("in/half.jpg"), waits_for="a style picture")
        inbox: Any = SimpleNamespace(
            path=self.root / "in", outbox=self.out, incomplete=[half], trouble={},
            notes=["tmp is skipped"], ignored={Path("in/tmp"): "a link"}, unread=set(),
        )  # fmt: skip
        known = {key: values[key] for key in values if key in Snapshot.__dataclass_fields__}
        workers = {job.id: self.worker(job) for job in running}
        with closing(LedgerWriter.open(self.state / FILE_NAME)) as ledger:
            files = self.status_files(ledger)
            files.update(Snapshot([inbox], workers, **known))
            if is_anew:
                self.status_files(ledger)

    def worker(self, job: Job) -> Any:
        unit = "frame" if job.frames > 1 else "step"
        values: dict[str, Any] = {
            "step": 3,
            "steps": 50,
            "unit": unit,
            "loss": 0.25,
            "size": (48, 36),
            "seconds_left": 75.0,
            "device": "cpu",
        }
        if "preparing" in job.id:
            values |= {"step": 0, "steps": 0, "loss": None, "size": None, "seconds_left": None}
        return SimpleNamespace(title=job.title, outbox=SimpleNamespace(root=self.out), **values)


def text_of(markup: str) -> str:
    """Return the text of HTML on one line, as a screen reader has it."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


# Conditions


@contextmanager
def made(root: Path, moment: Moment) -> Iterator[Place]:
    """Make a place in which the daemon is in a condition."""
    out = str(root / "out")
    waiting = [a_job(f"waits-{n}", "waiting", outbox=out, place=None) for n in range(1, 30)]
    sea = a_job("sea", "running" if moment.is_running else "waiting", outbox=out)
    bad = a_job("bad", "refused", outbox=out, reason="it is no picture")
    done = finished_job(root, "done")
    never = moment.published is None and not moment.is_held
    jobs = () if never else (sea, *waiting, bad, done)
    place = Place(root, *jobs)
    if never:
        (place.state / FILE_NAME).unlink()
    if moment.published is not None:
        running = [sea] if moment.is_running else []
        place.publish(*running, is_anew=moment.is_anew, **moment.published)
    if moment.is_paused:
        (place.state / PAUSED).touch()
        if moment.published is not None and not moment.is_anew:
            running = [sea] if moment.is_running else []
            place.publish(*running, paused=True, **moment.published)
    with ExitStack() as stack:
        if moment.is_held:
            stack.enter_context(lock.held(place.state / LOCK))
        yield place


def surfaces(place: Place, moment: Moment) -> dict[str, str]:
    """Return what each surface says in a condition; only those that can say something then."""
    said = {
        "status": place.told("status")[1],
        "status --json": json.dumps(json.loads(place.told("status", "--json")[1])),
        "doctor": "\n".join(
            f"{each.what}: {each.words}"
            for each in diagnose.check_daemon(settings(place.root))
        ),
    }  # fmt: skip
    if moment.is_told and "leaving" not in (moment.published or {}):  # then it is of afterwards
        said["_status.txt"] = (place.out / "_status.txt").read_text()
    if (place.state / FILE_NAME).exists():
        answer = place.page.get(f"{API}/status").json()
        said |= {
            "status --watch": place.watched(),
            "submit --wait": place.followed("waits-7"),
            "submit --wait of a pair": place.followed("late"),
            "overview": place.text("/"),
            "health": place.text("/health"),
            "API": json.dumps(answer),
            "/metrics": place.page.get("/metrics").text,
        }
    said |= {path: place.page.get(path).text for path in ("/readyz", "/healthz")}
    return {name: text.replace("\\u2026", "…") for name, text in said.items()}


def sentence_of(place: Place) -> str:
    """Return the sentence in which the first page states the condition."""
    if (place.state / FILE_NAME).exists():
        markup = place.page.get("/", headers=BROWSER).text
        found = re.search(r'<p class="state">.*?<strong>(.*?)</strong>', markup)
        assert found is not None
        return html.unescape(found[1])
    return place.page.get("/readyz").text.strip()


def of_moment(root: Path, moment: Moment) -> Iterator[str]:
    """Yield how the surfaces break a law in a condition of the daemon."""
    moment = moment.at(root)
    with made(root, moment) as place:
        said, sentence = surfaces(place, moment), sentence_of(place)
        yield from _sentences(said, sentence, moment)
        yield from _reasons(said, moment)
        yield from _order(said, moment)
        yield from _codes(place, moment, said)
        if moment.is_held and moment.published is not None:
            yield from _answers(place, moment)


def _sentences(said: Mapping[str, str], sentence: str, moment: Moment) -> Iterator[str]:
    """Yield which surfaces do not state the condition in this sentence."""
    silent = {*NO_SENTENCE}
    if moment.is_ready:
        silent |= {"/readyz"}
        silent |= set() if "opens" in (moment.published or {}) else {*OF_ONE}
    reasons = (moment.published or {}).get("blocked", {}).values()
    silent |= {each for each in OF_ONE if any(why in said.get(each, "") for why in reasons)}
    for name in said.keys() - silent:
        text = " ".join(said[name].split())
        if sentence not in text:
            yield f"{name} does not say {sentence!r}: {text[:300]!r}"


def _reasons(said: Mapping[str, str], moment: Moment) -> Iterator[str]:
    """Yield which surfaces are silent about an obstacle or a note, or have one of the past."""
    blocked = (moment.published or {}).get("blocked", {})
    for what, reason in blocked.items():
        line = f"{what}: {reason}"
        having = {name for name, text in said.items() if line in text.replace('\\"', '"')}
        wrong = said.keys() - having - NO_REASONS - OF_ONE.keys() if moment.is_told else having
        for name in wrong:
            yield f"{name} {'is silent about' if moment.is_told else 'still has'} {line!r}"
    for name in said.keys() - NO_REASONS - OF_ONE.keys() - NO_NOTES:
        if moment.is_told is not ("tmp is skipped" in said[name]):
            yield f"{name} is silent about a note, or has one of an earlier daemon"
    for name in OF_ONE.keys() & said.keys() if moment.is_told else ():
        for what, reason in blocked.items():
            if what.endswith(OF_ONE[name]) and reason not in said[name]:
                yield f"{name} is silent about {what!r}"


def _order(said: Mapping[str, str], moment: Moment) -> Iterator[str]:
    """Yield where something that needs attention comes after the queue, or is cut off."""
    shown = ["it is no picture"] if moment.published is not None else []
    shown += ["a style picture"] if moment.is_told else []
    shown += (moment.published or {}).get("blocked", {}).values() if moment.is_told else []
    for name in ("status", "status --watch", "_status.txt"):
        text = said.get(name, "")
        places = [text.find(each) for each in shown if text]
        queue = text.find("waits-1\n")
        if -1 in places or (queue >= 0 and max(places, default=-1) > queue):
            yield f"{name} has a problem after the queue, or not at all"
    text = said.get("status --watch", "")
    is_short = not (moment.is_running and "blocked" in (moment.published or {}))
    if text and is_short and "done" not in text.partition("Finished:")[2]:
        yield "status --watch cuts off what has finished"


def _codes(place: Place, moment: Moment, said: Mapping[str, str]) -> Iterator[str]:
    if (code := place.told("status")[0]) != (0 if moment.is_held else 3):
        yield f"status exits with {code}"
    answer = place.page.get("/readyz")
    if answer.status_code != (200 if moment.is_ready else 503):
        yield f"/readyz answers {answer.status_code}: {answer.text.strip()}"
    metrics = said.get("/metrics", "")
    if metrics:
        plain = place.page.get(f"{API}/status").json()
        word = plain["health"].get("condition")
        if f'stylewatch_condition{{condition="{word}"}} 1.0' not in metrics:
            yield f"/metrics does not have the condition {word!r}"
        if f"daemon {word} " not in said["health"]:
            yield f"Health does not name the condition {word!r}"


def _answers(place: Place, moment: Moment) -> Iterator[str]:
    """Yield if what a command answers is not what the status says then."""
    draining = (moment.published or {}).get("draining", False)
    for verb, is_paused in (("pause", True), ("resume", False)):
        with patch.object(requests, "wait", return_value=True):
            (place.state / PAUSED).unlink(missing_ok=True)
            if is_paused:
                (place.state / PAUSED).touch()
            with patch.object(requests, "leave", return_value=1):
                answer = place.told(verb)[1]
        sentence = sentence_of(place)
        if sentence not in answer:
            yield f"{verb} answers {answer.strip()!r}, the page {sentence!r}"
    if draining:
        with (
            patch.object(requests, "leave", return_value=1),
            patch.object(requests, "wait", return_value=True),
        ):
            answer = place.told("drain")[1]
        if sentence_of(place) not in answer:
            yield f"drain answers {answer.strip()!r}, the page {sentence_of(place)!r}"


# Jobs

REASONS: Mapping[Kind, str] = {
    Kind.JOB: "the folder of finals has another file of its name",
    Kind.NEEDS: "the backend torch has no device cuda:0",
    Kind.OUTBOX: "the disk of the outbox is full",
    Kind.INBOX: "the disk with its originals is away",
    Kind.MACHINE: "out of file descriptors (the limit is 64)",
    Kind.REQUEST: "the disk with its files is away",
}


def jobs(root: Path) -> Iterator[Job]:
    """Yield a job in each state, with each activity that shows, and each end."""
    for state in State:
        ends: tuple[End | None, ...] = (*End,) if state in (State.ENDING, State.ENDED) else (None,)
        for end in ends:
            name = f"{state}-{end or 'open'}".replace(" ", "-")
            reason = "it is broken\nin two" if end in (End.REFUSED, End.FAILED) else ""
            values = {"state": state, "end": end, "reason": reason, "cause": None,
                      "finished": NOON if state is State.ENDED else None}  # fmt: skip
            for variant, more in _variants(state, end):
                yield _job(root, f"{name}-{variant}", values | more)


def _variants(state: State, end: End | None) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "bare", {"place": None}
    yield "picture", {"step": 5}
    yield "retry", {"step": 5, "retry_of": "sea", "settings": {"recipe": "best"}}
    if state is State.RUNNING:
        yield "preparing", {}
    if state is not State.ENDED:
        yield "canceled", {"asked": End.CANCELED}
        yield "finished", {"asked": End.STOPPED_EARLY, "step": 5}
        if Activity.WAITING in ALLOWED[state]:
            for kind, reason in REASONS.items():
                yield f"waits-{kind}", {"reason": reason, "cause": Cause.DISK}
    yield "clip", {"frames": 40, "step": 5}
    if end in (End.REFUSED, End.FAILED) and state is State.ENDED:
        yield "dismissed", {"dismissed": True}
    if state is State.ENDED:
        yield "trashed", {"trashed": NOON}


def _job(root: Path, name: str, values: dict[str, Any]) -> Job:
    frames, place = values.pop("frames", 1), values.pop("place", name)
    job = finished_job(root, name, settings=values.pop("settings", {"recipe": "best"}))
    if values["end"] not in PICTURES:
        (root / "out" / name / "receipt.json").unlink()
    inputs = (replace(job.inputs[0], frames=frames), *job.inputs[1:])
    return replace(job, id=f"id-{name}", place=place, inputs=inputs, **values)


@contextmanager
def world_of(root: Path, each: int) -> Iterator[tuple[Place, list[Job]]]:
    """Make a place with one in `each` jobs, of which those in the state running are painted."""
    every = list(jobs(root))[::each]
    place = Place(root)
    for job in every:
        attempts = (Attempt(NOON, 0, "sketch", "cpu", 7, NOON, Cause.DAEMON),
                    Attempt(NOON, 0, "sketch", "cpu", 7, NOON, Cause.WORKER, "its worker died"),
                    Attempt(NOON, 5, "sketch", "cpu", 7, NOON, End.DONE))  # fmt: skip
        enter(place.state, job, attempts=attempts)
    waits = {job.title: job.reason for job in every if "-waits-" in job.name}
    place.publish(*(job for job in every if job.state is State.RUNNING), blocked=waits)
    with lock.held(place.state / LOCK):
        yield place, every


def why_not(verb: Any, job: Job) -> str:
    """Return why an operation is not permitted; empty if it is."""
    try:
        operations.check(verb, job)
    except StateError as error:
        return str(error)
    return ""


def changes(verb: str, job: Job) -> bool:
    """Return whether a permitted operation would still change something."""
    if verb == "dismiss":
        return not job.dismissed
    if verb == "cancel":
        return End.CANCELED not in (job.asked, job.end)
    if verb == "unfavorite":
        return False  # none of these jobs is a favorite
    return verb != "finish" or (job.asked or job.end) is None


def of_job(place: Place, job: Job, *, with_commands: bool = True) -> Iterator[str]:
    """Yield how the surfaces break a law about a job."""
    markup = place.page.get(f"/jobs/{job.id}", headers=BROWSER).text
    api = place.page.get(f"{API}/jobs/{job.id}").json()
    shown = place.told("show", job.id)[1]
    page = text_of(markup)
    for name, text in (("show", shown), ("page", page), ("API", str(api["state"]))):
        if job.seen not in text:
            yield f"{name} does not say that it is {job.seen}"
        if bool(job.trashed) != ("the trash" in text) and name != "API":
            yield f"{name} says wrongly whether it is in the trash"
    own = page.partition("Variants of this photograph")[0]
    for name, text in (("show", shown), ("page", own), ("API", api["reason"])):
        words, reason = (" ".join(each.replace(";", "").split()) for each in (text, job.reason))
        most = 9 if job.has_ended else 1  # its log has the reason too
        if reason and not 1 <= words.count(reason) <= most:
            yield f"{name} says {job.reason!r} {words.count(reason)} times"
    yield from _progress(place, job, page, shown)
    yield from _actions(place, job, markup, with_commands=with_commands)
    log = re.search(r"<ol class=.log.>.*?</ol>", markup, re.DOTALL)
    causes = "|".join(Cause)
    for name, text in (("page", text_of(log[0]) if log else ""), ("show", shown)):
        if found := re.search(
            rf"ended, ({causes})\b[^;]{{0,30}}|[a-z]{{2}}[:;,][A-Za-z]|[a-z]\.[A-Z]", text
        ):
            yield f"{name} says {found[0]!r}"


def _progress(place: Place, job: Job, page: str, shown: str) -> Iterator[str]:
    """Yield if the progress of a running job is not in the same words everywhere.

    An end that waits says so.
    """
    if job.state is State.ENDING and "-waits-" in job.name:
        line = f"its end waits: {job.reason}"
        silent = [name for name, text in (("show", shown), ("page", page)) if line not in text]
        yield from (f"{name} does not say that its end waits" for name in silent)
    if job.state is not State.RUNNING:
        return
    found = re.search(r"^progress +(.+)$", shown, re.MULTILINE)
    line = found[1] if found else "?"
    own = rf"{re.escape(job.title)}:? +(.*)"
    for name, text in (
        ("page", page),
        ("overview", place.text("/")),
        ("status", place.told("status")[1]),
        ("_status.txt", (place.out / "_status.txt").read_text()),
        ("submit --wait", place.followed(job.title)),
    ):  # fmt: skip
        told = text if name in ("page", "overview") else " ".join(re.findall(own, text))
        if line not in told:
            yield f"{name} does not say {line!r}: {told[:120]!r}"


def offered(job: Job, markup: str) -> set[str]:
    """Return the operations that a page offers for a job."""
    here = re.escape(html.escape(f"/jobs/{job.id}"))
    verbs = set(
        re.findall(
            rf'action="{here}/(cancel|finish|retry|dismiss|(?:un)?favorite|restore)"', markup
        )
    )
    if re.search(rf'href="{here}/again"', markup):
        verbs.add("retry")
    if f"/delete?job={job.id}" in html.unescape(markup):
        verbs |= {"delete"} if job.trashed else {"trash", "delete"}  # its page has both
    return verbs


def _actions(place: Place, job: Job, markup: str, *, with_commands: bool) -> Iterator[str]:
    """Yield if a surface offers or takes another operation than `operations.check` permits."""
    useful = {verb for verb in VERBS if not why_not(verb, job) and changes(verb, job)}
    if (found := offered(job, markup)) != useful:
        yield f"its page offers {sorted(found)}, permitted are {sorted(useful)}"
    yield from _on_the_overview(place, job, useful)
    with patch.object(requests, "leave", return_value=1):
        for verb in VERBS:
            yield from _asked(place, job, verb, with_command=with_commands)


def _on_the_overview(place: Place, job: Job, useful: set[str]) -> Iterator[str]:
    """Yield if the first page lists a job wrongly, or offers what is not `useful` for it."""
    first = place.page.get("/", headers=BROWSER).text
    own = re.search(rf'data-key="{re.escape(job.id)}".*?</(?:li|article)>', first, re.DOTALL)
    is_listed = job.state is State.ENDED and job.end in REFUSALS
    is_listed = is_listed and not (job.dismissed or job.trashed)
    if job.state is State.ENDED and job.end not in PICTURES and is_listed != (own is not None):
        yield f"the overview {'lacks' if is_listed else 'lists'} it"
    here = useful if own is None else offered(job, own[0])
    if here - useful or (job.state is State.RUNNING and here != useful):
        yield f"the overview offers {sorted(here)}, permitted are {sorted(useful)}"


def _asked(place: Place, job: Job, verb: str, *, with_command: bool) -> Iterator[str]:
    """Yield if the API or the command takes an operation that is not permitted, or not else."""
    why = why_not(verb, job)
    method, path = ("DELETE", "") if verb == "delete" else ("POST", f"/{verb}")
    answer = place.page.request(method, f"{API}/jobs/{job.id}{path}")
    if (answer.status_code == 409) != bool(why) or (why and answer.json()["error"] != why):
        yield f"API: {verb} answers {answer.status_code} {answer.text}, not {why!r}"
    if not with_command or verb in NO_COMMAND:
        return
    code, _, err = place.told(verb, job.id)
    is_refused = code == StateError.exit_code and bool(why) and why in err
    # a retry is not made by the daemon that is not there
    if is_refused != bool(why) or (code and not why and verb != "retry"):
        yield f"command: {verb} ends with {code} {err.strip()!r}, not {why!r}"


@contextmanager
def at_once() -> Iterator[None]:
    """Let no page and no command wait for the daemon, and list all jobs on the first page."""
    with (
        patch.object(actions, "WAIT_S", 0.0), patch.object(control, "ANSWER_WITHIN_S", 0.0),
        patch.object(overview, "FAILED", 999),
        patch.object(doctor_runner, "CHECK", "tests.daemon.web.test_doctor:check"),
        patch.object(doctor_runner, "VISITOR_TIMEOUT_S", 30.0),
    ):  # fmt: skip
        yield


# Commands, findings, exit codes


def of_command(root: Path) -> Iterator[str]:
    """Yield if the command on the page of a job is not accepted."""
    place = Place(root)
    own = root / "mine.yaml"
    code, recipe, _ = place.command("recipes", "best")
    assert code == 0
    own.write_text(recipe)
    plain = yaml.safe_load(place.config.read_text())
    plain["job"]["recipe"] = str(own)
    place.config.write_text(yaml.safe_dump(plain))
    every: tuple[dict[str, Any], ...] = (
        {}, {"recipe": str(own)}, {"recipe": "gatys", "steps": 7}, {"recipe": str(own), "steps": 9},
        {"size": "640", "style_size": ["50%"], "artifacts": ["sheet.png"], "set": {"seed": 3}},
    )  # fmt: skip
    for number, had in enumerate(every):
        job = finished_job(root, f"job-{number}", settings=had)
        enter(place.state, job)
        for file in job.inputs:
            shown = Path(file.source).name
            (root / shown).write_bytes(
                (root / "out" / job.name / "inputs" / file.name).read_bytes()
            )
        markup = place.page.get(f"/jobs/{job.id}", headers=BROWSER).text
        found = re.search(r"<pre[^>]*data-copy>(.*?)</pre>", markup, re.DOTALL)
        if found is None:
            continue
        words = shlex.split(html.unescape(found[1]))
        _, *arguments = words
        with chdir(root):
            code, _, err = place.command(*arguments, "--config", place.config)
        if code:
            yield f"{shlex.join(words)} ends with {code}: {err.strip()}"


def of_doctor(root: Path) -> Iterator[str]:
    """Yield where the page's checks and those of `stylewatch doctor` differ."""
    place = Place(root)
    plain = yaml.safe_load(place.config.read_text())
    names = ("daemon", "user", "inboxes", "outputs", "alerts", "state folder")
    few = {each: diagnose.CHECKS[each] for each in names}
    few["backends"] = of_sketch
    wrong: Mapping[str, Mapping[str, Any]] = {
        "nothing": {},
        "wrong alerts": {"alerts": {"urls": ["foo"]}},
        "a wrong key": {"joob": 1},
        "a missing hook": {"hooks": {"done": ["/nothing/here"]}},
        "a wrong option": {"backends": {"sketch": {"device": 7}}},
    }
    for name, changed in wrong.items():
        place.config.write_text(yaml.safe_dump({**plain, **changed}))
        with patch.dict(diagnose.CHECKS, few, clear=True):
            told = json.loads(place.told("doctor", "--json")[1])
            found = findings_of_page(place)
        lines = [f"{each['what']}: {each['words']}" for each in told]
        if lines != found:
            yield f"{name}: the page finds {found}, the command {lines}"
        for each in lines:
            if twice := re.search(r"(?:^|: )(\w[\w ]+): \1: ", each):
                yield f"{name}: says {twice[1]!r} twice: {each!r}"
        if (name == "nothing") == any(each["exit_code"] for each in told):
            yield f"{name}: {lines}"


def of_sketch(settings: Config) -> Iterator[Finding]:
    """Yield the findings on the backend `sketch` alone, which is loaded at once."""
    yield from backends.run("backend", "sketch", settings.backends.get("sketch", {}), ())


def findings_of_page(place: Place) -> list[str]:
    """Return the findings of the page for the settings with which its daemon was started."""
    sent: list[Any] = []
    pipe: Any = None
    with (
        patch.object(doctor_runner, "send", lambda pipe, report: sent.append(report)),
        patch.object(resource, "setrlimit"),
    ):
        doctor_runner.check(pipe, Start(place.config))
    return [f"{each.what}: {each.words}" for each in sent[0].findings]


def of_ends() -> Iterator[str]:
    """Yield if an end has another exit code elsewhere, or an error another status."""
    for end in End:
        of_run = Summary(ended={end: 1}).exit_code
        job = a_job("sea", str(end))
        with patch.object(submit, "follow", return_value=job):
            out, err = StringIO(), StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                code = submit._follow_all(
                    Path("s"), {"sea": {"inbox": "in"}}, quiet=True, json=False
                )
        if code != of_run and end is not End.CANCELED:  # `run` was told to cancel
            yield f"{end}: submit exits with {code}, run with {of_run}"
    for error in (InputError("no picture"), PictureError("no picture"), ZeroDivisionError("fault")):
        end = End.REFUSED if isinstance(as_end(error), Refused) else End.FAILED
        if (code := explain(error)[0]) != EXIT_OF_END[end]:
            yield f"{end}: render exits with {code}, submit with {EXIT_OF_END[end]}"
    for kind in kinds(DaemonError):
        status = next((code for each, code in serve.STATUS.items() if issubclass(kind, each)), 500)
        if (status == 500) != (kind.exit_code == Exit.FAULT):
            yield f"{kind.__name__} has the exit code {kind.exit_code} and the status {status}"


def of_forecasts() -> Iterator[str]:
    """Yield if a forecast says one time twice."""
    for tenth in range(0, 900):
        before, _, after = duration_range(tenth / 10).partition(" to ")
        if before == after:
            yield f"a forecast of {tenth / 10} s is {before} to {after}"
            break


def of_lists(root: Path) -> Iterator[str]:
    """Yield if an empty filter is no filter, or a wrong one is not refused."""
    place = Place(root)
    for path in ("/gallery?state=", f"{API}/jobs?state="):
        if (code := place.page.get(path).status_code) != 200:
            yield f"{path} answers {code}"
    wrong = {"sort=foo": "unknown sort 'foo'", "from=bad": "from: bad should be a date",
             "to=2026-02-30": "to: 2026-02-30 should be a date",
             "zone=Foo": "zone: Foo should be a time zone",
             "foo=1": "unknown filter 'foo'"}  # fmt: skip
    for query, words in wrong.items():
        for path in ("/gallery", f"{API}/jobs"):
            answer = place.page.get(f"{path}?{query}")
            if answer.status_code != 400 or words not in html.unescape(answer.text):
                yield f"{path}?{query} answers {answer.status_code}, not {words!r}"


# Files that cannot be read now


@contextmanager
def _away(place: Place) -> Iterator[str]:
    """Unmount the disk of the outbox; yield what every surface should say."""
    place.out.rename(place.root / "aside")
    place.out.mkdir()
    with closing(LedgerWriter.open(place.state / FILE_NAME)) as ledger:
        ledger.put_mounts([place.out])
    yield f"is on the disk of {place.out}, which is not mounted now: mount it again"


@contextmanager
def _slow(place: Place) -> Iterator[str]:
    """Let the disk of the outbox not answer."""
    sentence = "the disk answers slowly: try again later"
    with patch.object(readers, "read", side_effect=OutputError(sentence)):
        yield sentence


@contextmanager
def _failing(place: Place) -> Iterator[str]:
    """Let the disk of the outbox fail."""
    real = system.open

    def fails(path: Any, *values: Any, **more: Any) -> int:
        if path == place.out:
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *values, **more)

    with patch.object(system, "open", fails):
        yield "receipt.json cannot be read: Input/output error"


DENIALS = re.compile("no longer|no such|not done|no picture|no receipt|there is no ")
"""Words about a file that is not there."""

OF_FILES = ("receipt.json", "files.zip", "pictures/{}", "small/512/{}")
PICTURES_OF_JOB = ("final", "stage-5", "sheet", "input-0")


def of_files(root: Path) -> Iterator[str]:
    """Yield which surfaces deny that a finished job has files, while that is unknown (law 2)."""
    for unknown in (_away, _slow, _failing):
        (own := root / unknown.__name__).mkdir()
        place, job = Place(own, done := finished_job(own, "sea")), done.id
        place.publish()
        with lock.held(place.state / LOCK), unknown(place) as sentence:
            for breach in _of_files(place, job, sentence):
                yield f"{unknown.__name__}: {breach}"


def _of_files(place: Place, job: str, sentence: str) -> Iterator[str]:
    paths = {part.format(what) for part in OF_FILES for what in PICTURES_OF_JOB}
    for path in (f"/pictures.zip?job={job}", *(f"/jobs/{job}/{each}" for each in sorted(paths))):
        answer = place.page.get(path)
        if answer.status_code != 503 or sentence.partition(": ")[2] not in answer.text:
            yield f"{path} answers {answer.status_code} {answer.text[:200]!r}"
    said = {
        "page": place.text(f"/jobs/{job}"),
        "API": json.dumps(place.page.get(f"{API}/jobs/{job}").json()),
        "show": place.told("show", job)[1],
        "show --json": place.told("show", job, "--json")[1],
    }
    lists = {path: place.text(path) for path in ("/", "/gallery", f"/delete?job={job}")}
    for name, text in {**said, **lists}.items():
        words = sentence if name in said else "its picture cannot be read now"
        if words not in text:
            yield f"{name} does not say {words!r}: {text[:300]!r}"
        if is_denied := DENIALS.search(text):
            yield f"{name} says {is_denied[0]!r}"
    free = {"/metrics": f'free_bytes{{folder="{place.out}"}}', "/health": "B free", "/": "B free"}
    for path, words in free.items():
        if "not mounted" in sentence and words in html.unescape(place.page.get(path).text):
            yield f"{path} has the free space of another disk"


def of_deletion(root: Path) -> Iterator[str]:
    """Yield if the page of a job is silent about its deletion, which waits, or offers it again."""
    place, reason = Place(root, job := finished_job(root, "sea")), "the disk with its files is away"
    request = operations.ask("delete", place.state, job)
    for blocked in ({}, {f"request {request} to delete sea": reason}):
        place.publish(blocked=blocked)
        with lock.held(place.state / LOCK):
            markup = place.page.get(f"/jobs/{job.id}", headers=BROWSER).text
            if offered(job, markup) != {"retry", "favorite", "cancel"}:
                yield f"its page offers {sorted(offered(job, markup))}"
            if (reason if blocked else "requested: delete") not in text_of(markup):
                yield "its page does not say why its deletion waits"


def kinds(kind: type[DaemonError]) -> Iterator[type[DaemonError]]:
    """Yield an error and all that are derived from it."""
    yield kind
    for each in kind.__subclasses__():
        yield from kinds(each)


Part = Callable[[Path], Iterator[str]]
OTHERS: Mapping[str, Part] = {
    "command": of_command,
    "doctor": of_doctor,
    "deletion": of_deletion,
    "ends": lambda root: of_ends(),
    "files": of_files,
    "forecasts": lambda root: of_forecasts(),
    "lists": of_lists,
}


def breaches(root: Path, every: int = 1) -> Iterator[str]:
    """Yield each breach, of all cases or of one in `every`, and then without commands on jobs."""
    with at_once():
        for number, moment in enumerate(MOMENTS[::every]):
            (folder := root / f"moment-{number}" / "place").mkdir(parents=True)
            for breach in of_moment(folder, moment):
                yield f"{moment.name}: {breach}"
        (folder := root / "jobs").mkdir()
        with world_of(folder, every) as (place, found):
            for job in found:
                for breach in of_job(place, job, with_commands=every == 1):
                    yield f"{job.name}: {breach}"
        for name, part in OTHERS.items():
            (folder := root / name).mkdir()
            for breach in part(folder):
                yield f"{name}: {breach}"


def main(root: Path) -> int:
    """Print each breach; return their number."""
    began, count = time.monotonic(), 0
    for breach in breaches(root):
        count += 1
        print(breach, flush=True)
    print(f"{len(MOMENTS)} conditions of the daemon and all states of a job in "
          f"{time.monotonic() - began:.0f} s; {count} breaches")  # fmt: skip
    return count
