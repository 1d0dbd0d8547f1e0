"""Which checks a detector gets, and how to run them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sklearn.base import clone

from sklasd.base import BaseDetector, NetDetector
from sklasd.testing import _checks, _decision_checks, _net_checks
from sklasd.testing._flat_data import check_as_sklearn
from sklasd.testing._sounds import Metadata, Sounds, make_sounds, no_metadata

Check = Callable[[Any, Sounds], None]


def detector_checks(
    detector: BaseDetector,
    *,
    n_mels: int = 32,
    n_frames: int = 40,
    fit_metadata: Metadata = no_metadata,
) -> Iterator[tuple[str, Callable[[], None]]]:
    """List the checks of a detector, to run them one by one.

    Parameters
    ----------
    detector : BaseDetector
        Unfitted, with parameters that make it small and quick; it is not changed.
    n_mels, n_frames : int
        Size of the spectrograms that it is checked on.
    fit_metadata : callable, default=None
        As in `check_detector`.

    Yields
    ------
    name : str
        Name of the check.
    check : callable
        Takes no arguments, and raises an error where the detector fails.
    """
    sounds = make_sounds(n_mels, n_frames)._replace(metadata=fit_metadata)
    exposed = fit_metadata(len(sounds.train)).get("exposed")
    if exposed is not None:  # clips of another machine must differ from the machine's own
        bursts = sounds.burst[sounds.label == -1][exposed]
        sounds.train[exposed] += 15 * bursts
    takes_spectrograms = detector.__sklearn_tags__().input_tags.three_d_array
    checks: tuple[Check, ...] = (check_as_sklearn, *_checks.ALL, *_decision_checks.ALL)
    if isinstance(detector, NetDetector):
        checks += _net_checks.ALL
    if takes_spectrograms:
        checks += _checks.OF_SPECTROGRAMS
    else:
        sounds = sounds.embedded()
    # A calibration costs several trainings: only the checks that need one set it.
    bare = clone(detector).set_params(calibration=None, threshold="quantile")
    for check in checks:
        yield check.__name__, partial(check, clone(bare), sounds)


def check_detector(
    detector: BaseDetector,
    *,
    n_mels: int = 32,
    n_frames: int = 40,
    fit_metadata: Metadata = no_metadata,
) -> None:
    """Check that a detector keeps scikit-learn's contract and this project's.

    Parameters
    ----------
    detector : BaseDetector
        Unfitted, with parameters that make it small and quick.
    n_mels, n_frames : int
        Size of the spectrograms that it is checked on; detectors on embeddings get `n_mels`
        features.
    fit_metadata : callable, default=None
        A function from a number of clips to the arguments of `fit` for so many clips, as a dict:
        such as ``lambda n: {"section": np.arange(n) % 3}`` for a detector that needs sections.

    Raises
    ------
    AssertionError
        By the first check that fails.

    Examples
    --------
    >>> from sklasd import OEAutoencoder
    >>> from sklasd.testing import check_detector
    >>> tiny = OEAutoencoder(hidden_layer_sizes=(16,), batch_size=64)
    >>> check_detector(tiny)  # doctest: +SKIP
    """
    for _, check in detector_checks(
        detector, n_mels=n_mels, n_frames=n_frames, fit_metadata=fit_metadata
    ):
        check()
