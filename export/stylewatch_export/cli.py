"""The stylewatch-export command: build, verify and describe the ONNX graphs of VGG."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from stylewatch_painter.errors import PainterError
from stylewatch_painter.installation import install_command
from stylewatch_painter.network.weights import AUTO, choose
from stylewatch_painter.recipes import book
from stylewatch_painter.vgg import LAYERS, LayerName
from stylewatch_plugins.errors import BackendError
from stylewatch_plugins.graphs import FEATURES, GRADIENT, Pair, Plan

USAGE = 64
BAD_DATA = 65
NO_INPUT = 66
UNAVAILABLE = 69
CANNOT_WRITE = 73
INTERRUPTED = 130
BROKEN_PIPE = 141

app = typer.Typer(
    name="stylewatch-export",
    help="Build the ONNX graphs of VGG16 or VGG19 and of its gradient, verify and describe them.",
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

Graph = Annotated[Path, typer.Argument(help="One of the two files, such as NAME.features.onnx.")]


@app.command()
def build(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write to.")] = Path(),
    recipe: Annotated[str, typer.Option(help="Take layers and pools from this recipe.")] = "best",
    layer: Annotated[
        list[str] | None, typer.Option(help="A layer, such as conv4_2; may be repeated.")
    ] = None,
    pool: Annotated[
        Literal["max", "average"] | None, typer.Option(help="Kind of pools; default: the recipe's.")
    ] = None,
    pool_edge: Annotated[
        Literal["floor", "ceil"] | None, typer.Option(help="Rounding of pools at an odd edge.")
    ] = None,
    weights: Annotated[str, typer.Option(help="Name of the trained weights.")] = AUTO,
) -> None:
    """Build the feature graph and the gradient graph for some layers."""
    from stylewatch_export import graph

    objective = book.find(recipe).objective
    layers = _layers(layer or objective.layers)
    file = choose(weights, objective.network.architecture, layers)
    plan = Plan(
        weights=file.sha256,
        mean=file.mean,
        layers=layers,
        pool=pool or objective.network.pool,
        pool_edge=pool_edge or objective.network.pool_edge,
        architecture=file.architecture,
    )
    pair = Pair.of(out, plan.stem)
    graph.build(plan, file.name, pair)
    for path in (pair.features, pair.gradient):
        print(path)


@app.command()
def verify(graph: Graph) -> None:
    """Compare both graphs with torch, and with ONNX's reference evaluator."""
    from stylewatch_export.verify import LIMIT, verify

    errors = []
    for comparison in verify(_pair(graph)):
        print(f"{comparison.what:10} {comparison.against:30} {comparison.error:.1e}", flush=True)
        if comparison.judged:
            errors.append(comparison.error)
    # `max` alone would drop NaN, because comparisons with it are false
    worst = max(errors, key=lambda error: (math.isnan(error), error))
    if not worst <= LIMIT:
        _print_error(f"{graph} is off by {worst:.1e}; {LIMIT:.0e} is allowed")
        raise typer.Exit(BAD_DATA)


@app.command()
def show(
    graph: Graph, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Show a graph's manifest, inputs and outputs."""
    from stylewatch_export.graph import ends, load

    manifest, model = load(graph)
    plain = {**manifest.model_dump(mode="json"), **ends(model)}
    lines = []
    for name, value in plain.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        lines.append(f"{name:10} {text}")
    print(json.dumps(plain) if as_json else "\n".join(lines), flush=True)


def _layers(names: Sequence[str] | frozenset[LayerName]) -> tuple[LayerName, ...]:
    unknown = [name for name in names if name not in LAYERS]
    if unknown:
        raise typer.BadParameter(f"VGG19 has no layer {unknown[0]!r}; it has {', '.join(LAYERS)}")
    return tuple(layer for layer in LAYERS if layer in names)


def _pair(path: Path) -> Pair:
    """Return the pair that `path` belongs to; raises BadParameter for any other suffix."""
    for suffix in (FEATURES, GRADIENT):
        if path.name.endswith(suffix):
            return Pair.of(path.parent, path.name.removesuffix(suffix))
    raise typer.BadParameter(f"{path} is called neither NAME{FEATURES} nor NAME{GRADIENT}")


def call(arguments: Sequence[str]) -> int:
    """Run one command line, print errors on stderr, and return an exit code as in sysexits.h."""
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, "stylewatch-export", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort, SystemExit) as leaving:
        # typer raises SystemExit if the reader of the output has closed the pipe
        return BROKEN_PIPE if isinstance(leaving, SystemExit) else INTERRUPTED
    except (PainterError, BackendError) as error:
        _print_error(str(error))
        return error.exit_code
    except OSError as error:
        _print_error(str(error))
        return CANNOT_WRITE if arguments[:1] == ["build"] else NO_INPUT
    except ImportError as error:
        _print_error(f"a package is not installed ({error}): {install_command('onnx')}")
        return UNAVAILABLE
    except Exception as error:
        usage = getattr(error, "format_message", None)
        if usage is None:  # all errors of typer have it
            raise
        text = " ".join(usage().split())
        if text:  # it is empty if typer has printed its help instead
            _print_error(text)
        return USAGE
    return code if isinstance(code, int) else 0


def _print_error(text: str) -> None:
    print(f"stylewatch-export: {text}", file=sys.stderr)


def main() -> None:
    """Run the command line of this process and exit with its code."""
    sys.exit(call(sys.argv[1:]))
