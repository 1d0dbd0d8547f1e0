"""What transformers of clips have in common: they learn nothing and give images, not tables."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from sklasd.clips._sound_file import ClipFormat


class FrontEnd(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Base of what turns clips into spectrograms or images; it adds what is abstract here."""

    _unit: ClassVar[str] = ""  # of what it gives
    _stretches: ClassVar[bool] = False  # `times` asks for the length of a clip

    @property
    @abstractmethod
    def clip_format(self) -> ClipFormat:
        """How clips are read: sample rate, channel, and the rest of a `ClipFormat`."""

    @property
    @abstractmethod
    def frequencies(self) -> np.ndarray:
        """Centre of each row in Hz, ascending."""

    @abstractmethod
    def times(self, n_frames: int, *, n_samples: int | None = None) -> np.ndarray:
        """Tell the centre of each column of a clip in seconds, shape (n_frames,).

        `n_samples` is how long the clip is as it was read, where the columns depend on it.
        """

    @abstractmethod
    def check_params(self, n_features: int | None = None) -> None:
        """Refuse parameters that cannot be, or that do not go together."""

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

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose the container of the output; spectrograms come as arrays only.

        Parameters
        ----------
        transform : "default" or None
            None leaves things as they are.

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
        tags.no_validation = True  # clips are checked one by one, by load_waveform
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags
