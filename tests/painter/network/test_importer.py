"""Taking over a file of one's own."""

import threading
from collections.abc import Iterator
from hashlib import md5, sha256
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.request import OpenerDirector, ProxyHandler, build_opener

import numpy as np
import pytest
from filelock import FileLock
from tests.painter import networks
from tests.painter.servers import Handler, Server

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import importer as weights_fetch
from stylewatch_painter.network import weights
from stylewatch_painter.network.importer import Progress, download, fetch, import_file
from stylewatch_painter.network.store import load
from stylewatch_painter.network.weights import LAYERS, Known


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    networks.narrow(monkeypatch)


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """A torch file whose names do not tell which pictures it was trained on."""
    return networks.save_torch(tmp_path / "My VGG.pth", networks.numbered(networks.network()))


def _known(path: Path, normalization: str, *, algorithm: str = "sha256", digits: int = 8) -> Known:
    digest = {"sha256": sha256, "md5": md5}[algorithm](path.read_bytes()).hexdigest()[:digits]
    return Known("official", path.name, algorithm, digest, "a test", normalization, "o", "l")


def test_imported_file_is_listed_and_the_original_kept(tmp_path: Path, numbered: Path) -> None:
    before = numbered.read_bytes()
    file = import_file(numbered, home=tmp_path / "home", normalization="caffe")
    assert file.name == "my-vgg"
    assert file.sha256 == sha256(before).hexdigest()
    assert file.mean == (123.68, 116.779, 103.939)
    assert weights.locate("my-vgg", home=tmp_path / "home") == file
    assert numbered.read_bytes() == before


def test_unknown_normalization_must_be_given(tmp_path: Path, numbered: Path) -> None:
    with pytest.raises(WeightsError, match=r"say `--normalization torchvision` .* or `--norm"):
        import_file(numbered, home=tmp_path / "home")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(("algorithm", "digits"), [("sha256", 8), ("sha256", 64), ("md5", 32)])
def test_known_digest_gives_name_and_normalization(
    tmp_path: Path, numbered: Path, algorithm: str, digits: int
) -> None:
    entry = _known(numbered, "torchvision", algorithm=algorithm, digits=digits)
    file = import_file(numbered, home=tmp_path / "home", catalogue=[entry])
    assert (file.name, file.origin, file.license) == ("official", "o", "l")
    assert file.mean == pytest.approx((123.675, 116.28, 103.53))


def test_known_name_without_its_digest_proves_nothing(tmp_path: Path, numbered: Path) -> None:
    path = numbered.rename(tmp_path / "vgg19-dcbb9e9d.pth")
    with pytest.raises(WeightsError, match="its digest is not known"):
        import_file(path, home=tmp_path / "home")


def test_existing_name_is_not_overwritten(tmp_path: Path, numbered: Path) -> None:
    import_file(numbered, home=tmp_path / "home", normalization="caffe", name="mine")
    other = networks.save_torch(tmp_path / "mine.pth", networks.network(1))
    with pytest.raises(WeightsError, match="'mine' already names other weights"):
        import_file(other, home=tmp_path / "home")


@pytest.mark.parametrize("name", ["bundled", "../out", "Mine", "a b", ".hidden"])
def test_misleading_names_are_refused(tmp_path: Path, numbered: Path, name: str) -> None:
    with pytest.raises(WeightsError, match=r"--name|cannot name weights"):
        import_file(numbered, home=tmp_path / "home", normalization="caffe", name=name)
    assert not (tmp_path / "home").exists()


def test_own_files_move_between_machines(tmp_path: Path, numbered: Path) -> None:
    here = import_file(numbered, home=tmp_path / "here", normalization="torchvision")
    there = import_file(here.path, home=tmp_path / "there")
    assert there.sha256 == here.sha256
    assert there.mean == here.mean
    some, others = (load(file, LAYERS)[1] for file in (here, there))
    assert networks.same(some, others)


def test_failed_import_leaves_nothing(tmp_path: Path) -> None:
    arrays = networks.network()
    arrays["conv5_4.bias"] = np.zeros(1, dtype=np.float32)
    path = networks.save_torch(tmp_path / "x.pth", arrays)
    with pytest.raises(WeightsError, match="is not VGG19"):
        import_file(path, home=tmp_path / "home")
    assert not (tmp_path / "home").exists()


BODY = bytes(range(256)) * 4000  # about 1 MB: several blocks


@pytest.fixture
def server() -> Iterator[Server]:
    plan = Server(BODY)
    handler = type("Planned", (Handler,), {"plan": plan})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        plan.url = f"http://127.0.0.1:{running.server_port}/file.bin"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield plan
        running.shutdown()
        thread.join()


@pytest.fixture
def opener() -> OpenerDirector:
    """As the module's own, but past any proxy of whoever runs the tests."""
    return build_opener(weights_fetch._Stay, ProxyHandler({}))


