"""Transformers of clips: the parameters and checks that front ends and embeddings share."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions

from sklasd.clips._sound_file import ClipFormat
from sklasd.utils._devices import check_device


class ClipTransformer(TransformerMixin, BaseEstimator):
    """Base of transformers that read clips; `fit` learns nothing from them."""

    _parameter_constraints: ClassVar[dict] = {
        "channel": [StrOptions({"mean"}), Interval(Integral, 0, None, closed="left")],
        "n_jobs": [Integral, None],
        "device": [str],
    }
    channel: Any
    n_jobs: int | None
    device: str

    @property
    @abstractmethod
    def clip_format(self) -> ClipFormat:
        """How clips are read: sample rate, channel, and the rest of a `ClipFormat`."""

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters, as `fit` and `transform` do before they read any clip.

        Parameters
        ----------
        n_features : ignored
            Pipelines pass it to all their steps.

        Raises
        ------
        ValueError
            For invalid values, and for values that do not go together.
        """
        self._validate_params()
        check_device(self.device)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters; nothing is learnt.

        Parameters
        ----------
        X : clips
            Not read.
        y : ignored
            Present for the convention.

        Returns
        -------
        self : object
            The same transformer.
        """
        self.check_params()
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.no_validation = True  # each clip is checked when it is read, by load_waveform
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags


class FrontEnd(ClipTransformer):
    """Base of transformers that turn clips into spectrograms or images."""

    _unit: ClassVar[str] = ""  # of the values in a spectrogram
    _stretches: ClassVar[bool] = False  # whether `times` needs the length of a clip

    def __init_subclass__(cls, auto_wrap_output_keys: Any = None, **kwargs: Any) -> None:
        # scikit-learn would wrap `transform` of every class below to make data frames, also where
        # its global option asks for them; arrays of three axes fit none. The keyword is not
        # inherited, so each subclass gets it here.
        super().__init_subclass__(auto_wrap_output_keys=auto_wrap_output_keys, **kwargs)

    @property
    @abstractmethod
    def frequencies(self) -> np.ndarray:
        """Centre of each row in Hz, ascending."""

    @abstractmethod
    def times(self, n_frames: int, *, n_samples: int | None = None) -> np.ndarray:
        """Return the centre of each column of a clip in seconds, shape (n_frames,).

        `n_samples` is the length of the clip as it was read, where the columns depend on it.
        """

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose the container of the output; spectrograms come as arrays only.

        Parameters
        ----------
        transform : "default" or None
            None changes nothing.

        Returns
        -------
        self : object
            The same transformer.

        Raises
        ------
        ValueError
            For "pandas" and "polars", whose tables have two axes.
        """
        if transform not in {None, "default"}:
            raise ValueError(
                f"Got transform={transform!r}, but {type(self).__name__} gives arrays of three "
                'axes, which fit no table; set the output of other steps, and "default" here.'
            )
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags
