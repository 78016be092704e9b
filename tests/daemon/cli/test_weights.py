"""`stylewatch weights`, on small networks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.daemon.cli.conftest import Run
from tests.painter import networks

from stylewatch_painter.network import importer, weights
from stylewatch_painter.network.importer import Progress, import_file


@pytest.fixture(autouse=True)
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file in place of the bundled one; a user without any weights of their own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    networks.narrow(monkeypatch)
    path = tmp_path / "bundled.bin"
    networks.save_quantized(path)
    digest = weights.sha256_of(path)
    file = weights.WeightsFile("bundled", path, digest, 8, (1.0, 2.0, 3.0), "a test", "none")
    monkeypatch.setattr(weights, "_bundled", lambda: file)
    return path


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    return networks.save_torch(tmp_path / "trained.pth", networks.numbered(networks.network()))


def test_weights_are_imported_listed_and_verified(bundled: Path, trained: Path, run: Run) -> None:
    ended = run("weights", "import", trained)
    assert ended.code == 69 and "--normalization" in ended.err
    ended = run("weights", "import", trained, "--normalization", "caffe")
    assert (ended.code, ended.out[:9]) == (0, "trained: ")
    path = networks.save_torch(trained.with_name("own.pth"), networks.network(2, "vgg16"))
    assert "VGG16, sha256" in run("weights", "import", path).out
    lines = run("weights", "list").lines
    assert lines[0].split()[:5] == ["name", "network", "bits", "sha256", "here"]
    table = {line.split()[0]: line.split()[1:5] for line in lines[1 : lines.index("")]}
    assert set(table) == {"bundled", "own", "trained", "caffe", "torchvision", "vgg16-caffe",
                          "vgg16-torchvision"}  # fmt: skip
    assert table["vgg16-caffe"][::3] == ["VGG16", "fetch"] and table["own"][3] == "yes"
    ended = run("weights", "verify")
    assert ended.code == 0
    assert [line.split(", ")[:2] for line in ended.lines] == [
        ["bundled: OK", "VGG19"], ["own: OK", "VGG16"], ["trained: OK", "VGG19"]
    ]  # fmt: skip
    bundled.write_bytes(b"something else")
    ended = run("weights", "verify")
    assert ended.code == 69 and "bundled: wrong" in ended.out and "trained: OK" in ended.out
    assert ended.err == "stylewatch: 1 of 3 weights are damaged: bundled\n"


def test_fetch_shows_its_progress_and_the_file(
    trained: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(name: str) -> Iterator[Progress]:
        for received in range(0, 1001, 5):
            yield Progress(name, received * 1_000_000, 1_000_000_000)
        made = import_file(trained, normalization="caffe")
        made.path.rename(weights.own_path(name))

    monkeypatch.setattr(importer, "fetch", fetch)
    ended = run("weights", "fetch", "torchvision")
    assert ended.code == 0 and ended.out.startswith("torchvision: ")
    lines = [line for line in ended.err.splitlines() if "%" in line]
    assert len(lines) == 11 and "500 MB of 1.0 GB (50 %)" in lines[5]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["import", "trained.pth", "--name", "Bad", "--normalization", "caffe"], 64, "'Bad' is"),
        (["import", "trained.pth", "--normalization", "foo"], 64, "'caffe', 'torchvision'"),
        (["import", "data"], 65, "data is a folder, a pipe or a device: name a file\n"),
        (["import", "missing.pth"], 65, "missing.pth cannot be read: No such file"),
        (["fetch", "nope"], 64, "there are no weights 'nope' to fetch"),
    ],
)
@pytest.mark.usefixtures("trained")
def test_a_mistake_has_an_exit_code(
    words: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    ended = run("weights", *words)
    assert ended.code == code and message in ended.err
