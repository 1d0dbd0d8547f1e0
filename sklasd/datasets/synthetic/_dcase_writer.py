"""Write clips as files with the names and folders of a DCASE year."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from sklasd.datasets.synthetic._machine_sounds import Array


class DCASEWriter:
    """Write the clips of a table one by one, into a new or an existing folder `root`.

    FileExistsError if a file exists already; `paths` has the file of each clip.
    """

    def __init__(self, root: str | os.PathLike[str], table: pd.DataFrame, sample_rate: int) -> None:
        self.root = Path(root).expanduser().absolute()
        self.table = table
        self.sample_rate = sample_rate
        # DCASE numbers the clips of each domain, split and label of a section from 0.
        numbers = table.groupby(["section", "domain", "split", "label"]).cumcount()
        self.paths = [
            self.root / clip.machine / _file_name(clip, number)
            for clip, number in zip(table.itertuples(), numbers, strict=True)
        ]
        self._refuse_to_overwrite()

    def _refuse_to_overwrite(self) -> None:
        taken = [path for path in (*self.paths, *self._attribute_files()) if path.exists()]
        if taken:
            raise FileExistsError(
                f"Got root='{self.root}', in which {len(taken)} of the files to write exist "
                f"already, the first being '{taken[0]}'; remove them or choose another root."
            )

    def _attribute_files(self) -> dict[Path, list[str]]:
        """Return the lines of each attribute file: a clip's name, then parameters and values."""
        files: dict[Path, list[str]] = {}
        for clip, path in zip(self.table.itertuples(), self.paths, strict=True):
            # Files of attributes came in 2022; supplemental clips are in none.
            if clip.year < 2022 or clip.split == "supplemental":
                continue
            file = self.root / clip.machine / f"attributes_{clip.section}.csv"
            lines = files.setdefault(file, ["file_name,d1p,d1v,d2p,d2v,d3p,d3v"])
            name = path.relative_to(self.root).as_posix()
            lines.append(",".join([name, *clip.attributes.split("_")]))
        return files

    def write(self, row: int, clip: Array) -> None:
        """Write the clip of a row, of shape (n_channels, n_samples), with 16 bits."""
        path = self.paths[row]
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.round(clip.T * 2**15).astype(np.int16)
        # An interrupted run must not leave half a clip under a clip's name.
        unfinished = path.with_suffix(".part")
        soundfile.write(unfinished, samples, self.sample_rate, subtype="PCM_16", format="WAV")
        os.replace(unfinished, path)

    def write_attributes(self) -> None:
        """Write the attribute file of each section (there are none before 2022)."""
        for path, lines in self._attribute_files().items():
            path.write_text("\n".join([*lines, ""]), encoding="utf-8", newline="\n")


def _file_name(clip: Any, number: int) -> str:
    """Return the name of a clip (a row of the table) in its machine's folder."""
    state = "normal" if clip.label == 1 else "anomaly"
    if clip.split == "supplemental":
        return f"supplemental/section_{clip.section}_noise_supplemental_{state}_{number:04d}.wav"
    if clip.year == 2020:
        return f"{clip.split}/{state}_id_{clip.section}_{number:08d}.wav"
    name = f"section_{clip.section}_{clip.domain}_{clip.split}_{state}_{number:04d}"
    if clip.year == 2021 and clip.split == "test":
        return f"{clip.domain}_test/{name}.wav"
    return f"{clip.split}/{name}_{clip.attributes}.wav"
