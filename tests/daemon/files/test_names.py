"""Names in the outbox are safe, and still to be recognized."""

import os
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylewatch_daemon.files.names import LONGEST, candidates, safe, safe_path, shortened, shown


@pytest.mark.parametrize(
    ("dropped", "kept"),
    [
        ("holiday 2026", "holiday 2026"),
        ("e\u0301t\u00e9", "\u00e9t\u00e9"),
        ("line\nbreak", "line_break"),
        ("-rf", "_rf"),
        ("..", "_"),
        (".hidden", "_hidden"),
        ("what?", "what_"),
        ("end. ", "end"),
        ("", "_"),
        (os.fsdecode(b"latin\xe9"), "latin_"),
        ("_refused", "__refused"),
        ("_JOBS", "__JOBS"),
        ("a/b", "a_b"),
        ("CON", "_CON"),
        ("nul.v2", "_nul.v2"),
        ("com1 .x", "_com1 .x"),
        ("console", "console"),
    ],
)
def test_a_name_is_made_safe_and_stays_recognizable(dropped: str, kept: str) -> None:
    assert safe(dropped) == kept


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc", "Po"])))
def test_no_name_leads_anywhere_else_or_cannot_be_stored(name: str) -> None:
    path = safe_path(name)
    for part in path.split("/"):
        assert part not in ("", ".", "..", "_refused", "_status.txt", "_jobs")
        assert not part.startswith((".", "-"))
        assert len(part.encode()) <= LONGEST + 1


def test_a_taken_name_gets_a_number() -> None:
    assert list(islice(candidates("job"), 3)) == ["job", "job-2", "job-3"]


def test_what_is_shown_can_be_printed() -> None:
    assert shown(os.fsdecode(b"a\xe9\nb")).encode() == b"a??b"


def test_what_is_shown_cannot_mislead() -> None:
    assert shown("a\x1b[2J\u202egpj\u2066\u2028b\x9b") == "a?[2J?gpj??b?"
    assert shown("Füße 海.jpg") == "Füße 海.jpg"


def test_a_long_path_is_shown_by_its_ends() -> None:
    assert shortened(Path("/in/a\x1b.jpg")) == "/in/a?.jpg"
    assert shortened("a" * 120 + "b" * 500 + "c" * 120) == "a" * 120 + "..." + "c" * 120
