"""Records, errors and hooks that everything uses."""

from inspect import getmembers, isfunction, signature
from pathlib import Path

import pytest

from stylewatch_daemon import errors
from stylewatch_daemon.events import Both, Reporter
from stylewatch_daemon.model import Pair

EXIT_CODES: dict[type[errors.DaemonError], tuple[int, type[Exception]]] = {
    errors.SettingsError: (78, ValueError),
    errors.UsageError: (64, ValueError),
    errors.InputError: (65, ValueError),
    errors.UnavailableError: (69, Exception),
    errors.OutputError: (73, OSError),
    errors.FullError: (73, errors.OutputError),
    errors.ShortageError: (75, OSError),
    errors.DamagedError: (78, OSError),
    errors.QuarantinedError: (70, Exception),
    errors.InProgressError: (75, Exception),
    errors.WorkerError: (70, Exception),
    errors.DaemonError: (70, Exception),
}


def test_every_error_has_its_exit_code_and_a_base_class() -> None:
    assert {kind for name, kind in vars(errors).items() if name.endswith("Error")} == {*EXIT_CODES}
    for kind, (code, base) in EXIT_CODES.items():
        assert kind.exit_code == code
        assert issubclass(kind, base)


def test_all_files_of_a_pair_are_listed_the_main_one_first() -> None:
    content, style, init, mask, job_file = (Path(name) for name in "abcde")
    pair = Pair("a", content, (style,), init, {"content-mask": mask}, job_file)
    assert pair.files == (content, style, init, mask, job_file)
    assert Pair("a", None, (style,), shared=frozenset({style})).files == (style,)


@pytest.mark.parametrize("both", [False, True])
def test_hooks_do_nothing_by_default_and_reach_two_reporters(both: bool) -> None:
    calls: list[object] = []

    class Recorder(Reporter):
        def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
            calls.append((job, for_good))

    reporter = Both(Recorder(), Both(Reporter(), Recorder())) if both else Reporter()
    for name, hook in getmembers(Reporter, isfunction):
        names = [name for name in signature(hook).parameters if name not in ("self", "for_good")]
        more = {"for_good": True} if "for_good" in signature(hook).parameters else {}
        getattr(reporter, name)(*names, **more)
    assert calls == [("job", True)] * (2 if both else 0)
