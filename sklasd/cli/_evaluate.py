"""Evaluation from the command line: machines, seeds, submissions, tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import typer

from sklasd.cli._pipelines import make_pipeline
from sklasd.cli._tables import as_json, as_text
from sklasd.datasets._any_folder import read_folder
from sklasd.evaluation import Evaluation, evaluate
from sklasd.evaluation._parts import usable_machines
from sklasd.evaluation._runs import folder_of
from sklasd.submission import write_submission
from sklasd.utils._output import check_free, replacing


def run_evaluation(
    folder: Path,
    recipe: str,
    settings: list[str] | None,
    seeds: list[str] | None,
    *,
    output: Path | None,
    submission: Path | None,
    ground_truth: list[Path] | None,
    csv: Path | None,
    json: bool,
    device: str | None,
    n_jobs: int,
    n_threads: int | None,
    force: bool,
) -> None:
    """Do what `sklasd evaluate` says; its options are described there."""
    numbers = _read_seeds(" ".join(seeds or ["0"]))
    check_free(csv, force=force)
    if submission is not None:
        _check_submission(submission, numbers, force)
    if output is not None:
        _check_output(output, recipe)
    # Wrong parameters are told before clips are read.
    pipeline = make_pipeline(recipe, settings, device=device)
    table = read_folder(folder, ground_truth or None)
    is_labelled = submission is None
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
    if "label" in scores and scores["label"].notna().all():
        show = as_json if json else _as_text
        try:
            _report(evaluation, output, csv, show)
        except ValueError as error:
            if submission is None:
                raise
            year = scores["year"].iloc[0]  # a submission, which is written by now, has one
            typer.echo(f"The official score of {year} cannot be computed: {error}", err=json)
    else:
        typer.echo("There is no table, as test clips without a label were scored.", err=True)


def _check_output(folder: Path, recipe: str) -> None:
    """Keep the table of another recipe, and files."""
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file; -o takes a folder.")
    if (folder / "evaluation.csv").exists() and not folder_of(folder, recipe).is_dir():
        raise FileExistsError(
            f"{folder} holds an evaluation with another recipe; name another folder."
        )


def _check_submission(folder: Path, seeds: list[int], force: bool) -> None:
    if len(seeds) > 1:
        raise ValueError(f"Got --submission with --seeds {seeds}; a submission is of one seed.")
    folder.mkdir(parents=True, exist_ok=True)
    check_free(*(list(folder.glob("*.csv")) or [folder / "any.csv"]), force=force)


def _choose_machines(table: pd.DataFrame, folder: Path, is_labelled: bool, json: bool) -> list[str]:
    """List the machines that can be evaluated, and tell of the others."""
    machines, others = usable_machines(table, labelled=is_labelled)
    for name in others:
        reason = "left out, as it lacks clips to train on or labelled test clips."
        typer.echo(f"{name}: {reason}", err=json)
    if not machines:
        raise ValueError(
            f"No machine in {folder} has normal clips in a part 'train' and labelled ones of both "
            "kinds in a part 'test'; see what `sklasd info` finds there."
        )
    return machines


def _report(
    evaluation: Evaluation,
    output: Path | None,
    csv: Path | None,
    show: Callable[[pd.DataFrame], str],
) -> None:
    """Show the result, and leave it as CSV and as text."""
    short = evaluation.summary()
    for path in (csv, output / "evaluation.csv" if output else None):
        if path is not None:
            with replacing(path) as unfinished:
                evaluation.table.to_csv(unfinished, index=False)
    if output is not None:
        with replacing(output / "evaluation.txt") as unfinished:
            unfinished.write_text(_as_text(short) + "\n")
    typer.echo(show(short))


def _as_text(table: pd.DataFrame) -> str:
    return as_text(table, 3)


def _read_seeds(words: str) -> list[int]:
    """Read "0 1 2" or "0,1,2"."""
    try:
        seeds = [int(word) for word in words.replace(",", " ").split()]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"Got --seeds {words}; write different whole numbers: --seeds 0 1 2.")
    return seeds
