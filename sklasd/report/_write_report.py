"""The report: one HTML file with figures, pictures and sounds, which loads nothing."""

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
from sklasd.report._clip_rows import name_clip, rank_clips
from sklasd.report._columns import COLUMNS, ORDER, ClipRow
from sklasd.report._counts import Counts, read_labels
from sklasd.report._machine_part import (
    Fact,
    MachinePart,
    describe_machine,
    list_facts,
    wanted_rate,
)
from sklasd.report._requirements import require_report
from sklasd.report._scored_fleet import ScoredMachine, read_clips, score_fleet
from sklasd.report._settings import list_versions, name_seeds
from sklasd.utils._output import check_free, replacing

_MOST_NAMES = 4  # machines in a title


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
    """Score clips, and write a report on them: one HTML file to read, listen to and share.

    It holds figures for each machine, charts of scores, ROC, p-values and training, a table of all
    clips that can be sorted and filtered, and the worst clips with spectrogram, anomaly map, the
    sound, and the sound of what the map marks. The page loads nothing from elsewhere.

    Parameters
    ----------
    model : estimator or dict of {machine: estimator}
        Fitted: a pipeline that ends in a detector of sklasd, a search over one, or `Augmented`. For
        several machines, a `GroupedDetector`, alone or at the end of a pipeline or search; each
        group then has its own part of the report. A dict is taken for the fitted models of a
        ``GroupedDetector(by="machine")``.
    clips : clip table, path of a folder, or list of clips
        The clips to score. Columns of a table add to the report: `label` the figures that need
        labels, `machine`, `section` and `domain` filters, and `regions` frames around true faults.
        Training and supplemental clips (by the column `split`) are left out if there are others.
    path : path
        Of the HTML file.
    max_clips_with_media : int, default=30
        Number of clips, the worst ones, with pictures and sounds of at most 30 s. Each takes up to
        0.6 MB, or 0.2 MB if it lasts 10 s. The table lists all clips.
    title : str, default=None
        Heading of the page; None names the machines.
    record : mapping of str to object, default=None
        More facts about the model, such as who trained it; shown as a table.
    force : bool, default=False
        Whether to overwrite an existing file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileExistsError
        If the file exists and `force` is False.
    ImportError
        Without jinja2 or matplotlib, which are in the extra `report`.
    TypeError, ValueError
        If a model does not end in a detector of sklasd, a machine has no model, or there are no
        clips.
    ClipError
        If no clip of a machine can be used; if only some cannot, the report names them.

    Notes
    -----
    The worst clips are those with the greatest distance,

    .. math:: d = (m - s) / (m - t)

    where :math:`s` is the score, :math:`t` the threshold, and :math:`m` the median score of the
    normal clips that set the threshold: 0 is a typical normal clip and 1 the threshold, for any
    machine. If :math:`m` and :math:`t` are about the same, as with ``contamination=0.5``, the
    standard deviation of the normal clips' scores replaces :math:`m - t`, and 1 remains the
    threshold. A clip whose score is NaN is anomalous, with an infinite distance.

    A content security policy forbids the page to load anything, and to run any script but its own.
    Names of files and machines are escaped.

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
    # Strict: a name that the template misspells is an error, and not an empty place.
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    machines = score_fleet(model, read_clips(clips))
    contents = _collect(machines, max_clips_with_media, title, record or {})
    page = environment.from_string(_read("template.html")).render(contents)
    with replacing(path) as unfinished:
        # File names are bytes; those that are not UTF-8 are shown with escapes.
        unfinished.write_text(page, encoding="utf-8", errors="backslashreplace")
    return Path(path)


def _read(name: str) -> str:
    return files("sklasd.report").joinpath(name).read_text(encoding="utf-8")


def _collect(
    machines: list[ScoredMachine], n_shown: int, title: str | None, record: Mapping[str, Any]
) -> dict[str, Any]:
    """Collect what the template shows."""
    parts = [describe_machine(machine) for machine in machines]
    clips = rank_clips(machines, n_shown)
    shown = [clip for clip in clips if clip.media is not None]
    script = _read("script.js")
    return {
        "title": title or f"Report on {_name_all(parts)}",
        "verdict": _verdict(clips, len(machines)),
        "date": datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        "version": sklasd.__version__,
        "facts": _total(machines, parts),
        "machines": parts,
        # Explanations and figures that need labels are left out without them.
        "is_labelled": any(read_labels(machine.clips).any() for machine in machines),
        "has_faults": any(clip.media.faults for clip in shown if clip.media),
        "filters": [column for column in COLUMNS if column.is_filter],
        "columns": [column for column in COLUMNS if column.is_shown(clips)],
        "card_columns": [column for column in COLUMNS if column.where != "table"],
        "order": ORDER,
        "clips": clips,
        "shown": shown,
        "skipped": [
            (name_clip(clip)[0], str(clip["reason"]))
            for machine in machines
            for _, clip in machine.skipped.iterrows()
        ],
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
    """Return the name of a script in a content security policy, which allows no other script."""
    return f"sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _name_all(parts: list[MachinePart]) -> str:
    names = [part.name for part in parts]
    if len(names) > _MOST_NAMES:
        return f"{len(names)} machines"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _verdict(clips: list[ClipRow], n_machines: int) -> str:
    # The one sentence that everybody reads.
    n = sum(clip.decision == "anomalous" for clip in clips)
    of = f" of {n_machines} machines" if n_machines > 1 else ""
    if n == 0:
        return f"None of the {len(clips)} clips{of} is called anomalous."
    return f"{n} of {len(clips)} clips{of} {'is' if n == 1 else 'are'} called anomalous."


def _total(machines: list[ScoredMachine], parts: list[MachinePart]) -> list[Fact]:
    """List the figures of all machines together."""
    if len(machines) == 1:
        return parts[0].facts
    each = [Counts.of(machine.clips) for machine in machines]
    counts = Counts.of(pd.concat([machine.clips for machine in machines]))
    # Scores of two machines are on different scales, so that areas are means over machines.
    areas = np.array([(own.auc, own.pauc) for own in each if np.isfinite(own.auc)])
    auc, pauc = areas.mean(axis=0) if len(areas) else (np.nan, np.nan)
    rates = {wanted_rate(machine) for machine in machines}
    return list_facts(
        replace(counts, auc=auc, pauc=pauc),
        rates.pop() if len(rates) == 1 else None,
        note=f"mean of {len(areas)} machines",
    )
