"""The command line: demo, fit, score, recalibrate, evaluate, info, recipes, fetch."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # everything else is imported by the command that needs it: --help is quick
    import pandas as pd
    from sklearn.pipeline import Pipeline

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

    from sklasd.evaluation._protocol import fit_pipeline, read_folder, training_clips
    from sklasd.utils._output import check_free, replacing

    check_free(output, force=force)
    pipeline = _make(recipe, settings, seed)
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
    from sklasd.clips import ClipError
    from sklasd.evaluation._protocol import score_clips, score_usable
    from sklasd.utils._output import check_free, replacing

    check_free(csv, force=force)
    pipeline = _load(model)
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
    typer.echo(_as_text(scored.loc[is_used, ["path", "score", "decision"]], 4))
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
    from sklasd.utils._output import check_free, replacing

    check_free(output, force=force)
    pipeline = _load(model)
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
    import sklasd
    from sklasd.evaluation import _protocol as protocol
    from sklasd.evaluation._runs import digest
    from sklasd.utils._output import check_free

    numbers = _read_seeds(" ".join(seeds or ["0"]))
    check_free(csv, force=force)
    if submission is not None:
        _check_submission(submission, numbers, force)
    _make(recipe, settings, 0)  # a misspelt parameter is told before anything is read
    table = protocol.read_folder(folder, ground_truth or None)
    is_labelled = submission is None
    machines = _choose_machines(table, folder, is_labelled)
    about = {
        "sklasd": sklasd.__version__, "data": str(folder.absolute()), "clips": digest(table),
        "recipe": recipe,
        "settings": settings or [],
    }  # fmt: skip
    results = _score_all(
        table, machines, lambda seed: _make(recipe, settings, seed), numbers, output,
        about | {"labelled": is_labelled},
    )  # fmt: skip
    if submission is not None:
        _write_submission(submission, *results, force=force)
    if not all("label" in scored and scored["label"].notna().all() for scored in results):
        return
    try:
        tables = [protocol.tabulate(scored, recipe) for scored in results]
    except ValueError as error:
        if submission is None:
            raise
        year = results[0]["year"].iloc[0]  # a submission has one
        typer.echo(f"The official score of {year} cannot be computed: {error}")
    else:
        _report(tables, output, csv)


@app.command()
def info(
    folder: Annotated[Path, typer.Argument(help="A folder of recordings, or a manifest.")],
    ground_truth: GroundTruth = None,
) -> None:
    """Show what is recognised in a folder: machines, sections, domains, counts and formats."""
    from sklasd.cli._info import add_headers, describe_clips, find_oddities
    from sklasd.evaluation._protocol import read_folder

    clips = read_folder(folder, ground_truth or None)
    table, bad = add_headers(clips)
    if len(table):
        _print_table(describe_clips(table), None, decimals=1)
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


def _check_submission(folder: Path, seeds: list[int], force: bool) -> None:
    from sklasd.utils._output import check_free

    if len(seeds) > 1:
        raise ValueError(f"Got --submission with --seeds {seeds}; a submission is of one seed.")
    if folder.is_dir():
        check_free(*folder.glob("*.csv"), force=force)


def _write_submission(folder: Path, scored: pd.DataFrame, *, force: bool) -> None:
    from sklasd.submission import write_submission

    files = write_submission(folder, scored, scored["score"], scored["decision"], force=force)
    typer.echo(f"Wrote {len(files)} files to {folder}.")


def _choose_machines(table: pd.DataFrame, folder: Path, is_labelled: bool) -> list[str]:
    """List the machines that can be evaluated, and tell of the others."""
    from sklasd.evaluation._protocol import usable_machines

    machines, others = usable_machines(table, labelled=is_labelled)
    for name in others:
        typer.echo(f"{name}: left out, as it lacks clips to train on or labelled test clips.")
    if not machines:
        raise ValueError(
            f"No machine in {folder} has normal clips in a part 'train' and labelled ones of both "
            "kinds in a part 'test'; see what `sklasd info` finds there."
        )
    return machines


def _score_all(
    table: pd.DataFrame,
    machines: list[str],
    make: Callable[[int], Pipeline],
    seeds: list[int],
    output: Path | None,
    about: dict[str, Any],
) -> list[pd.DataFrame]:
    """Train and score all machines; return the scored clips of each seed."""
    import pandas as pd

    from sklasd.evaluation._runs import RunFolder, evaluate_machines

    runs: dict[int, list[pd.DataFrame]] = {seed: [] for seed in seeds}
    folder = RunFolder(output, about)
    for machine, seed, scored in evaluate_machines(
        table, machines, make, seeds, folder, labelled=about["labelled"]
    ):
        typer.echo(f"{machine}: {len(scored)} test clips scored, seed {seed}.", err=True)
        runs[seed].append(scored)
    return [pd.concat(runs[seed], ignore_index=True) for seed in seeds]


def _report(tables: list[pd.DataFrame], output: Path | None, csv: Path | None) -> None:
    """Show the result, and leave it as CSV and as text."""
    from sklasd.evaluation import _protocol as protocol
    from sklasd.utils._output import replacing

    table = protocol.average_seeds(tables)
    short = protocol.shorten(table)
    for path in (csv, output / "evaluation.csv" if output else None):
        if path is not None:
            with replacing(path) as unfinished:
                table.to_csv(unfinished, index=False)
    if output is not None:
        with replacing(output / "evaluation.txt") as unfinished:
            unfinished.write_text(_as_text(short, 3) + "\n")
    typer.echo(_as_text(short, 3))


def _read_seeds(words: str) -> list[int]:
    """Read "0 1 2" or "0,1,2"."""
    try:
        seeds = [int(word) for word in words.replace(",", " ").split()]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"Got --seeds {words}; write different whole numbers: --seeds 0 1 2.")
    return seeds


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


def _make(recipe: str, settings: list[str] | None, seed: int) -> Pipeline:
    """Make a pipeline with what --set and --seed say."""
    from ast import literal_eval

    from sklasd.recipes import make_recipe

    params: dict[str, Any] = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"Got --set {setting}; write it as STEP__PARAM=VALUE.")
        try:
            params[name] = literal_eval(value)
        except (ValueError, SyntaxError):
            params[name] = value  # a word, such as mean
    pipeline = make_recipe(recipe, **params)
    unseeded = [  # whatever part draws at random, unless --set gave it a seed
        name
        for name, value in pipeline.get_params().items()
        if name.split("__")[-1] == "random_state" and name not in params and value is None
    ]
    pipeline.set_params(**dict.fromkeys(unseeded, seed))
    pipeline.check_params()  # before any recording is read
    return pipeline


def _load(path: Path) -> Pipeline:
    """Load a model, and say so where the file is none."""
    from pickle import UnpicklingError

    import joblib
    from sklearn.pipeline import Pipeline

    if not path.is_file():
        raise FileNotFoundError(f"There is no model {path}; make one with `sklasd fit`.")
    try:
        model = joblib.load(path)
    except (ValueError, LookupError, ImportError, AttributeError, TypeError, EOFError,
            UnpicklingError) as error:  # fmt: skip
        raise ValueError(f"{path} cannot be loaded as a model ({error}).") from error
    model = getattr(model, "best_estimator_", model)  # of a search
    if not isinstance(model, Pipeline) or not hasattr(model, "score_samples"):
        raise ValueError(
            f"{path} holds a {type(model).__name__}, not a pipeline from clips to a detector."
        )
    return model


def _list_recordings(recordings: list[Path]) -> pd.DataFrame:
    """List the clips among files and folders."""
    import pandas as pd

    from sklasd.datasets import load_clips

    paths: list[str] = []
    for recording in recordings:
        paths += load_clips(recording)["path"].tolist() if recording.is_dir() else [str(recording)]
    return pd.DataFrame({"path": paths})


def _as_text(table: pd.DataFrame, decimals: int) -> str:
    return table.to_string(index=False, float_format=lambda x: f"{x:.{decimals}f}", na_rep="")


def _print_table(table: pd.DataFrame, csv: Path | None, *, decimals: int) -> None:
    """Print a table, and write it with all digits where asked."""
    from sklasd.utils._output import replacing

    typer.echo(_as_text(table, decimals))
    if csv is not None:
        with replacing(csv) as unfinished:
            table.to_csv(unfinished, index=False)


def run() -> None:
    """Run the command line; an error is one line, without a traceback."""
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"Warning: {message}", err=True)
    try:
        app(_join_seeds(sys.argv[1:]))
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2)
