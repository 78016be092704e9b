"""`stylewatch report`: a file from a folder or the ledger, whether a daemon works or not."""

from pathlib import Path

import pytest
from tests.daemon.cli.states import enter, entry

from stylewatch_daemon.cli.main import call


@pytest.fixture
def folder(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A painting made by `render`, in the folder `sea` of the current one."""
    monkeypatch.chdir(pictures)
    paint = ["render", "content.jpg", "style.jpg", "--backend", "sketch", "--steps", "3", "-q"]
    assert call([*paint, "-o", "sea/"]) == 0
    return pictures / "sea"


@pytest.mark.parametrize("named", ["sea", "sea/", "sea/receipt.json"])
def test_a_folder_that_was_painted_into_becomes_one_file(
    named: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["report", named, "-o", "out.html"]) == 0
    assert capsys.readouterr().out == "out.html\n"
    html = Path("out.html").read_text(encoding="utf-8")
    assert html.startswith("<!DOCTYPE html>") and html.count("data:image/jpeg;base64,") == 3
    assert html.count("data:image/png;base64,") == 1


def test_without_a_name_it_has_that_of_the_job_and_replaces_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [call(["report", "sea"]), call(["report", "sea", "-q"])] == [0, 0]
    assert capsys.readouterr().out == "content-report.html\n"
    assert Path("content-report-2.html").is_file()


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out.html").write_text("mine")
    assert call(["report", "sea", "-o", "out.html"]) == 73
    assert "already there; --force replaces it" in capsys.readouterr().err
    assert Path("out.html").read_text() == "mine"
    assert call(["report", "sea", "-o", "out.html", "--force"]) == 0
    assert Path("out.html").read_text().startswith("<!DOCTYPE")


@pytest.mark.parametrize(("to", "why"), [("no/out.html", "cannot be written"), ("sea", "a folder")])
def test_where_it_cannot_be_written_it_says_so(
    to: str, why: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["report", "sea", "-o", to, "-f"]) == 73
    assert why in capsys.readouterr().err


def test_a_job_of_the_ledger_goes_by_its_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(Path("state"), entry("wave", "done", outbox=str(folder.parent), place="sea"))
    assert call(["report", "wave", "--state", "state", "-o", "out.html"]) == 0
    assert "<h1>sea</h1>" in Path("out.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("job", "code", "why"),
    [("wav", 64, "did you mean 'wave'"), ("wave", 65, "not finished yet (running)")],
)
def test_what_cannot_be_reported_is_told_in_a_sentence(
    job: str, code: int, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    enter(tmp_path / "state", entry("wave", "running"))
    out = tmp_path / "out.html"
    assert call(["report", job, "--state", str(tmp_path / "state"), "-o", str(out)]) == code
    assert why in capsys.readouterr().err and not out.exists()
