"""Models as files: what they were made of is told, and a damaged one is never loaded."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import struct
import warnings
from collections.abc import Iterator
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
from sklasd.clips._waveforms import list_clips
from sklasd.datasets._files import read_headers
from sklasd.detectors._grouped import find_groups
from sklasd.utils._output import check_free, replacing

# A file is a pickle, the record as JSON, and this: the record's length, the SHA-256 of all that
# lies before the digest, and a mark. Whoever reads a pickle stops at its end, so that joblib.load
# takes such a file as it is.
_END = struct.Struct(">Q32s8s")
_MARK = b"\x00sklasd1"
_PICKLE = b"\x80"  # the first byte of any pickle that is not compressed
_COMPARED = ("sklasd", "torch", "scikit-learn")  # whose versions change what a model does


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
        What was trained on, for the record: its number, sample rates, channels and durations. Only
        headers of files are read.
    recalibrated : dict, default=None
        Of a model that was loaded and recalibrated, the record that it had: what it was trained on
        is kept, and `clips` are those that it was recalibrated on.
    force : bool, default=False
        Overwrite a file that exists.

    Raises
    ------
    FileExistsError
        When there is a file, and it is not to be overwritten.
    sklearn.exceptions.NotFittedError
        When the model is not fitted.

    See Also
    --------
    load_model : Loads it.
    read_record : Shows the record, and runs nothing of what the file holds.

    Notes
    -----
    The file is joblib's with the record behind it: `joblib.load` reads it, too, but checks nothing.

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
    >>> record["training"]["n_clips"]
    10
    """
    check_is_fitted(model)
    check_free(path, force=force)
    record = _make_record(model, clips)
    if recalibrated is not None:
        record["recalibrated"] = record["training"]
        record["training"] = recalibrated["training"]
    with replacing(path) as unfinished:
        joblib.dump(model, unfinished)
        with open(unfinished, "r+b") as file:
            digest = _digest(file, unfinished.stat().st_size)
            told = json.dumps(record | {"checksum": digest.hexdigest()}, indent=1).encode()
            length = len(told).to_bytes(8, "big")
            digest.update(told + length)
            file.write(told + length + digest.digest() + _MARK)


def load_model(path: str | os.PathLike[str]) -> Any:
    """Load a model that was saved by `save_model`, `sklasd fit` or `joblib.dump`.

    Only load files that you trust: loading can run any code that was put into one. The checksum
    tells damage, not malice.

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
        When there is none.
    ValueError
        For a file that is damaged or cut off, or holds no model; which of them is told.

    Warns
    -----
    UserWarning
        In one line, when it was written by other versions of sklasd, torch or scikit-learn.
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
        # A pickle with something behind it that is no record any more: the end was damaged.
        if record is None and start == _PICKLE and file.read(1):
            raise _damaged(path)
    if not hasattr(model, "score_samples"):
        raise ValueError(
            f"{path} holds a {type(model).__name__}, which is no detector: it scores no clips."
        )
    return model


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Tell what a model file was made of; nothing in it is run.

    Parameters
    ----------
    path : path
        From `save_model` or `sklasd fit`.

    Returns
    -------
    dict
        ``saved``, the date in UTC; ``versions``; ``pipeline``, its steps with the parameters that
        differ from their defaults; ``training``, what is known of the clips (of each group, of a
        `GroupedDetector`): ``n_clips``, ``sample_rates`` in Hz, ``channels``, ``durations``
        (shortest and longest, in s), ``level`` (median, in dB of the front end) and ``scatter``;
        ``recalibrated``, the same of clips that the threshold was set by anew, if it was;
        ``checksum``, the SHA-256 of the model without the record.

    Raises
    ------
    ValueError
        When the file is damaged or has no record.
    """
    record = find_record(path)
    if record is None:
        raise ValueError(
            f"{path} has no record: it is cut off, or was not written by `sklasd fit` or "
            "save_model."
        )
    return record


