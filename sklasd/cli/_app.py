"""The commands: demo, fit, score, map, recalibrate, evaluate, report, info, recipes, fetch."""

from __future__ import annotations

import sys
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Tell from recordings whether a machine is failing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Recipe = Annotated[str, typer.Option("--recipe", help="Name of the pipeline to train.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="STEP__PARAM=VALUE", help="Change a parameter; may be given repeatedly."
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the training.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")]
GroundTruth = Annotated[
    list[Path] | None,
    typer.Option(
        "--ground-truth", help="Labels of DCASE's evaluation data; may be given repeatedly."
    ),
]
Table = Annotated[Path | None, typer.Option("--csv", help="Write the table to this file, too.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print a JSON object a line, in place of a table.")
]
Device = Annotated[
    str | None, typer.Option("--device", help="Where nets compute: auto, cpu, cuda, cuda:1.")
]
Machine = Annotated[
    str | None, typer.Option("--machine", help="Which machine it is, for a model of several.")
]
Model = Annotated[Path, typer.Argument(help="From `sklasd fit`.")]
Recordings = Annotated[list[Path], typer.Argument(help="Files, folders of files, or manifests.")]


class OnError(StrEnum):
    """What to do about clips that cannot be used."""

    STOP = "stop"
    SKIP = "skip"


# Everything else is imported by the command that needs it, so that --help is quick.
_DEFAULT = "statistics"  # of make_recipe, whose import would take a second


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


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the report.")] = Path(
        "demo-report"
    ),
    force: Force = False,
) -> None:
    """Synthesise four machines, search, train, evaluate, and leave a report."""
    from sklasd.cli._demo import run_demo

    run_demo(output, force=force)


@app.command()
def fit(
    recordings: Annotated[
        list[Path], typer.Argument(help="Recordings of machines running normally, as for score.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File of the trained model.")],
    recipe: Recipe = _DEFAULT,
    settings: Settings = None,
    seed: Seed = 0,
    device: Device = None,
    pool: Annotated[
        bool, typer.Option("--pool", help="Train one model on all machines, not one on each.")
    ] = False,
    force: Force = False,
) -> None:
    """Train on recordings and save the model.

    Of a folder with train/test or normal/anomalous parts, the normal training clips are used. Of
    several machines, each has a model of its own in the one file.
    """
    from sklasd.cli._fit import run_fit

    run_fit(
        recordings, output, recipe, settings, seed=seed, device=device, pool=pool, force=force
    )  # fmt: skip


@app.command()
def score(
    model: Model,
    recordings: Recordings,
    csv: Table = None,
    json: Json = False,
    machine: Machine = None,
    device: Device = None,
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit with 1 if any clip is anomalous.")
    ] = False,
    on_error: Annotated[
        OnError, typer.Option("--on-error", help="What to do about clips that cannot be used.")
    ] = OnError.STOP,
    force: Force = False,
) -> None:
    """Score recordings, worst first: higher scores are more normal.

    The exit status is 3 if clips were skipped.
    """
    from sklasd.cli._score import run_score

    run_score(
        model, recordings, csv=csv, json=json, machine=machine, device=device,
        fail_on_anomaly=fail_on_anomaly, skips=on_error is OnError.SKIP, force=force,
    )  # fmt: skip


@app.command(name="map")
def map_(
    model: Model,
    recording: Annotated[Path, typer.Argument(help="One recording.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File of the picture: PNG, SVG or PDF.")
    ],
    sound: Annotated[
        Path | None,
        typer.Option("--sound", help="File for what the map marks, as sound: WAV or FLAC."),
    ] = None,
    machine: Machine = None,
    device: Device = None,
    force: Force = False,
) -> None:
    """Draw where in time and frequency a recording is anomalous."""
    from sklasd.cli._map import run_map

    run_map(model, recording, output, sound=sound, machine=machine, device=device, force=force)


