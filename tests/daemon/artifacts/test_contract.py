"""What is asked crosses to the other process as it is."""

from pathlib import Path

import pytest
from tests.daemon.artifacts.paintings import painting

from stylewatch_daemon.artifacts.contract import Keepsakes, Seen, Small
from stylewatch_daemon.processes import messages


@pytest.mark.parametrize("with_content", [True, False])
def test_what_is_asked_crosses_whole(tmp_path: Path, with_content: bool) -> None:
    asked = painting(tmp_path, wanted=["sheet.png"])
    if not with_content:
        asked = Keepsakes(asked.wanted, asked.curves, asked.styles, asked.stages, asked.final)
    assert messages.unpack(messages.pack(asked), Keepsakes, Small) == asked


def test_small_pictures_are_named_by_their_numbers() -> None:
    assert Small((Seen(("a.png",)), Seen(("b.png",))), 64).wanted == ("0", "1")
