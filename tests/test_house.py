"""Rules for the source that no tool checks: what is unfinished, local paths, uses of files."""

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


UNFINISHED = re.compile(
    r"\b(TODO|FIXME|XXX|HACK|NotImplementedError|xfail|importorskip)\b"
    r"|type: ignore|# noqa|mark\.skip\b|pytest\.skip"
)
LOCAL_PATH = re.compile(r"(?<![\w.~*}])/(work|root|tmp|Users|mnt|opt)/\w")
WRITTEN = (".cfg", ".ini", ".md", ".py", ".service", ".conf", ".toml", ".txt", ".yaml")
FOLDERS = (".ci", "bench", "daemon", "docs", "export", "plugins", "systemd", "tests")


def texts() -> Iterator[Path]:
    """Yield all files written by hand but this one, which names what it looks for."""
    for path in [*ROOT.iterdir(), *(path for name in FOLDERS for path in (ROOT / name).rglob("*"))]:
        named = path.suffix in WRITTEN or path.name in ("Makefile", "run", "LICENSE", "NOTICE")
        if path.is_file() and named and path != Path(__file__):
            yield path


@pytest.mark.parametrize("unwanted", [UNFINISHED, LOCAL_PATH], ids=["unfinished", "paths"])
def test_nothing_is_unfinished_and_no_path_is_local(unwanted: re.Pattern[str]) -> None:
    lines = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if unwanted.search(line)
    ]
    assert not lines


# -- law 2: only `files` asks the operating system about files

DAEMON = ROOT / "daemon/stylewatch_daemon"
PACKAGES = ("app", "base", "client", "executors", "intake", "jobs", "ledger", "outbox")
"""Packages of the daemon process."""

OTHER_PROCESSES = ("app/learning_main.py", "intake/inspection/inspection_main.py")
"""Modules of children that decode pictures."""

FILE_MODULES = ("fcntl", "glob", "io", "os", "shutil", "tempfile")
"""Modules with functions that use files."""

NO_FILES = {
    "fcntl": set(),
    "io": {"BufferedReader", "BufferedWriter", "BytesIO", "SEEK_END"},
    "os": {"DirEntry", "_exit", "dup", "environ", "execve", "fdopen", "getegid", "geteuid",
           "getpid", "isatty", "killpg", "set_inheritable", "stat_result", "strerror", "sysconf",
           "waitpid", "waitstatus_to_exitcode"},
}  # fmt: skip
"""What they have beside that: types, numbers, and processes."""

DISK_METHODS = {
    "chmod", "exists", "glob", "hardlink_to", "is_block_device", "is_char_device", "is_dir",
    "is_fifo", "is_file", "is_junction", "is_mount", "is_socket", "is_symlink", "iterdir", "lchmod",
    "lstat", "mkdir", "open", "owner", "read_bytes", "read_text", "readlink", "rename", "rglob",
    "rmdir", "samefile", "stat", "symlink_to", "touch", "unlink", "walk", "write_bytes",
    "write_text",
}  # fmt: skip
"""Methods of Path that use the disk, beside `replace` and `resolve`, which others have, too."""

FILES = [path.stem for path in (DAEMON / "files").glob("*.py")]
"""Modules of `files`, whose functions may have such names, and raise what is no absence."""

OUR_METHODS = ("LedgerWriter.open", "Spot(outbox, folder, RECEIPT).open", "spot.open",
               "source.open")  # fmt: skip
"""Methods of classes of ours with such names."""

Use = tuple[str, str, str]
"""A use of files: the module, the function, and what it uses."""

REPORTED = "it becomes the result of the work, which the main loop handles"
WAITS = "what meets an error waits, and is tried again"
CHILD = "an error of the connection to a child, or of its start: the child counts as dead"
LOGGED = "the last place for errors of one call: it is logged, and others are made"
NO_DISK = "no file of a user"
SOCKET = "the name of the page's socket, no file of a user"
ABSENT = "by the names of the two errors that are an absence, in a folder that was confirmed"

