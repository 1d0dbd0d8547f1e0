"""Trainings of many machines and seeds, side by side, that can be interrupted and resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import joblib
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from sklasd.evaluation._parts import held_out_clips
from sklasd.evaluation._scoring import evaluate_machine
from sklasd.utils._output import replacing
from sklasd.utils._progress import progress_bar
from sklasd.utils._threads import limit_threads

# The columns that an evaluation adds.
_MADE = ["score", "decision", "threshold", "p_value", "level"]


def digest(table: pd.DataFrame) -> str:
    """Sum up a clip table and the state of its files, to notice when either changes.

    Parameters
    ----------
    table : DataFrame
        The clip table.

    Returns
    -------
    str
        Hexadecimal.
    """
    files = [_state(path) for path in table["path"]]
    return joblib.hash((table.astype(str).to_numpy().tolist(), files))


def _state(path: Any) -> Any:
    if not isinstance(path, (str, os.PathLike)):
        return joblib.hash(np.asarray(path))
    state = os.stat(path)
    return state.st_size, state.st_mtime_ns


@dataclass(frozen=True, eq=False)
class Run:
    """One training and what it is tested on.

    Parameters
    ----------
    pipeline : str
        Name of the estimator.
    machine : str
        Name of the machine.
    seed : int
        Which `estimator` has.
    estimator : estimator
        Unfitted.
    clips : DataFrame
        The machine's.
    labelled : bool
        Leave out test clips without a label.
    n_threads : int or None
        To compute with.
    """

    pipeline: str
    machine: str
    seed: int
    estimator: Any = field(repr=False)
    clips: pd.DataFrame = field(repr=False)
    labelled: bool
    n_threads: int | None

    def compute(self) -> pd.DataFrame:
        """Train and score, and tell in what goes wrong which run it was.

        Returns
        -------
        DataFrame
            The columns that are made, without those of the clips.
        """
        try:
            with limit_threads(self.n_threads):
                scored = evaluate_machine(clone(self.estimator), self.clips, labelled=self.labelled)
        except Exception as error:
            error.add_note(f"This was {self.pipeline}, machine {self.machine!r}, seed {self.seed}.")
            raise
        return scored[_MADE].reset_index(drop=True)

    def join(self, made: pd.DataFrame) -> pd.DataFrame:
        """Put the columns that were made beside the test clips.

        Parameters
        ----------
        made : DataFrame
            From `compute`.

        Returns
        -------
        DataFrame
            With the columns `pipeline` and `seed` first.
        """
        clips = held_out_clips(self.clips, labelled=self.labelled).reset_index(drop=True)
        # A table of clips that were scored before has such columns, too.
        clips = clips.drop(columns=["pipeline", "seed", *_MADE], errors="ignore")
        clips.insert(0, "pipeline", self.pipeline)
        clips.insert(1, "seed", self.seed)
        return clips.join(made)


def folder_of(folder: Path, pipeline: str) -> Path:
    """Say in which folder the runs of a pipeline are kept.

    Parameters
    ----------
    folder : Path
        Of the evaluation.
    pipeline : str
        Any name.

    Returns
    -------
    Path
        In `folder`.

    Examples
    --------
    >>> folder_of(Path("results"), "mean/max").name
    'mean%2Fmax'
    """
    return folder / quote(pipeline, safe=" ").replace(".", "%2E")  # neither up nor hidden


class RunFolder:
    """Where an evaluation keeps the scores of finished runs of a pipeline, to be resumed.

    Parameters
    ----------
    path : path
        A folder, made if need be.
    settings : dict
        What the scores depend on. A folder with other settings is refused.

    Raises
    ------
    FileExistsError
        When the folder holds scores made under other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        note = path / "settings.json"
        if not note.exists():
            with replacing(note) as unfinished:
                unfinished.write_text(json.dumps(settings, indent=2))
        elif (before := json.loads(note.read_text())) != settings:
            changed = [k for k in settings if before.get(k) != settings[k]]
            raise FileExistsError(
                f"{path} holds an evaluation with another {', '.join(changed)}; name another "
                "folder, or remove this one."
            )

    def read(self, run: Run) -> pd.DataFrame | None:
        """Return what a run made, or None where it is not finished.

        Parameters
        ----------
        run : Run
            Which one.

        Returns
        -------
        DataFrame or None
            As `Run.compute` returned it.
        """
        file = self._file(run)
        if not file.exists():
            return None
        # pandas' own floats may be off by the last bit, Python's are not.
        made = pd.read_csv(file, usecols=_MADE, dtype=str)[_MADE].astype(float)
        decides = made["decision"].notna().all()
        return made.astype({"decision": int}) if decides else made

    def write(self, run: Run, made: pd.DataFrame) -> None:
        """Keep what a run made.

        Parameters
        ----------
        run : Run
            Which one.
        made : DataFrame
            From `Run.compute`.
        """
        scored = run.join(made)
        if not scored["path"].map(lambda path: isinstance(path, (str, os.PathLike))).all():
            scored = scored.drop(columns="path")  # waveforms
        with replacing(self._file(run)) as unfinished:
            scored.to_csv(unfinished, index=False)

    def _file(self, run: Run) -> Path:
        return self.path / f"scores_{quote(run.machine, safe=' ')}_seed_{run.seed}.csv"


def compute_runs(
    runs: Sequence[Run], folders: dict[str, RunFolder], *, n_jobs: int | None = None
) -> list[pd.DataFrame]:
    """Compute all runs that are not finished yet, each of which is kept as soon as it is.

    This process alone writes, so workers need no access to the folders.

    Parameters
    ----------
    runs : sequence of Run
        Which ones.
    folders : dict of {str: RunFolder}
        By the name of the pipeline; without one, nothing is kept.
    n_jobs : int, default=None
        Runs at once, as joblib takes it.

    Returns
    -------
    list of DataFrame
        The test clips of each run with their scores, in the order of the runs.
    """
    made: dict[int, pd.DataFrame] = {}
    for i, run in enumerate(runs):
        found = folders[run.pipeline].read(run) if run.pipeline in folders else None
        if found is not None:
            made[i] = found
    waiting = [i for i in range(len(runs)) if i not in made]
    with progress_bar(len(waiting), desc="evaluation", unit="run") as bar:
        for i, part in _compute_each(runs, waiting, n_jobs):
            run = runs[i]
            if run.pipeline in folders:
                folders[run.pipeline].write(run, part)
            made[i] = part
            bar.update()
    return [run.join(made[i]) for i, run in enumerate(runs)]


def _compute_each(
    runs: Sequence[Run], index: Iterable[int], n_jobs: int | None
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Compute some of the runs; yield each as soon as it is finished."""
    # Batches would hold back what is finished. A run is one argument, clips and all: joblib would
    # hand tables to dask apart, on a single worker, and they die with it.
    parallel = Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator_unordered")
    with closing(parallel(delayed(_compute)(i, runs[i]) for i in index)) as results:
        yield from results


def _compute(index: int, run: Run) -> tuple[int, pd.DataFrame]:
    return index, run.compute()