def find_record(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return what `read_record` does, or None where a file has no record.

    Parameters
    ----------
    path : path
        Any file.

    Returns
    -------
    dict or None
        The record.

    Raises
    ------
    ValueError
        When the file is damaged.
    """
    with open(path, "rb") as file:
        return _read_record(file, Path(path))


def _make_record(model: Any, clips: Any) -> dict[str, Any]:
    packages = ("scikit-learn", "torch", "skorch", "numpy")
    steps = model.steps if isinstance(model, Pipeline) else [("model", model)]
    return {
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"sklasd": sklasd.__version__, "python": platform.python_version()}
        | {name: version(name) for name in packages},
        "pipeline": {name: " ".join(repr(step).split()) for name, step in steps},
        "training": _describe_groups(model, clips),
    }


def _describe_groups(model: Any, clips: Any) -> dict[str, Any]:
    """Sum up the training clips, of a model per machine by machine."""
    grouped = find_groups(model)
    if grouped is None:
        return _describe_training(model, clips)
    own = {} if clips is None else dict(iter(clips.groupby(grouped.by, sort=False)))
    return {
        ", ".join(map(str, name)) if isinstance(name, tuple) else str(name): _describe_training(
            each, own.get(name)
        )
        for name, each in grouped.estimators_.items()
    }


def _describe_training(model: Any, clips: Any) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if clips is not None:
        sources = list_clips(clips)
        told["n_clips"] = len(sources)
        files = [source for source in sources if isinstance(source, str | os.PathLike)]
        headers, _ = read_headers(files)
        if len(headers):
            told["sample_rates"] = sorted(headers["sample_rate"].unique().tolist())
            told["channels"] = sorted(headers["channels"].unique().tolist())
            told["durations"] = _range(headers["duration"])
    detector = model[-1] if isinstance(model, Pipeline) else model
    decision = vars(detector).get("decision_")
    heard = None if decision is None else decision.conditions
    if heard is not None:
        told |= {"level": round(heard.level, 2), "scatter": round(heard.scatter, 2)}
    return told


def _range(values: pd.Series) -> list[float]:
    return [round(float(values.min()), 3), round(float(values.max()), 3)]


def _digest(file: IO[bytes], n_bytes: int) -> Any:
    """Hash so many bytes from the start on, and stay behind them."""
    digest = hashlib.sha256()
    file.seek(0)
    while n_bytes and (part := file.read(min(n_bytes, 1 << 20))):
        digest.update(part)
        n_bytes -= len(part)
    return digest


def _read_record(file: IO[bytes], path: Path) -> dict[str, Any] | None:
    """Read the record at the end of a file, which has to be whole; None where there is none."""
    size = path.stat().st_size
    if size < _END.size:
        return None
    file.seek(size - _END.size)
    length, checksum, mark = _END.unpack(file.read())
    if mark != _MARK:
        return None
    covered = size - _END.size + 8  # the record's length is covered, the digest itself is not
    if _digest(file, covered).digest() != checksum:
        raise _damaged(path)
    file.seek(covered - 8 - length)
    return json.loads(file.read(length))


def _unpickle(file: IO[bytes], path: Path, start: bytes) -> Any:
    try:
        return joblib.load(file)
    except Exception as error:  # a damaged pickle can raise anything at all
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
        f"{path} is damaged: its checksum does not fit what it holds, as after a copy that went "
        "wrong. Copy it again from where it was saved."
    )


@contextmanager
def _one_version_warning(path: Path, record: dict[str, Any] | None) -> Iterator[None]:
    """Say in one line what scikit-learn says of every estimator in a file, and more."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    before = dict(record["versions"]) if record else {}
    for warning in caught:
        message = warning.message
        if isinstance(message, InconsistentVersionWarning):
            before.setdefault("scikit-learn", message.original_sklearn_version)
        else:
            warnings.warn_explicit(message, warning.category, warning.filename, warning.lineno)
    here = {name: version(name) for name in _COMPARED if name != "sklasd"}
    here["sklasd"] = sklasd.__version__
    others = [name for name in _COMPARED if before.get(name, here[name]) != here[name]]
    if others:
        told, now = (", ".join(f"{n} {of[n]}" for n in others) for of in (before, here))
        warnings.warn(
            f"{path} was written with {told}, and this is {now}: scores may differ. Compare them "
            "on clips that you know, or fit again.",
            UserWarning,
            stacklevel=4,
        )
