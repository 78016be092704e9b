"""This process and its machine: memory, variables for libraries, and commands that install them."""

import gc
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from unittest.mock import Mock

import pytest

from stylewatch_painter import installation, process_memory
from stylewatch_painter.installation import install_command
from stylewatch_painter.process_memory import available, import_uncollected, installed, resident

# Maps are in huge pages where the kernel has them; `hg` is its flag of memory that asked for them.
PROGRAM = """
import stylewatch_painter, torch
maps = torch.empty(1 << 24)
flags, inside = "", False
for line in open("/proc/self/smaps"):
    first, *rest = line.split()
    if "-" in first:
        start, end = (int(address, 16) for address in first.split("-"))
        inside = start <= maps.data_ptr() < end
    elif inside and first == "VmFlags:":
        flags = rest
print("hg" in flags)
"""


def test_maps_are_in_huge_pages_and_threads_do_not_spin_for_long() -> None:
    environment = {**os.environ, "OMP_DISPLAY_ENV": "verbose"}
    for name in ("GOMP_SPINCOUNT", "THP_MEM_ALLOC_ENABLE"):
        environment.pop(name, None)
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout == f"{Path('/sys/kernel/mm/transparent_hugepage').is_dir()}\n"
    if "GOMP_SPINCOUNT" in ended.stderr:  # the OpenMP of GCC, as in torch's wheels for Linux
        assert "GOMP_SPINCOUNT = '1000'" in ended.stderr


@pytest.mark.parametrize(
    ("has_pip", "words"),
    [(True, "{python} -m pip install"), (False, "uv pip install --python {python}")],
)
def test_command_that_installs_an_extra_is_for_this_environment(
    has_pip: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of ONNX comes without CUDA if torch has none."""
    monkeypatch.setattr(sys, "executable", "/my env/bin/python")
    monkeypatch.setattr(installation, "find_spec", lambda _: Mock() if has_pip else None)
    command = words.format(python="'/my env/bin/python'")
    assert install_command("web") == f"`{command} 'stylewatch[web]'`"
    for version, extra in (
        (Mock(return_value="2.13.0+cpu"), "onnx-cpu"),
        (Mock(return_value="2.13.0"), "onnx"),
        (Mock(side_effect=PackageNotFoundError), "onnx"),
    ):
        monkeypatch.setattr(installation, "version", version)
        assert install_command("onnx").endswith(f" 'stylewatch[{extra}]'`")


def test_all_has_every_extra_that_a_message_names() -> None:
    root = Path(__file__).parents[2]
    sources = (
        path for part in ("daemon", "export", "plugins") for path in root.glob(f"{part}/**/*.py")
    )
    calls = (
        re.findall(r"install_command\('([\w-]+)'\)", each.read_text("utf-8")) for each in sources
    )
    named = {extra for each in calls for extra in each}
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert extras["all"] == [f"stylewatch[{','.join(sorted(named))}]"]
    assert named <= {*extras}


def test_memory_is_reported_or_unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 50 * 2**20 < resident() < 2**40
    assert available() > 2**20

    def fail(*_: object, **__: object) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", fail)
    assert (resident(), available()) == (0, float("inf"))


def test_the_limits_of_all_control_groups_hold_and_files_in_memory_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service has a group in that of all services; the root has no limit."""
    service = tmp_path / "system.slice/stylewatch.service"
    service.mkdir(parents=True)
    monkeypatch.setattr(process_memory, "_GROUP", tmp_path)
    monkeypatch.setattr(process_memory, "_OWN_GROUP", tmp_path / "own")
    (tmp_path / "own").write_text("1:name=systemd:/\n0::/system.slice/stylewatch.service\n")
    for group, limit, high in ((service.parent, "50000", "max"), (service, "30000", "20000")):
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.high").write_text(f"{high}\n")
        (group / "memory.current").write_text("19000\n")
        stat = "anon 500\ninactive_file 4000\nactive_file 3000\nworkingset_activate_file 9\n"
        (group / "memory.stat").write_text(stat)
    assert (available(), installed()) == (20_000 - 19_000 + 7000, 30_000)
    (service / "memory.max").write_text("max\n")
    (service / "memory.high").write_text("max\n")
    assert (available(), installed()) == (50_000 - 19_000 + 7000, 50_000)


def test_a_module_is_imported_on_an_empty_stack_and_its_objects_are_not_searched_for_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "faulty.py").write_text("raise ValueError\n")
    (tmp_path / "many_objects.py").write_text(
        "import traceback\n"
        "depth = len(traceback.extract_stack())\n"
        "kept = [[] for _ in range(20_000)]\n"
    )

    def depth_below(calls: int) -> int:
        if calls:
            return depth_below(calls - 1)
        monkeypatch.delitem(sys.modules, "many_objects", raising=False)
        depth: int = import_uncollected("many_objects").depth
        return depth

    phases: list[str] = []
    gc.collect()  # so that none is due
    frozen = gc.get_freeze_count()
    gc.callbacks.append(lambda phase, _: phases.append(phase))
    try:
        depth = depth_below(0)
        assert phases == [] and gc.isenabled()
        assert gc.get_freeze_count() >= frozen + 20_000
        assert depth_below(9) == depth
        with pytest.raises(ValueError):
            import_uncollected("faulty")
        assert gc.isenabled()
    finally:
        gc.callbacks.pop()
        gc.unfreeze()
