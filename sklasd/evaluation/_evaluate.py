"""Pipelines x machines x seeds, as one call."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from numbers import Integral
from pathlib import Path
from pickle import PicklingError
from typing import Any

import joblib
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from sklasd.base._fit_with import check_params_of, seed_parts
from sklasd.datasets._any_folder import read_folder
from sklasd.evaluation._parts import usable_machines
from sklasd.evaluation._runs import EvaluationRun, RunFolder, compute_runs, digest, folder_of
from sklasd.evaluation._tables import LEVEL, average_seeds, compare_detectors, summarize
from sklasd.recipes import make_recipe


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Scores of an evaluation, and tables of them.

    Parameters
    ----------
    scores : DataFrame
        A row per pipeline, machine, seed and test clip: the columns of the clip table, with

        - `pipeline` and `seed`;
        - `score`, higher for normal clips;
        - `p_value`, how rare such a score is among new normal clips, missing for a detector without
          calibration;
        - `threshold`, below which a score is anomalous, and `decision`, +1 normal or -1 anomalous;
        - `level`, in dB re full scale, by which a volume meter would decide.

    Attributes
    ----------
    table : DataFrame
        The result of `sklasd.metrics.evaluation_table` for `scores`: rows per machine, section and
        detector, and those of the official score. Rows named "RMS level" are the volume meter's.
        Several seeds give means, and standard deviations in columns ending in `_std`.

    See Also
    --------
    evaluate : Makes the scores.
    """

    scores: pd.DataFrame

    @cached_property
    def table(self) -> pd.DataFrame:
        """AUC, pAUC and official score.

        Raises
        ------
        ValueError
            If labels are missing, or clips of a domain that the official score needs, and for
            clips of several years: ``Evaluation(scores[scores["year"] == 2023])`` has those of one.
        """
        labels = self.scores.reindex(columns=["label"])["label"]
        if labels.isna().any():
            raise ValueError(
                f"Got {labels.isna().sum()} of {len(labels)} scored clips without a label; a table "
                "needs all labels, but `scores` needs none."
            )
        tables = []
        # A table per seed first: the official score is no mean over pooled seeds.
        for _, of_seed in self.scores.groupby("seed", sort=False):
            by_name = of_seed.groupby("pipeline", sort=False)
            scored = {name: each.reset_index(drop=True) for name, each in by_name}
            tables.append(compare_detectors(scored))
        return average_seeds(tables)

    def summary(self) -> pd.DataFrame:
        """Return the part of the table that fits on a screen.

        Returns
        -------
        DataFrame
            Its rows of sections and the official score, with areas and F1.
        """
        return summarize(self.table)

    def __repr__(self) -> str:
        counts = [
            f"{self.scores[column].nunique()} {column}(s)"
            for column in ("pipeline", "machine", "seed")
        ]
        return f"<Evaluation of {', '.join(counts)}: {len(self.scores)} scores>"


def evaluate(
    pipelines: Any,
    clips: pd.DataFrame | str | os.PathLike[str],
    *,
    machines: Sequence[str] | None = None,
    seeds: Iterable[int] = (0,),
    folder: str | os.PathLike[str] | None = None,
    labelled: bool = True,
    n_jobs: int | None = None,
    n_threads: int | None = None,
) -> Evaluation:
    """Train on each machine's normal clips and score its test clips, by pipelines and seeds.

    Parameters
    ----------
    pipelines : str, estimator, list or dict of these
        Names of recipes, or unfitted estimators with `fit` and `score_samples` that take rows of
        the clip table, such as pipelines, searches and fusions. The keys of a dict are their names;
        otherwise recipes have their own names, and estimators that of their last step's class.
    clips : DataFrame or path
        A clip table with the columns `machine` and `split`, or a folder of recordings. Normal clips
        of the part "train" are for training, those of the part "test" are scored.
    machines : list of str, default=None
        Names of machines. None takes all that have clips to train on and to test.
    seeds : iterable of int, default=(0,)
        Each trains anew, with this `random_state` in every part of a pipeline that has none.
    folder : path, default=None
        Keeps the scores of finished runs, in a folder per pipeline: a second call with the same
        settings goes on where the first one was stopped, and may ask for more pipelines, machines
        and seeds.
    labelled : bool, default=True
        Leave out test clips without a label, and machines without test clips of both kinds.
    n_jobs : int, default=None
        Number of runs at once, each for one pipeline, machine and seed. None is 1, -1 all cores.
        `joblib.parallel_config` chooses another backend, such as a cluster.
    n_threads : int, default=None
        Number of threads that each run computes with. None takes all cores for one run at a time,
        and divides them where joblib starts several. Scores of trained nets depend on it in their
        last bits: pass 1 for scores that do not depend on `n_jobs`.

    Returns
    -------
    Evaluation
        With `scores`, `table` and `summary()`.

    Raises
    ------
    ValueError
        For unknown recipes and machines, names that occur twice, and errors of a training; a note
        names its run.
    FileExistsError
        When the folder was made with other clips, parameters or versions.

    Warns
    -----
    UserWarning
        Naming machines that are left out.

    See Also
    --------
    sklasd.GroupedDetector : A model for each machine, to be used afterwards.

    Notes
    -----
    Only whole runs are kept: Ctrl-C, or a worker that fails, loses the run in progress and nothing
    else. Estimators among the values of a search's grid keep the seeds they have.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklasd.datasets import make_machine_clips
    >>> from sklasd.evaluation import evaluate
    >>> tables = []
    >>> for machine in ("fan", "pump"):
    ...     waves, table = make_machine_clips(
    ...         machine, n_train=15, n_test=5, n_anomalies=5, duration=1.0, random_state=0
    ...     )
    ...     tables.append(table.assign(path=list(waves)))
    >>> evaluation = evaluate("statistics-mahalanobis", pd.concat(tables, ignore_index=True))
    >>> evaluation
    <Evaluation of 1 pipeline(s), 2 machine(s), 1 seed(s): 20 scores>
    >>> evaluation.summary()[["machine", "detector", "auc"]].round(2)
         machine                detector   auc
    0        fan  statistics-mahalanobis  0.80
    1        fan               RMS level  0.16
    6       pump  statistics-mahalanobis  0.80
    7       pump               RMS level  0.72
    16  official  statistics-mahalanobis  0.80
    17  official               RMS level  0.44
    """
    named = _name(pipelines)
    seeds = _check_seeds(seeds)
    table = clips if isinstance(clips, pd.DataFrame) else read_folder(clips)
    chosen = _choose(table, machines, labelled)
    folders = {}
    if folder is not None:
        # Scores may depend on all of these: a folder made with others is refused.
        versions = {package: version(package) for package in ("sklasd", "scikit-learn", "torch")}
        about = {"versions": versions, "clips": digest(table)}
        for name, estimator in named.items():
            settings = about | {
                "settings": _describe(name, estimator), "labelled": labelled, "n_threads": n_threads
            }  # fmt: skip
            folders[name] = RunFolder(folder_of(Path(folder), name), settings)
    runs = [
        EvaluationRun(
            name, machine, seed, seed_parts(clone(estimator), seed), of_machine, labelled, n_threads
        )
        for name, estimator in named.items()
        for machine, of_machine in chosen.items()
        for seed in seeds
    ]
    return Evaluation(pd.concat(compute_runs(runs, folders, n_jobs=n_jobs), ignore_index=True))


