"""Weights files are imported and downloaded."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from tests.painter import networks

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import weights
from stylewatch_painter.network.importer import Progress, fetch, import_file
from stylewatch_painter.network.store import load, verify


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    networks.narrow(monkeypatch)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """A torch file whose names do not show how its training pictures were normalized."""
    return networks.save_torch(tmp_path / "My VGG.pth", networks.numbered(networks.network()))


def test_imported_file_is_listed_and_the_original_kept(numbered: Path) -> None:
    before = numbered.read_bytes()
    file = import_file(numbered, normalization="caffe")
    assert file.name == "my-vgg"
    assert file.sha256 == sha256(before).hexdigest()
    assert file.mean == (123.68, 116.779, 103.939)
    assert weights.locate("my-vgg") == file
    assert numbered.read_bytes() == before


def test_file_of_vgg16_says_so_in_every_place(tmp_path: Path) -> None:
    arrays = networks.network(architecture="vgg16")
    path = networks.save_torch(tmp_path / "vgg16.pth", arrays)
    file = import_file(path)
    assert weights.header(file.path)["format"] == "stylewatch-vgg16/1"
    located = weights.locate("vgg16")
    assert (located.architecture, located.for_receipt()["architecture"]) == ("vgg16", "vgg16")
    verify(located)
    with pytest.raises(WeightsError, match=r"VGG16 has no convolution 'conv4_4'; it has conv1_1"):
        load(located, ["conv4_4"])


def test_known_digest_gives_name_and_normalization(
    numbered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = sha256(numbered.read_bytes()).hexdigest()[:8]
    entry = replace(weights.CATALOGUE[2], name="official", digest=digest)
    monkeypatch.setattr(weights, "CATALOGUE", [entry])
    file = import_file(numbered)
    assert (file.name, file.origin, file.license) == ("official", entry.origin, entry.license)
    assert file.mean == pytest.approx((123.675, 116.28, 103.53))
    with pytest.raises(WeightsError, match="whose normalization is torchvision, not caffe"):
        import_file(numbered, normalization="caffe")


def test_unknown_normalization_must_be_given(tmp_path: Path, home: Path, numbered: Path) -> None:
    """The name of a known file without its digest proves nothing; a failure leaves no file."""
    path = numbered.rename(tmp_path / "vgg19-dcbb9e9d.pth")
    with pytest.raises(WeightsError, match=r"its digest is not known: say `--normalization torch"):
        import_file(path)
    with pytest.raises(WeightsError, match="no normalization 'keras'; there are caffe, torchvis"):
        import_file(path, normalization="keras")
    arrays = {**networks.network(), "conv5_4.bias": np.zeros(1, dtype=np.float32)}
    with pytest.raises(WeightsError, match="is not VGG19"):
        import_file(networks.save_torch(tmp_path / "x.pth", arrays))
    assert not home.exists()


def test_misleading_and_existing_names_are_refused(
    tmp_path: Path, home: Path, numbered: Path
) -> None:
    for name in ("bundled", "../out", "Mine", "a b", ".hidden"):
        with pytest.raises(WeightsError, match=r"--name|cannot name weights"):
            import_file(numbered, normalization="caffe", name=name)
    assert not home.exists()
    import_file(numbered, normalization="caffe", name="mine")
    other = networks.save_torch(tmp_path / "mine.pth", networks.network(1))
    with pytest.raises(WeightsError, match="'mine' already names other weights"):
        import_file(other)


def test_own_files_move_between_machines(
    tmp_path: Path, numbered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vgg16 = networks.save_torch(tmp_path / "vgg16.pth", networks.network(architecture="vgg16"))
    files = [import_file(numbered, normalization="torchvision"), import_file(vgg16)]
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "there"))
    for here in files:
        there = import_file(here.path)
        assert there == replace(here, path=there.path) != here
        assert networks.same(*(load(file, file.layers)[1] for file in (here, there)))
        with pytest.raises(WeightsError, match="leave --normalization out"):
            import_file(here.path, normalization="caffe")


@dataclass
class Server:
    """A server on this machine that can misbehave; `asked` counts the requests."""

    body: bytes = b""
    breaks_after: int | None = None
    status: int = 200
    location: str | None = None
    declared: int | None = None
    asked: int = 0
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer with the body, or with an error."""
        self.asked += 1
        request.send_response(self.status)
        if self.location:
            request.send_header("Location", self.location)
        request.send_header("Content-Length", str(self.declared or len(self.body)))
        request.end_headers()
        with suppress(ConnectionError):  # the client may have refused it half way
            request.wfile.write(self.body[: self.breaks_after])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that has a little network of the catalogue."""
    body = networks.save_torch(tmp_path / "x", networks.network()).read_bytes()
    plan = Server(body)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            plan.answer(self)

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        plan.url = f"http://127.0.0.1:{running.server_port}/little.pth"
        entry = replace(
            weights.CATALOGUE[1],
            name="little", file_name="little.pth", digest=sha256(body).hexdigest(), url=plan.url,
        )  # fmt: skip
        monkeypatch.setattr(weights, "CATALOGUE", [entry])
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield plan
        running.shutdown()
        thread.join()


def test_known_weights_are_fetched_once(server: Server, home: Path) -> None:
    (entry,) = weights.CATALOGUE
    for name in ("bundled", "vgg20"):
        with pytest.raises(WeightsError, match=f"{name}.* there are little"):
            list(fetch(name))
    lock = home / "downloads" / "little.pth.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock), pytest.raises(WeightsError, match="by another process"):
        list(fetch("little"))
    steps = list(fetch("little"))
    assert steps[-1] == Progress("little", len(server.body), len(server.body))
    file = weights.locate("little")
    assert (file.sha256, file.license) == (entry.digest, entry.license)
    assert list(fetch("little")) == []
    assert server.asked == 1
    assert [path.suffix for path in lock.parent.iterdir()] == [".lock"]


def test_interrupted_or_wrong_download_leaves_nothing_and_starts_again(
    server: Server, home: Path
) -> None:
    whole, server.breaks_after = server.body, 3000
    with pytest.raises(WeightsError, match=r"broke off .*3000.*weights fetch little` starts it"):
        list(fetch("little"))
    server.body, server.breaks_after = whole[::-1], None
    digests = [sha256(body).hexdigest() for body in (whole, whole[::-1])]
    with pytest.raises(WeightsError, match=f"expected sha256 {digests[0]}, met {digests[1]}"):
        list(fetch("little"))
    assert [path.suffix for path in (home / "downloads").iterdir()] == [".lock"]
    server.body = whole
    assert list(fetch("little"))


def test_errors_of_the_server_are_reported(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for status in (403, 500):
        server.status = status
        with pytest.raises(WeightsError, match=f"the server answers {status}"):
            list(fetch("little"))
    server.status, server.location = 302, f"{server.url}?elsewhere"
    with pytest.raises(WeightsError, match="the server answers 302"):
        list(fetch("little"))
    assert server.asked == 3, "redirections are not followed"
    server.status, server.declared = 200, 1 << 40
    with pytest.raises(WeightsError, match="larger than any file of weights"):
        list(fetch("little"))
    (entry,) = weights.CATALOGUE
    nowhere = replace(entry, url="http://127.0.0.1:1/little.pth")
    monkeypatch.setattr(weights, "CATALOGUE", [nowhere])
    with pytest.raises(WeightsError, match=r"cannot be reached .*refused"):
        list(fetch("little"))
