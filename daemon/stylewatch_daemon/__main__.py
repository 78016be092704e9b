"""Entry point of the command `stylewatch`, and of `python -m stylewatch_daemon`."""

try:
    import signal
except KeyboardInterrupt:
    raise SystemExit(130) from None  # the exit code that shells report


def main() -> None:
    """Import the command line and run it; until it begins, Ctrl-C ends the process by itself.

    An exception could come up in the middle of an import, where Python prints it. So as little as
    possible is imported before.
    """
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _open_missing_streams()
    _write_any_name()
    _have_home()
    from stylewatch_daemon.cli.main import main as run

    run()


def _open_missing_streams() -> None:
    """Open the null device for each standard stream that the process was started without.

    Otherwise the next opened file would get the stream's descriptor, and the output of child
    processes.
    """
    import os
    import sys

    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(null, True)
            setattr(sys, name, os.fdopen(null, mode, encoding="utf-8"))


def _write_any_name() -> None:
    """Let stdout take every name of a file, which need not be valid Unicode, in any encoding."""
    import codecs
    import io
    import sys

    def as_named(error: UnicodeError) -> tuple[bytes, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return error.object[error.start : error.end].encode(errors="surrogateescape"), error.end

    codecs.register_error("as-named", as_named)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="as-named")


def _have_home() -> None:
    """Give this process the home that accounts without one have: a folder that is not there.

    Many libraries look for their files in a home. In a container an account may have neither HOME
    nor an entry in the table of accounts.
    """
    import os
    from pathlib import Path

    if not os.environ.get("HOME"):
        os.environ.pop("HOME", None)  # an empty one would be the root of the file system
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"


if __name__ == "__main__":
    main()
