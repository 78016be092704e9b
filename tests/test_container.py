"""The entry point of the container, with its folders moved; `make test-container` has the image."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VOLUMES = ("inbox", "outbox", "state", "styles", "config")
CAN_TRY = ["root"] * (os.geteuid() == 0 and all(map(shutil.which, ("setpriv", "unshare"))))
"""Empty where this is not root: the entry point gives root up."""

TOKEN = "a-token-of-the-home-server"

PROGRAM = """#!/bin/sh
secrets=$(env | grep -c TOKEN)
printf '%s\\n' "$(id -u) $(id -G) secrets=$secrets $*"
"""
"""It says who it is, and what it is started with."""


@dataclass
class Ended:
    """How the entry point ended; `said` is what it or the program has printed."""

    code: int
    said: str

    @property
    def program(self) -> str:
        """Text that the script has printed."""
        assert self.code == 0, self.said
        return self.said.splitlines()[-1]

    @property
    def user(self) -> str:
        """The user whom the program ran as."""
        return self.program.split()[0]


class Image:
    """The entry point and the volumes, below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in (*VOLUMES, "bin", "share"):
            (root / name).mkdir()
        shutil.copy(ROOT / "container/config.yaml", root / "share")
        program = root / "bin/program"
        program.write_text(PROGRAM, encoding="utf-8")
        text = (ROOT / "container/start").read_text(encoding="utf-8")
        text = re.sub("^program=.*", f"program={program}", text, flags=re.MULTILINE)
        text = text.replace("/usr/share/stylewatch", str(root / "share"))
        text = re.sub(rf"(?<![\w/])/({'|'.join(VOLUMES)})\b", rf"{root}/\1", text)
        start = root / "bin/start"
        start.write_text(text, encoding="utf-8")
        for path in (program, start):
            path.chmod(0o755)
        (root / "bin/stylewatch").symlink_to(start)

    def start(
        self, *prefix: str, called: str = "start", variables: Mapping[str, str] | None = None
    ) -> Ended:
        """Start it; `prefix` is a command that starts it as the engine would."""
        ended = subprocess.run(
            [*prefix, str(self.root / "bin" / called), "run"], check=False, text=True, timeout=20,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "HOME": str(self.root / "state"), **(variables or {})},
        )  # fmt: skip
        return Ended(ended.returncode, ended.stdout)

    @property
    def token(self) -> str:
        return (self.root / "config/token").read_text(encoding="utf-8").strip()

    def owners(self) -> set[tuple[int, int]]:
        """The owners of the volumes and of what is in them."""
        paths = [self.root / name for name in VOLUMES]
        found = [each.stat() for path in paths for each in (path, *path.rglob("*"))]
        return {(each.st_uid, each.st_gid) for each in found}


@pytest.fixture(params=CAN_TRY)
def image() -> Iterator[Image]:
    with tempfile.TemporaryDirectory() as root:  # other users may not enter the folders of pytest
        Path(root).chmod(0o755)
        yield Image(Path(root))


def as_user(user: int) -> tuple[str, ...]:
    """A command that starts another one as a user, as engines do with `--user`."""
    return ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--")


def test_new_volumes_and_what_is_made_in_them_belong_to_the_account(image: Image) -> None:
    ended = image.start()
    assert ended.program == "1000 1000 secrets=0 run"
    assert image.owners() == {(1000, 1000)}
    assert len(image.token) == 64 and (image.root / "config/token").stat().st_mode & 0o777 == 0o600
    first = image.token
    again = image.start(variables={"PUID": "1234", "PGID": "4321"})
    assert again.program.startswith("1234 4321 ")
    assert image.token == first, "only what belongs to root is given away"


@pytest.mark.parametrize("number", ["0", "00"])
def test_root_stays_root_if_asked_to(image: Image, number: str) -> None:
    assert image.start(variables={"PUID": number, "PGID": number}).user == "0"
    assert image.owners() == {(0, 0)} and len(image.token) == 64


