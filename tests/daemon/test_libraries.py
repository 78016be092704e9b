"""A library of the installation that cannot be loaded is nobody's picture's fault (law 14).

Each of those that read and write pictures fails once, as if a library of the system were gone: the
command says which, the doctor too, and jobs wait until it is repaired.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from shutil import rmtree
from typing import Any

import pytest
import yaml
from tests.daemon.intake.inspection.files import made
from tests.hostile.bombs import jxl_head
from tests.painter.films import film

import stylewatch_painter
from stylewatch_daemon.base.child import NO_LIBRARY
from stylewatch_daemon.base.errors import UnavailableError
from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.doctor import backends
from stylewatch_daemon.doctor.finding import Verdict
from stylewatch_daemon.intake.inspection.client import Inspector
from stylewatch_daemon.intake.inspection.messages import Question
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import Failed
from stylewatch_painter import installation

GONE = "libgone.so.6: cannot open shared object file: No such file or directory"

FILES = {"numpy": "a.png", "PIL": "a.png", "pyvips": "a.png", "av": "a.mp4", "cv2": "a.mp4",
         "pillow_heif": "a.heic", "rawpy": "a.raf", "pillow_jxl": "a.jxl"}  # fmt: skip
"""A file that needs each library."""

EVERYWHERE = ("numpy", "PIL")
"""Libraries without which no process of ours that decodes pictures can begin."""


@pytest.fixture(params=FILES)
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A library that cannot be loaded by processes that are started."""
    folder = tmp_path / "broken"
    (folder / request.param).mkdir(parents=True)
    (folder / request.param / "__init__.py").write_text(f"raise ImportError({GONE!r})\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        yield request.param


def file_for(module: str, folder: Path) -> Path:
    path = folder / FILES[module]
    if path.suffix == ".mp4":
        return film(path, frames=2)
    contents = {".png": made("png"), ".raf": b"FUJIFILMCCD-RAW 0201" + bytes(5_000),
                ".jxl": jxl_head(16) + bytes(99),
                ".heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"}  # fmt: skip
    path.write_bytes(contents[path.suffix])
    return path


def stylewatch(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-P", "-m", "stylewatch_daemon", *words)
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_the_doctor_tries_each_library_that_the_painter_asks_for() -> None:
    asked = set()
    for path in Path(stylewatch_painter.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(ast.Name("library" | "find_spec"), [ast.Constant(str(name)), *_]):
                    asked.add(name.partition(".")[0])
    asked -= {"pip"}
    assert asked | {*EVERYWHERE} == {name.partition(".")[0] for name in backends.LIBRARIES}
    assert asked | {*EVERYWHERE} == FILES.keys()


def test_the_command_names_it_and_exits_as_unavailable(broken: str, tmp_path: Path) -> None:
    (tmp_path / "style.png").write_bytes(made("png"))
    words = ("--backend", "sketch", "--size", "32", "--steps", "2", "-q")
    ended = stylewatch("render", file_for(broken, tmp_path), "style.png", *words, folder=tmp_path)
    assert ended.returncode == 69, ended.stderr
    assert f"cannot be loaded ({GONE}): `" in ended.stderr


def test_inspection_knows_nothing_of_the_picture(broken: str, tmp_path: Path) -> None:
    calls, answers = SimpleQueue[Any](), list[Any]()
    inspector = Inspector(calls.put)
    question = Question((file_for(broken, tmp_path),), 10**6, tmp_path / "thumbs", ("content",))
    inspector.ask(question, answers.append)
    calls.get(timeout=60)()
    inspector.close()
    (answer,) = answers
    if broken == "cv2":  # only painting finds out
        assert answer.pictures
    else:
        assert isinstance(answer, UnavailableError)
        assert (NO_LIBRARY if broken in EVERYWHERE else GONE) in str(answer)


def test_the_doctor_names_it(broken: str) -> None:
    (module,) = (name for name in backends.LIBRARIES if name.partition(".")[0] == broken)
    (finding,) = backends.run("library", module)
    assert (finding.verdict, finding.exit_code) == (Verdict.PROBLEM, 69)
    assert f"cannot be loaded ({GONE}): `" in finding.words


def test_a_worker_fails_for_its_device_and_is_replaced() -> None:
    end = as_end(ImportError(GONE, name="PIL._imaging"))
    assert isinstance(end, Failed)
    assert (end.cause, end.recycle, end.trace) == (Cause.DEVICE, True, "")
    assert end.reason.startswith(f"pillow cannot be loaded ({GONE}): `")
    missing = as_end(ModuleNotFoundError("No module named 'sympy_'", name="sympy_"))
    assert isinstance(missing, Failed)
    assert missing.reason.endswith(f": {installation._again()}")


@pytest.mark.parametrize("broken", ["numpy", "pyvips", "av"], indirect=True)
def test_jobs_that_need_it_wait_until_it_is_repaired(broken: str, tmp_path: Path) -> None:
    for name in ("needs", "other"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "style.png").write_bytes(made("png"))
        (tmp_path / "in" / name / "content.png").write_bytes(made("png"))
    if broken == "av":
        (tmp_path / "in/needs/content.png").unlink()
        file_for("av", tmp_path).rename(tmp_path / "in/needs/content.mp4")
    settings = {
        "inboxes": [{"path": "in", "outbox": "out"}],
        "state": {"path": "state"},
        "watch": {"quiet_s": 0.1},
        "job": {"backend": "sketch", "size": 32, "steps": 2},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    run = ("run", "--once", "--config", "config.yaml")
    ended = stylewatch(*run, folder=tmp_path)
    assert ended.returncode == 75, ended.stderr
    assert "needs: waits: " in ended.stderr
    assert GONE in ended.stderr
    assert (tmp_path / "out/other/final.png").is_file() == (broken == "av")
    rmtree(tmp_path / "broken" / broken)
    ended = stylewatch(*run, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out/other/final.png").is_file()
    assert len([*tmp_path.glob("out/needs/final.*")]) == 1
