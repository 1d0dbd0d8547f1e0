"""Models as files: each has a record of what made it, and a damaged one is never loaded."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import joblib
import pandas as pd
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

import sklasd
from sklasd.base._unwrap import detector_of, find_groups
from sklasd.clips._waveforms import list_clips
from sklasd.datasets._files import read_headers
from sklasd.utils._output import check_free, replacing

__all__ = ["load_model", "read_record", "save_model"]

# A file is a pickle, the record as JSON, and this: the length of the record, the SHA-256 of
# everything before the digest, and a mark. A pickle knows where it ends, so joblib.load reads such
# a file, too.
_END = struct.Struct(">Q32s8s")
_MARK = b"\x00sklasd1"
_PICKLE = b"\x80"  # the first byte of any pickle that is not compressed
_COMPARED = ("sklasd", "torch", "scikit-learn")  # their versions can change scores


def save_model(
    model: Any,
    path: str | os.PathLike[str],
    *,
    clips: Any = None,
    recalibrated: dict[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Save a fitted model, with a record of what made it.

    Parameters
    ----------
    model : estimator
        A fitted pipeline, a `GroupedDetector`, a search, or a detector.
    path : path
        The file; ``.joblib`` is the usual ending.
    clips : clip table or sequence of paths, default=None
        Training clips, for the record: their number, sample rates, channels and durations. Only
        the headers of files are read. A `GroupedDetector` needs the clip table.
    recalibrated : dict, default=None
        Record that the model had when it was loaded, if it was recalibrated since. The new record
        keeps the training clips, and `clips` are those of the recalibration.
    force : bool, default=False
        Overwrite a file that exists.

    Raises
    ------
    FileExistsError
        If the file exists and `force` is False.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    ValueError
        If the model has groups, and `clips` do not say which clip belongs to which.

    See Also
    --------
    load_model : Load a model.
    read_record : Read the record, without running anything that the file contains.

    Notes
    -----
    The file is a joblib file followed by the record. `joblib.load` reads it, too, but checks
    nothing.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sklasd import LogMel, StatisticsDetector, make_pipeline
    >>> waves = np.random.default_rng(0).normal(size=(10, 16000))
    >>> model = make_pipeline(LogMel(), StatisticsDetector()).fit(waves)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, Path(folder, "pump.joblib"), clips=waves)
    ...     again = load_model(Path(folder, "pump.joblib"))
    ...     record = read_record(Path(folder, "pump.joblib"))
    >>> bool(np.all(again.score_samples(waves) == model.score_samples(waves)))
    True
    >>> record["groups"][0]["n_clips"]
    10
    """
    # All that can fail, fails before the file is written.
    check_is_fitted(model)
    check_free(path, force=force)
    record = _make_record(model, clips)
    if recalibrated is not None:
        record["recalibrated"] = record["groups"]
        record["groups"] = recalibrated["groups"]
    with replacing(path) as unfinished:
        joblib.dump(model, unfinished)
        with open(unfinished, "r+b") as file:
            digest = _digest(file, unfinished.stat().st_size)
            text = json.dumps(record | {"checksum": digest.hexdigest()}, indent=1).encode()
            length = len(text).to_bytes(8, "big")
            digest.update(text + length)
            file.write(text + length + digest.digest() + _MARK)