EXCEPTIONS: dict[Use, str] = {
    ("app/alert_sender.py", "send", "suppress(OSError, EOFError, ValueError)"): CHILD,
    ("app/alert_sender.py", "serve.result", "suppress(Exception)"): NO_DISK,
    ("app/commands.py", "Commands._move.done", "except Exception"): WAITS,
    ("app/commands.py", "Commands.act", "except Exception"): WAITS,
    ("app/hooks.py", "", "import tempfile"): NO_DISK,
    ("app/hooks.py", "HookRunner._start.run", "except Exception"): LOGGED,
    ("app/hooks.py", "HookRunner._start.run", "except OSError"): LOGGED,
    ("app/hooks.py", "_Running.go_on", "except ChildProcessError"): "the process has ended",
    ("app/hooks.py", "_Running.kill", "suppress(ProcessLookupError)"): "the process has ended",
    ("app/hooks.py", "_Running.run", "except OSError"): "its command could not be started: logged",
    ("app/learner.py", "Learner._pass_on", "except (EOFError, OSError, ValueError)"): CHILD,
    ("app/loop.py", "Loop._guarded", "except Exception"): LOGGED,
    ("app/monitoring.py", "SystemdNotifier._send", "suppress(OSError)"): NO_DISK,
    ("app/monitoring.py", "_Stderr.emit", "suppress(OSError)"): NO_DISK,
    ("app/page.py", "Supervisor._run", "except OSError"): "it is logged, and tried again",
    ("app/page.py", "Supervisor._watch", "except (EOFError, OSError, ValueError)"): CHILD,
    ("app/page.py", "_opened", "address.socket.chmod"): SOCKET,
    ("app/page.py", "_remove_abandoned", "path.is_socket"): SOCKET,
    ("app/page.py", "_remove_abandoned", "path.unlink"): SOCKET,
    ("app/page.py", "listening_socket", "suppress(OSError)"): SOCKET,
    ("app/page.py", "_is_abandoned", "except ConnectionRefusedError"): SOCKET,
    ("app/service.py", "Service._going_back", "except Exception"): "it is logged, or raised again",
    ("app/settings_file.py", "SettingsFile.accept", "except OSError"): WAITS,
    ("app/settings_file.py", "rehearse", "except (DaemonError, OSError)"): REPORTED,
    ("app/settings_file.py", "rehearsed", "except (OSError, EOFError, ValueError)"): REPORTED,
    ("app/settings_file.py", "SettingsFile.read", "except (DaemonError, OSError)"): REPORTED,
    ("client/status_json.py", "read", "except (OSError, ValueError, RecursionError)"):
        "for commands and the page, which show what they can; nothing follows from it",
    ("base/child.py", "Child.kill", "suppress(ProcessLookupError, PermissionError)"):
        "the process has ended",
    ("base/child.py", "_exit_with_parent", "suppress(EOFError, OSError)"): CHILD,
    ("base/child.py", "received", "except (EOFError, ConnectionError)"): CHILD,
    ("base/events.py", "_call", "except Exception"): LOGGED,
    ("base/lanes.py", "Lanes._run", "except Exception"): REPORTED,
    ("base/shortages.py", "", "import tempfile"): NO_DISK,
    ("base/shortages.py", "raise_limit", "suppress(OSError, ValueError)"): NO_DISK,
    ("executors/base.py", "Executor._run", "except Exception"): REPORTED,
    ("executors/shared_inputs.py", "shared.copy", "except (OSError, InputError)"):
        "its worker meets the error, too, and reports it",
    ("executors/worker_process.py", "WorkerProcess.ask", "suppress(OSError)"): CHILD,
    ("executors/worker_process.py", "WorkerProcess.begin", "except OSError"): CHILD,
    ("executors/worker_process.py", "WorkerProcess.receive", "except (EOFError, OSError)"): CHILD,
    ("intake/claim.py", "_Taking.attempt", "except Exception"): REPORTED,
    ("intake/intake.py", "Intake._recover_groups", "except OSError"): WAITS,
    ("intake/intake.py", "Intake._recover_unread", "except OSError"): WAITS,
    ("intake/scanner.py", "Scanner._is_open", "except (OSError, InputError)"): WAITS,
    ("intake/scanner.py", "Scanner._side_of", "except OSError"): WAITS,
    ("intake/kept.py", "_hash", "except (OSError, InputError)"): WAITS,
    ("intake/scan.py", "_Walk._add", "except OSError"): "it counts as there, and unread",
    ("intake/scan.py", "_Walk._note_held", "except OSError"): "only a note is left out",
    ("intake/scan.py", "_Walk.list_folder", "except OSError"): "it counts as there, and unread",
    ("intake/scan.py", "_Walk.start", "except OSError"): "it counts as there, and unread",
    ("client/submit.py", "_rename", "except OSError"): "only EEXIST and ENOTEMPTY: a taken name",
    ("intake/watch.py", "Watch.check", "except Exception"):
        "the folder is scanned more often, without events",
    ("intake/watch.py", "_Watched.end", "suppress(Exception)"): NO_DISK,
    ("jobs/attempts.py", "Attempts._in_lane.call", "except Exception"): "the job fails with it",
    ("jobs/attempts.py", "Attempts._ordered", "except OSError"): WAITS,
    ("jobs/attempts.py", "Attempts.begin", "except Exception"): WAITS,
    ("jobs/attempts.py", "Attempts.follow", "except Exception"): "the job fails with it",
    ("jobs/jobs.py", "Jobs._for_one", "except Exception"): "the job fails with it",
    ("jobs/jobs.py", "Jobs._for_one", "except (OSError, UnavailableError)"): WAITS,
    ("jobs/waits.py", "obstacle_behind", "except OSError"):
        "the question is which disk has an error",
    ("outbox/job_files.py", "SourceFile._is_at",
     "except (FileNotFoundError, NotADirectoryError, OutputError)"): ABSENT,
    ("outbox/job_files.py", "SourceFile.find", "except OSError"):
        "raised, unless the file is at another spot",
    ("outbox/job_files.py", "_numbered", "except (FileNotFoundError, NotADirectoryError)"): ABSENT,
    ("outbox/removal.py", "_has_another_receipt",
     "except (FileNotFoundError, NotADirectoryError)"): ABSENT,
    ("outbox/removal.py", "_remove", "except (FileNotFoundError, NotADirectoryError)"): ABSENT,
    ("outbox/removal.py", "remove", "except OSError"): "raised after the other files were tried",
}  # fmt: skip
"""Uses outside of `files` that are allowed, each with its reason."""

