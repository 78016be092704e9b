"""The process that the command starts: it paints one order from its standard input.

The events go to standard output. What libraries print goes to standard error, the daemon's log.
"""

import os
import sys
from multiprocessing.connection import Connection

from stylewatch_daemon.base.child import received
from stylewatch_daemon.worker import worker_main
from stylewatch_daemon.worker.messages import READY, Order


def main() -> None:
    """Paint with the work that the command line names, as `module:function`."""
    events = Connection(os.dup(1), readable=False)
    os.dup2(2, 1)
    requests = Connection(0, writable=False)
    events.send_bytes(READY)
    order = received(requests)
    if isinstance(order, Order):
        worker_main.paint(order, sys.argv[1], requests, events)


if __name__ == "__main__":
    main()
