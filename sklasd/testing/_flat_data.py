"""scikit-learn's own checks, on detectors that take spectrograms.

scikit-learn skips almost all of its checks for estimators that take 3-D input only, and passes.
Here they run for real: while they run, the detector's class turns their 2-D data into spectrograms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import _num_samples, validate_data

from sklasd.base import BaseDetector, NetDetector
from sklasd.testing._sounds import Metadata, Sounds, no_metadata

_FEWEST_SKLEARN_CHECKS = 40  # scikit-learn 1.6 runs more; fewer mean that the tags are wrong


@contextmanager
def on_flat_data(
    kind: Any,
    n_mels: int,
    n_frames: int,
    fit_metadata: Metadata = no_metadata,
    takes_spectrograms: bool = True,
) -> Iterator[None]:
    """Let a class of detectors take what scikit-learn's checks pass, (n_clips, n_features) and y.

    All but the input is the detector's own, so that scikit-learn's checks run its code. Their y
    are made-up classes, where a detector takes +1 and -1 only: `fit` ignores them.

    Parameters
    ----------
    kind : type
        The detector's class, which is changed inside the ``with`` block only.
    n_mels, n_frames : int
        Size of the spectrograms that the features become.
    fit_metadata : callable
        As in `check_detector`.
    takes_spectrograms : bool, default=True
        False leaves the features as they are, for detectors on embeddings.

    Yields
    ------
    None
    """
    fit, tags = kind.fit, kind.__sklearn_tags__

    def fit_without_labels(self: Any, X: Any, y: Any = None) -> Any:
        return fit(self, X, **fit_metadata(_num_samples(X)))

    def tags_of_rows(self: Any) -> Any:
        of_rows = tags(self)
        of_rows.input_tags.two_d_array = True
        of_rows.input_tags.three_d_array = False
        return of_rows

    changes: dict[str, Any] = {"fit": fit_without_labels, "__sklearn_tags__": tags_of_rows}
    if takes_spectrograms:
        changes["_prepare"] = _on_spectrograms(kind._prepare, n_mels, n_frames)
    # The class itself, not a subclass made here: pickle finds classes by their names.
    with patch.multiple(kind, **changes):
        yield


def _on_spectrograms(prepare: Callable[..., Any], n_mels: int, n_frames: int) -> Any:
    """Return a `_prepare` that makes spectrograms of rows, and prepares these."""

    def prepare_rows(self: Any, X: Any, *, reset: bool) -> Any:
        X = validate_data(self, X, reset=reset, dtype=np.float32)
        n_features = self.n_features_in_
        self.n_features_in_ = n_mels  # what the detector compares spectrograms with
        try:
            return prepare(self, _spectrograms_of(X, n_mels, n_frames), reset=reset)
        finally:
            self.n_features_in_ = n_features  # what scikit-learn asks for

    return prepare_rows


def _spectrograms_of(rows: np.ndarray, n_mels: int, n_frames: int) -> np.ndarray:
    """Repeat features over the bands, and hold them over the frames."""
    n_features = rows.shape[1]
    bands = np.resize(np.arange(n_features), max(n_mels, n_features))[:n_mels]
    # A clip of one level in all bands and frames would be left out as silent.
    spectrum = np.linspace(0, 1, n_mels, dtype=np.float32)[:, None]
    ripple = np.linspace(0, 0.1, n_frames, dtype=np.float32)
    return rows[:, bands, None] + spectrum + ripple


def check_as_sklearn(detector: BaseDetector, sounds: Sounds) -> None:
    """Run scikit-learn's estimator checks, on spectrograms where the detector takes these."""
    # scikit-learn asks for an exact share of *training* clips beyond the threshold.
    detector.set_params(threshold="quantile", calibration=None)
    if "max_epochs" in detector.get_params():
        detector.set_params(max_epochs=2)  # no check here asks for quality
    # A steady spectrogram needs no more than two windows.
    n_frames = detector._window()[0] + 1 if isinstance(detector, NetDetector) else 1
    takes_spectrograms = detector.__sklearn_tags__().input_tags.three_d_array
    impossible = _impossible_checks(sounds.metadata(2))
    with on_flat_data(
        type(detector), sounds.train.shape[1], n_frames, sounds.metadata, takes_spectrograms
    ):
        results = check_estimator(
            detector, on_skip=None, on_fail="raise", expected_failed_checks=impossible
        )
    passed = [result["check_name"] for result in results if result["status"] == "passed"]
    assert len(passed) >= _FEWEST_SKLEARN_CHECKS, f"only {passed} ran"


def _impossible_checks(metadata: dict[str, Any]) -> dict[str, str]:
    """Return the checks of the share of alarms that metadata makes meaningless, with the reason."""
    if "exposed" in metadata:
        # scikit-learn counts exposed clips as well, which set no threshold.
        reason = "the share of alarms is that of the machine's own clips"
    elif "section" in metadata:
        # scikit-learn scores without sections; the threshold is that of clips with a section.
        reason = "the share of alarms is that of clips whose section is given"
    else:
        return {}
    return dict.fromkeys(("check_outliers_train", "check_outliers_fit_predict"), reason)