def load_model(path: str | os.PathLike[str]) -> Any:
    """Load a model that was saved by `save_model`, `sklasd fit` or `joblib.dump`.

    Only load files that you trust: loading can run any code that somebody put into one. The
    checksum protects against damage, not against malice.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    estimator
        As it was saved.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or cut off, or contains no model. The message says which.

    Warns
    -----
    UserWarning
        If the file was written by other versions of sklasd, torch or scikit-learn.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no model {path}; make one with `sklasd fit`.")
    with path.open("rb") as file:
        start = file.read(1)
        record = _read_record(file, path)
        file.seek(0)
        with _one_version_warning(path, record):
            model = _unpickle(file, path, start)
        # Something follows the pickle, but it is no record any more: the end is damaged.
        if record is None and start == _PICKLE and file.read(1):
            raise _damaged(path)
    if not hasattr(model, "score_samples"):
        raise ValueError(
            f"{path} holds a {type(model).__name__}, which is no detector: it scores no clips. "
            "Models are written by `sklasd fit` and save_model."
        )
    return model


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the record of a model file, without running anything that the file contains.

    Parameters
    ----------
    path : path
        From `save_model` or `sklasd fit`.

    Returns
    -------
    dict
        - ``saved``: the date in UTC;
        - ``versions``: of Python and packages;
        - ``pipeline``: the steps, with the parameters that differ from their defaults;
        - ``groups``: a list with one dict for each group of a `GroupedDetector`, or one dict
          without a name. A dict has ``name`` and what the training clips were like: ``n_clips``,
          ``sample_rates`` in Hz, ``channels``, ``durations`` (shortest and longest, in s),
          ``level`` (median, in dB of the front end) and ``scatter``. What is unknown is absent;
        - ``recalibrated``: the same for the clips that later set the threshold, if any;
        - ``checksum``: the SHA-256 of the model without the record.

    Raises
    ------
    ValueError
        If the file is damaged or has no record.
    """
    record = find_record(path)
    if record is None:
        raise ValueError(
            f"{path} has no record: it is cut off, or was not written by `sklasd fit` or "
            "save_model. Copy it again from where it was saved, or fit again."
        )
    return record


