"""Names are compared in one form; those in the outbox are safe and recognizable."""

import os
from unicodedata import normalize

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stylewatch_daemon.base.errors import UsageError
from stylewatch_daemon.files.names import (
    LONGEST,
    folded,
    meant,
    safe,
    safe_path,
    shortened,
    shown,
    told_apart,
)


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


LETTERS = st.text(
    st.characters() | st.sampled_from("\u0301\u0308\u0345\u0130\u0131\u017f\u212a\ufb01eEéÉßẞKΣς")
)


@given(LETTERS)
@example("\u03b1\u0345\u0301")  # marks in another order
def test_names_are_compared_in_one_form(name: str) -> None:
    form = folded(name)
    assert folded(normalize("NFC", name)) == folded(normalize("NFD", name)) == form
    assert folded(form) == form
    assert form == folded(normalize("NFC", name).casefold())


@given(LETTERS, st.lists(LETTERS))
def test_an_exact_name_wins(wanted: str, names: list[str]) -> None:
    assert meant(wanted, [*names, wanted], "names") == wanted
    if wanted not in names:
        equal = {name for name in names if folded(name) == folded(wanted)}
        if len(equal) > 1:
            with pytest.raises(UsageError, match="fits several names"):
                meant(wanted, names, "names")
        else:
            assert meant(wanted, names, "names") == next(iter(equal), None)


def test_names_that_look_alike_are_told_apart() -> None:
    assert told_apart(["a.jpg", "b.jpg"]) == "a.jpg and b.jpg"
    assert told_apart(["A.jpg", "a.jpg"]) == "A.jpg and a.jpg, which differ only in case"
    assert told_apart(["\u00e9", "e\u0301", "a\n"]) == (
        "\u00e9 and e\u0301 and a?, some of which differ only in how accents are stored"
    )
