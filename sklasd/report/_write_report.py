"""One HTML file of what a detector says of clips: figures, pictures and sounds, and no link."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from importlib.resources import files
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import Interval, validate_params

import sklasd
from sklasd.report._clip_rows import ClipRow, list_columns, list_fields, name_skipped, rank_clips
from sklasd.report._machine_part import (
    HEADS,
    Counts,
    MachinePart,
    asked_of,
    describe_machine,
    facts_of,
    labels_of,
)
from sklasd.report._requirements import require_report
from sklasd.report._scored_fleet import ScoredMachine, read_clips, score_fleet
from sklasd.report._settings import list_versions, name_seeds
from sklasd.utils._output import check_free, replacing


@validate_params(
    {
        "model": "no_validation",
        "clips": "no_validation",
        "path": [str, os.PathLike],
        "max_clips_with_media": [Interval(Integral, 0, None, closed="left")],
        "title": [str, None],
        "record": [Mapping, None],
        "force": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def write_report(
    model: Any,
    clips: Any,
    path: str | os.PathLike[str],
    *,
    max_clips_with_media: int = 30,
    title: str | None = None,
    record: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Path:
    """Score clips and write a report of it: one HTML file, to be read, heard and passed on.

    It holds figures for each machine, histogram, ROC, p-values and training curve, a table of all
    clips that can be sorted and filtered, and the worst clips with spectrogram, anomaly map, the
    sound, and the sound of what the map marks. Nothing in it is loaded from anywhere.

    Parameters
    ----------
    model : estimator or dict of {machine: estimator}
        Fitted: a pipeline that ends in a detector, a search over one, or `Augmented`; for several
        machines a `GroupedDetector`, or a model for each value of the column `machine`.
    clips : clip table, path of a folder, or list of clips
        What is scored. `label` adds what labels can tell, `machine`, `section` and `domain` what
        clips are filtered by, and `regions` frames around true faults. Training and supplemental
        clips (of the column `split`) are left out where there are others.
    path : path
        Of the HTML file.
    max_clips_with_media : int, default=30
        Of how many of the worst clips there are pictures and sounds, of 30 s at most; all clips are
        in the table. Each takes up to 0.6 MB, or 0.2 MB if it lasts 10 s.
    title : str, default=None
        None names the machines.
    record : mapping of str to object, default=None
        What else is known of the model, such as who trained it; shown as a table.
    force : bool, default=False
        Overwrite a file that exists.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileExistsError
        When there is such a file, and it is not to be overwritten.
    ImportError
        Without jinja2 or matplotlib, which are in the extra `report`.
    TypeError, ValueError
        For what is no detector of sklasd, clips of machines without a model, or no clips.
    ClipError
        When none of a machine's clips can be used; if only some cannot, the report names them.

    Notes
    -----
    The worst clips are those with the greatest distance,

    .. math:: d = (m - s) / (m - t)

    of the score :math:`s` from the median :math:`m` of the scores of normal clips that set the
    threshold :math:`t`: 0 is a typical normal clip and 1 the threshold, of any machine. Where
    these two are the same, as with ``contamination=0.5``, a standard deviation of the normal clips'
    scores takes the place of :math:`m - t`, and 1 remains the threshold. Scores that are no numbers
    are anomalous, further off than all others.

    The page's policy forbids it to load anything, and to run any script but its own. Names of files
    and machines are escaped.

    Examples
    --------
    >>> import tempfile
    >>> from sklasd import make_recipe
    >>> from sklasd.report import write_report
    >>> from sklasd.datasets import make_machine_clips
    >>> waves, table = make_machine_clips("fan", n_train=20, n_test=2, duration=1.0, random_state=0)
    >>> table["path"] = list(waves)
    >>> pipeline = make_recipe("statistics-mahalanobis").fit(waves[:20])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = write_report(pipeline, table, f"{folder}/fan.html", max_clips_with_media=1)
    ...     report.stat().st_size < 500_000
    True
    """
    check_free(path, force=force)
    jinja2 = require_report()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    machines = score_fleet(model, read_clips(clips))
    contents = _collect(machines, max_clips_with_media, title, record or {})
    page = environment.from_string(_read("template.html")).render(contents)
    with replacing(path) as unfinished:
        # On disk names are bytes: those that are no UTF-8 are shown with escapes.
        unfinished.write_text(page, encoding="utf-8", errors="backslashreplace")
    return Path(path)


def _read(name: str) -> str:
    return files("sklasd.report").joinpath(name).read_text(encoding="utf-8")


def _collect(
    machines: list[ScoredMachine], n_shown: int, title: str | None, record: Mapping[str, Any]
) -> dict[str, Any]:
    """Put together what the template shows."""
    parts = [describe_machine(machine) for machine in machines]
    clips = rank_clips(machines, n_shown)
    shown = [clip for clip in clips if clip.media is not None]
    is_labelled = any((labels_of(machine.clips) != 0).any() for machine in machines)
    script = _read("script.js")
    return {
        "title": title or f"Report on {_name_all(parts)}",
        "verdict": _verdict(clips, len(machines)),
        "date": datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        "version": sklasd.__version__,
        "facts": _total(machines, parts),
        "machines": parts,
        "machine_heads": HEADS,
        "is_labelled": is_labelled,
        "has_faults": any(clip.media.faults for clip in shown if clip.media),
        "fields": list_fields(clips),
        "columns": list_columns(clips, is_labelled=is_labelled),
        "clips": clips,
        "shown": shown,
        "skipped": [each for machine in machines for each in name_skipped(machine.skipped)],
        "made": [
            *((str(key), str(value)) for key, value in record.items()),
            *((f"Seeds of {part.name}", name_seeds(part.settings)) for part in parts),
            *list_versions(),
        ],
        "style": _read("style.css"),
        "script": script,
        "script_hash": _hash(script),
    }


def _hash(script: str) -> str:
    """Name a script as a page's policy does: no other one may run."""
    return f"sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _name_all(parts: list[MachinePart]) -> str:
    names = [part.name for part in parts]
    if len(names) > 4:
        return f"{len(names)} machines"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _verdict(clips: list[ClipRow], n_machines: int) -> str:
    n = sum(clip.decision == "anomalous" for clip in clips)
    of = f" of {n_machines} machines" if n_machines > 1 else ""
    if n == 0:
        return f"None of the {len(clips)} clips{of} is called anomalous."
    return f"{n} of {len(clips)} clips{of} {'is' if n == 1 else 'are'} called anomalous."


def _total(machines: list[ScoredMachine], parts: list[MachinePart]) -> list[Any]:
    """Say in figures how all machines did together; areas are means, as scales differ."""
    if len(machines) == 1:
        return parts[0].facts
    each = [Counts.of(machine.clips) for machine in machines]
    counted = Counts.of(pd.concat([machine.clips for machine in machines]))
    areas = np.array([(counts.auc, counts.pauc) for counts in each])
    known = areas[np.isfinite(areas[:, 0])]
    auc, pauc = known.mean(axis=0) if len(known) else (np.nan, np.nan)
    asked = {asked_of(machine) for machine in machines}
    return facts_of(
        replace(counted, auc=auc, pauc=pauc),
        asked.pop() if len(asked) == 1 else None,
        n_machines=len(known),
    )
