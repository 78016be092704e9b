"""Speed and memory beside the program pastiche, and beside a kept version: `make bench`.

Each figure comes from processes of its own, ours and the other's in turn, so that a machine whose
speed drifts treats both alike. `docs/performance.md` describes the rows.
"""

import sys
from pathlib import Path

from bench import claims, cpu, reach, table
from bench.common import ROOT
from bench.rows import Measure, command_line, measured

MEASURES: tuple[Measure[cpu.Setting], ...] = (*cpu.MEASURES, *reach.MEASURES, *claims.MEASURES)


def main(words: list[str]) -> int:
    """Measure and print a table, or put the last results on the pages."""
    parser = command_line("python -m bench", __doc__, MEASURES)
    add = parser.add_argument
    add("--album", type=int, default=5, help="pictures for the daemon")
    add("--pairs", type=int, default=5000, help="pairs that the daemon claims")
    add("--pixels", type=int, default=250_000, help="of steps and of `best`")
    add("--kept", type=Path, metavar="STYLEWATCH", help="the program of a kept version")
    add("--publish", action="store_true", help="put the last results into speed.md instead")
    options = parser.parse_args(words)
    if options.publish:
        from bench.publish import publish

        publish(options.results, ROOT)
        return 0

    def setting_of(content: Path, style: Path, scratch: Path) -> cpu.Setting:
        return cpu.Setting((content, style), options.results, scratch, options.kept,
                           pixels=options.pixels, album=options.album,
                           pairs=options.pairs)  # fmt: skip

    return measured(MEASURES, options, setting_of, table.cpu_file())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
