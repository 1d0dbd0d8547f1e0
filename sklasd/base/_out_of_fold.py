"""Members of a fusion, fitted to all normal clips, and asked of each what they had not seen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from sklasd.base._backend import ask, first_step, fit_with, last_step, prepare_backend, score_each
from sklasd.base._base_detector import BaseDetector
from sklasd.base._calibration import Fold
from sklasd.base._members import Member
from sklasd.base._training_clips import TrainingClips


class _Dealt(NamedTuple):
    """Folds that were dealt before, as a splitter."""

    folds: list[Fold]

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        return len(self.folds)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        return iter(self.folds)


def fit_member(member: Member, clips: TrainingClips, folds: list[Fold]) -> tuple[Any, np.ndarray]:
    """Fit to all normal clips; say, too, how far each held-out clip is from those of its fold.

    Parameters
    ----------
    member : Member
        Not touched.
    clips : TrainingClips
        With `Features` as data.
    folds : list of (ndarray, ndarray)
        From `calibration_folds`.

    Returns
    -------
    estimator : estimator
        Fitted, without the front end.
    distances : ndarray of shape (n_held_out_clips,)
        Minus the scores, in the order of the clips.
    """
    fitted = prepare_backend(member.rest)
    try:
        if isinstance(fitted, BaseDetector):  # which holds out by itself, and sums up clips once
            known = clips.recorded_index
            place = [(np.searchsorted(known, a), np.searchsorted(known, b)) for a, b in folds]
            # Its own threshold is not used: by half of the clips it is found without complaint.
            fitted.set_params(calibration=_Dealt(place), contamination=0.5)
            return _tell(fitted, member, clips, clips.normal), -fitted.calibration_scores_
        distances = []
        for train, held_out in folds:
            of_fold = clone(fitted)
            if isinstance(last_step(of_fold), BaseDetector):
                last_step(of_fold)._learn_less(len(train) / len(clips.recorded_index))
            _tell(of_fold, member, clips, clips.take_normal(train).normal)
            features = clips.data.take(member.name, held_out)
            distances.append(distances_of(of_fold, features, _known_to(of_fold, clips, held_out)))
        order = np.argsort(np.concatenate([held_out for _, held_out in folds]), kind="stable")
        return _tell(fitted, member, clips, clips.normal), np.concatenate(distances)[order]
    except Exception as error:
        error.add_note(f"This was the member {member.name!r} of a FusionDetector.")
        raise


def _tell(estimator: Any, member: Member, clips: TrainingClips, normal: np.ndarray) -> Any:
    """Fit a member to normal clips, and tell it of exposed ones if it knows what these are."""
    is_ours = isinstance(last_step(estimator), BaseDetector)
    used = np.flatnonzero(normal | clips.exposed if is_ours else normal)
    told: dict[str, Any] = {"exposed": clips.exposed[used] if clips.exposed[used].any() else None}
    for name in ("section", "domain", "groups"):
        values = getattr(clips, name)
        told[name] = None if values is None else values[used]
    if clips.copy_of is not None:  # positions among all clips, to those among the used ones
        originals = clips.copy_of[used]
        told["copy_of"] = np.where(originals < 0, -1, np.searchsorted(used, originals))
    fit_with(estimator, clips.data.take(member.name, used), **told)
    if is_ours:
        last_step(estimator)._conditions = None  # the fusion compares them, once for all
    return estimator


def _known_to(estimator: Any, clips: TrainingClips, index: np.ndarray) -> np.ndarray | None:
    """Return clips' sections, without those that a member knows nothing of."""
    end = last_step(estimator)
    if clips.section is None or not isinstance(end, BaseDetector):
        return None
    return end._only_known(clips.section[index])


def distances_of(estimator: Any, features: Any, section: np.ndarray | None = None) -> np.ndarray:
    """Return minus the scores, (n_clips,); of rows so that none depends on its company."""
    head = first_step(estimator)
    takes_clips = hasattr(head, "__sklearn_tags__") and head.__sklearn_tags__().input_tags.string
    is_rows = isinstance(features, np.ndarray) and features.ndim == 2
    if is_rows and not takes_clips:  # waveforms of one length are a matrix, too
        return -score_each(estimator, features, section)
    return -np.asarray(ask(estimator, "score_samples", features, section=section))


def check_distances(name: str, distances: np.ndarray, clips: np.ndarray) -> None:
    """Refuse the scores of a member that says nothing.

    Parameters
    ----------
    name : str
        Of the member.
    distances : ndarray of shape (n_held_out_clips,)
        From `fit_member`.
    clips : ndarray of int, shape (n_held_out_clips,)
        Their positions, for the message.

    Raises
    ------
    ValueError
        For scores that are no numbers, or the same for every clip.
    """
    bad = np.flatnonzero(~np.isfinite(distances))
    if bad.size:
        raise ValueError(
            f"The member {name!r} scores {-distances[bad[0]]} for the normal clips "
            f"{clips[bad[:10]].tolist()} when they are held out; mend it, or drop it by "
            f'set_params({name}="drop").'
        )
    if np.ptp(distances) == 0:
        raise ValueError(
            f"The member {name!r} scores {-distances[0]:.4g} for every clip, which tells nothing; "
            f'mend it, or drop it by set_params({name}="drop").'
        )