@app.command()
def recalibrate(
    model: Model,
    recordings: Annotated[
        list[Path], typer.Argument(help="New recordings of the machine running normally.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File of the new model.")],
    machine: Machine = None,
    device: Device = None,
    force: Force = False,
) -> None:
    """Set the threshold anew by new normal recordings, without training."""
    from sklasd.cli._fit import run_recalibrate

    run_recalibrate(model, recordings, output, machine=machine, device=device, force=force)


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="A folder in DCASE layout, or with train/test.")],
    recipe: Recipe = _DEFAULT,
    settings: Settings = None,
    seeds: Annotated[
        list[str] | None,
        typer.Option("--seeds", metavar="<int>", help="One or several, as 0 1 2; 0 if none."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for results; called again, it resumes."),
    ] = None,
    submission: Annotated[
        Path | None, typer.Option("--submission", help="Folder for the files DCASE asks for.")
    ] = None,
    ground_truth: GroundTruth = None,
    csv: Table = None,
    json: Json = False,
    device: Device = None,
    n_jobs: Annotated[
        int, typer.Option("--jobs", help="Trainings at once, -1 for one per core.")
    ] = 1,
    n_threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, help="Threads that each training computes with."),
    ] = None,
    force: Force = False,
) -> None:
    """Train on each machine's normal clips, score its test clips, and show AUC and pAUC.

    Rows named "RMS level" show what a volume meter would reach on the same clips.
    """
    from sklasd.cli._evaluate import run_evaluation

    run_evaluation(
        folder, recipe, settings, seeds, output=output, submission=submission,
        ground_truth=ground_truth, csv=csv, json=json, device=device, n_jobs=n_jobs,
        n_threads=n_threads, force=force,
    )  # fmt: skip


@app.command()
def report(
    model: Annotated[
        Path, typer.Argument(help="From `sklasd fit`, or a folder of such, named by machine.")
    ],
    recordings: Annotated[
        list[Path], typer.Argument(help="As for score; those of a part train are left out.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file.")],
    machine: Machine = None,
    device: Device = None,
    n_shown: Annotated[
        int, typer.Option("--shown", min=0, help="Clips with pictures and sound, worst first.")
    ] = 30,
    title: Annotated[str | None, typer.Option("--title", help="Title of the report.")] = None,
    force: Force = False,
) -> None:
    """Score recordings and write a report to be read, heard and passed on, as one HTML file."""
    from sklasd.cli._report import run_report

    run_report(
        model,
        recordings,
        output,
        machine=machine,
        device=device,
        n_shown=n_shown,
        title=title,
        force=force,
    )


@app.command()
def info(
    folder: Annotated[
        Path, typer.Argument(help="A folder of recordings, a manifest, or a model file.")
    ],
    ground_truth: GroundTruth = None,
    json: Json = False,
) -> None:
    """Show what is recognised in a folder: machines, sections, domains, counts and formats.

    Of a model file, show what it was made of.
    """
    from sklasd.cli._info import run_info

    run_info(folder, ground_truth or None, json=json)


@app.command()
def recipes() -> None:
    """List the names that --recipe takes, the default first."""
    from sklasd.recipes import list_recipes

    for name in list_recipes():
        typer.echo(name)


@app.command()
def fetch(
    year: Annotated[int, typer.Argument(help="2020 to 2026.")],
    machines: Annotated[
        list[str] | None, typer.Option("--machine", help="One machine; may be given repeatedly.")
    ] = None,
    subsets: Annotated[
        list[str] | None,
        typer.Option("--subset", help="development (default), additional, evaluation or all."),
    ] = None,
    data_home: Annotated[
        Path | None, typer.Option("--data-home", help="Folder of all data sets.")
    ] = None,
) -> None:
    """Download DCASE Task 2 data, several GB a year, and unpack them."""
    from sklasd.datasets import fetch_dcase

    wanted: Any = subsets or "development"
    root = fetch_dcase(year, machines, "all" if subsets == ["all"] else wanted, data_home)
    typer.echo(f"The data are in {root}.")


def _join_seeds(words: list[str]) -> list[str]:
    """Make one word of the numbers behind --seeds, as options take one word each."""
    joined: list[str] = []
    for word in words:
        is_more = word.isdigit() and len(joined) > 1 and joined[-2] == "--seeds"
        if is_more:
            joined[-1] += f",{word}"
        else:
            joined.append(word)
    return joined


def run() -> None:
    """Run the command line; an error is one line, without a traceback."""
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"Warning: {message}", err=True)
    try:
        app(_join_seeds(sys.argv[1:]))
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        notes = getattr(error, "__notes__", [])  # such as which machine's training it was
        typer.echo("\n".join([f"Error: {error}", *notes]), err=True)
        sys.exit(2)