IN_FILES = {
    ("files/disks.py", "_mount_of", "os.path"),
    ("files/disks.py", "_mounts_below", "os.path"),
    ("files/disks.py", "mount_root", "os.path"),
    ("files/disks.py", "lies_in", "os.path"),
    ("files/entries.py", "leads_to", "os.path"),
    ("files/entries.py", "real_path", "os.path"),
}
"""Calls in `files` beside its object `system`, which raise no error: they follow links, and compare
two files."""


def file_uses(path: Path) -> Iterator[Use]:
    """Yield what a module does with files, and errors of the system that it does not pass on."""
    module = path.relative_to(DAEMON).as_posix()

    def visit(node: ast.AST, function: str) -> Iterator[Use]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            function = f"{function}.{node.name}".strip(".")
        yield from ((module, function, what) for what in uses_of(node))
        for child in ast.iter_child_nodes(node):
            yield from visit(child, function)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), "")


def uses_of(node: ast.AST) -> Iterator[str]:
    """Yield what a piece of syntax itself does with files."""
    yield from imports_of(node)
    yield from methods_of(node)
    yield from swallowed_by(node)


def imports_of(node: ast.AST) -> Iterator[str]:
    """Yield imports of functions that use files, and uses of their modules."""
    match node:
        case ast.Import(names):
            yield from (f"import {name.name}" for name in names if is_of_files(name.name, ""))
        case ast.ImportFrom(module=str(module), names=names):
            for name in names:
                if is_of_files(module, name.name) or name.name == "system":
                    yield f"from {module} import {name.name}"
        case ast.Attribute(value=ast.Name(module), attr=name) if module in NO_FILES:
            if not (name.isupper() or name in NO_FILES[module]):  # the former are numbers
                yield f"{module}.{name}"


def methods_of(node: ast.AST) -> Iterator[str]:
    """Yield uses of `open`, and of methods of Path that use the disk."""
    match node:
        case ast.Call(func=ast.Name("open")):
            yield "open"
        case ast.Call(func=ast.Attribute(attr="replace"), args=[_], keywords=[]):
            yield "replace"  # a text has two arguments, a time has names
        case ast.Call(func=ast.Attribute(attr="resolve"), args=[]):
            yield "resolve"
        case ast.Attribute(value=value, attr=name) if name in DISK_METHODS:
            is_ours = isinstance(value, ast.Name) and value.id in (*FILES, *NO_FILES)
            if not (is_ours or ast.unparse(node) in OUR_METHODS):
                yield ast.unparse(node)


