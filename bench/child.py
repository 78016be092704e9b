"""Processes of their own: what is timed starts as it does for a user, and shares no memory."""

import json
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
STYLEWATCH = Path(sysconfig.get_path("scripts")) / "stylewatch"
PASTICHE = STYLEWATCH.with_name("pastiche")


def told(probe: str, *words: object) -> dict[str, Any]:
    """Run the module `bench.<probe>`, and return the JSON of its last line."""
    command = [sys.executable, "-m", f"bench.{probe}", *map(str, words)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    plain: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return plain


def whole(*command: object) -> float:
    """Seconds that a command takes, from its start to its end."""
    words = list(map(str, command))
    began = time.monotonic()
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return seconds


def render(content: Path, style: Path, out: Path, *options: object) -> float:
    """Seconds that `stylewatch render` takes for a picture, as a user has it."""
    always = ("-o", out, "--force", "--quiet", "--device", "cpu")
    return whole(STYLEWATCH, "render", content, style, *always, *options)


def area(pixels: int) -> str:
    """So many pixels, as `--size` takes it."""
    return f"{pixels / 1e6:.6f}mp"
