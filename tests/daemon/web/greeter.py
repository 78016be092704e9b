"""A page's process for tests, which starts soon: it imports little."""

import os
import socket
import threading
import time
from multiprocessing.connection import Connection


def greet(life: Connection, fd: int, page: object) -> None:
    """Tell each visitor the id of this process, and give signs of life until `life` is closed."""
    listening = socket.socket(fileno=fd)
    threading.Thread(target=lambda: (life.poll(None), os._exit(0))).start()
    threading.Thread(target=_beat, args=[life], daemon=True).start()
    while True:
        visitor, _ = listening.accept()
        visitor.sendall(str(os.getpid()).encode())
        visitor.close()


def _beat(life: Connection) -> None:
    while True:
        life.send_bytes(b"")
        time.sleep(0.1)
