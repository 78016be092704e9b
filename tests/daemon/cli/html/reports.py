"""Paintings to report of."""

from pathlib import Path
from typing import Any

from tests.daemon.outbox.test_receipt import plain

from stylewatch_daemon.cli.html.painted import Painted
from stylewatch_daemon.outbox.receipt import Receipt


def reported(folder: Path, **changed: Any) -> Painted:
    """A painting `sea` whose receipt says so; none of its files is there."""
    receipt = Receipt.model_validate(plain(**changed))
    return Painted("sea", receipt, folder, folder / "final.png")
