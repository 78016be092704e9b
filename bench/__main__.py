"""Speed and memory beside the program pastiche, and beside a kept version: `make bench`.

Each figure comes from processes of its own, ours and the other's in turn, so that a machine whose
speed drifts treats both alike. The rows:

- `step_ratio`, `step_ratio_fp32`: a step of `stylewatch render --recipe pastiche` at 0.25
  megapixels, in precision `auto` or in fp32, relative to one of the command `pastiche`: the median
  of eight steps of each. `step_ratio_1mp`, `step_ratio_4mp`: the same in precision `auto` at 1 and
  at 4 megapixels, of four steps; pastiche needs 16 GB for the latter
- `memory_ratio`: the peak of resident memory of these commands at 0.25 megapixels
- `png_ratio`: the time until our PNG is as good as pastiche's after 300 steps, relative to its time
- `first_step_s`: `stylewatch render` with one step at 256^2 pixels, with warm caches
- `best_s`, `best_4mp_s`, `gram_s`: `stylewatch render` at 0.25 or 4 megapixels
- `forecast_ratio`: the seconds that `--dry-run` forecasts, relative to those of the command
- `pictures_per_hour`: `stylewatch run --once` on an album of five pictures at 0.25 megapixels
- `jobs_per_s`: the same on an album of 500 pictures of 16 pixels with the backend `sketch`, from
  the first to the last receipt
- `claims_s`, `claim_beside_s`: a paused daemon claims 5,000 pairs of 20 kB, each a folder that
  appears by a rename; one that is dropped into another inbox when a third is done
- `claim_s`: from the drop of a pair alone until it has left the inbox, with `watch.quiet_s` of 2 s
- `idle_percent`: the processor time of this daemon before, in percent of a core, over 30 seconds
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
