"""The process that draws artifacts: loss plots, animations, contact sheets, small pictures.

It is the first to be killed if the machine runs out of memory: a job can do without artifacts.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from platformdirs import user_cache_path

from stylewatch_daemon.artifacts import drawing
from stylewatch_daemon.artifacts.contract import Asked, Drawn, Small
from stylewatch_daemon.artifacts.process import Header
from stylewatch_daemon.processes.child import send
from stylewatch_painter.errors import PainterError, PictureError
from stylewatch_painter.images.encode import encode

OOM_SCORE_ADJ = "900"
"""Of 1000: how willingly the kernel kills this process when memory runs out."""

QUALITY = 85


def serve(pipe: Connection, asked: Asked) -> None:
    """Send each file of the request: a Header, then its content if there is no problem."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE_ADJ, encoding="ascii")
    for file in draw(asked):
        send(pipe, Header(file.name, file.problem))
        if not file.problem:
            pipe.send_bytes(file.content)


def draw(asked: Asked) -> Iterator[Drawn]:
    """Yield each file of the request, in its order, or the problem that there was."""
    for name in asked.wanted:
        try:
            yield Drawn(name, _draws(asked, name)())
        except MemoryError:
            yield Drawn(name, problem="memory did not suffice")
        except PainterError as error:
            yield Drawn(name, problem=str(error))
        except Exception as error:  # no fault here may affect the job
            yield Drawn(name, problem=f"a fault of our own, {type(error).__name__}: {error}")


def _draws(asked: Asked, name: str) -> Callable[[], bytes]:
    """Return the function that draws a file; matplotlib is loaded for a loss plot only."""
    if isinstance(asked, Small):
        return lambda: _jpeg(asked, int(name))
    if name == "losses.png":
        # matplotlib caches its list of fonts there: to build it takes seconds
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