def _name(pipelines: Any) -> dict[str, Any]:
    """Return estimators by name, with checked parameters."""
    if isinstance(pipelines, Mapping):
        pairs = list(pipelines.items())
    else:
        several = pipelines if isinstance(pipelines, (list, tuple)) else [pipelines]
        pairs = [(_name_of(each), each) for each in several]
    names = [name for name, _ in pairs]
    if not names:
        raise ValueError("Got no pipeline; pass the name of a recipe, or an estimator.")
    for name in names:
        if names.count(name) > 1 or name == LEVEL or not isinstance(name, str):
            raise ValueError(
                f"Got the pipeline name {name!r}, but each pipeline needs a name of its own, other "
                f"than {LEVEL!r}; pass a dict {{name: pipeline}}."
            )
    named = {name: make_recipe(each) if isinstance(each, str) else each for name, each in pairs}
    for name, estimator in named.items():
        if not (hasattr(estimator, "fit") and hasattr(estimator, "score_samples")):
            raise ValueError(
                f"Got {estimator!r} as the pipeline {name!r}; pass the name of a recipe, or an "
                "estimator with fit and score_samples."
            )
        check_params_of(estimator)
    return named


def _name_of(pipeline: Any) -> str:
    if isinstance(pipeline, str):
        return pipeline
    return type(pipeline[-1] if isinstance(pipeline, Pipeline) else pipeline).__name__


def _check_seeds(seeds: Iterable[int]) -> list[int]:
    numbers = list(seeds)
    are_whole = all(isinstance(seed, Integral) and seed >= 0 for seed in numbers)
    if not numbers or not are_whole or len(set(numbers)) < len(numbers):
        raise ValueError(f"Got seeds={numbers}; pass different whole numbers, such as (0, 1, 2).")
    return [int(seed) for seed in numbers]


def _choose(
    table: pd.DataFrame, machines: Sequence[str] | None, labelled: bool
) -> dict[str, pd.DataFrame]:
    """Return the clips of each machine to evaluate."""
    if "machine" not in table:
        raise ValueError(
            "Got clips without a column 'machine'; add it: clips.assign(machine='fan')."
        )
    usable, others = usable_machines(table, labelled=labelled)
    needs = "normal clips of the split 'train' and " + (
        "labelled ones of both kinds of the split 'test'"
        if labelled
        else "clips of the split 'test'"
    )
    if machines is None and usable and others:
        warnings.warn(
            f"The machines {others} are left out, as they lack {needs}.", UserWarning, stacklevel=3
        )
    wanted = usable if machines is None else list(machines)
    unknown = [name for name in wanted if name not in usable]
    if unknown or not wanted:
        raise ValueError(f"Got machines={unknown or None}; those with {needs} are {usable}.")
    return {name: table[table["machine"].astype(str) == name] for name in wanted}


def _describe(name: str, estimator: Any) -> dict[str, str]:
    # repr shows what differs from the defaults, and the hash covers arrays and nested objects.
    try:
        sum_of_all = joblib.hash(estimator)
    except (PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"Got a pipeline {name!r} whose settings cannot be kept in a folder ({error}); define "
            "its functions in a module, or pass no folder."
        ) from error
    return {"estimator": repr(estimator), "digest": sum_of_all}
