"""`sklasd evaluate`: machines, seeds, tables and submissions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sklasd.cli._options import (
    DEFAULT_RECIPE,
    Device,
    Force,
    GroundTruth,
    Json,
    Recipe,
    Settings,
    Table,
)
from sklasd.cli._tables import as_json, as_text, write_csv
from sklasd.utils._output import check_free, replacing

if TYPE_CHECKING:
    import pandas as pd

    from sklasd.evaluation import Evaluation

Seeds = Annotated[
    list[str] | None, typer.Option("--seeds", metavar="<int>,...", help="One or several, as 0,1,2.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder for results; called again, it resumes."),
]
Submission = Annotated[
    Path | None, typer.Option("--submission", help="Folder for the files DCASE asks for.")
]
Jobs = Annotated[int, typer.Option("--jobs", help="Trainings at once, -1 for one per core.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="Threads that each training computes with.")
]


def run_evaluate(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder in DCASE layout, or with train/test.")],
    recipe: Recipe = DEFAULT_RECIPE,
    settings: Settings = None,
    seeds: Seeds = None,
    output: Output = None,
    submission: Submission = None,
    ground_truth: GroundTruth = None,
    csv: Table = None,
    json: Json = False,
    device: Device = None,
    n_jobs: Jobs = 1,
    n_threads: Threads = None,
    force: Force = False,
) -> None:
    """Train on each machine's normal clips, score its test clips, and show AUC and pAUC.

    Rows named "RMS level" show what a volume meter would reach on the same clips.
    """
    from sklasd.cli._pipelines import build_pipeline
    from sklasd.datasets._any_folder import read_folder
    from sklasd.evaluation import evaluate
    from sklasd.submission import write_submission

    # Everything that can be refused is refused before clips are read or nets are trained.
    _check_single_folder(folder, context.args)
    numbers = _read_seeds(",".join(seeds or ["0"]))
    check_free(csv, force=force)
    if submission is not None:
        _check_submission(submission, numbers, force)
    if output is not None:
        _check_output(output, recipe)
    pipeline = build_pipeline(recipe, settings, device=device)
    table = read_folder(folder, ground_truth or None)
    is_labelled = submission is None  # the challenge's test clips have no labels
    evaluation = evaluate(
        {recipe: pipeline}, table, machines=_choose_machines(table, folder, is_labelled, json),
        seeds=numbers, folder=output, labelled=is_labelled, n_jobs=n_jobs, n_threads=n_threads,
    )  # fmt: skip
    scores = evaluation.scores
    if submission is not None:
        files = write_submission(
            submission, scores, scores["score"], scores["decision"], force=force
        )
        typer.echo(f"Wrote {len(files)} files to {submission}.", err=json)
    _show_table(evaluation, output, csv, json, is_optional=submission is not None)


def _check_single_folder(folder: Path, others: list[str]) -> None:
    # An option takes one word: after `--seeds 0 1 2`, 1 or 2 is left over or taken for the folder.
    if others:
        raise ValueError(
            f"Got the folders {' '.join([str(folder), *others])}, but one is expected. If some are "
            "seeds, write these as one word: --seeds 0,1,2."
        )


def _read_seeds(words: str) -> list[int]:
    try:
        seeds = [int(word) for word in words.replace(",", " ").split()]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"Got --seeds {words}; write different whole numbers: --seeds 0,1,2.")
    return seeds


def _check_output(folder: Path, recipe: str) -> None:
    """Refuse a file, and a folder with the table of another recipe."""
    from sklasd.evaluation._runs import folder_of

    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file; -o takes a folder.")
    # Runs of several recipes go side by side, but there is one evaluation.csv.
    if (folder / "evaluation.csv").exists() and not folder_of(folder, recipe).is_dir():
        raise FileExistsError(
            f"{folder} holds an evaluation with another recipe; name another folder."
        )


def _check_submission(folder: Path, seeds: list[int], force: bool) -> None:
    if len(seeds) > 1:
        raise ValueError(f"Got --submission with --seeds {seeds}; a submission is of one seed.")
    folder.mkdir(parents=True, exist_ok=True)
    # The names of the files follow from the clips, which are not read yet. Any name shows whether
    # the folder can be written.
    check_free(*(list(folder.glob("*.csv")) or [folder / "any.csv"]), force=force)


def _choose_machines(table: pd.DataFrame, folder: Path, is_labelled: bool, json: bool) -> list[str]:
    """List the machines that can be evaluated, and name the others."""
    from sklasd.evaluation._parts import usable_machines
    from sklasd.metrics._scored_clips import single_year

    machines, others = usable_machines(table, labelled=is_labelled)
    for name in others:
        reason = "left out, as it lacks clips to train on or labelled test clips."
        typer.echo(f"{name}: {reason}", err=json)  # stdout holds JSON objects only
    if not machines:
        raise ValueError(
            f"No machine in {folder} has normal clips in a part 'train' and labelled ones of both "
            "kinds in a part 'test'; see what `sklasd info` finds there."
        )
    # The table would refuse several years, too, but after hours of training.
    single_year(table[table["machine"].astype(str).isin(machines)])
    return machines


def _show_table(
    evaluation: Evaluation, output: Path | None, csv: Path | None, json: bool, *, is_optional: bool
) -> None:
    """Show the table of the labelled clips; only beside a submission it may be impossible."""
    scores = evaluation.scores
    if "label" not in scores or scores["label"].isna().any():
        typer.echo("There is no table, as test clips without a label were scored.", err=True)
        return
    try:
        table, summary = evaluation.table, evaluation.summary()
    except ValueError as error:
        if not is_optional:
            raise
        year = scores["year"].iloc[0]  # a submission, which is written by now, has one
        typer.echo(f"The official score of {year} cannot be computed: {error}", err=json)
        return
    write_csv(table, csv)
    if output is not None:
        write_csv(table, output / "evaluation.csv")
        with replacing(output / "evaluation.txt") as unfinished:
            unfinished.write_text(as_text(summary, 3) + "\n")
    typer.echo(as_json(summary) if json else as_text(summary, 3))
