"""Evaluation from the command line: machines, seeds, submissions, tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import typer
from sklearn.pipeline import Pipeline

import sklasd
from sklasd.cli._pipelines import make_pipeline
from sklasd.cli._tables import as_text
from sklasd.evaluation import _protocol as protocol
from sklasd.evaluation._runs import RunFolder, digest, evaluate_machines
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
    force: bool,
) -> None:
    """Do what `sklasd evaluate` says; its options are described there."""
    numbers = _read_seeds(" ".join(seeds or ["0"]))
    check_free(csv, force=force)
    if submission is not None:
        _check_submission(submission, numbers, force)
    make_pipeline(recipe, settings, 0)  # a misspelt parameter is told before anything is read
    table = protocol.read_folder(folder, ground_truth or None)
    is_labelled = submission is None
    machines = _choose_machines(table, folder, is_labelled)
    about = {
        "sklasd": sklasd.__version__, "data": str(folder.absolute()), "clips": digest(table),
        "recipe": recipe,
        "settings": settings or [],
    }  # fmt: skip
    results = _score_all(
        table, machines, lambda seed: make_pipeline(recipe, settings, seed), numbers, output,
        about | {"labelled": is_labelled},
    )  # fmt: skip
    if submission is not None:
        _write_submission(submission, *results, force=force)
    if all("label" in scored and scored["label"].notna().all() for scored in results):
        _tabulate(results, recipe, output, csv, is_submission=submission is not None)


def _tabulate(
    results: list[pd.DataFrame],
    recipe: str,
    output: Path | None,
    csv: Path | None,
    *,
    is_submission: bool,
) -> None:
    """Show the official score, or say why a submission, which is written by now, has none."""
    try:
        tables = [protocol.tabulate(scored, recipe) for scored in results]
    except ValueError as error:
        if not is_submission:
            raise
        year = results[0]["year"].iloc[0]  # a submission has one
        typer.echo(f"The official score of {year} cannot be computed: {error}")
    else:
        _report(tables, output, csv)


def _check_submission(folder: Path, seeds: list[int], force: bool) -> None:
    if len(seeds) > 1:
        raise ValueError(f"Got --submission with --seeds {seeds}; a submission is of one seed.")
    if folder.is_dir():
        check_free(*folder.glob("*.csv"), force=force)


def _write_submission(folder: Path, scored: pd.DataFrame, *, force: bool) -> None:
    files = write_submission(folder, scored, scored["score"], scored["decision"], force=force)
    typer.echo(f"Wrote {len(files)} files to {folder}.")


def _choose_machines(table: pd.DataFrame, folder: Path, is_labelled: bool) -> list[str]:
    """List the machines that can be evaluated, and tell of the others."""
    machines, others = protocol.usable_machines(table, labelled=is_labelled)
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
    table = protocol.average_seeds(tables)
    short = protocol.shorten(table)
    for path in (csv, output / "evaluation.csv" if output else None):
        if path is not None:
            with replacing(path) as unfinished:
                table.to_csv(unfinished, index=False)
    if output is not None:
        with replacing(output / "evaluation.txt") as unfinished:
            unfinished.write_text(as_text(short, 3) + "\n")
    typer.echo(as_text(short, 3))


def _read_seeds(words: str) -> list[int]:
    """Read "0 1 2" or "0,1,2"."""
    try:
        seeds = [int(word) for word in words.replace(",", " ").split()]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"Got --seeds {words}; write different whole numbers: --seeds 0 1 2.")
    return seeds
