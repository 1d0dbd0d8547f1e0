"""A scikit-learn pipeline that refuses bad parameters before it opens a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import sklearn.pipeline
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklasd.base import BaseDetector
from sklasd.base._backend import ask, has_sections, last_step
from sklasd.features import SpectrogramScaler

__all__ = ["CheckedPipeline", "make_pipeline"]


def _ends_in(method: str) -> Callable[[Any], bool]:
    return lambda pipeline: hasattr(pipeline.steps[-1][1], method)


class CheckedPipeline(sklearn.pipeline.Pipeline):
    """scikit-learn's Pipeline, which checks the parameters of all steps before the first one runs.

    scikit-learn asks a step for its parameters when its turn comes: a detector's would be refused
    after all recordings were read. And where a clip table has a column `section`, a detector is
    told of it when it scores and decides, as features no longer know it. Everything else is
    scikit-learn's.

    Parameters
    ----------
    steps : list of (str, estimator)
        Front end first, detector last.
    transform_input : list of str, default=None
        As in `sklearn.pipeline.Pipeline`.
    memory : str or object with the joblib.Memory interface, default=None
        As in `sklearn.pipeline.Pipeline`.
    verbose : bool, default=False
        As in `sklearn.pipeline.Pipeline`.

    Examples
    --------
    >>> from sklasd import LogMel, OEAutoencoder, make_pipeline
    >>> pipeline = make_pipeline(LogMel(), OEAutoencoder(max_epochs=-1))
    >>> pipeline.fit(["a.wav", "b.wav"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    sklearn...InvalidParameterError: The 'max_epochs' parameter of OEAutoencoder must be an int...
    """

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters of each step, and of the detector against the front end's.

        Parameters
        ----------
        n_features : int, default=None
            Mel bands that are going to come from a step before this pipeline.

        Raises
        ------
        ValueError
            For values that cannot be, or that do not go together.
        """
        n_mels = n_features
        for _, step in self.steps:
            if hasattr(step, "check_params"):
                step.check_params(n_mels)
            elif hasattr(step, "_parameter_constraints"):
                step._validate_params()
            # What other steps do with the bands is not known here.
            keeps = isinstance(step, SpectrogramScaler)
            n_mels = getattr(step, "n_mels", n_mels if keeps else None)

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Check all parameters, then fit.

        Parameters
        ----------
        X : clips
            As the first step takes them.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous.
        **params
            As in `sklearn.pipeline.Pipeline.fit`, such as ``oeautoencoder__domain=...``.

        Returns
        -------
        self : CheckedPipeline
            Fitted.
        """
        self.check_params()
        return super().fit(X, y, **params)

    def fit_predict(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Check all parameters, then fit and decide on the same clips.

        Parameters
        ----------
        X : clips
            As the first step takes them.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous.
        **params
            As in `sklearn.pipeline.Pipeline.fit_predict`.

        Returns
        -------
        ndarray of shape (n_clips,), int
            +1 normal, -1 anomalous.
        """
        self.check_params()
        return super().fit_predict(X, y, **params)

    @available_if(_ends_in("score_samples"))
    def score_samples(self, X: Any, *, section: Any = None) -> Any:
        """Score clips.

        Parameters
        ----------
        X : clips
            As the first step takes them.
        section : array-like of shape (n_clips,), default=None
            What a detector is told of the clips' sections; None reads the column `section` of a
            clip table, where there is one.

        Returns
        -------
        ndarray of shape (n_clips,), float64
            Higher is more normal.
        """
        return self._ask("score_samples", X, section)

    @available_if(_ends_in("decision_function"))
    def decision_function(self, X: Any, *, section: Any = None, **params: Any) -> Any:
        """Score clips relative to the threshold.

        Parameters
        ----------
        X : clips
            As the first step takes them.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.
        **params
            As in `sklearn.pipeline.Pipeline.decision_function`.

        Returns
        -------
        ndarray of shape (n_clips,), float64
            Negative for anomalies.
        """
        return self._ask("decision_function", X, section, **params)

    @available_if(_ends_in("predict"))
    def predict(self, X: Any, *, section: Any = None, **params: Any) -> Any:
        """Decide on clips.

        Parameters
        ----------
        X : clips
            As the first step takes them.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.
        **params
            As in `sklearn.pipeline.Pipeline.predict`.

        Returns
        -------
        ndarray of shape (n_clips,), int
            +1 normal, -1 anomalous.
        """
        return self._ask("predict", X, section, **params)

    def _ask(self, method: str, X: Any, section: Any, **params: Any) -> Any:
        """Ask the last step about clips, and tell a detector of their sections."""
        is_ours = isinstance(last_step(self), BaseDetector)
        if is_ours and not params and (section is not None or has_sections(X)):
            check_is_fitted(self)
            return ask(self, method, X, section=section)
        if section is not None:
            params["section"] = section
        return getattr(super(), method)(X, **params)


def make_pipeline(*steps: Any, memory: Any = None, verbose: bool = False) -> CheckedPipeline:
    """Chain a front end and a detector, as scikit-learn's function of this name does.

    Parameters
    ----------
    *steps : estimators
        Front end first, detector last.
    memory : str or object with the joblib.Memory interface, default=None
        Where fitted transformers are cached.
    verbose : bool, default=False
        Print the time that each step takes.

    Returns
    -------
    CheckedPipeline
        Its steps carry the lower-case names of their classes.

    Examples
    --------
    >>> from sklasd import LogMel, OEAutoencoder, make_pipeline
    >>> list(make_pipeline(LogMel(), OEAutoencoder()).named_steps)
    ['logmel', 'oeautoencoder']
    """
    named = sklearn.pipeline.make_pipeline(*steps).steps
    return CheckedPipeline(named, memory=memory, verbose=verbose)
