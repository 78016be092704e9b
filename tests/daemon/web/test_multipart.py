"""Forms with files, in pieces of any size: files on the disk, under names of our own."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.web.multipart import FILES, LONGEST, PIECES, Form

KIND = "multipart/form-data; boundary=line"
PICTURE = bytes(range(256)) * 9 + b"\r\n--lin\r\n"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    about = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        about += f'; filename="{filename}"'
    return b"--line\r\n" + about.encode() + b"\r\nContent-Type: image/x\r\n\r\n" + value + b"\r\n"


def taken(folder: Path, body: bytes, size: int = 7) -> Form:
    """The form after it came in pieces of that size."""
    form = Form(KIND, folder)
    try:
        for start in range(0, len(body), size):
            form.feed(body[start : start + size])
    finally:
        form.close()
    return form


WHOLE = (
    part("content", PICTURE, "My Sea.JPG")
    + part("style", b"", "")
    + part("style", b"wave", "../../wave.png")
    + part("name", " sea ä ".encode())
    + part("size", b"")
    + b"--line--\r\n"
)


@given(size=st.integers(1, 3000))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_it_comes_it_is_the_same(size: int, tmp_path: Path) -> None:
    folder = tmp_path / str(size)
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():
        left.unlink()
    form = taken(folder, WHOLE, size)
    assert form.is_whole and form.fields == {"name": "sea ä"}
    assert [(one.field, one.named) for one in form.files] == [
        ("content", "My Sea.JPG"),
        ("style", "../../wave.png"),
    ]
    assert [one.path.read_bytes() for one in form.files] == [PICTURE, b"wave"]
    assert {path.name for path in folder.iterdir()} == {"0.jpg", "1.png"}


@pytest.mark.parametrize("name", ["x.sh", "x", "x.php.", "x./../y", "x.job.yaml", "x.jp g"])
def test_only_endings_of_pictures_are_kept(name: str, tmp_path: Path) -> None:
    (file,) = taken(tmp_path, part("content", b"x", name) + b"--line--\r\n").files
    assert file.path == tmp_path / "0.img"


def test_a_form_that_ends_too_early_is_not_whole(tmp_path: Path) -> None:
    for end in (5, 60, 500, len(WHOLE) - 6):
        folder = tmp_path / str(end)
        folder.mkdir()
        assert not taken(folder, WHOLE[:end], 100).is_whole


def test_the_form_of_the_page_fits_with_as_many_pictures_as_may_come(tmp_path: Path) -> None:
    pictures = b"".join(part("style", b"x", f"{'n' * 250}.jpg") for _ in range(FILES))
    fields = b"".join(part(f"field-{number}", b"x") for number in range(20))
    assert taken(tmp_path, pictures + fields + b"--line--\r\n", 1000).is_whole


@pytest.mark.parametrize(
    "body",
    [
        b"no form",
        b"--line\r\n" + b"x" * 99999,
        b"--line\r\nContent-Disposition: form-data; name=x\r\n" + b"A: b\r\n" * 999,
        part("note", b"x" * (LONGEST + 1)),
        b"".join(part(f"f{n}", b"x") for n in range(PIECES)),
        b"".join(part("f", b"") for n in range(PIECES)),
        b"".join(part("f", b"", "") for n in range(PIECES)),
        b"--line\r\n\r\n\r\n" * (PIECES + 1),
        part("content", b"x", "x" * LONGEST),
        b"".join(part("style", b"x", "x.png") for _ in range(FILES + 1)),
    ],
    ids=[
        "nothing",
        "header",
        "headers",
        "field",
        "fields",
        "empty fields",
        "empty files",
        "empty parts",
        "a long name",
        "files",
    ],
)
def test_what_is_no_form_or_too_much_is_refused(body: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="form"):
        taken(tmp_path, body, 1000)


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary=",
             "application/json; boundary=x", f"multipart/form-data; boundary={'x' * 999}"]
)  # fmt: skip
def test_another_kind_of_body_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="form"):
        Form(kind, tmp_path)
