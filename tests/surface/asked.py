"""Whoever asks for a job takes it, or refuses it, as the daemon does that would paint it.

`submit`, `render`, `retry` and the form get a job by its settings and its files. What they leave
for the daemon, it paints with the settings that were asked for; what it is certain to refuse, they
refuse at once, with its sentence.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image
from tests.surface.ways import as_yaml

from stylewatch_daemon.base.errors import DaemonError, Exit, InputError, SettingsError, UsageError
from stylewatch_daemon.base.model import End, Input, Job, State
from stylewatch_daemon.cli.build_order import over_variables
from stylewatch_daemon.cli.main import call
from stylewatch_daemon.cli.options import parse_sets
from stylewatch_daemon.client import operations
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.job import JobFile
from stylewatch_daemon.settings.paintable import Files
from stylewatch_daemon.web import job_form
from stylewatch_daemon.web.job_form import FormError
from stylewatch_daemon.worker.messages import order_for
from stylewatch_daemon.worker.run_job import work
from stylewatch_painter.errors import PainterError, RecipeError
from stylewatch_painter.stage import go_on

Texts = Mapping[str, str]
"""Texts in YAML by dotted keys of a job."""

PLAIN: Texts = {"backend": "sketch", "size": "32", "steps": "2"}
"""The job settings of config.yaml, unless a case has others."""


@dataclass(frozen=True)
class Case:
    """Settings that are `asked` for a job, over those of config.yaml, and its files.

    `files` are roles: `content`, `style` as often as there are styles, `init`, `content-mask`.
    """

    asked: Texts
    files: tuple[str, ...] = ("content", "style")
    config: Texts = field(default_factory=dict)

    @property
    def styles(self) -> int:
        return self.files.count("style")


LEARNS = {"learn": "yes"}
CASES = (
    Case({}),
    Case(LEARNS), Case({**LEARNS, "backend": "sketch"}), Case({**LEARNS, "backend": "learned"}),
    Case({**LEARNS, "only": "content"}, files=("content",)),
    Case({}, config=LEARNS), Case({"backend": "sketch"}, config=LEARNS),
    Case({"backend": "sketch", "learn": "no"}, config=LEARNS),
    Case({"only": "content"}, files=("content",), config=LEARNS),
    Case({"style_weights": "2,1"}), Case({"style_weights": "2,1"}, ("content", "style", "style")),
    Case({"style_weights": "1 2 3"}, ("content", "style", "style")),
    Case({"style_size": "50%, 60%"}), Case({"style_size": "50%"}),
    Case({"steps": "0"}), Case({}, config={"steps": "0"}),
    Case({"only": "style"}, ("style",)), Case({"only": "style"}, ("style", "content-mask")),
    Case({"only": "content"}, ("content", "content-mask")),
    Case({"only": "content", "mask.outside": "keep"}, ("content",)),
    Case({"init": "picture"}), Case({"set.start": "picture"}), Case({"init": "noise"}),
    Case({"init": "content", "only": "style"}, ("style",)),
    Case({"init": "style", "only": "content"}, ("content",)),
    Case({"set.done": "3"}), Case({"set.noise_ratio": "0.5"}),
    *(Case({"color": color, "only": "style"}, ("style",))
      for color in ("style", "content", "luminance", "match")),
    Case({"color": "match", "only": "content"}, ("content",)), Case({"color": "match"}),
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """The outcome of a request: the sentence that refuses the job, or the settings that paint it.

    `hinders` is the kind of what hinders the painting for now, such as a style that has to be
    learned.
    """

    refusal: str = ""
    is_late: bool = False
    """True if whoever was asked took the job, and the daemon refused it."""
    settings: str = ""
    hinders: str = ""


class Place:
    """A folder with config.yaml, pictures, an inbox and a state folder."""

    def __init__(self, folder: Path, case: Case) -> None:
        self.root = folder
        self.case = case
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        texts = {f"job.{key}": text for key, text in {**PLAIN, **case.config}.items()}
        (folder / "config.yaml").write_text(as_yaml(texts))
        noise = np.random.default_rng(1)
        for name in {"content", "style", *case.files}:
            pixels = noise.integers(0, 255, (24, 32, 3), np.uint8)
            if name.endswith("mask"):
                pixels[:] = 255
            Image.fromarray(pixels).save(self.picture(name))

    def picture(self, name: str) -> Path:
        return self.root / f"{name}.png"

    @property
    def settings(self) -> config.ServiceSettings:
        return config.load(self.root / "config.yaml")


def by_daemon(place: Place, job_yaml: Path | None, *, is_retry: bool = False) -> Verdict:
    """Paint the files of a case with a job.yaml, as the daemon does."""
    case = place.case
    settings = place.settings
    try:
        job, recipe = config.resolve(settings, job_yaml, MountGuard(), is_retry=is_retry)
        styles = tuple(place.picture("style") for _ in range(case.styles))
        content = place.picture("content") if "content" in case.files else None
        staging = place.root / "staging"
        staging.mkdir(exist_ok=True)
        order = order_for(
            settings, job, recipe, name="job", pictures=(content, styles), staging=staging
        )
        masks = {role: place.picture(role) for role in case.files if role.endswith("mask")}
        init = place.picture("init") if "init" in case.files else None
        plain = job.model_dump_json(exclude={"file_names"})
        for _ in work(replace(order, init=init, masks=masks), go_on):
            pass
    except (SettingsError, InputError, RecipeError) as error:
        return Verdict(refusal=str(error))
    except (DaemonError, PainterError) as error:
        return Verdict(settings=plain, hinders=type(error).__name__)
    return Verdict(settings=plain)


def _later(place: Place, job_yaml: Path | None, *, is_retry: bool = False) -> Verdict:
    """Paint what was taken."""
    found = by_daemon(place, job_yaml, is_retry=is_retry)
    return replace(found, is_late=bool(found.refusal))


def by_job_yaml(place: Place) -> Verdict:
    """Drop the files with a job.yaml: what the daemon says of that is right."""
    file = place.root / "job.yaml"
    file.write_text(as_yaml(place.case.asked))
    return by_daemon(place, file)


def _called(place: Place, command: str, variables: Texts, *options: str) -> Verdict | None:
    """Call a command for a case; return None if it takes the job."""
    case = place.case
    pictures = [str(place.picture(role)) for role in case.files if role in ("content", "style")]
    masks = [f"--mask={place.picture(role)}" for role in case.files if role == "content-mask"]
    starts = [f"--init={place.picture(role)}" for role in case.files if role == "init"]
    err = StringIO()
    with (
        redirect_stdout(StringIO()), redirect_stderr(err),
        patch.dict(os.environ, dict(variables)),
    ):  # fmt: skip
        code = call([command, *pictures, *masks, *starts, "-q", *options])
    # a variable may contradict config.yaml
    if code == Exit.USAGE or (variables and code == Exit.SETTINGS):
        return Verdict(refusal=err.getvalue())
    return Verdict(hinders=f"it ends with {code}") if code else None


def _sets(asked: Texts) -> list[str]:
    return [f"--set={key}={text}" for key, text in asked.items()]


def by_submit(place: Place) -> Verdict:
    """Submit it; the daemon paints what then lies in the inbox."""
    return _submitted(place, {}, *_sets(place.case.asked))


def _submitted(place: Place, variables: Texts, *options: str) -> Verdict:
    found = _called(place, "submit", variables, "--name=job", *options)
    if found is not None:
        return found
    (folder,) = place.inbox.iterdir()
    job_yaml = folder / "job.yaml"
    return _later(place, job_yaml if job_yaml.exists() else None)


def by_variables(place: Place) -> Verdict:
    """Submit it with the settings in variables, which the daemon does not have."""
    return _submitted(place, _variables(place.case.asked))


def _variables(asked: Texts) -> Texts:
    names = {key: f"{config.VARIABLE}JOB__{key.replace('.', '__')}".upper() for key in asked}
    return {names[key]: text for key, text in asked.items()}


def by_sweep(place: Place) -> Verdict:
    """Submit a series of it alone."""
    return _submitted(place, {}, *(f"--sweep={k}={text}" for k, text in place.case.asked.items()))


def by_render(place: Place) -> Verdict:
    """Paint it without a daemon."""
    out = place.root / "out"
    found = _called(place, "render", {}, f"--output={out}/", *_sets(place.case.asked))
    if found is not None:
        return found
    receipt = json.loads((out / "receipt.json").read_text())
    painted = JobFile.model_validate_json(json.dumps(receipt["settings"]))
    return Verdict(settings=painted.model_dump_json(exclude={"file_names"}))


def by_retry(place: Place) -> Verdict:
    """Run a job again that was painted with the settings of config.yaml alone."""
    overrides = parse_sets([f"{key}={text}" for key, text in place.case.asked.items()])
    return _again(place, overrides)


def by_retry_with_variables(place: Place) -> Verdict:
    """Run it again with the settings in variables."""
    with patch.dict(os.environ, dict(_variables(place.case.asked))):
        overrides = {"job": over_variables({})}
    return _again(place, overrides)


def _again(place: Place, overrides: Mapping[str, Any]) -> Verdict:
    settings = place.settings
    inputs = tuple(
        Input(role, f"{role}.png", "", 1, frames=1, pixels=(32, 24)) for role in place.case.files
    )
    had = config.defaults(settings).model_dump(mode="json")
    job = Job(
        id="1", name="job", inbox=str(place.inbox), outbox="out", entered="", state=State.ENDED,
        end=End.DONE, inputs=inputs, settings=had,
    )  # fmt: skip
    try:
        wanted = operations.settings_of_retry(place.root, job, settings, overrides, None)
    except UsageError as error:
        return Verdict(refusal=str(error))
    file = place.root / "again.yaml"
    file.write_text(wanted.model_dump_json())
    return _later(place, file, is_retry=True)


def by_form(place: Place) -> Verdict:
    """Send the form of the page, which the API takes, too."""
    settings = place.settings
    try:
        asked = place.case.asked
        base = config.for_learner(settings.job, {})
        files = Files("content.png" if "content" in place.case.files else "", place.case.styles)
        _, own = job_form.read(asked, settings, base, files, ())
    except FormError as error:
        return Verdict(refusal=str(error))
    file = place.root / "form.yaml"
    file.write_text(JobFile.model_validate(own).model_dump_json(include=set(own)))
    return _later(place, file)


Way = Callable[[Place], Verdict]


def ways(case: Case) -> dict[str, Way]:
    """Return the ways on which a case can be asked for."""
    found: dict[str, Way] = {"submit": by_submit}
    if case.asked:
        found["variables"] = by_variables
    is_swept = len(case.asked) == 1 and "," not in "".join(case.asked.values())
    if is_swept and "only" not in case.asked:  # the files would be others
        found["sweep"] = by_sweep
    if not (case.config.keys() & {"learn"} and {*case.asked} == {"backend"}):
        found["retry with variables"] = by_retry_with_variables
        found["retry"] = by_retry  # another backend takes back what the job itself had
    if {**case.config, **case.asked}.get("steps") != "0":  # only the losses are measured
        found["render"] = by_render
    if case.asked.keys() <= {*job_form.NAMES} and {*case.files} <= {"content", "style"}:
        found["form"] = by_form
    return found


def breaches(folder: Path, case: Case) -> Iterator[str]:
    """Yield how the ways to ask for a job differ from what the daemon does with it."""
    right = _at(folder, case, by_job_yaml)
    for name, way in ways(case).items():
        found = _at(folder, case, way)
        if found.is_late or (right.refusal and not found.refusal):
            yield f"{name} takes what is refused later: {found.refusal or right.refusal}"
        elif found.refusal and not right.refusal:
            yield f"{name} refuses what can be painted: {found.refusal.strip()}"
        elif _sentence(right.refusal) not in found.refusal:
            yield f"{name} says {found.refusal.strip()}, and the daemon {right.refusal}"
        elif found.settings != right.settings and not found.hinders:
            yield f"{name} has it painted with {found.settings}, and it means {right.settings}"
        elif bool(found.hinders) != bool(right.hinders):
            yield f"{name}: {found.hinders or 'it is painted'}, and the daemon: {right.hinders}"


def _sentence(refusal: str) -> str:
    """Return what the daemon says, without the place."""
    return refusal.removeprefix("job.yaml: ")


def _at(folder: Path, case: Case, way: Way) -> Verdict:
    """Ask for a job in a folder of its own."""
    root = folder / "place"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    before = Path.cwd()
    os.chdir(root)
    try:
        return way(Place(root, case))
    finally:
        os.chdir(before)


def main(folder: Path) -> int:
    """Try all cases; print each breach, and return their number."""
    found = [(case, breach) for case in CASES for breach in breaches(folder, case)]
    for case, breach in found:
        print(f"{case}\n    {breach}")
    print(f"{len(CASES)} jobs that are asked for; {len(found)} breaches")
    return len(found)
