"""Speed and memory beside the program pastiche, and beside a kept version: `make bench`.

Each figure comes from processes of its own, ours and the other's in turn, so that a machine whose
speed drifts treats both alike. Unless a row says otherwise, a step is one of `stylewatch render
--recipe pastiche`, or of the command `pastiche`, at 0.25 megapixels: the median of eight, or of
four at larger sizes. Pastiche needs 16 GB for four megapixels.
"""

import sys
from pathlib import Path

from bench import claims, cpu, reach
from bench.rows import Measure, command_line, measured

MEASURES: tuple[Measure[cpu.Setting], ...] = (*cpu.MEASURES, *reach.MEASURES, *claims.MEASURES)


def main(words: list[str]) -> int:
    """Measure, and print a table."""
    parser = command_line("python -m bench", __doc__, MEASURES)
    add = parser.add_argument
    add("--pixels", type=int, default=250_000, help="of steps and of `best`")
    add("--kept", type=Path, metavar="STYLEWATCH", help="the program of a kept version")
    options = parser.parse_args(words)

    def setting_of(pair: tuple[Path, Path], scratch: Path) -> cpu.Setting:
        return cpu.Setting(pair, scratch, options.kept, pixels=options.pixels)

    return measured(MEASURES, options, setting_of, "bench.json")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
