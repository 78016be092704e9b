"""Names in the outbox are safe and recognizable."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylewatch_daemon.files.names import LONGEST, safe, safe_path, shortened, shown


@pytest.mark.parametrize(
    ("dropped", "kept"),
    [
        ("holiday 2026", "holiday 2026"), ("e\u0301t\u00e9", "\u00e9t\u00e9"), ("", "_"),
        ("-rf", "_rf"), (".hidden", "_hidden"), ("what?", "what_"), ("end. ", "end"),
        (os.fsdecode(b"latin\xe9"), "latin_"), ("_Refused", "__Refused"), ("nul.v2", "_nul.v2"),
        ("com1 .x", "_com1 .x"), ("console", "console"),
    ],
)  # fmt: skip
def test_a_name_is_made_safe_and_stays_recognizable(dropped: str, kept: str) -> None:
    assert safe(dropped) == kept


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc", "Po"])))
def test_no_name_leads_elsewhere_or_cannot_be_stored(name: str) -> None:
    for part in safe_path(name).split("/"):
        assert part not in ("", ".", "..", "_refused", "_status.txt")
        assert not part.startswith((".", "-"))
        assert len(part.encode()) <= LONGEST + 1


def test_a_shown_path_cannot_mislead() -> None:
    assert shown("a\x1b[2J\u202egpj\u2066\u2028b\x9b") == "a?[2J?gpj??b?"
    assert shown("Füße 海" + os.fsdecode(b"\xe9\n") + ".jpg") == "Füße 海??.jpg"
    assert shortened("a" * 120 + "b" * 500 + "c" * 120) == "a" * 120 + "..." + "c" * 120
