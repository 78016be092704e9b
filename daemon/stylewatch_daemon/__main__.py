"""Entry point of the command `stylewatch`, and of `python -m stylewatch_daemon`."""

import signal
import sys


def main() -> None:
    """Import the command line and run it; Ctrl-C during the import ends the process quietly."""
    try:
        from stylewatch_daemon.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)  # the exit code that shells report
    run()


if __name__ == "__main__":
    main()
