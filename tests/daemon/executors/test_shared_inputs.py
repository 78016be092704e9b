"""Inputs that are copied to where other machines see them."""

from dataclasses import replace
from pathlib import Path

from tests.daemon.worker import orders

from stylewatch_daemon.executors.shared_inputs import missing, shared
from stylewatch_daemon.outbox.publish import Outbox


def test_each_file_is_copied_once_under_its_name(tmp_path: Path, pictures: Path) -> None:
    given = orders.order(tmp_path, pictures)
    mask = pictures / "content.mask.png"
    mask.write_bytes(b"mask")
    outbox = Outbox(tmp_path / "outbox")
    staging = outbox.staging("job")
    given = replace(given, init=given.main, masks={"content-mask": mask}, staging=staging)
    order = shared(given)
    assert order.main == order.init
    assert order.main.read_bytes() == given.main.read_bytes()
    copies = {order.main, *order.styles, *order.masks.values()}
    assert all(path.is_relative_to(staging) for path in copies)
    assert sorted(path.name for path in copies) == ["content.jpg", "content.mask.png", "style.jpg"]
    assert len(orders.files(given)) == 3
    assert list(outbox.staged("job")) == [], "copies are not outputs"
    assert missing(order) is None
    order.styles[0].unlink()
    assert missing(order) == order.styles[0]