def swallowed_by(node: ast.AST) -> Iterator[str]:
    """Yield the errors of the operating system that are caught, and not passed on."""
    match node:
        case ast.ExceptHandler(type=kinds) if catches_system(kinds) and not passes_on(node):
            yield f"except {'' if kinds is None else ast.unparse(kinds)}"
        case ast.Call(func=ast.Name("suppress"), args=kinds) if any(map(catches_system, kinds)):
            yield ast.unparse(node)


def is_of_files(module: str, name: str) -> bool:
    """Return whether what is imported is, or may be, a function that uses files."""
    if module not in FILE_MODULES:
        return module.startswith(("os.", "stylewatch_daemon.files.system"))
    return name not in NO_FILES.get(module, set()) if name else module not in NO_FILES


def catches_system(kinds: ast.expr | None) -> bool:
    """Return whether the types of an except clause catch errors of the operating system."""
    if kinds is None:
        return True
    names = (each for each in ast.walk(kinds) if isinstance(each, ast.Name | ast.Attribute))
    caught = [getattr(builtins, ast.unparse(name).rpartition(".")[2], None) for name in names]
    types = [kind for kind in caught if isinstance(kind, type)]
    return any(issubclass(kind, OSError) or issubclass(OSError, kind) for kind in types)


def passes_on(handler: ast.ExceptHandler) -> bool:
    """Return whether a handler raises, whatever the error is."""
    ends = (ast.Return, ast.Continue, ast.Break)
    inner = (each for statement in handler.body for each in ast.walk(statement))
    return isinstance(handler.body[-1], ast.Raise) and not any(isinstance(e, ends) for e in inner)


def test_only_files_uses_files_and_no_error_counts_as_an_absence() -> None:
    modules = [path for package in PACKAGES for path in sorted((DAEMON / package).rglob("*.py"))]
    own = [path for path in modules if path.relative_to(DAEMON).as_posix() not in OTHER_PROCESSES]
    found = [use for path in own for use in file_uses(path)]
    assert sorted({*found} - EXCEPTIONS.keys()) == []
    assert sorted(EXCEPTIONS.keys() - {*found}) == [], "no exception is left without need"


PRODUCT = ("daemon", "plugins", "export")

ANSWERS = re.compile(
    r"os\.path\.(exists|is\w+|lexists)|.+\.(exists|glob|is_(block_device|char_device|dir|fifo|file"
    r"|junction|mount|socket|symlink)|rglob)"
)
"""Functions and methods of Path that say, of what an error hides, that it is not there."""

SAFE_ANSWERS = re.compile(r"(entries|regular_file|self)\.\w+|os\.path\.isabs")
"""Functions of ours with such names, and what asks no disk."""

ANSWERED = {
    ("__init__.py", "Path('/sys/kernel/mm/transparent_hugepage').is_dir"): "no disk",
    ("diagnose.py", "os.path.lexists"): "the folder above it, which is closed, is reported",
    ("graphs.py", "cache_folder().glob"): "a cache",
    ("graphs.py", "folder.glob"): "a cache",
    ("installation.py", "os.path.lexists"): "an installer that refuses says what it wants",
    ("page.py", "path.is_socket"): "what is not known to be a socket is left there",
}
"""Uses of them that are allowed, each with its reason."""


def test_nobody_takes_an_error_for_an_absence_in_the_question_what_is_there() -> None:
    """Since Python 3.14 `Path.exists` and its like answer no to every error (law 2)."""
    found = {
        (path.name, ast.unparse(node))
        for package in PRODUCT
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ANSWERS.fullmatch(ast.unparse(node))
        if not SAFE_ANSWERS.fullmatch(ast.unparse(node))
    }
    assert found == ANSWERED.keys()


