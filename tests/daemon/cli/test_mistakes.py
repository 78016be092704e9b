"""A mistake on a command line is one sentence with an exit code, and nothing is written."""

import os
import shlex
from pathlib import Path

import pytest
from tests.daemon.cli.conftest import Run
from tests.painter.films import film

SKETCH = ("--backend", "sketch", "--size", "32")
LONG = "x" * 300


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("submti", 64,
         "no such command 'submti'. Did you mean 'submit'? see `stylewatch --help`"),
        ("render --stepz 1", 64, "no such option: --stepz (Possible options: "),
        ("render text.jpg style.jpg", 65, "text.jpg"),
        ("render content.jpg style.jpg --backend skech", 69, "did you mean 'sketch'"),
        ("render content.jpg style.jpg --set backends.sketch.color=red", 64, "color"),
        ("render content.jpg style.jpg --config red.yaml", 78, "color"),
        ("render content.jpg style.jpg --sweep seed=1 -o one.png", 64, "makes several pictures"),
        ("render content.jpg style.jpg --sweep strength=", 64, "--sweep strength has no values"),
        ("render content.jpg style.jpg --steps 2 --sweep device=cpu,tpu -o p/", 64,
         "device: should be"),
        ("render content.jpg style.jpg --sweep steps=2,0 -o p/", 64, "steps: 0 only measures"),
        ("render content.jpg style.jpg --steps 2 --sweep 'style_weights=[1],[1,2]' -o p/", 64,
         "style_weights"),
        ("render content.jpg style.jpg --sweep artifacts=[losses]", 64, "same for a whole series"),
        ("render content.jpg style.jpg -o ''", 64, "-o is empty: give a value"),
        ("run --once --inbox=", 64, "--inbox is empty: give a value"),
        ("render '' style.jpg", 64, "a word is empty: give a value"),
        ("render content.jpg style.jpg --set set=5", 64, "set"),
        ("render content.jpg style.jpg -o a.mp4", 64,
         "content.jpg is a picture, and a.mp4 is none by its name: name it a.png"),
        ("render film.mkv style.jpg -o a.png", 64,
         "film.mkv is a clip, and a.png is none by its name: name it a.mp4"),
        ("render film.mkv style.jpg --preview 16", 64,
         "preview is for pictures, and film.mkv is a clip"),
        ("render content.jpg film.mkv", 65,
         "film.mkv is a film; only the content of a job can be one: export a picture"),
        ("render film.mkv style.jpg --mask film.mkv", 64,
         "film.mkv is a clip, and a mask is a picture: save a frame"),
        ("try content.jpg style.jpg -o sheets/", 64,
         "name a picture, as sheet.png, not sheets/"),
        ("try content.jpg style.jpg -o style.jpg", 73,
         "style.jpg is already there; --force replaces it"),
        ("render", 64, "render takes a photograph and at least one style"),
        ("render content.jpg style.jpg --only content", 64, "--only content takes one picture"),
        ("render content.jpg absent.jpg", 65, "absent.jpg cannot be read: No such file"),
        (f"render content.jpg style.jpg -o {LONG}.png", 73, ".png cannot be written: File name"),
        ("render content.jpg style.jpg --init nose", 64, "--init takes content, style, "),
        ("render content.jpg style.jpg --set artifacts=[sheet] --artifact losses -o p/", 64,
         "artifacts is given twice, by its option and by --set: leave one of them out"),
        ("render content.jpg style.jpg --steps 6 --set schedule.steps=5", 64,
         "steps is given twice"),
        ("render content.jpg style.jpg --init noise --set start=style", 64, "init is given twice"),
        ("run --inbox a --set 'inboxes=[{path: b}]'", 64, "inboxes is given twice"),
        ("render content.jpg style.jpg -o a.webp --set format=png", 64,
         "a.webp is webp by its name, and --set says format png"),
        ("render content.jpg style.jpg -o a.gif", 64, ".gif cannot be written; .png, "),
        ("render content.jpg pipe", 65, "pipe is a folder, a pipe or a device: name a "),
        ("render content.jpg style.jpg -o absent/a.png", 73, "absent cannot be written: "),
        ("run --set final={content}", 64,
         "job.final: should be text, got {'content': None}: put it in quotes, in a shell as '"),
        ("render content.jpg style.jpg --set objective=null", 64,
         "job: recipe best: objective: should be keys with their values, got null"),
        ("render content.jpg style.jpg --recipe gone.yaml", 64,
         "gone.yaml cannot be read: No such file or directory"),
        ("render content.jpg style.jpg --recipe gone/mine.yaml", 75,
         "gone/mine.yaml: its folder is missing, empty or unreadable: mount its disk, or name"),
        ("run --set 'alerts={urls: [json://hush]}'", 64, "--set alerts.urls: these are secrets"),
        ("run --once --state text.jpg", 73, "text.jpg"),
        ("submit content.jpg inbox", 65, "inbox is a folder, a pipe or a device"),
        ("submit content.jpg style.jpg --set watch.quiet_s=3", 64, "can't be set for a job"),
        ("submit content.jpg style.jpg --recipe own.yaml", 64, "can't name a recipe file"),
        ("submit content.jpg style.jpg --name ../sea", 64, "would do"),
        ("submit content.jpg style.jpg --inbox absent", 73, "absent"),
        ("submit content.jpg style.jpg --state '~nobody-here/in'", 64, "no user nobody-here"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_and_nothing_is_written(
    command: str, code: int, message: str, here: Path, run: Run
) -> None:
    (here / "inbox").mkdir()
    (here / "text.jpg").write_text("no picture at all")
    (here / "red.yaml").write_text("backends: {sketch: {color: red}}")
    os.mkfifo(here / "pipe")
    film(here / "film.mkv", "ffv1", frames=3, pix_fmt="bgr0")
    before = sorted(here.rglob("*"))
    verb, *words = shlex.split(command)
    ended = run(verb, *(SKETCH if verb != "run" else ()), *words)
    assert (ended.code, ended.out) == (code, "") and message in ended.err
    assert len(ended.err.splitlines()) == 1 and "hush" not in ended.err
    assert sorted(here.rglob("*")) == before
