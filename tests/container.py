"""The container: built, started, used, stopped and started again, `make test-container`.

It takes root, podman, runc, and mmdebstrap, which makes a base of Debian's packages; the variable
BASE names another one. The container uses the network of this machine.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.nodes import unused_port

from stylewatch_painter import sample

ROOT = Path(__file__).parents[1]
TOOLS = ("podman", "runc", "mmdebstrap")
LIMITS = ("--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096")
"""Limits that podman would raise otherwise, which not every machine allows."""

TIMEOUT_S = 300.0
"""Seconds that anything in the container may take."""

OWNER = 1234
"""The user in the container, who has no account there."""

VOLUMES = ("inbox", "outbox", "state", "styles", "config")

TOKEN = "a-token-of-the-home-server"


def podman(*words: str | Path) -> str:
    """Run podman; return its output. Raises AssertionError if it fails."""
    command = ["podman", "--runtime=runc", *map(str, words)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, f"{shlex.join(command)}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout.strip()


def log(made: str) -> str:
    """Return what the program in a container has logged."""
    command = ["podman", "--runtime=runc", "logs", made]
    return subprocess.run(command, check=False, capture_output=True, text=True).stderr


def until(what: str, condition: Callable[[], object]) -> None:
    """Wait until a condition holds; raises AssertionError after TIMEOUT_S."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < TIMEOUT_S, f"waited in vain: {what}"
        time.sleep(0.2)
    print(f"  {what} ({time.monotonic() - began:.0f} s)", flush=True)