def test_files_calls_the_operating_system_through_one_object() -> None:
    modules = [path for path in (DAEMON / "files").glob("*.py") if path.stem != "system"]
    found = {use for path in modules for use in file_uses(path)}
    used = {use for use in found if not use[2].startswith(("except", "suppress", "from", "system"))}
    assert used == IN_FILES


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("import os\nos.getpid()\nos.environ", []),
        ("import os.path", ["import os.path"]),
        ("from os import stat, getpid", ["from os import stat"]),
        ("import shutil", ["import shutil"]),
        ("from stylewatch_daemon.files.system import system",
         ["from stylewatch_daemon.files.system import system"]),
        ("from stylewatch_daemon.files import atomic, system",
         ["from stylewatch_daemon.files import system"]),
        ("os.unlink(a)\nos.open(b, os.O_RDONLY)", ["os.unlink", "os.open"]),
        ("open(a)", ["open"]),
        ("Path(a).exists()", ["Path(a).exists"]),
        ("any(map(Path.is_file, a))", ["Path.is_file"]),
        ("entries.exists(a)\nLedgerWriter.open(a)", []),
        ("a.replace(b)\na.replace('x', 'y')\na.replace(year=1)", ["replace"]),
        ("a.resolve()\na.resolve(b)\na.resolve(strict=True)", ["resolve", "resolve"]),
        ("try: f()\nexcept OSError: pass", ["except OSError"]),
        ("try: f()\nexcept (ValueError, TimeoutError) as e: g(e)",
         ["except (ValueError, TimeoutError)"]),
        ("try: f()\nexcept: return", ["except "]),
        ("try: f()\nexcept Exception: g()", ["except Exception"]),
        ("try: f()\nexcept ValueError: pass\nexcept OutputError: pass", []),
        ("try: f()\nexcept OSError as e:\n  g()\n  raise A from e", []),
        ("try: f()\nexcept OSError as e:\n  if g(): return\n  raise", ["except OSError"]),
        ("with suppress(FileNotFoundError): f()\nwith suppress(KeyError): f()",
         ["suppress(FileNotFoundError)"]),
    ],
)  # fmt: skip
def test_uses_of_files_are_found(text: str, uses: list[str]) -> None:
    assert [use for node in ast.walk(ast.parse(text)) for use in uses_of(node)] == uses


# -- a child of ours runs our code, and none of the folder that it is started in

OTHER_STARTS = {
    ("daemon/stylewatch_daemon/app/restart.py", "sys.executable"):
        "the daemon anew, with the arguments that it was started with",
    ("daemon/stylewatch_daemon/app/restart.py", "[sys.executable, *sys.orig_argv[1:]]"):
        "the same",
    ("daemon/stylewatch_daemon/cli/service.py", "sys.executable"): "its folder, nothing is started",
    ("plugins/stylewatch_painter/installation.py", "[sys.executable, '-m', 'pip', 'install']"):
        "a command in a sentence",
    ("plugins/stylewatch_painter/installation.py",
     "['uv', 'pip', 'install', '--python', sys.executable]"): "a command in a sentence",
}  # fmt: skip
"""Uses of this Python's path without `-P`, each with its reason."""


def starts_of(tree: ast.AST) -> Iterator[str]:
    """Yield commands that name this Python without the option `-P`, and other uses of its path."""
    inner: set[ast.expr] = set()
    for node in ast.walk(tree):  # a list comes before what is in it
        if isinstance(node, ast.List | ast.Tuple) and any(map(is_python, node.elts)):
            inner |= {*node.elts}
            match node.elts:
                case [first, ast.Constant("-P"), *_] if is_python(first):
                    pass
                case _:
                    yield ast.unparse(node)
        elif is_python(node) and node not in inner:
            yield "sys.executable"


def is_python(node: ast.AST) -> bool:
    """Return whether an expression is the path of this Python."""
    return isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.executable"


def test_every_start_of_python_leaves_out_the_current_folder() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), use)
        for package in PRODUCT
        for path in (ROOT / package).rglob("*.py")
        for use in starts_of(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == OTHER_STARTS.keys()


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("run([sys.executable, '-P', '-c', a])", []),
        ("run([sys.executable, '-c', '-P'])", ["[sys.executable, '-c', '-P']"]),
        ("run((sys.executable, *a))", ["(sys.executable, *a)"]),
        ("run(['env', sys.executable])", ["['env', sys.executable]"]),
        ("Path(sys.executable)", ["sys.executable"]),
    ],
)
def test_starts_of_python_are_found(text: str, uses: list[str]) -> None:
    assert [*starts_of(ast.parse(text))] == uses


def test_advice_to_install_is_a_command_for_this_installation() -> None:
    """Not one for whatever `pip` is on the path, or for a name on an index."""
    found = [
        path.name
        for package in PRODUCT
        for path in (ROOT / package).rglob("*.py")
        if "`pip install" in path.read_text(encoding="utf-8")
    ]
    assert found == []
