"""What `make bench-web` measures with: finished jobs by the thousand, and viewers."""

import socket
import threading
import time
from pathlib import Path

from bench.many_done import repeat
from bench.viewers import watching
from tests.daemon.world import make_finished_job

from stylewatch_daemon.store.ledger import FILE_NAME, Entry, reading
from stylewatch_daemon.store.ledger_writer import LedgerWriter

EVENT = (
    rb'data: {"part": "running", "html": "<img src=\"/jobs/1/pictures/stage-50?d=aa\" alt=\"\">"}'
)


def test_repeated_jobs_have_names_and_ends_of_their_own_and_the_same_pictures(
    tmp_path: Path,
) -> None:
    outbox, state = tmp_path / "outbox", tmp_path / "state"
    state.mkdir()
    final = make_finished_job(outbox, "sea", days=1) / "final.png"
    ledger = LedgerWriter.open(state / FILE_NAME)
    ledger.enter([
        Entry("1", "sea", str(tmp_path), str(outbox), "done", "2026-01-01T00:00:00+00:00", (), 0,
              place="sea", finished="2026-01-01T00:01:00+00:00")
    ])  # fmt: skip
    ledger.close()
    repeat(tmp_path, 5)
    with reading(state / FILE_NAME) as read:
        done = read.ended(("done",), 10)
    assert [one.name for one in done] == ["sea", *(f"holiday-{number:05}" for number in range(5))]
    assert len({one.id for one in done}) == len({one.finished for one in done}) == 6
    assert all((outbox / str(one.place) / "final.png").samefile(final) for one in done)


def test_each_viewer_hears_every_event_and_fetches_a_stage_once() -> None:
    asked, told = list[bytes](), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer(client: socket.socket) -> None:
            with client:
                asked.append(client.recv(4096).split(b" ")[1])
                if asked[-1] != b"/events":
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\npicture")
                    return
                client.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
                client.sendall((EVENT + b"\n\n") * 2)
                told.wait()

        def serve() -> None:
            for _ in range(6):
                threading.Thread(target=answer, args=(server.accept()[0],)).start()

        threading.Thread(target=serve).start()
        with watching(server.getsockname()[1], "/events", 3, pictures=True) as tally:
            while tally.pictures < 3 or tally.events < 6:
                time.sleep(0.01)
            told.set()
    assert (tally.viewers, tally.events, tally.pictures) == (3, 6, 3)
    assert sorted(asked) == [b"/events"] * 3 + [b"/jobs/1/pictures/stage-50?d=aa"] * 3
