"""Several back ends on one embedding, by the names of their scores, one of them the user's."""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
from sklearn.base import clone

from sklasd.base._fit_with import fit_as_scorer, score_rows, seed_parts

OWN = "embedding_backend"  # the score of the user's back end


def check_own_backend(backend: Any, *, is_wanted: bool) -> None:
    """Refuse a back end that cannot be cloned or stored, and a score by one that is missing."""
    if backend is not None:
        joblib.hash(clone(backend))
    elif is_wanted:
        raise ValueError(
            f'Got anomaly_score="{OWN}", but backend=None; pass an estimator with fit and '
            "score_samples, such as backend=IsolationForest()."
        )


def fit_backends(backends: dict[str, Any], embeddings: np.ndarray, seed: int) -> dict[str, Any]:
    """Fit clones of back ends to the embeddings of normal clips; None stands for no back end."""
    return {
        name: fit_as_scorer(seed_parts(clone(backend), seed), embeddings)
        for name, backend in backends.items()
        if backend is not None
    }


def score_by(detector: Any, name: str, embeddings: np.ndarray) -> np.ndarray:
    """Score embeddings by a fitted back end of a detector, unless its parameter has changed."""
    is_another = name == OWN and joblib.hash(detector.backend) != detector.backend_digest_
    if name not in detector.backends_ or is_another:
        raise ValueError(
            f"Got anomaly_score={name!r} and backend={detector.backend!r}, which was not fitted to "
            f"the {len(detector.embeddings_)} training embeddings; fit the detector again (with "
            "`memory` and a `random_state` the nets are not trained again)."
        )
    return score_rows(detector.backends_[name], embeddings)