@pytest.mark.parametrize("key", ["PUID", "PGID"])
@pytest.mark.parametrize(
    "number", ["ann", "-1", "1 2", "1:2", "4294967295", "4294967296", "18446744073709551616"]
)
def test_a_number_that_no_account_has_is_refused(image: Image, key: str, number: str) -> None:
    ended = image.start(variables={key: number})
    assert ended.code == 64 and "PUID and PGID are numbers of an account" in ended.said
    assert image.owners() == {(0, 0)}


def test_the_last_account_is_one(image: Image) -> None:
    given = {"PUID": "4294967294", "PGID": "0001234"}
    assert image.start(variables=given).program.startswith("4294967294 1234 ")


def test_what_root_has_made_as_the_account_is_given_to_the_next_one(image: Image) -> None:
    image.start(variables={"PUID": "0", "PGID": "0"})
    token = image.token
    assert image.start().user == "1000"
    assert image.owners() == {(1000, 1000)} and image.token == token


def test_the_account_keeps_the_groups_of_the_engine_but_not_those_of_root(image: Image) -> None:
    prefix = ("setpriv", "--groups=0,44,107", "--")
    assert image.start(*prefix).program.startswith("1000 1000 44 107 ")


def test_volumes_that_are_mounted_read_only_are_left_alone(image: Image) -> None:
    image.start()
    names = ("inbox", "styles", "config")
    for name in names:
        os.chown(image.root / name, 0, 0)
    mounts = "; ".join(
        f"mount --bind {path} {path} && mount -o remount,bind,ro {path}"
        for path in (image.root / name for name in names)
    )
    ended = image.start("unshare", "--mount", "sh", "-c", f'{mounts}; exec "$@"', "sh")
    assert ended.user == "1000" and len(ended.said.splitlines()) == 1
    assert {(image.root / name).stat().st_uid for name in names} == {0}


def test_it_starts_as_the_user_of_the_engine(image: Image) -> None:
    for name in VOLUMES:
        os.chown(image.root / name, 4567, 4567)
    assert image.start(*as_user(4567)).user == "4567"
    assert image.owners() == {(4567, 4567)} and len(image.token) == 64
    os.chown(image.root / "config", 0, 0)
    (image.root / "config/token").unlink()
    ended = image.start(*as_user(4567))
    assert ended.code == 73 and "cannot be written into the volume" in ended.said


def test_a_secret_is_read_as_root_and_never_lost(image: Image, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{TOKEN}\n")
    secret.chmod(0o600)
    given = {"STYLEWATCH_TOKEN_FILE": str(secret)}
    assert image.start(variables=given).program == "1000 1000 secrets=0 run"
    assert image.token == TOKEN and image.owners() == {(1000, 1000)}
    ended = image.start(*as_user(1000), variables=given)
    assert ended.code == 78 and "STYLEWATCH_TOKEN_FILE cannot be read" in ended.said
    for wrong, why in (("short", "fewer than 16"), (f"{TOKEN} {TOKEN}", "or spaces"),
                       ("\u00e4" * 20, "beyond ASCII"), ("", "is empty"),
                       ("\n", "is empty")):  # fmt: skip
        secret.write_text(wrong)
        for variables in (given, {"STYLEWATCH_TOKEN": wrong})[: 2 if wrong.strip() else 1]:
            ended = image.start(variables=variables)
            assert (ended.code, why in ended.said) == (78, True), ended.said
    assert image.start().user == "1000"
    assert image.token == TOKEN and not (image.root / "config/token.new").exists()


def test_what_a_failed_start_has_left_is_no_token(image: Image) -> None:
    image.start(variables={"STYLEWATCH_TOKEN": TOKEN})
    (image.root / "config/token.new").touch()
    assert image.start().user == "1000" and image.token == TOKEN
    (image.root / "config/token").write_text("")
    assert "the token of the page is in" in image.start().said and len(image.token) == 64


def test_commands_of_root_become_the_account_and_make_nothing_else(image: Image) -> None:
    assert image.start(called="stylewatch").user == "1000"
    assert image.owners() == {(0, 0)} and not (image.root / "config/token").exists()
    assert image.start(*as_user(4567), called="stylewatch").user == "4567"
