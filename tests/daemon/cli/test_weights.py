"""The weights commands, as they are typed, on little networks."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.painter import networks
from typer.testing import CliRunner, Result

from stylewatch_daemon.cli.weights import app
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import importer, weights
from stylewatch_painter.network.importer import Progress, import_file


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any weights of their own; a VGG19 of few channels."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    networks.narrow(monkeypatch)
    return tmp_path


@pytest.fixture
def bundled(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A little file in place of the bundled one."""
    path = home / "bundled.bin"
    networks.save_quantized(path)
    digest = weights.digests(path, ["sha256"])["sha256"]
    file = weights.WeightsFile("bundled", path, digest, 8, (1.0, 2.0, 3.0), "a test", "none")
    monkeypatch.setattr(weights, "_bundled", lambda: file)
    return path


@pytest.fixture
def trained(home: Path) -> Path:
    return networks.save_torch(home / "trained.pth", networks.numbered(networks.network()))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_list_names_what_is_here_and_what_can_be_fetched_with_its_makers() -> None:
    lines = run("list").stdout.splitlines()
    assert lines[0].split()[:4] == ["name", "bits", "digest", "here"]
    rows = {line.split()[0]: line for line in lines[1 : lines.index("")]}
    assert list(rows) == ["bundled", "caffe", "keras", "torchvision"]
    assert "sha256 c34748d2a8b1  yes" in rows["bundled"]
    assert any(
        line.startswith("bundled, caffe, keras: CC BY 4.0, Visual Geometry Group, University of")
        for line in lines
    )
    assert "md5 253f8cb51578" in rows["keras"]
    assert "fetch" in rows["torchvision"]


def test_the_list_as_json_has_whole_digests() -> None:
    rows = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}
    assert len(rows["bundled"]["sha256"]) == 64
    assert rows["bundled"]["here"] is True
    assert rows["keras"]["md5"] == "253f8cb515780f3b799900260a226db6"
    assert rows["keras"]["here"] is False


def test_imported_weights_are_listed_by_their_name(trained: Path) -> None:
    done = run("import", trained, "--normalization", "torchvision", "--name", "mine")
    assert done.exit_code == 0
    assert done.stdout.startswith("mine: ")
    assert weights.locate("mine").sha256 in done.stdout
    rows = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}
    assert rows["mine"]["here"] is True
    assert Path(rows["mine"]["path"]).is_file()


def test_an_import_that_needs_a_word_more_ends_as_the_painters_error(trained: Path) -> None:
    done = run("import", trained)
    assert isinstance(done.exception, WeightsError)
    assert "--normalization" in str(done.exception)


def test_verify_holds_everything_that_is_here_against_its_digest(
    bundled: Path, trained: Path
) -> None:
    run("import", trained, "--normalization", "caffe")
    done = run("verify")
    assert done.exit_code == 0
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["bundled", "trained"]
    assert done.stdout.count("right, sha256") == 2


def test_verify_tells_what_is_wrong_and_goes_on_to_the_rest(bundled: Path, trained: Path) -> None:
    run("import", trained, "--normalization", "caffe")
    bundled.write_bytes(b"something else")
    done = run("verify")
    assert isinstance(done.exception, WeightsError)
    assert str(done.exception) == "1 of 2 weights are not right: bundled"
    assert "bundled: wrong" in done.stdout
    assert "trained: right" in done.stdout


def test_verify_finds_a_file_that_no_longer_says_what_it_is(bundled: Path, trained: Path) -> None:
    run("import", trained, "--normalization", "caffe")
    weights.own_path("trained").write_bytes(b"garbage")
    assert "trained" not in {row["name"] for row in json.loads(run("list", "--json").stdout)}
    done = run("verify", "trained")
    assert "trained: wrong" in done.stdout
    assert isinstance(done.exception, WeightsError)


def test_fetch_tells_how_far_it_is_and_where_the_weights_are(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(name: str) -> Iterator[Progress]:
        for received in range(0, 1001, 5):
            yield Progress(name, received * 1_000_000, 1_000_000_000)
        import_file(trained, name=name, normalization="caffe")

    monkeypatch.setattr(importer, "fetch", fetch)
    done = run("fetch", "torchvision")
    assert done.exit_code == 0
    assert done.stdout.startswith("torchvision: ")
    told = [line for line in done.stderr.splitlines() if "%" in line]
    assert len(told) == 11
    assert "500 MB of 1.0 GB (50 %)" in told[5]


def test_fetch_of_what_nobody_knows_ends_as_the_painters_error() -> None:
    done = run("fetch", "vgg20")
    assert isinstance(done.exception, WeightsError)
    assert "there are caffe, keras, torchvision" in str(done.exception)


@pytest.mark.parametrize("command", ["list", "fetch", "verify", "import"])
def test_every_command_explains_itself(command: str) -> None:
    done = run(command, "--help")
    assert done.exit_code == 0
    assert "Usage" in done.stdout


def test_the_commands_are_there_before_numpy_is() -> None:
    code = (
        "import sys; import stylewatch_daemon.cli.weights;"
        "sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
