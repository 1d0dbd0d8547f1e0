"""The command line: demo, fit, score, recalibrate, evaluate, info, recipes, fetch."""

from __future__ import annotations

import sys
import warnings
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # everything else is imported by the command that needs it: --help is quick
    import pandas as pd

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


class OnError(StrEnum):
    """What to do about clips that cannot be used."""

    STOP = "stop"
    SKIP = "skip"


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
    """Synthesise two machines, search, train, evaluate, and leave a report."""
    from sklasd.cli._demo import run_demo

    run_demo(output, force=force)


@app.command()
def fit(
    folder: Annotated[Path, typer.Argument(help="Recordings of the machine running normally.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File of the trained model.")],
    recipe: Recipe = _DEFAULT,
    settings: Settings = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Train on a folder of recordings and save the model.

    In a folder with train/test or normal/anomalous parts, the normal training clips are used.
    """
    import joblib

    from sklasd.cli._pipelines import make_pipeline
    from sklasd.evaluation._protocol import fit_pipeline, read_folder, training_clips
    from sklasd.utils._output import check_free, replacing

    check_free(output, force=force)
    pipeline = make_pipeline(recipe, settings, seed)
    clips = training_clips(read_folder(folder))
    typer.echo(f"Training {recipe} on {len(clips)} clips ...")
    fit_pipeline(pipeline, clips)
    with replacing(output) as unfinished:
        joblib.dump(pipeline, unfinished)
    typer.echo(f"Saved {output}.")


@app.command()
def score(
    model: Annotated[Path, typer.Argument(help="From `sklasd fit`.")],
    recordings: Annotated[list[Path], typer.Argument(help="Files, or folders of files.")],
    csv: Table = None,
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
    from sklasd.cli._pipelines import load_pipeline
    from sklasd.cli._tables import as_text
    from sklasd.clips import ClipError
    from sklasd.evaluation._protocol import score_clips, score_usable
    from sklasd.utils._output import check_free, replacing

    check_free(csv, force=force)
    pipeline = load_pipeline(model)
    clips = _list_recordings(recordings)
    skips = on_error is OnError.SKIP
    try:
        scored = (score_usable if skips else score_clips)(pipeline, clips)
    except ClipError as error:
        hint = "" if skips else "\nWith --on-error skip the other clips are scored."
        raise ValueError(f"{error}{hint}") from error
    scored = scored.sort_values("score", kind="stable")
    is_used = scored["score"].notna()
    is_anomalous = scored["decision"] == -1
    scored["decision"] = is_anomalous.map({True: "anomalous", False: "normal"})
    scored.loc[~is_used, "decision"] = "skipped"
    typer.echo(as_text(scored.loc[is_used, ["path", "score", "decision"]], 4))
    if csv is not None:
        with replacing(csv) as unfinished:
            scored.to_csv(unfinished, index=False)
    typer.echo(
        f"{is_anomalous.sum()} of {is_used.sum()} clips are anomalous: they score below "
        f"{pipeline[-1].offset_:.4f}.",
        err=True,
    )
    _tell_skipped(scored[~is_used], len(scored))
    if fail_on_anomaly and is_anomalous.any():
        raise typer.Exit(1)
    if not is_used.all():
        raise typer.Exit(3)


@app.command()
def recalibrate(
    model: Annotated[Path, typer.Argument(help="From `sklasd fit`.")],
    recordings: Annotated[
        list[Path], typer.Argument(help="New recordings of the machine running normally.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File of the new model.")],
    force: Force = False,
) -> None:
    """Set the threshold anew by new normal recordings, without training."""
    import joblib

    from sklasd.base._backend import ask
    from sklasd.cli._pipelines import load_pipeline
    from sklasd.utils._output import check_free, replacing

    check_free(output, force=force)
    pipeline = load_pipeline(model)
    clips = _list_recordings(recordings)
    detector = pipeline[-1]
    before = detector.offset_
    ask(pipeline, "recalibrate", clips)
    with replacing(output) as unfinished:
        joblib.dump(pipeline, unfinished)
    typer.echo(
        f"Threshold {detector.offset_:.4f} by {len(clips)} clips, where it was {before:.4f}. "
        f"Saved {output}."
    )


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
    force: Force = False,
) -> None:
    """Train on each machine's normal clips, score its test clips, and show AUC and pAUC.

    Rows named "RMS level" show what a volume meter would reach on the same clips.
    """
    from sklasd.cli._evaluate import run_evaluation

    run_evaluation(
        folder, recipe, settings, seeds, output=output, submission=submission,
        ground_truth=ground_truth, csv=csv, force=force,
    )  # fmt: skip


@app.command()
def info(
    folder: Annotated[Path, typer.Argument(help="A folder of recordings, or a manifest.")],
    ground_truth: GroundTruth = None,
) -> None:
    """Show what is recognised in a folder: machines, sections, domains, counts and formats."""
    from sklasd.cli._info import add_headers, describe_clips, find_oddities
    from sklasd.cli._tables import as_text
    from sklasd.evaluation._protocol import read_folder

    clips = read_folder(folder, ground_truth or None)
    table, bad = add_headers(clips)
    if len(table):
        typer.echo(as_text(describe_clips(table), 1))
    for line in find_oddities(table):
        typer.echo(line)
    if bad:
        typer.echo("\n  ".join([f"{len(bad)} of {len(clips)} clips cannot be read:", *bad]))


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


def _tell_skipped(skipped: pd.DataFrame, n_clips: int) -> None:
    if len(skipped):
        typer.echo(f"{len(skipped)} of {n_clips} clips were skipped:", err=True)
        for path, reason in zip(skipped["path"], skipped["reason"], strict=True):
            typer.echo(f"  {path} {reason}", err=True)


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


def _list_recordings(recordings: list[Path]) -> pd.DataFrame:
    """List the clips among files and folders."""
    import pandas as pd

    from sklasd.datasets import load_clips

    paths: list[str] = []
    for recording in recordings:
        paths += load_clips(recording)["path"].tolist() if recording.is_dir() else [str(recording)]
    return pd.DataFrame({"path": paths})


def run() -> None:
    """Run the command line; an error is one line, without a traceback."""
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"Warning: {message}", err=True)
    try:
        app(_join_seeds(sys.argv[1:]))
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2)
