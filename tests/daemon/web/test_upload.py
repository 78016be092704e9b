"""Uploaded pictures lie in the inbox as any others, or nowhere; or they are styles of a retry."""

import errno
import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from html import unescape
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import Mock

import pytest
import yaml
from tests.daemon.faults import Disk
from tests.daemon.web.world import (
    BROWSER,
    a_job,
    client,
    enter,
    finished_job,
    requested,
    settings,
    stalled,
    write,
)

from stylewatch_daemon.base.errors import FullError
from stylewatch_daemon.files import atomic, disks, lock
from stylewatch_daemon.ledger.ledger import FILE_NAME
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.web import actions, forms, once
from stylewatch_daemon.web.forms import AT_ONCE, MAX_FIELD_BYTES, MAX_FIELDS, MAX_FILES

PAIR: list[Any] = [
    ("content", ("sea.jpg", b"content", "image/jpeg")),
    ("style", ("wave.png", b"style", "image/png")),
]
KIND = "multipart/form-data; boundary=line"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    header = f'Content-Disposition: form-data; name="{name}"{file}'
    return b"--line\r\n" + header.encode() + b"\r\nContent-Type: image/x\r\n\r\n" + value + b"\r\n"


WHOLE = (
    part("content", b"content", "sea.jpg") + part("style", b"style", "wave.png") + b"--line--\r\n"
)


def send(root: Path, files: list[Any] = PAIR, **fields: str) -> Any:
    return client(root).post("/jobs", files=files, data=fields)


def post(root: Path, content: Any, kind: str = KIND, **web: Any) -> Any:
    """Send a body as it is; an iterator has its pieces."""
    return client(root, **web).post("/jobs", content=content, headers={"Content-Type": kind})


def dropped(root: Path) -> dict[str, bytes]:
    """The files in the inbox; checks that none is left in the state folder."""
    uploads = root / "state/uploads"
    assert not uploads.exists() or list(uploads.iterdir()) == []
    files = (path for path in (root / "in").rglob("*") if path.is_file())
    return {path.relative_to(root / "in").as_posix(): path.read_bytes() for path in files}