def find_record(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Read the record of a model file as `read_record` does, or return None if it has none."""
    with open(path, "rb") as file:
        return _read_record(file, Path(path))


def _make_record(model: Any, clips: Any) -> dict[str, Any]:
    packages = ("scikit-learn", "torch", "skorch", "numpy")
    # An estimator's repr has just the parameters that differ from their defaults.
    steps = model.steps if isinstance(model, Pipeline) else [("model", model)]
    return {
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"sklasd": sklasd.__version__, "python": platform.python_version()}
        | {name: version(name) for name in packages},
        "pipeline": {name: " ".join(repr(step).split()) for name, step in steps},
        "groups": list(_describe_groups(model, clips)),
    }


def _describe_groups(model: Any, clips: Any, names: tuple[Any, ...] = ()) -> Iterator[dict]:
    """Yield what each group was trained on; groups may have groups of their own."""
    grouped = find_groups(model)
    if grouped is None:
        named = {"name": ", ".join(map(str, names))} if names else {}
        yield named | _describe_clips(clips) | _describe_level(model)
        return
    own = {} if clips is None else _split_by(clips, grouped.by)
    for name, estimator in grouped.estimators_.items():
        more = name if isinstance(name, tuple) else (name,)
        yield from _describe_groups(estimator, own.get(name), (*names, *more))


def _split_by(clips: Any, by: str | Sequence[str]) -> dict[Any, pd.DataFrame]:
    columns = [by] if isinstance(by, str) else list(by)
    absent = [name for name in columns if name not in getattr(clips, "columns", ())]
    if absent:
        raise ValueError(
            f"Got clips without {' and '.join(map(repr, absent))}, but the model has a detector "
            "for each value; pass the clip table that it was fitted on, or clips=None."
        )
    # pandas takes a tuple for a single key.
    return dict(iter(clips.groupby(by if isinstance(by, str) else columns, sort=False)))


def _describe_clips(clips: Any) -> dict[str, Any]:
    if clips is None:
        return {}
    sources = list_clips(clips)
    facts: dict[str, Any] = {"n_clips": len(sources)}
    headers, _ = read_headers(source for source in sources if isinstance(source, str | os.PathLike))
    if len(headers):
        facts["sample_rates"] = sorted(headers["sample_rate"].unique().tolist())
        facts["channels"] = sorted(headers["channels"].unique().tolist())
        facts["durations"] = [round(float(headers["duration"].agg(f)), 3) for f in ("min", "max")]
    return facts


def _describe_level(model: Any) -> dict[str, Any]:
    decision = vars(detector_of(model)).get("decision_")
    conditions = None if decision is None else decision.conditions
    if conditions is None:  # embeddings have no level
        return {}
    return {"level": round(conditions.level, 2), "scatter": round(conditions.scatter, 2)}


def _digest(file: IO[bytes], n_bytes: int) -> Any:
    """Hash the first bytes of a file, and leave the file at their end."""
    digest = hashlib.sha256()
    file.seek(0)
    while n_bytes and (part := file.read(min(n_bytes, 1 << 20))):
        digest.update(part)
        n_bytes -= len(part)
    return digest


def _read_record(file: IO[bytes], path: Path) -> dict[str, Any] | None:
    """Read the record at the end of a file and check the whole file; None if there is none."""
    size = path.stat().st_size
    if size < _END.size:
        return None
    file.seek(size - _END.size)
    length, checksum, mark = _END.unpack(file.read())
    if mark != _MARK:
        return None
    covered = size - _END.size + 8  # the digest covers the record's length, but not itself
    if _digest(file, covered).digest() != checksum:
        raise _damaged(path)
    file.seek(covered - 8 - length)
    return _in_groups(json.loads(file.read(length)))


def _in_groups(record: dict[str, Any]) -> dict[str, Any]:
    """Bring an older record to the form of today: it had facts, or facts by the name of a group."""
    for new, old in (("groups", "training"), ("recalibrated", "recalibrated")):
        if isinstance(facts := record.get(old), dict):
            del record[old]
            # A group's facts are a dict, but none of a single model's facts is.
            by_name = facts and all(isinstance(own, dict) for own in facts.values())
            record[new] = (
                [{"name": name} | own for name, own in facts.items()] if by_name else [facts]
            )
    return record


def _unpickle(file: IO[bytes], path: Path, start: bytes) -> Any:
    try:
        return joblib.load(file)
    except Exception as error:  # a damaged pickle can raise anything
        if start not in (_PICKLE, b""):
            raise ValueError(
                f"{path} cannot be loaded: it is no model file ({error}). Models are written by "
                "`sklasd fit` and save_model."
            ) from error
        reason = "it is cut off or damaged, or was written by other versions"
        raise ValueError(
            f"{path} cannot be loaded: {reason if start else 'it is empty'} "
            f"({type(error).__name__}: {error}). Copy it again from where it was saved, or fit "
            "again."
        ) from error


def _damaged(path: Path) -> ValueError:
    return ValueError(
        f"{path} is damaged: its checksum does not match its contents. Copy it again from where "
        "it was saved."
    )


@contextmanager
def _one_version_warning(path: Path, record: dict[str, Any] | None) -> Iterator[None]:
    """Join the warnings of all estimators in a file about their versions into one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    before = dict(record["versions"]) if record else {}
    for warning in caught:
        message = warning.message
        if isinstance(message, InconsistentVersionWarning):
            before.setdefault("scikit-learn", message.original_sklearn_version)
        else:  # whatever else was said, the user sees as if nothing had been caught
            warnings.warn_explicit(message, warning.category, warning.filename, warning.lineno)
    now = {name: version(name) for name in _COMPARED if name != "sklasd"}
    now["sklasd"] = sklasd.__version__  # not of the metadata, which an editable install keeps
    others = [name for name in _COMPARED if before.get(name, now[name]) != now[name]]
    if others:
        old, new = (", ".join(f"{n} {of[n]}" for n in others) for of in (before, now))
        warnings.warn(
            f"{path} was written with {old}, and this is {new}: scores may differ. Compare them "
            "on some clips with those from before, or fit again.",
            UserWarning,
            stacklevel=4,
        )
