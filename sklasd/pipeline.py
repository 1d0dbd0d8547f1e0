"""scikit-learn's pipeline, with the methods of the detector at its end."""

from __future__ import annotations

from typing import Any, Self

import sklearn
import sklearn.pipeline
from sklearn.utils.validation import check_is_fitted

from sklasd.base._clip_table import read_fit_input
from sklasd.base._detector_methods import DetectorMethods
from sklasd.base._fit_with import keep_normal, route
from sklasd.base._unwrap import call_detector
from sklasd.features import SpectrogramScaler

__all__ = ["CheckedPipeline", "Pipeline", "make_pipeline"]


class Pipeline(DetectorMethods, sklearn.pipeline.Pipeline):
    """scikit-learn's Pipeline, with the methods of the detector that it ends in.

    It has the detector's methods, such as `p_values` and `anomaly_map`, for clips. It checks the
    parameters of all steps before the first one runs; scikit-learn would find a detector's bad
    parameter only after reading all recordings. It also reads the columns of clip tables, which
    features do not have. Everything else is scikit-learn's.

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
            Mel bands from a step before this pipeline; None if unknown.

        Raises
        ------
        ValueError
            For invalid values, or values that contradict each other.
        """
        n_mels = n_features
        for _, step in self.steps:
            if hasattr(step, "check_params"):
                step.check_params(n_mels)
            elif hasattr(step, "_parameter_constraints"):
                step._validate_params()
            # Other steps may change the number of bands.
            keeps = isinstance(step, SpectrogramScaler)
            n_mels = getattr(step, "n_mels", n_mels if keeps else None)

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        exposed: Any = None,
        section: Any = None,
        domain: Any = None,
        groups: Any = None,
        **params: Any,
    ) -> Self:
        """Check all parameters, then fit.

        Parameters
        ----------
        X : clips
            As the first step takes them. The columns `label`, `split`, `section`, `domain` and
            `recording` of a clip table replace arguments that are not passed.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous.
        exposed, section, domain, groups : array-like of shape (n_clips,), default=None
            As the detector's own `fit` takes them.
        **params
            As in `sklearn.pipeline.Pipeline.fit`, such as ``oeautoencoder__domain=...``.

        Returns
        -------
        self : Pipeline
            Fitted.
        """
        self.check_params()
        given = read_fit_input(X, y, exposed=exposed, section=section, domain=domain, groups=groups)
        params = {name: given.take(values) for name, values in params.items()}
        X, y, metadata = keep_normal(self, given.X, given.y, given.metadata)
        if sklearn.get_config()["enable_metadata_routing"]:  # then params have no step's name
            metadata, params = metadata | params, {}
        # Steps get what their `fit` has a parameter for, without having to request it.
        with given.naming_clips(), sklearn.config_context(enable_metadata_routing=False):
            super().fit(X, y, **(route(self, metadata) | params))
        return self

    def _call(self, method: str, X: Any, *args: Any, section: Any = None) -> Any:
        check_is_fitted(self)
        return call_detector(self, method, X, *args, section=section)


CheckedPipeline = Pipeline  # the name that the class had at first


def make_pipeline(*steps: Any, memory: Any = None, verbose: bool = False) -> Pipeline:
    """Chain a front end and a detector, as scikit-learn's function of this name does.

    Parameters
    ----------
    *steps : estimators
        Front end first, detector last.
    memory : str or object with the joblib.Memory interface, default=None
        Cache of fitted transformers.
    verbose : bool, default=False
        Print the time that each step takes.

    Returns
    -------
    Pipeline
        The steps are named by their classes, in lower case.

    Examples
    --------
    >>> from sklasd import LogMel, OEAutoencoder, make_pipeline
    >>> list(make_pipeline(LogMel(), OEAutoencoder()).named_steps)
    ['logmel', 'oeautoencoder']
    """
    named = sklearn.pipeline.make_pipeline(*steps).steps
    return Pipeline(named, memory=memory, verbose=verbose)