def test_each_photograph_is_a_job_with_the_same_styles_and_settings(tmp_path: Path) -> None:
    assert send(tmp_path).json() == {"jobs": ["sea-wave"]}
    pair = dropped(tmp_path)
    names = yaml.safe_load(pair.pop("sea-wave/job.yaml"))
    assert pair == {"sea-wave/content.jpg": b"content", "sea-wave/style.png": b"style"}
    assert names == {"file_names": {"content.jpg": "sea.jpg", "style.png": "wave.png"}}
    enter(tmp_path / "state", a_job("sea-wave-2"))
    assert send(tmp_path).json() == {"jobs": ["sea-wave-3"]}, "no two jobs have one name"
    ignored = ("content", ("~$sea.jpg", b"content", "image/jpeg"))
    assert send(tmp_path, [ignored, *PAIR]).json() == {"jobs": ["upload", "sea-wave-4"]}
    long = ("style", (f"{'x' * 150}.png", b"style", "image/png"))
    assert send(tmp_path, [PAIR[0], long], name="long").json() == {"jobs": ["long"]}
    assert "long/style.png" in dropped(tmp_path), "its suffix is kept"
    files = [
        ("content", ("../../../etc/.sea.jpg", b"c", "image/jpeg")), *PAIR,
        ("style", ("C:\\pictures\\b.png", b"b", "image/png")),
    ]  # fmt: skip
    fields = {"recipe": "gatys", "size": "640", "name": "mine"}
    assert send(tmp_path, files, **fields).json() == {"jobs": ["mine", "mine-2"]}
    made = dropped(tmp_path)
    file_names = {"content.jpg": "_sea.jpg", "style-1.png": "wave.png", "style-2.png": "b.png"}
    settings = {"recipe": "gatys", "size": "640", "file_names": file_names}
    assert yaml.safe_load(made.pop("mine/job.yaml")) == settings
    assert made["mine-2/content.jpg"] == b"content"
    assert {made[f"{job}/style-2.png"] for job in ("mine", "mine-2")} == {b"b"}
    assert all(path.count("/") == 1 for path in dropped(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "state"}


def test_what_is_uploaded_to_an_inbox_that_keeps_its_pictures_is_a_job_in_any_case(
    tmp_path: Path,
) -> None:
    page = client(tmp_path)
    site: Any = page.app
    own = settings(tmp_path)
    keeps = own.inboxes[0].model_copy(update={"after": "keep"})
    keeping = replace(site.state.context, settings=own.model_copy(update={"inboxes": (keeps,)}))
    site.state.context = keeping
    for name in ("sea-wave", "sea-wave-2"):
        assert page.post("/jobs", files=PAIR).json() == {"jobs": [name]}
    first, second = (dropped(tmp_path)[f"{name}/job.yaml"] for name in ("sea-wave", "sea-wave-2"))
    assert first != second and yaml.safe_load(first) == yaml.safe_load(second)


def test_only_pairs_with_valid_settings_make_a_job(tmp_path: Path) -> None:
    for name, value, reason in (
        ("name", "../sea", "cannot be called"), ("name", "x.tmp", ""),
        ("recipe", "/etc/passwd", "there is no recipe"),
        ("strengh", "1", "unknown field 'strengh'; did you mean 'strength'?"),
        ("init", "/etc/passwd", "unknown field"), ("style_weights", "1, 2", "2 numbers for 1"),
    ):  # fmt: skip
        answer = send(tmp_path, PAIR, **{name: value})
        assert answer.status_code == 400 and reason in answer.json()["mistakes"][name]
    answer = send(tmp_path, PAIR[:1])
    assert answer.status_code == 400 and "at least one style" in answer.json()["mistakes"]["style"]
    answer = send(tmp_path, [*PAIR, ("job", ("job.yaml", b"x: y", "text/yaml"))])
    assert answer.status_code == 400 and [*answer.json()["mistakes"]] == ["job"]
    assert send(tmp_path, PAIR[1:]).status_code == 422
    # a mistake is beside its control, and the other fields are kept
    fields = {"size": "wide", "strength": "0.3", "color": "match", "library": "wave"}
    write(tmp_path / "styles/wave.png", b"from the library")
    answer = client(tmp_path).post("/jobs", files=PAIR, data=fields, headers=BROWSER)
    assert answer.status_code == 400
    for text in (
        'value="wide"', 'id="size-mistake" data-mistake="size">should be 640', 'value="0.3"',
        '<option value="match" selected>', 'name="library" value="wave" checked',
    ):  # fmt: skip
        assert text in answer.text
    assert dropped(tmp_path) == {}


@pytest.mark.parametrize(
    ("default", "made", "hint"),
    [
        ("wave", {"sea-wave"}, "without one: wave"),
        ("all", {"sea-wave", "sea-night"}, "without one: a job with each of the library"),
        ("wav", "did you mean 'wave'?", "one or more files<"),
        (None, "choose at least one style image", "one or more files<"),
    ],
)
def test_a_photograph_alone_gets_the_default_styles_as_in_the_inbox(
    default: str | None, made: set[str] | str, hint: str, tmp_path: Path
) -> None:
    for name in ("night", "wave"):
        write(tmp_path / f"styles/{name}.png", name.encode())
    page = client(tmp_path, default_style=default)
    answer = page.post("/jobs", files=PAIR[:1])
    assert hint in page.get("/", headers=BROWSER).text
    if isinstance(made, str):
        assert answer.status_code == 400 and made in answer.json()["mistakes"]["style"]
        assert dropped(tmp_path) == {}
        return
    assert {*answer.json()["jobs"]} == made
    styles = {path: content for path, content in dropped(tmp_path).items() if "style" in path}
    assert styles == {f"{name}/style.png": name.removeprefix("sea-").encode() for name in made}
    assert page.post("/jobs", files=PAIR).json() == {"jobs": ["sea-wave-2"]}, "its own style wins"
    error = "an upload needs one picture or more as `content`"
    assert page.post("/jobs", files=PAIR[1:]).json() == {"error": error}


def test_an_excessive_or_damaged_form_makes_no_job(tmp_path: Path) -> None:
    for body in (
        part("note", b"x" * (MAX_FIELD_BYTES + 1)), part("note", b"x") * (MAX_FIELDS + 1),
        part("style", b"x", "x.png") * (MAX_FILES + 1), b"--line\r\n\r\n\r\n",
    ):  # fmt: skip
        answer = post(tmp_path, body + WHOLE)
        assert answer.status_code == 422 and "the form is not valid" in answer.json()["error"]
    assert "maximum size of 1KB" in post(tmp_path, part("note", b"x" * 9_999)).json()["error"]
    body = part("note", b"\xff") + WHOLE
    assert post(tmp_path, body, f"{KIND}; charset=undefined").status_code == 422
    for end in (5, len(WHOLE) - 6):
        assert "ended too early" in post(tmp_path, WHOLE[:end]).json()["error"]
    for kind in ("text/plain", "multipart/form-data"):
        assert post(tmp_path, WHOLE, kind).status_code == 422
    large = [part("content", b"", "c.jpg")[:-2], *[b"x" * 100] * 20]
    for content in (b"".join(large), iter(large)):  # its size is announced, or not
        answer = post(tmp_path, content, upload="1kB")
        assert answer.status_code == 413 and "web.upload" in answer.json()["error"]
    assert dropped(tmp_path) == {}


def test_an_upload_for_which_a_disk_has_no_room_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(needs: Iterable[tuple[Path, int]], reserve: int) -> None:
        for folder, size in needs:
            if folder == full and size >= len(b"contentstyle" * 2):
                raise FullError(f"{full} is full", full, 0)

    monkeypatch.setattr(disks, "check", refuse)
    for full in (tmp_path / "in", tmp_path / "state"):  # each job has its own copy of the style
        answer = send(tmp_path, [PAIR[0], *PAIR])
        assert answer.status_code == 507 and str(full) in answer.json()["error"]
    assert dropped(tmp_path) == {}


def test_an_upload_is_refused_while_the_disk_of_the_inbox_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that runs uses no file below the mount point as a sign to do without the disk."""
    assert send(tmp_path, name="first").status_code == 200, "its disk was never used before"
    disk, state = Disk(tmp_path / "in", monkeypatch), tmp_path / "state"
    with closing(LedgerWriter.open(state / FILE_NAME)) as ledger:
        ledger.put_mounts([disk.folder])
    with disk.unplugged(), lock.held(state / "lock"):
        (disk.folder / "NOT MOUNTED").touch()
        answer = send(tmp_path)
        (disk.folder / "NOT MOUNTED").unlink()
    assert answer.status_code == 503 and "in, which is not mounted now" in answer.json()["error"]
    assert send(tmp_path).json() == {"jobs": ["sea-wave"]}


def test_a_disk_that_becomes_full_is_reported_and_nothing_of_the_form_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    really_replacing = atomic.replacing

    def replacing(path: Path, *more: Any, **options: Any) -> Any:
        if path.suffix == ".png":
            raise full
        return really_replacing(path, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", Mock(side_effect=full))
        answer = send(tmp_path)  # while the upload is received
        assert answer.status_code == 507
        assert answer.json() == {"error": "the disk: No space left on device"}
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "replacing", replacing)
        files = [("content", ("sky.jpg", b"c", "image/jpeg")), ("content", ("a.png", b"c", ""))]
        answer = send(tmp_path, [*files, ("style", ("w.jpg", b"s", "image/jpeg"))])
        assert answer.status_code == 507
        assert "No space left on device" in answer.json()["error"]
    assert dropped(tmp_path) == {}, "it is submitted as a whole, or not at all"


def test_a_form_that_is_sent_again_with_its_number_is_acted_on_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = client(tmp_path)

    def sent(once: str, **fields: str) -> Any:
        return page.post("/jobs", files=PAIR, data={"once": once, **fields})

    assert sent("a", size="wide").status_code == 400
    first = sent("a")
    assert first.json() == sent("a").json() == {"jobs": ["sea-wave"]}
    assert sent("b").json() == {"jobs": ["sea-wave-2"]}
    assert sent("b", steps="9").json() == {"jobs": ["sea-wave-3"]}, "it is another form"
    submitted, others = actions._submit, list[Any]()
    thread = Thread(target=lambda: others.append(sent("c").json()))

    def slow(*words: Any) -> list[str]:
        monkeypatch.setattr(actions, "_submit", submitted)
        thread.start()
        thread.join(0.5)
        assert not others, "it waits for the answer to the first"
        return submitted(*words)

    with page:  # one event loop for all requests
        monkeypatch.setattr(actions, "_submit", slow)
        assert sent("c").json() == {"jobs": ["sea-wave-4"]}
        thread.join()
    assert others == [{"jobs": ["sea-wave-4"]}]
    monkeypatch.setattr(once, "MOST", 1)
    for other in ("d", "e"):
        sent(other)
    assert sent("d").json() == {"jobs": ["sea-wave-7"]}, "it is forgotten"


def test_forms_have_a_number_also_without_scripts_and_a_job_is_retried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "WAIT_S", 0.0)
    page = client(tmp_path, finished_job(tmp_path))
    pattern = r'name="once" value="([0-9a-f]{32})"'

    def numbers(path: str) -> list[str]:
        return re.findall(pattern, page.get(path, headers=BROWSER).text)

    assert len({*numbers("/"), *numbers("/"), *numbers("/jobs/id-sea/again")}) == 3
    assert numbers("/jobs/id-sea") == numbers("/jobs/id-sea") != []
    number = numbers("/jobs/id-sea")[0]
    for stage in ({"from_stage": "5"}, {"from_stage": "5"}, {}):
        answer = page.post("/jobs/id-sea/retry", data={"once": number, **stage}, headers=BROWSER)
        assert answer.status_code == 202
    assert [request["from_stage"] for request in requested(tmp_path)] == [5, None]
    assert number not in numbers("/jobs/id-sea"), "the next one is another"


def test_a_stalled_upload_gives_up_its_place_but_not_one_that_has_just_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seconds, status in ((2.0, 503), (0.0, 408)):
        monkeypatch.setattr(forms, "STALLED_S", seconds)
        answers = stalled(client(tmp_path), "/jobs", WHOLE[:500], KIND, AT_ONCE + 3, 3)
        assert [answer.status_code for answer in answers] == [status] * 3
    monkeypatch.setattr(forms, "SILENT_S", 0.1)
    assert stalled(client(tmp_path), "/jobs", WHOLE[:500], KIND)[0].status_code == 408


def test_a_library_whose_disk_is_missing_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "styles/wave.png", b"from the library")
    page = client(tmp_path)
    disk = Disk(tmp_path / "styles", monkeypatch)
    with closing(LedgerWriter.open(tmp_path / "state" / FILE_NAME)) as ledger:
        ledger.put_mounts([tmp_path / "styles"])
    with disk.unplugged():
        answer = page.post("/jobs", files=PAIR[:1], data={"library": "wave"})
        assert answer.status_code == 503 and "not mounted now" in answer.json()["error"]
        assert page.post("/jobs", files=PAIR).status_code == 200, "it needs no library"
    assert page.post("/jobs", files=PAIR[:1], data={"library": "wave"}).status_code == 200


def test_a_style_of_the_library_is_used_by_its_name_and_no_other_file_is(tmp_path: Path) -> None:
    names = [" space", 'Say "hi"', "Say %22hi%22", "a;b\\c"]
    for name in names:
        write(tmp_path / f"styles/{name}.PNG", name.encode())
    write(tmp_path / "styles/note.txt", b"no picture")
    page = client(tmp_path)
    boxes = re.findall('name="library" value="([^"]*)"', page.get("/", headers=BROWSER).text)
    body = part("content", b"content", "sea.jpg")
    body += b"".join(part("library", unescape(box).encode()) for box in boxes)
    assert post(tmp_path, body + b"--line--\r\n").json() == {"jobs": ["sea-space"]}
    made = sorted(dropped(tmp_path).items())
    assert [content.decode() for path, content in made if "/style" in path] == sorted(names)
    for name in ("Wave", "wAve"):
        write(tmp_path / f"styles/{name}.PNG", b"style")
    missing = "not in the style library"
    for name, status, reason in (
        ("note", 422, missing), ("../state/ledger", 422, missing), ("/etc/passwd", 422, missing),
        ("wave.png", 400, "wave.png fits several styles of the library: Wave.PNG and wAve.PNG"),
    ):  # fmt: skip
        answer = page.post("/jobs", files=PAIR[:1], data={"library": name})
        assert answer.status_code == status and reason in answer.json()["error"]
    answer = page.post("/jobs", files=PAIR, data={"library": ["", " "]})
    assert answer.json() == {"jobs": ["sea-wave"]}, "an empty field is no style"


@pytest.fixture
def again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Posts a form to paint `sea` again, a job with a strength of 0.25."""
    monkeypatch.setattr(actions, "WAIT_S", 0.0)
    settings = {"backend": "sketch", "strength": 0.25, "set": {"steps": 7, "smallest": 3},
                "file_names": {"content.jpg": "sea.jpg", "style.jpg": "wave.jpg"}}  # fmt: skip
    write(tmp_path / "styles/wave.png", b"from the library")
    page = client(tmp_path, finished_job(tmp_path, settings=settings), a_job("now", "running"))

    def post(fields: dict[str, Any], files: list[Any] | None = None, **more: Any) -> Any:
        files = files or [("style", ("", b"", "image/png"))]
        return page.post("/jobs/id-sea/again", data=fields, files=files, **more)

    return post


def test_a_job_is_painted_again_with_what_was_changed(
    again: Callable[..., Any], tmp_path: Path
) -> None:
    answer = again({"strength": "0.5", "steps": "", "style_size": "50%", "recipe": "gatys"})
    assert (answer.status_code, answer.json()["acted"]) == (200, False)
    again({"strength": "", "steps": "9"})
    first, second = requested(tmp_path)
    assert (first["verb"], first["job"]) == ("retry", "id-sea")
    assert first["new"] == answer.json()["job"]
    for request, expected in (
        # a control shows what an earlier version recorded in `set`, so that it can be emptied
        (first, {"strength": 0.5, "style_size": "50%", "recipe": "gatys", "steps": None}),
        (second, {"strength": None, "steps": 9, "style_size": None}),
    ):
        assert request["settings"].items() >= expected.items()
        assert request["settings"]["set"] == {"smallest": 3}
        assert request["settings"]["file_names"]["content.jpg"] == "sea.jpg"


def test_added_styles_lie_in_a_folder_until_the_daemon_has_them(
    again: Callable[..., Any], tmp_path: Path
) -> None:
    files = [("style", (name, b"uploaded", "image/png")) for name in ("../fog.png", "wave.png")]
    assert again({"library": "wave", "style_weights": "1 2, 3"}, files).status_code == 200
    (request,) = requested(tmp_path)
    assert (request["without"], request["added"]) == ([1], ["fog.png", "wave.png", "wave-2.png"])
    assert request["settings"]["style_weights"] == [1, 2, 3]
    assert request["settings"]["file_names"] == {"content.jpg": "sea.jpg"}
    uploads = tmp_path / "state/uploads"
    (folder,) = uploads.iterdir()
    assert folder.name == request["new"]
    assert (folder / "fog.png").read_bytes() == b"uploaded"
    assert (folder / "wave-2.png").read_bytes() == b"from the library"
    (uploads / "of a process that was killed").mkdir()
    actions.clear(tmp_path / "state")
    assert list(uploads.iterdir()) == [folder], "its request waits for the daemon"
    with closing(LedgerWriter.open(tmp_path / "state" / FILE_NAME)) as ledger:
        ledger.remove_request(ledger.requests()[0].id)
    actions.clear(tmp_path / "state")
    assert list(uploads.iterdir()) == []


def test_another_style_replaces_those_of_the_job_unless_they_are_blended(
    again: Callable[..., Any], tmp_path: Path
) -> None:
    other = {"library": "wave"}
    for fields, without in (
        ({}, []),
        (other, [1]),
        ({**other, "keep": ["", "1"]}, [1]),
        ({**other, "blend": "no"}, [1]),
        ({**other, "blend": ""}, [1]),
        ({**other, "keep": ["", "1"], "blend": "yes"}, []),
        ({**other, "keep": "", "blend": "yes"}, [1]),
    ):
        assert again(fields).status_code == 200
        assert requested(tmp_path)[-1]["without"] == without


def test_a_job_is_not_painted_again_without_its_inputs_or_with_a_mistake(
    again: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fields, name, reason in (
        ({"keep": ""}, "style", "at least one style"), ({"keep": ["", "2"]}, "keep", "from 1 to 1"),
        ({"keep": "one", "library": "wave"}, "keep", "numbers of styles"),
        ({"style_weights": "1, 2"}, "style_weights", "2 numbers for 1 style"),
        ({"library": "wave", "blend": "perhaps"}, "blend", "should be yes or no"),
    ):  # fmt: skip
        answer = again(fields)
        assert answer.status_code == 400 and reason in answer.json()["mistakes"][name]
    answer = again({"steps": ["8", "9"]})
    assert answer.status_code == 422
    assert answer.json()["error"] == "steps has several values: give one"
    answer = again({"steps": "many"}, headers=BROWSER)
    assert answer.status_code == 400 and 'value="many"' in answer.text
    assert 'class="options" open' in answer.text, "the mistake is in the part that is folded"
    assert client(tmp_path).post("/jobs/id-now/again", files=PAIR[1:]).status_code == 409
    with monkeypatch.context() as patch:
        patch.setattr(actions, "MAX_REQUESTS", 0)
        assert again({"library": "wave"}).status_code == 503
    (tmp_path / "out/sea/inputs/style.jpg").unlink()
    answer = again({})
    assert answer.status_code == 422 and "style.jpg (style) is no longer" in answer.json()["error"]
    assert requested(tmp_path) == [] and list((tmp_path / "state/uploads").iterdir()) == []
