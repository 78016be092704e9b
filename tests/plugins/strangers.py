"""Third-party backends, most of them broken, each installed as a distribution of its own."""

import os
from pathlib import Path

import pytest

from stylewatch_plugins import registry

SKETCHED = """
from stylewatch_plugins.sketch import Sketch
class Made(Sketch):
    name = {name!r}
"""
HANG = "__import__('time').sleep(600)"

SOURCES = {
    "prints": (
        f"print('hello', flush=True)\n{SKETCHED}\nimport atexit\natexit.register(print, 'bye')"
    ),
    "leaves-a-thread": (
        f"import threading\nthreading.Thread(target=lambda: {HANG}).start()\n{SKETCHED}"
    ),
    "leaves-a-process": (
        "import os, subprocess\n"
        "from pathlib import Path\n"
        "child = subprocess.Popen(['sleep', '600'], close_fds=False)\n"
        "Path(os.environ['STRANGER_PID']).write_text(str(child.pid))\n"
        f"{SKETCHED}"
    ),
    "of-the-future": f"{SKETCHED}    contract = 2\n",
    "exits": "import os; os._exit(3)",
    "hangs-at-devices": f"{SKETCHED}    def devices(self): {HANG}\n",
    "raises-at-devices": f"{SKETCHED}    def devices(self): raise RuntimeError('no driver')\n",
    "raises-in-the-middle": (
        f"{SKETCHED}    def paint(self, task, wish):\n"
        "        yield next(super().paint(task, wish))\n"
        "        raise RuntimeError('the brush broke')\n"
    ),
    "hangs-in-the-middle": (
        f"{SKETCHED}    def paint(self, task, wish):\n"
        "        yield next(super().paint(task, wish))\n"
        f"        {HANG}\n"
    ),
    "ends-early": (
        f"{SKETCHED}    def paint(self, task, wish):\n"
        "        yield next(super().paint(task, wish))\n"
    ),
    "draws-no-numbers": (
        f"{SKETCHED}    def paint(self, task, wish):\n"
        "        for step in super().paint(task, wish):\n"
        "            getattr(step, 'picture', [None])[0] = float('nan')\n"
        "            yield step\n"
    ),
    "closes-files": f"import os\nos.closerange(3, 1000)\n{SKETCHED}",
}


def distribution(site: Path, package: str, name: str, source: str) -> None:
    """Write an installed distribution with one backend into the folder `site`."""
    escaped = package.replace("-", "_")  # a hyphen ends the name of a distribution's folder
    module = f"{escaped}_backend"
    about = site / f"{escaped}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{name} = {module}:Made\n")
    (site / f"{module}.py").write_text(source)


def install(root: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Install these backends for this process and for its child processes."""
    for name in names:
        source = SOURCES[name].replace("{name!r}", repr(name))
        distribution(root, f"stranger-{name}", name, source)
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]))
