"""Evaluations of many machines and seeds that can be interrupted and resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from sklearn.pipeline import Pipeline

from sklasd.evaluation._protocol import evaluate_machine
from sklasd.utils._output import replacing


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
    states = [os.stat(path) for path in table["path"]]
    files = [(state.st_size, state.st_mtime_ns) for state in states]
    return joblib.hash((table.astype(str).to_numpy().tolist(), files))


class RunFolder:
    """Where an evaluation keeps the scores of finished machines, so that it can be resumed.

    Parameters
    ----------
    path : path or None
        A folder, made if need be; None keeps nothing.
    settings : dict
        What the scores depend on. A folder with other settings is refused.

    Raises
    ------
    FileExistsError
        When the folder holds scores made under other settings.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self.path = path
        if path is None:
            return
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

    def once(self, machine: str, seed: int, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Return scores from the folder, or compute and keep them.

        Parameters
        ----------
        machine : str
            Which one.
        seed : int
            Of the training.
        compute : callable
            Without arguments; returns the scored clips.

        Returns
        -------
        DataFrame
            The scored clips.
        """
        if self.path is None:
            return compute()
        file = self.path / f"scores_{machine}_seed_{seed}.csv"
        if not file.exists():
            with replacing(file) as unfinished:
                compute().to_csv(unfinished, index=False)
        return pd.read_csv(
            file,
            dtype={"section": str, "attributes": str},
            keep_default_na=False,
            na_values={"label": [""]},
            float_precision="round_trip",
        )


def evaluate_machines(
    table: pd.DataFrame,
    machines: Sequence[str],
    make: Callable[[int], Pipeline],
    seeds: Sequence[int],
    folder: RunFolder,
    *,
    labelled: bool = True,
) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """Train and score one machine after the other, with each seed.

    Parameters
    ----------
    table : DataFrame
        The clip table.
    machines : sequence of str
        Which ones.
    make : callable
        From a seed to an unfitted pipeline.
    seeds : sequence of int
        Of the training.
    folder : RunFolder
        Keeps what is finished.
    labelled : bool, default=True
        Leave out test clips without a label.

    Yields
    ------
    machine : str
        What was just finished.
    seed : int
        With which seed.
    scored : DataFrame
        As from `evaluate_machine`.
    """
    for machine in machines:
        clips = table[table["machine"] == machine]
        for seed in seeds:

            def compute(clips: pd.DataFrame = clips, seed: int = seed) -> pd.DataFrame:
                return evaluate_machine(make(seed), clips, labelled=labelled)

            yield machine, seed, folder.once(machine, seed, compute)