def _entry(server: Server, body: bytes = BODY) -> Known:
    digest = sha256(body).hexdigest()
    return Known("little", "file.bin", "sha256", digest, "a test", "caffe", "o", "l", server.url)


def test_download_is_complete_and_reports_progress(
    server: Server, opener: OpenerDirector, tmp_path: Path
) -> None:
    steps = list(download(_entry(server), tmp_path, opener=opener))
    assert (tmp_path / "file.bin").read_bytes() == BODY
    assert steps[-1] == Progress("little", len(BODY), len(BODY))
    assert len(steps) > 1
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == ["file.bin"]


def test_interrupted_download_continues_at_the_next_call(
    server: Server, opener: OpenerDirector, tmp_path: Path
) -> None:
    server.breaks_after = [300_000, 0]
    with pytest.raises(WeightsError, match=r"broke off at 300000 bytes .* goes on from there"):
        list(download(_entry(server), tmp_path, opener=opener))
    assert not (tmp_path / "file.bin").exists()
    list(download(_entry(server), tmp_path, opener=opener))
    assert server.asked[-1]["Range"] == "bytes=300000-"
    assert (tmp_path / "file.bin").read_bytes() == BODY


def test_server_without_ranges_is_asked_for_the_whole(
    server: Server, opener: OpenerDirector, tmp_path: Path
) -> None:
    server.ranges, server.breaks_after = False, [300_000]
    steps = list(download(_entry(server), tmp_path, opener=opener))
    assert (tmp_path / "file.bin").read_bytes() == BODY
    received = [step.received for step in steps]
    assert received != sorted(received)


def test_changed_file_is_not_mixed_with_the_old_one(
    server: Server, opener: OpenerDirector, tmp_path: Path
) -> None:
    server.breaks_after = [300_000, 0]
    with pytest.raises(WeightsError):
        list(download(_entry(server), tmp_path, opener=opener))
    shorter = BODY[100_000::-1]
    server.body, server.etag = shorter, '"two"'
    list(download(_entry(server, shorter), tmp_path, opener=opener))
    assert (tmp_path / "file.bin").read_bytes() == shorter


def test_wrong_digest_is_refused_and_removed(
    server: Server, opener: OpenerDirector, tmp_path: Path
) -> None:
    server.body = BODY + b"!"
    expected, met = sha256(BODY).hexdigest(), sha256(server.body).hexdigest()
    with pytest.raises(WeightsError, match=rf"file\.bin: expected sha256 {expected}, met {met}"):
        list(download(_entry(server), tmp_path, opener=opener))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("file.bin.p")] == []
    assert not (tmp_path / "file.bin").exists()


@pytest.mark.parametrize("status", [403, 404, 500])
def test_server_error_is_reported(
    server: Server, opener: OpenerDirector, tmp_path: Path, status: int
) -> None:
    server.status = status
    with pytest.raises(WeightsError, match=f"the server answers {status}"):
        list(download(_entry(server), tmp_path, opener=opener))


def test_redirection_is_not_followed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.status, server.location = 302, f"{server.url}?elsewhere"
    with pytest.raises(WeightsError, match="the server answers 302"):
        list(download(_entry(server), tmp_path))
    assert len(server.asked) == 1


def test_absurd_size_is_refused(server: Server, opener: OpenerDirector, tmp_path: Path) -> None:
    server.declared = 1 << 40
    with pytest.raises(WeightsError, match="larger than any file of weights"):
        list(download(_entry(server), tmp_path, opener=opener))


def test_concurrent_download_is_refused(
    server: Server, opener: OpenerDirector, tmp_path: Path
) -> None:
    with (
        FileLock(tmp_path / "file.bin.lock"),
        pytest.raises(WeightsError, match="by another process"),
    ):
        list(download(_entry(server), tmp_path, opener=opener))


def test_downloaded_weights_are_imported(
    server: Server, opener: OpenerDirector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks.narrow(monkeypatch)
    server.body = networks.save_torch(tmp_path / "x", networks.network()).read_bytes()
    entry = _entry(server, server.body)
    home = tmp_path / "home"
    steps = list(fetch("little", home=home, catalogue=[entry], opener=opener))
    assert steps[-1].received == len(server.body)
    file = weights.locate("little", home=home)
    assert (file.sha256, file.license) == (entry.digest, "l")
    assert not (home / "downloads" / "file.bin").exists()
    assert list(fetch("little", home=home, catalogue=[entry], opener=opener)) == []
    assert len(server.asked) == 1


def test_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    for name in ("bundled", "vgg20"):
        with pytest.raises(WeightsError, match=f"{name}.* there are caffe, keras, torchvision"):
            list(fetch(name, home=tmp_path))