def base(folder: Path) -> str:
    """Return an image with Python: BASE, or one of Debian's packages, which trusts what we do."""
    if given := os.environ.get("BASE"):
        return given
    packages = "python3,python3-venv,ca-certificates"
    sources = sorted(Path("/etc/apt/sources.list.d").glob("*.sources"))
    subprocess.run(
        ["mmdebstrap", "--variant=minbase", f"--include={packages}", "", folder / "base.tar",
         *sources],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    plain = podman("import", "--quiet", folder / "base.tar")
    lines = [f"FROM {plain}"]
    for path in map(Path, ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")):
        if path.is_file():
            shutil.copy(path, folder)
            lines.append(f"COPY {path.name} {path}")
    (folder / "Base").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return podman("build", "--quiet", "--isolation=chroot", "--file", folder / "Base", folder)


def image(folder: Path) -> str:
    """Build the image; a folder in PIP_FIND_LINKS may have the CPU build of torch."""
    options, volumes = ["--system-certs"], list[str]()
    if wheels := os.environ.get("PIP_FIND_LINKS"):
        options.append(f"--find-links {wheels}")
        volumes.append(f"--volume={wheels}:{wheels}:ro")
    backend = "cuda" if wheels else "cpu"
    return podman(
        "build", "--quiet", "--format=docker", "--isolation=chroot", "--network=host", *volumes,
        f"--build-arg=BASE={base(folder)}", f"--build-arg=TORCH={backend}",
        f"--build-arg=UV_OPTIONS={' '.join(options)}", "--file", ROOT / "Containerfile", ROOT,
    )  # fmt: skip


@contextmanager
def container(built: str, folder: Path, port: int) -> Iterator[str]:
    """A container that runs, with its volumes in `folder`; it is removed at the end."""
    for name in VOLUMES:
        (folder / name).mkdir(parents=True)
    volumes = [f"--volume={folder / name}:/{name}" for name in VOLUMES]
    variables = {
        "PUID": OWNER, "PGID": OWNER, "STYLEWATCH_TOKEN": TOKEN,
        "STYLEWATCH_WEB__LISTEN": f"127.0.0.1:{port}", "STYLEWATCH_JOB__SIZE": 64,
        "STYLEWATCH_JOB__SAVE_EVERY": 5,
    }  # fmt: skip
    given = [f"--env={name}={value}" for name, value in variables.items()]
    made = podman("run", "--detach", "--network=host", *LIMITS, *volumes, *given, built)
    try:
        yield made
    except AssertionError:
        sys.stderr.write(podman("logs", made))
        raise
    finally:
        podman("rm", "--force", made)


def drop(folder: Path, job: str, steps: int) -> None:
    """Put the sample pair into the inbox, all at once."""
    made = folder / "inbox" / f".{job}"
    made.mkdir()
    shutil.copy(sample.CONTENT, made / "content.jpg")
    shutil.copy(sample.STYLE, made / "style.jpg")
    (made / "job.yaml").write_text(f"steps: {steps}\n", encoding="utf-8")
    for path in (made, *made.iterdir()):
        os.chown(path, OWNER, OWNER)
    made.rename(folder / "inbox" / job)


def answer(port: int, path: str, token: str = "") -> int:
    """Return the status of the page's answer; 0 if there is none."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as found:
            return int(found.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def use(made: str, folder: Path, port: int) -> None:
    """Paint a pair, stop in the middle of another one, and start again."""
    outbox = folder / "outbox"
    until("the page is ready", lambda: answer(port, "/readyz") == 200)
    assert answer(port, "/metrics", "wrong-" + TOKEN) == 401
    assert answer(port, "/metrics", TOKEN) == 200
    drop(folder, "sea", 10)
    until("a pair is painted", (outbox / "sea/receipt.json").exists)
    assert (outbox / "sea/final.png").stat().st_uid == OWNER
    podman("healthcheck", "run", made)
    podman("exec", made, "stylewatch", "sample", "/inbox/by-root")
    until("a pair of a command of root is painted", (outbox / "by-root/receipt.json").exists)
    podman("exec", made, "stylewatch", "pause", "--config", "/config/config.yaml")
    podman("exec", made, "stylewatch", "resume", "--config", "/config/config.yaml")
    owners = {path.lstat().st_uid for path in folder.rglob("*")} - {folder.stat().st_uid}
    assert owners == {OWNER}, owners
    drop(folder, "long", 4000)
    until("a stage of a long job", lambda: [*outbox.glob("long/stages/*.png")])
    podman("kill", "--signal=HUP", made)
    until("it starts anew", lambda: log(made).count("watching") == 2)
    until("the page is ready again", lambda: answer(port, "/readyz") == 200)
    began = time.monotonic()
    podman("stop", "--time=60", made)
    code = podman("inspect", "--format={{.State.ExitCode}}", made)
    print(f"  stopped in {time.monotonic() - began:.0f} s with exit code {code}", flush=True)
    assert code == "0"
    stages = {path: path.stat().st_mtime_ns for path in outbox.glob("long/stages/*.png")}
    podman("start", made)
    until("it runs again", lambda: answer(port, "/readyz") == 200)
    until("the job continues", lambda: len([*outbox.glob("long/stages/*.png")]) > len(stages))
    assert {path: path.stat().st_mtime_ns for path in stages} == stages, "it began anew"


def start(
    built: str,
    root: Path,
    *options: str,
    owner: int = 0,
    fixed: tuple[str, ...] = (),
    code: int = 0,
) -> None:
    """Start a container that prints its settings; raises AssertionError for another exit code.

    Its volumes in `root` belong to `owner`, and those that are `fixed` are read-only.
    """
    volumes = []
    for name in VOLUMES:
        (root / name).mkdir(parents=True, exist_ok=True)
        os.chown(root / name, owner, owner)
        volumes.append(f"--volume={root / name}:/{name}:{'ro' if name in fixed else 'rw'}")
    command = ["podman", "--runtime=runc", "run", "--rm", "--network=host", *LIMITS, *volumes,
               *options, built, "config", "show"]  # fmt: skip
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert ended.returncode == code, f"{shlex.join(command)}\n{ended.stdout}\n{ended.stderr}"


def try_accounts(built: str, folder: Path) -> None:
    """Start it as root, as a user of the engine, with read-only volumes, and with secrets."""
    as_owner = (f"--env=PUID={OWNER}", f"--env=PGID={OWNER}")
    by_engine = f"--user={OWNER}:{OWNER}"
    start(built, folder / "a", "--env=PUID=0", "--env=PGID=0")
    assert (folder / "a/config/token").stat().st_uid == 0
    root, token = folder / "b", folder / "b/config/token"
    start(built, root, by_engine, owner=OWNER)
    assert token.stat().st_uid == OWNER
    print("  it starts as root, and as a user of the engine", flush=True)
    fixed = ("inbox", "styles", "config")
    start(built, root, *as_owner, fixed=fixed)
    assert {(root / name).stat().st_uid for name in fixed} == {0}
    print("  it starts with read-only volumes", flush=True)
    secret, before = folder / "secret", token.read_text(encoding="utf-8")
    secret.write_text(TOKEN, encoding="utf-8")
    secret.chmod(0o600)
    given = (f"--volume={secret}:/run/token:ro", "--env=STYLEWATCH_TOKEN_FILE=/run/token")
    start(built, root, *given, by_engine, owner=OWNER, code=78)
    assert token.read_text(encoding="utf-8") == before
    start(built, root, *given, *as_owner)
    assert token.read_text(encoding="utf-8").strip() == TOKEN
    print("  a secret is read as root, or refused", flush=True)


def main() -> int:
    """Build and use it; without the tools, say so and return 0."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        print(f"skipped: no container: {', '.join(missing) or 'root'} is missing")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        built = image(folder)
        try:
            (size,) = json.loads(podman("image", "inspect", "--format=[{{.Size}}]", built))
            print(f"the image has {size / 1e9:.2f} GB", flush=True)
            try_accounts(built, folder / "accounts")
            port = unused_port()
            with container(built, folder / "use", port) as made:
                use(made, folder / "use", port)
        finally:
            with suppress(AssertionError):  # an older image may use its layers
                podman("rmi", built)
    return 0


if __name__ == "__main__":
    sys.exit(main())
