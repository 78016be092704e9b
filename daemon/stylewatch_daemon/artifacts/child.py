"""Draws what it is asked for; run as a process, told what to do through its standard input.

It leaves at once when nobody is there any more who asked, and is the first to go where the
machine is short of memory: a keepsake can be done without.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

from platformdirs import user_cache_path

from stylewatch_daemon.artifacts import drawing
from stylewatch_daemon.artifacts.contract import Asked, Drawn, Keepsakes, Small
from stylewatch_daemon.processes import messages
from stylewatch_painter.errors import PainterError, PictureError
from stylewatch_painter.images.encode import encode

FIRST_TO_GO = "900"
"""Of 1000, to the kernel's killer."""

QUALITY = 85


def main() -> None:
    """Write what was asked for to standard output: of each a line of JSON, then its bytes."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    asked = cast("Asked", messages.unpack(sys.stdin.buffer.readline(), Keepsakes, Small))
    threading.Thread(target=_leave_with_asker, daemon=True).start()
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO, encoding="ascii")
    for one in answered(asked):
        head = {"name": one.name, "bytes": len(one.content), "problem": one.problem}
        answers.write(json.dumps(head).encode() + b"\n" + one.content)
        answers.flush()


def answered(asked: Asked) -> Iterator[Drawn]:
    """Each thing that was asked for, in that order, or what came in between."""
    for name in asked.wanted:
        try:
            yield Drawn(name, _draws(asked, name)())
        except MemoryError:
            yield Drawn(name, problem="memory did not suffice")
        except PainterError as error:
            yield Drawn(name, problem=str(error))
        except Exception as error:  # whatever it is, the painting is not to suffer from it
            yield Drawn(name, problem=f"a fault of our own, {type(error).__name__}: {error}")


def _draws(asked: Asked, name: str) -> Callable[[], bytes]:
    """What draws it; of what is loaded for one, the others need not know."""
    if isinstance(asked, Small):
        return lambda: _jpeg(asked, int(name))
    if name == "losses.png":
        # it remembers which fonts there are: looking for them anew takes seconds
        os.environ.setdefault("MPLCONFIGDIR", str(user_cache_path("stylewatch") / "matplotlib"))
        from stylewatch_daemon.artifacts import loss_plot

        return lambda: loss_plot.draw(asked.curves)
    if name == "sheet.png":
        return lambda: drawing.job_sheet(asked)
    return lambda: drawing.animation(asked, Path(name).suffix[1:])


def _jpeg(asked: Small, number: int) -> bytes:
    pixels = drawing.small(asked.pictures[number], asked.side, asked.max_pixels)
    if pixels is None:
        raise PictureError("it is not there any more")
    return encode(pixels, format="jpg", quality=QUALITY)


def _leave_with_asker() -> None:
    """Wait until the other end of the pipe is closed, by whatever."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
