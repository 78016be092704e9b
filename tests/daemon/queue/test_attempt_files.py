"""A file counts where it is the one that was announced; what is another is remembered."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.faults import announced, fill

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.queue.attempt_files import Announced

STAGE = "stages/0001.png"


@pytest.fixture
def words(tmp_path: Path) -> Announced:
    fill(tmp_path / "out/.staging/1", STAGE)
    return Announced(Outbox(tmp_path / "out"), "1", elsewhere=True)


def test_what_this_machine_wrote_is_not_read_again(tmp_path: Path) -> None:
    fill(tmp_path / "out/.staging/1", STAGE)
    words = Announced(Outbox(tmp_path / "out"), "1", elsewhere=False)
    assert words.look(replace(announced(STAGE), sha256="12ab")) == "it"
    assert words.look(announced("final.png")) == "nothing"


def test_it_is_known_by_its_bytes(words: Announced) -> None:
    assert words.look(announced(STAGE)) == "it"
    assert words.look(announced("final.png")) == "nothing"
    assert words.unlike == set()


def test_what_is_another_counts_until_a_later_word_fits(words: Announced) -> None:
    assert words.look(replace(announced(STAGE), sha256="12ab")) == "another"
    assert words.unlike == {STAGE}
    assert words.look(announced(STAGE)) == "it"
    assert words.unlike == set()


@pytest.mark.parametrize("path", ["../2/final.png", "/etc/hostname"])
def test_nothing_is_looked_at_elsewhere(path: str, words: Announced) -> None:
    with pytest.raises(OutputError, match="leads out"):
        words.look(announced(path))


def test_no_link_is_followed(words: Announced, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "out/.staging/1/final.png").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        words.look(announced("final.png"))
