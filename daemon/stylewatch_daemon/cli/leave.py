"""How a command leaves: with all that it said told, and without taking torch apart."""

import atexit
import os
import sys
import threading
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End this process with `code`.

    Python takes every module apart at its end, and of torch alone that takes longer than reading
    the network's weights. Where torch was loaded and no other thread is left, nor a profiler that
    has yet to write, what was to be done at the end is done, what was said is told, and the
    process is over.
    """
    alone = threading.active_count() == 1 and sys.getprofile() is None
    if "torch" in sys.modules and alone:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # where nobody reads any more this raises, as it would at a usual end
        os._exit(code)
    sys.exit(code)
