"""What detectors share that score a clip by its mean embedding, against those of normal clips."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import HasMethods

from sklasd.base._backend import prepare_backend, score_each
from sklasd.base._net_detector import NetDetector
from sklasd.base._training_clips import TrainingClips

_OWN = "embedding_backend"  # the name of the score by the user's estimator
_FEWEST = 3  # clips; with fewer, back ends have nothing to compare with


class EmbeddingDetector(NetDetector):
    """Base of detectors whose net embeds windows: back ends compare clips' mean embeddings.

    A detector's `_describe` gives "embedding", (batch, n_features), wherever a score of clips is
    wanted, and `_make_backends` says which back ends there are. The parameter `backend` adds one of
    the user's, whose score is called "embedding_backend".
    """

    _parameter_constraints: ClassVar[dict] = {
        **NetDetector._parameter_constraints,
        "backend": [HasMethods(["fit", "score_samples"]), None],
    }

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        n_clips = _FEWEST if clips is None else len(clips.normal_index)
        if n_clips < _FEWEST and self.anomaly_score in self._clip_scores:
            raise ValueError(
                f"Got {n_clips} samples of normal clips to learn from, too few for "
                f"anomaly_score={self.anomaly_score!r}; pass at least {_FEWEST} (two more to "
                f"calibrate), or a score of windows: {', '.join(self._window_scores)}."
            )

    @abstractmethod
    def _make_backends(self, n_clips: int, n_features: int) -> dict[str, Any]:
        """Return unfitted estimators with ``fit`` and ``score_samples``, by the score's name."""

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters, as `fit` does before it looks at any data.

        Parameters
        ----------
        n_features : int, default=None
            Mel bands, or features, that are going to come; None where that is not known.

        Raises
        ------
        ValueError
            For values that cannot be, or that do not go together.
        TypeError
            Where `backend` is a class, not an estimator.
        """
        super().check_params(n_features)
        if self.backend is not None:
            joblib.hash(clone(self.backend))  # what cannot be cloned or stored is told early
        elif self.anomaly_score == _OWN:
            raise ValueError(
                f'Got anomaly_score="{_OWN}", but backend=None; pass an estimator with fit and '
                "score_samples, such as backend=IsolationForest()."
            )

    def _after_training(self, clips: TrainingClips) -> None:
        self.embeddings_ = self._measure(clips.data, self._clip_scores, clips.normal_index)[
            "embedding"
        ]
        self.backends_: dict[str, Any] = {}
        if len(self.embeddings_) >= _FEWEST:
            self.backends_ |= self._make_backends(*self.embeddings_.shape)
            if self.backend is not None:
                self.backends_[_OWN] = prepare_backend(self.backend, self._seed)
        self.backend_digest_ = joblib.hash(self.backend)
        for backend in self.backends_.values():
            backend.fit(self.embeddings_)

    def _known_clip_scores(self) -> Collection[str]:
        return list(self.backends_)

    def _join(
        self, pooled: dict[str, np.ndarray], scores: Collection[str]
    ) -> dict[str, np.ndarray]:
        # Embeddings are vectors, which no pooling but the mean applies to: see `ClipValues`.
        joined = {name: value for name, value in pooled.items() if name != "embedding"}
        for name in set(scores).difference(self._window_scores):
            joined[name] = -score_each(self._fitted_backend(name), pooled["embedding"])
        return joined

    def _fitted_backend(self, name: str) -> Any:
        is_another = name == _OWN and joblib.hash(self.backend) != self.backend_digest_
        if name not in self.backends_ or is_another:
            raise ValueError(
                f"Got anomaly_score={name!r} and backend={self.backend!r}, which was not fitted to "
                f"the {len(self.embeddings_)} training embeddings; fit the detector again (with "
                "`memory` and a `random_state` the nets are not trained again)."
            )
        return self.backends_[name]
