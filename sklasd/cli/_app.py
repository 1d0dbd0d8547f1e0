"""The command line: its commands, each declared in a file of its own, and its errors."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from sklasd.cli._demo import run_demo
from sklasd.cli._evaluate import run_evaluate
from sklasd.cli._fetch import run_fetch
from sklasd.cli._fit import run_fit
from sklasd.cli._info import run_info
from sklasd.cli._map import run_map
from sklasd.cli._recalibrate import run_recalibrate
from sklasd.cli._recipes import run_recipes
from sklasd.cli._report import run_report
from sklasd.cli._score import run_score

app = typer.Typer(
    help="Tell from recordings whether a machine is failing.",
    no_args_is_help=True,
    add_completion=False,
    # Errors are sentences, not framed tracebacks.
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# Commands import what they need when they run, so that --help does not wait for pandas or torch.
app.command("demo")(run_demo)
app.command("fit")(run_fit)
app.command("score")(run_score)
app.command("map")(run_map)
app.command("recalibrate")(run_recalibrate)
# Words that are left over reach the command, which has a hint for them.
app.command("evaluate", context_settings={"allow_extra_args": True})(run_evaluate)
app.command("report")(run_report)
app.command("info")(run_info)
app.command("recipes")(run_recipes)
app.command("fetch")(run_fetch)


def _show_version(wanted: bool) -> None:
    if wanted:
        import sklasd

        typer.echo(f"sklasd {sklasd.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Tell from recordings whether a machine is failing."""


def run() -> None:
    """Run the command line; an error is one line, without a traceback."""
    # The default would show a line of our code below each warning.
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"Warning: {message}", err=True)
    try:
        app()
    # Any other exception is a bug of ours, whose traceback helps to find it.
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        notes = getattr(error, "__notes__", [])  # such as the machine whose training failed
        typer.echo("\n".join([f"Error: {error}", *notes]), err=True)
        sys.exit(2)
