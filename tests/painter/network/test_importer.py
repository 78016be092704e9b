"""Weights files are imported and downloaded."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import md5, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from tests.painter import networks

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import importer, weights
from stylewatch_painter.network.importer import Progress, download, fetch, import_file
from stylewatch_painter.network.store import load, verify
from stylewatch_painter.network.weights import Known


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
    data, published = numbered.read_bytes(), weights.CATALOGUE[3]
    for algorithm, digest in (
        ("sha256", sha256(data).hexdigest()[:8]),
        ("md5", md5(data).hexdigest()),
    ):
        entry = replace(published, name="official", algorithm=algorithm, digest=digest)
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


BODY = bytes(range(256)) * 4000  # about 1 MB: several blocks


@dataclass
class Server:
    """A server on this machine that can misbehave; `asked` are the headers it was sent."""

    body: bytes = BODY
    breaks_after: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 200
    location: str | None = None
    declared: int | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer with the body from the requested byte on, or with an error."""
        headers = dict(request.headers.items())
        self.asked.append(headers)
        start = int(headers.get("Range", "bytes=0-")[6:-1]) if self.ranges else 0
        rest = self.body[start:] if self.status == 200 else b""
        status = 206 if start else self.status
        request.send_response(status if rest or self.status != 200 else 416)
        if self.location:
            request.send_header("Location", self.location)
        if start:
            whole = len(self.body)
            request.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        request.send_header("Content-Length", str(self.declared or len(rest)))
        request.end_headers()
        part = rest[: self.breaks_after.pop(0) if self.breaks_after else None]
        with suppress(ConnectionError):  # the client may have refused it half way
            request.wfile.write(part)


@pytest.fixture
def server() -> Iterator[Server]:
    plan = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            plan.answer(self)

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        plan.url = f"http://127.0.0.1:{running.server_port}/file.bin"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield plan
        running.shutdown()
        thread.join()


def entry_of(server: Server, body: bytes = BODY) -> Known:
    digest = sha256(body).hexdigest()
    caffe = weights.CATALOGUE[1]
    return replace(caffe, name="little", file_name="file.bin", digest=digest, url=server.url)


def test_download_is_complete_and_reports_progress(server: Server, tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / "file.bin.lock"),
        pytest.raises(WeightsError, match="by another process"),
    ):
        list(download(entry_of(server), tmp_path))
    steps = list(download(entry_of(server), tmp_path))
    assert (tmp_path / "file.bin").read_bytes() == BODY
    assert steps[-1] == Progress("little", len(BODY), len(BODY))
    assert len(steps) > 1
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == ["file.bin"]


def test_interrupted_download_continues_at_the_next_call(server: Server, tmp_path: Path) -> None:
    """From a server without ranges the whole file is downloaded again."""
    path = tmp_path / "file.bin"
    server.breaks_after = [300_000, 0]
    with pytest.raises(WeightsError, match=r"broke off at 300000 bytes .* goes on from there"):
        list(download(entry_of(server), tmp_path))
    assert not path.exists()
    list(download(entry_of(server), tmp_path))
    assert server.asked[-1]["Range"] == "bytes=300000-"
    assert path.read_bytes() == BODY
    path.unlink()
    server.ranges, server.breaks_after = False, [300_000]
    received = [step.received for step in download(entry_of(server), tmp_path)]
    assert path.read_bytes() == BODY
    assert received != sorted(received)


def test_wrong_or_changed_file_is_refused_and_removed(server: Server, tmp_path: Path) -> None:
    server.breaks_after = [300_000, 0]
    with pytest.raises(WeightsError, match="broke off"):
        list(download(entry_of(server), tmp_path))
    server.body = BODY[::-1]
    mixed = sha256(BODY[:300_000] + server.body[300_000:]).hexdigest()
    with pytest.raises(WeightsError, match=rf"expected sha256 {sha256(BODY).hexdigest()}.*{mixed}"):
        list(download(entry_of(server), tmp_path))
    assert not list(tmp_path.glob("file.bin*[!k]"))
    server.body = BODY
    list(download(entry_of(server), tmp_path))
    assert (tmp_path / "file.bin").read_bytes() == BODY


def test_errors_of_the_server_are_reported(server: Server, tmp_path: Path) -> None:
    for status in (403, 500):
        server.status = status
        with pytest.raises(WeightsError, match=f"the server answers {status}"):
            list(download(entry_of(server), tmp_path))
    server.status, server.location = 302, f"{server.url}?elsewhere"
    with pytest.raises(WeightsError, match="the server answers 302"):
        list(download(entry_of(server), tmp_path))
    assert len(server.asked) == 3, "redirections are not followed"
    server.status, server.declared = 200, 1 << 40
    with pytest.raises(WeightsError, match="larger than any file of weights"):
        list(download(entry_of(server), tmp_path))
    server.url = "http://127.0.0.1:1/file.bin"
    with pytest.raises(WeightsError, match=r"cannot be reached .*refused"):
        list(download(entry_of(server), tmp_path))


def test_downloaded_weights_are_imported_once(
    server: Server, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bundled", "vgg20"):
        with pytest.raises(WeightsError, match=f"{name}.* there are caffe, keras, torchvision"):
            list(fetch(name))
    server.body = networks.save_torch(tmp_path / "x", networks.network()).read_bytes()
    entry = entry_of(server, server.body)
    monkeypatch.setattr(weights, "CATALOGUE", [entry])
    steps = list(fetch("little"))
    assert steps[-1].received == len(server.body)
    file = weights.locate("little")
    assert (file.sha256, file.license) == (entry.digest, entry.license)
    assert not (home / "downloads" / "file.bin").exists()
    assert list(fetch("little")) == []
    assert len(server.asked) == 1


def test_weights_that_another_process_fetched_meanwhile_are_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.body = networks.save_torch(tmp_path / "x", networks.network()).read_bytes()
    monkeypatch.setattr(weights, "CATALOGUE", [entry_of(server, server.body)])

    def download_twice(entry: Known, folder: Path) -> Iterator[Progress]:
        yield from download(entry, folder)
        monkeypatch.setattr(importer, "download", download)
        list(fetch(entry.name))

    monkeypatch.setattr(importer, "download", download_twice)
    assert list(fetch("little"))
    assert weights.locate("little").sha256 == weights.CATALOGUE[0].digest
