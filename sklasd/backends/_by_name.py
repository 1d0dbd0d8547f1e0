"""Back ends on one embedding, by the names of their scores: AEGAN-AD's, and one of the user's."""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.neighbors import LocalOutlierFactor

from sklasd.backends._gaussian import MahalanobisDetector
from sklasd.backends._neighbors import KNNDetector, NearestMean
from sklasd.base._fit_with import fit_as_scorer, score_rows, seed_parts

OWN = "embedding_backend"  # the score of the user's back end
SCORES: tuple[str, ...] = (
    "embedding_knn",
    "embedding_lof",
    "embedding_mahalanobis",
    "embedding_cosine",
    OWN,
)
FEWEST = 3  # clips that the back ends need for their comparisons


def make_backends(n_clips: int, own: Any) -> dict[str, Any]:
    """Return AEGAN-AD's back ends and the user's own one, or None for it, unfitted."""
    backends = (
        KNNDetector(n_neighbors=2, metric="cosine", aggregation="sum"),
        # A clip has no more neighbours than there are other clips.
        LocalOutlierFactor(min(4, n_clips - 1), metric="cosine", novelty=True),
        MahalanobisDetector(),
        NearestMean(),
        own,
    )
    return dict(zip(SCORES, backends, strict=True))


def check_own_backend(backend: Any, *, is_wanted: bool) -> None:
    """Refuse a back end that cannot be cloned or stored, and a score by a missing one."""
    if backend is not None:
        joblib.hash(clone(backend))
    elif is_wanted:
        raise ValueError(
            f'Got anomaly_score="{OWN}", but backend=None; pass an estimator with fit and '
            "score_samples, such as backend=IsolationForest()."
        )


def fit_backends(embeddings: np.ndarray, own: Any, seed: int) -> dict[str, Any]:
    """Fit the back ends to the embeddings of normal clips; to fewer than `FEWEST`, none."""
    backends = make_backends(len(embeddings), own) if len(embeddings) >= FEWEST else {}
    # Back ends of other packages draw at random: one seed makes the detector's scores repeatable.
    return {
        name: fit_as_scorer(seed_parts(clone(backend), seed), embeddings)
        for name, backend in backends.items()
        if backend is not None
    }


def score_by(detector: Any, name: str, embeddings: np.ndarray) -> np.ndarray:
    """Score embeddings by a fitted back end of a detector, unless its parameter has changed."""
    # `set_params` may have put another back end there, whose scores would be those of the old one.
    is_another = name == OWN and joblib.hash(detector.backend) != detector.backend_digest_
    if name not in detector.backends_ or is_another:
        raise ValueError(
            f"Got anomaly_score={name!r} and backend={detector.backend!r}, which was not fitted to "
            f"the {len(detector.embeddings_)} training embeddings; fit the detector again (with "
            "`memory` and a `random_state` the nets are not trained again)."
        )
    return score_rows(detector.backends_[name], embeddings)
