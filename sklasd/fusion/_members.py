"""Members of a fusion: fitted to all normal clips, and scored on clips they were not fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from sklasd.base._base_detector import BaseDetector
from sklasd.base._calibration import Fold
from sklasd.base._fit_with import check_params_of, fit_as_scorer, route, score_rows
from sklasd.base._sections import learnt_sections
from sklasd.base._training_clips import TrainingClips
from sklasd.base._unwrap import call_detector, detector_of, first_step
from sklasd.fusion._front_ends import Member, is_used
from sklasd.fusion._rules import UNWEIGHTED
from sklasd.utils._lists import name_some


def fit_member(member: Member, clips: TrainingClips, folds: list[Fold]) -> tuple[Any, np.ndarray]:
    """Fit to all normal clips, and measure how far held-out clips are from those of their fold.

    Returns the fitted scorer, without its front end, and distances of the held-out clips in the
    order of the clips.
    """
    try:
        used, X, metadata = _learnt_clips(member, clips)
        fitted = clone(member.rest)
        if isinstance(fitted, BaseDetector):  # it holds clips out itself, and prepares them once
            places = [(np.searchsorted(used, a), np.searchsorted(used, b)) for a, b in folds]
            return fitted, -fitted.learn(X, folds=places, **route(fitted, metadata))
        distances = [_measure_fold(member, clips, *fold) for fold in folds]
        order = np.argsort(np.concatenate([held_out for _, held_out in folds]), kind="stable")
        return fit_as_scorer(fitted, X, **metadata), np.concatenate(distances)[order]
    except Exception as error:
        error.add_note(f"This was the member {member.name!r} of a FusionDetector.")
        raise


def _measure_fold(
    member: Member, clips: TrainingClips, train: np.ndarray, held_out: np.ndarray
) -> np.ndarray:
    share = len(train) / len(clips.recorded_index)
    _, X, metadata = _learnt_clips(member, clips.take_normal(train))
    fitted = fit_as_scorer(matching_effort(member.rest, share), X, **metadata)
    section = clips.take("section", held_out)
    if section is not None:
        section = learnt_sections(section, getattr(detector_of(fitted), "_learnt_sections", None))
    return measure_distances(fitted, clips.data.take(member.name, held_out), section)


def _learnt_clips(member: Member, clips: TrainingClips) -> tuple[np.ndarray, Any, dict[str, Any]]:
    """Return the clips that a member learns from: their positions, features and metadata."""
    # Detectors of other packages know nothing of exposed clips.
    is_ours = isinstance(detector_of(member.rest), BaseDetector)
    used = np.flatnonzero(clips.normal | clips.exposed if is_ours else clips.normal)
    exposed = clips.exposed[used]
    metadata: dict[str, Any] = {"exposed": exposed if exposed.any() else None}
    for name in ("section", "domain", "groups"):
        metadata[name] = clips.take(name, used)
    if clips.copy_of is not None:  # positions among all clips, to those among the used ones
        originals = clips.copy_of[used]
        metadata["copy_of"] = np.where(originals < 0, -1, np.searchsorted(used, originals))
    return used, clips.data.take(member.name, used), metadata


def measure_distances(
    estimator: Any, features: Any, section: np.ndarray | None = None
) -> np.ndarray:
    """Return minus the scores, (n_clips,); rows are scored so that none depends on the others."""
    head = first_step(estimator)
    takes_clips = hasattr(head, "__sklearn_tags__") and head.__sklearn_tags__().input_tags.string
    is_rows = isinstance(features, np.ndarray) and features.ndim == 2
    if is_rows and not takes_clips:  # waveforms of one length are a matrix, too
        return -score_rows(estimator, features, section)
    return -np.asarray(call_detector(estimator, "score_samples", features, section=section))


def check_distances(name: str, distances: np.ndarray, index: np.ndarray) -> None:
    """Refuse the scores of a member that is of no use."""
    bad = np.flatnonzero(~np.isfinite(distances))
    if bad.size:
        raise ValueError(
            f"The member {name!r} scores {-distances[bad[0]]} for the normal clips "
            f"[{name_some(index[bad])}] when they are held out; correct it, or drop it by "
            f'set_params({name}="drop").'
        )
    if np.ptp(distances) == 0:
        raise ValueError(
            f"The member {name!r} scores {-distances[0]:.4g} for every clip, which tells nothing; "
            f'correct it, or drop it by set_params({name}="drop"). Copies of one clip score the '
            "same."
        )


def check_names(estimators: Any) -> None:
    """Refuse members that are not pairs of a name and an estimator, and a list without any."""
    if not estimators or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in estimators):
        raise ValueError(f"Got estimators={estimators!r}; pass a list of (name, estimator).")
    taken = [name for name, _ in estimators if name.startswith("fusion_")]
    if taken:
        raise ValueError(f"Got the member {taken[0]!r}; `score_table` has such columns already.")
    if not any(is_used(each) for _, each in estimators):
        raise ValueError('Got "drop" for all members; keep at least one.')


def check_member(name: str, estimator: Any, n_features: int | None) -> None:
    """Check a member and its parameters before any work."""
    can_score = hasattr(estimator, "fit") and hasattr(estimator, "score_samples")
    if isinstance(estimator, type) or not can_score:
        raise ValueError(
            f"Got {estimator!r} for the member {name!r}; pass an estimator with fit and "
            'score_samples, or "drop".'
        )
    check_params_of(estimator, n_features)


def matching_effort(estimator: Any, share: float) -> Any:
    """Get a member ready to learn from a share of the clips as thoroughly as from all."""
    if not is_used(estimator):
        return estimator
    estimator = clone(estimator)
    end = detector_of(estimator)
    if isinstance(end, BaseDetector):
        end._match_training_effort(share)
    return estimator


def common_sections(estimators: list[Any]) -> list[str] | None:
    """Return the sections that all members have a score for that tell sections apart, or None."""
    learnt = [getattr(detector_of(each), "_learnt_sections", None) for each in estimators]
    given = [set(names) for names in learnt if names is not None]
    return sorted(set.intersection(*given)) if given else None


def normalise_weights(weights: Any, used: np.ndarray, fusion: str) -> np.ndarray:
    """Check weights, and return those of the used members, which sum to 1."""
    if weights is None:
        return np.full(used.sum(), 1 / used.sum())
    values = np.asarray(weights, dtype=float)
    if fusion in UNWEIGHTED:
        raise ValueError(
            f"Got weights with fusion={fusion!r}, which takes one member's score; pass "
            "weights=None, or another fusion."
        )
    if values.shape != used.shape or not (values >= 0).all() or not values[used].sum() > 0:
        raise ValueError(
            f"Got weights={weights!r} for {len(used)} members; pass one number for each, none of "
            "them negative, and not all 0."
        )
    return values[used] / values[used].sum()
