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
from sklasd.metrics._scored_clips import SCORED_COLUMNS, drop_scores
from sklasd.utils._output import replacing
from sklasd.utils._progress import progress_bar
from sklasd.utils._threads import limit_threads

# What a run adds to the test clips: no clip is skipped, so that none has a reason.
_RESULTS = [*(name for name in SCORED_COLUMNS if name != "reason"), "level"]


def digest(table: pd.DataFrame) -> str:
    """Hash a clip table and the state of its files, to notice when either changes."""
    files = [_state(path) for path in table["path"]]
    return joblib.hash((table.astype(str).to_numpy().tolist(), files))


def _state(path: Any) -> Any:
    if not isinstance(path, (str, os.PathLike)):
        return joblib.hash(np.asarray(path))
    # Size and time are enough to notice a change, and reading gigabytes is not.
    state = os.stat(path)
    return state.st_size, state.st_mtime_ns


@dataclass(frozen=True, eq=False)
class EvaluationRun:
    """One training and the clips that it is tested on."""

    pipeline: str  # the estimator's name
    machine: str
    seed: int  # the one that the estimator has
    estimator: Any = field(repr=False)  # unfitted
    clips: pd.DataFrame = field(repr=False)  # all clips of the machine
    labelled: bool  # whether test clips without a label are left out
    n_threads: int | None

    def compute(self) -> pd.DataFrame:
        """Train and score, and return the new columns without those of the clips."""
        try:
            with limit_threads(self.n_threads):
                scored = evaluate_machine(clone(self.estimator), self.clips, labelled=self.labelled)
        except Exception as error:
            error.add_note(f"This was {self.pipeline}, machine {self.machine!r}, seed {self.seed}.")
            raise
        return scored[_RESULTS].reset_index(drop=True)

    def join(self, results: pd.DataFrame) -> pd.DataFrame:
        """Put the columns from `compute` beside the test clips, `pipeline` and `seed` first."""
        clips = held_out_clips(self.clips, labelled=self.labelled).reset_index(drop=True)
        # A table of clips that were evaluated before has such columns, too.
        clips = drop_scores(clips).drop(columns=["pipeline", "seed", "level"], errors="ignore")
        clips.insert(0, "pipeline", self.pipeline)
        clips.insert(1, "seed", self.seed)
        return clips.join(results)


def folder_of(folder: Path, pipeline: str) -> Path:
    """Return the folder for the runs of a pipeline.

    Examples
    --------
    >>> folder_of(Path("results"), "mean/max").name
    'mean%2Fmax'
    """
    # Without a dot, no name leads to a parent folder or makes a hidden one.
    return folder / quote(pipeline, safe=" ").replace(".", "%2E")


class RunFolder:
    """Folder that keeps finished runs of one pipeline, so that an evaluation can be resumed.

    `settings` are all that the scores depend on; a folder made with others is refused.
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

    def read(self, run: EvaluationRun) -> pd.DataFrame | None:
        """Return what `compute` returned for a run, or None if it is not finished."""
        file = self._file(run)
        if not file.exists():
            return None
        # pandas' own floats may be off by the last bit, Python's are not.
        results = pd.read_csv(file, usecols=_RESULTS, dtype=str)[_RESULTS].astype(float)
        decides = results["decision"].notna().all()
        return results.astype({"decision": int}) if decides else results

    def write(self, run: EvaluationRun, results: pd.DataFrame) -> None:
        """Keep what `compute` returned for a run."""
        scored = run.join(results)
        if not scored["path"].map(lambda path: isinstance(path, (str, os.PathLike))).all():
            scored = scored.drop(columns="path")  # waveforms
        with replacing(self._file(run)) as unfinished:
            scored.to_csv(unfinished, index=False)

    def _file(self, run: EvaluationRun) -> Path:
        return self.path / f"scores_{quote(run.machine, safe=' ')}_seed_{run.seed}.csv"


def compute_runs(
    runs: Sequence[EvaluationRun], folders: dict[str, RunFolder], *, n_jobs: int | None = None
) -> list[pd.DataFrame]:
    """Compute all runs that are not finished yet, and keep each as soon as it is.

    Folders are by the name of the pipeline; without one, nothing is kept. The test clips of each
    run are returned with their scores, in the order of the runs.
    """
    results: dict[int, pd.DataFrame] = {}
    for i, run in enumerate(runs):
        found = folders[run.pipeline].read(run) if run.pipeline in folders else None
        if found is not None:
            results[i] = found
    waiting = [i for i in range(len(runs)) if i not in results]
    with progress_bar(len(waiting), desc="evaluation", unit="run") as bar:
        for i, result in _compute_each(runs, waiting, n_jobs):
            run = runs[i]
            # This process alone writes, so that workers need no access to the folders.
            if run.pipeline in folders:
                folders[run.pipeline].write(run, result)
            results[i] = result
            bar.update()
    return [run.join(results[i]) for i, run in enumerate(runs)]


def _compute_each(
    runs: Sequence[EvaluationRun], index: Iterable[int], n_jobs: int | None
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Compute some of the runs; yield each as soon as it is finished."""
    # Batches would hold back what is finished. A run is one argument, clips and all: joblib would
    # hand separate tables to dask on a single worker, and they would be lost with it.
    parallel = Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator_unordered")
    with closing(parallel(delayed(_compute)(i, runs[i]) for i in index)) as results:
        yield from results


def _compute(index: int, run: EvaluationRun) -> tuple[int, pd.DataFrame]:
    return index, run.compute()
