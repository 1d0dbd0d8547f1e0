"""The spectrograms that a detector gets, and its maps, with the axes of the front end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples, check_is_fitted

from sklasd.base._unwrap import call_detector, detector_of, passes_through
from sklasd.clips._waveforms import list_clips, load_waveform
from sklasd.detectors import FusionDetector, GroupedDetector
from sklasd.fusion._front_ends import Member, are_spectrograms
from sklasd.inspection._call_detector import has_map
from sklasd.inspection._inspected_clip import InspectedClip


class NoOnePictureError(ValueError):
    """Clips have no spectrogram, or members of a fusion map them on different axes."""


def inspect_clips(estimator: Any, X: Any) -> list[InspectedClip]:
    """Return the spectrograms and anomaly maps of clips, with units and axes.

    Parameters
    ----------
    estimator : estimator
        Fitted: a pipeline that ends in a detector, a search over one, or an estimator around
        either, such as `Augmented` or `GroupedDetector`; or a front end by itself.
    X : clips
        As the first step takes them: spectrograms for a detector without a front end.

    Returns
    -------
    list of InspectedClip
        One for each clip. Some detectors have no anomaly map; without a front end there are no
        axes.

    Raises
    ------
    ValueError
        If there is no spectrogram, as with front ends that make embeddings, or if the members of a
        fusion have maps on different axes, so that a cell of their mean has no place.

    Notes
    -----
    The spectrogram comes from the front end, before any scaler. If the members of a fusion have
    front ends of their own, it comes from the first member that has a map; if none has, from the
    first member that has a spectrogram.

    Examples
    --------
    >>> from sklasd import make_recipe
    >>> from sklasd.datasets import make_machine_clips
    >>> from sklasd.inspection import inspect_clips
    >>> waves, table = make_machine_clips("fan", n_train=20, duration=1.0, random_state=0)
    >>> pipeline = make_recipe("statistics-mahalanobis").fit(waves[:20])
    >>> (clip,) = inspect_clips(pipeline, waves[-1:])
    >>> clip.anomaly_map.shape, clip.map_unit
    ((128, 32), 'share of the distance')
    >>> clip.times[:3], clip.frequencies[:2].round()
    (array([0.   , 0.032, 0.064]), array([23., 47.]))
    """
    check_is_fitted(detector_of(estimator))
    if not has_map(estimator):
        return see_clips(estimator, X)
    # The maps come from the estimator as a whole, as users get them; the axes from its parts.
    maps = call_detector(estimator, "anomaly_map", X)
    seen = _inspect_by(estimator, X, None, is_mapped=True)
    return [
        replace(clip, name=name, anomaly_map=where)
        for clip, name, where in zip(seen, _names(X), maps, strict=True)
    ]


def see_clips(estimator: Any, X: Any) -> list[InspectedClip]:
    """Inspect clips without maps, which may need a pass through a net."""
    seen = _inspect_by(estimator, X, None, is_mapped=False)
    return [replace(clip, name=name) for clip, name in zip(seen, _names(X), strict=True)]


def _names(X: Any) -> list[str]:
    """Name clips by their files, or by their positions."""
    clips = [None] * _num_samples(X) if are_spectrograms(X) else list_clips(X)
    return [
        os.path.basename(clip) if isinstance(clip, str | os.PathLike) else f"clip {index}"
        for index, clip in enumerate(clips)
    ]


def _inspect_by(
    estimator: Any, X: Any, seen: list[InspectedClip] | None, *, is_mapped: bool
) -> list[InspectedClip]:
    """Return the spectrograms that reach the detector inside an estimator, with its map's unit."""
    if isinstance(estimator, BaseSearchCV | GroupedDetector | FusionDetector):
        check_is_fitted(estimator)  # front ends alone need no fit
    if isinstance(estimator, BaseSearchCV):
        return _inspect_by(estimator.best_estimator_, X, seen, is_mapped=is_mapped)
    if isinstance(estimator, Pipeline):
        *before, end = (step for _, step in estimator.steps)
        return _inspect_by(end, *_apply_steps(before, X, seen), is_mapped=is_mapped)
    if isinstance(estimator, GroupedDetector):
        return _by_group(estimator, X, is_mapped=is_mapped)
    if hasattr(estimator, "inner_estimators"):  # Augmented, around one pipeline
        return _inspect_by(estimator.inner_estimators()[0], X, seen, is_mapped=is_mapped)
    if isinstance(estimator, FusionDetector):
        seen = _by_members(estimator, X, seen, is_mapped=is_mapped)
    elif seen is None:
        # A front end by itself makes spectrograms; a detector by itself gets them.
        seen = _apply_steps([estimator], X, None)[1] if _has_axes(estimator) else _without_axes(X)
    if seen is None:
        raise NoOnePictureError(
            f"Got clips for {type(detector_of(estimator)).__name__}, but nothing that makes "
            "spectrograms of them; pass a pipeline that begins with LogMel or STFTImage, or "
            "spectrograms."
        )
    return [replace(clip, map_unit=getattr(estimator, "_map_unit", "")) for clip in seen]


def _apply_steps(
    steps: Iterable[Any], X: Any, seen: list[InspectedClip] | None
) -> tuple[Any, list[InspectedClip] | None]:
    """Apply transformers, and return their output and the first spectrograms on the way."""
    for step in steps:
        if passes_through(step):
            continue
        made = step.transform(X)
        if _has_axes(step):
            seen = [_with_axes(step, *pair) for pair in zip(list_clips(X), made, strict=True)]
        elif are_spectrograms(made) and not _are_alike(seen, made):  # the axes fit no longer
            seen = _without_axes(made)
        X = made
    return X, seen


def _has_axes(step: Any) -> bool:
    """Return whether a step is a front end that knows times and frequencies."""
    return hasattr(step, "frequencies") and hasattr(step, "times")


def _are_alike(seen: list[InspectedClip] | None, made: Any) -> bool:
    """Return whether spectrograms have the shapes of those seen before, as scalers keep them."""
    return seen is not None and all(
        clip.spectrogram.shape == each.shape for clip, each in zip(seen, made, strict=True)
    )


def _without_axes(X: Any) -> list[InspectedClip] | None:
    """Return clips with spectrograms from no front end, or None if these are none."""
    return [InspectedClip("", np.asarray(each)) for each in X] if are_spectrograms(X) else None


def _with_axes(front_end: Any, source: Any, spectrogram: np.ndarray) -> InspectedClip:
    """Return a clip with its spectrogram and the front end's axes."""
    # The times of a stretched image depend on the clip's length: it must be read once more.
    is_stretched = getattr(front_end, "_stretches", False)
    wave = load_waveform(source, front_end.clip_format)[0] if is_stretched else None
    length = {} if wave is None else {"n_samples": len(wave)}
    return InspectedClip(
        "",
        spectrogram,
        getattr(front_end, "_unit", ""),
        times=front_end.times(spectrogram.shape[1], **length),
        frequencies=front_end.frequencies,
        source=source,
        clip_format=front_end.clip_format,
    )


def _by_group(grouped: GroupedDetector, X: Any, *, is_mapped: bool) -> list[InspectedClip]:
    """Inspect each clip by its group's clone, in the order of the clips."""
    seen: dict[int, InspectedClip] = {}  # by row, as groups come one after the other
    for name, rows in grouped.rows_by_group(X):
        of_group = _inspect_by(grouped.estimators_[name], X.iloc[rows], None, is_mapped=is_mapped)
        seen.update(zip(rows.tolist(), of_group, strict=True))
    return [seen[row] for row in range(len(seen))]


def _by_members(
    fusion: FusionDetector, X: Any, seen: list[InspectedClip] | None, *, is_mapped: bool
) -> list[InspectedClip] | None:
    """Inspect clips by the members with maps, and check that these have the same axes.

    Without maps, the first member with spectrograms gives them.
    """
    made: dict[str, Any] = {}  # by front end: members may share one, which is slow to compute

    def inspect_by(member: Member, each: Any) -> list[InspectedClip]:
        if member.front_key not in made:
            made[member.front_key] = _apply_steps(member.front_end, X, seen)
        return _inspect_by(each, *made[member.front_key], is_mapped=is_mapped)

    # Members with maps first: spectrogram and map should be those of one member.
    mapping = [(member, each) for member, each, _ in fusion.mapping()]
    every = list(zip(fusion.members(), fusion.estimators_, strict=True))
    if not is_mapped:
        return _first_spectrograms(inspect_by, [*mapping, *every])
    by_member = {member.name: inspect_by(member, each) for member, each in mapping}
    first, *others = by_member
    for other in others:
        _check_agree(first, by_member[first], other, by_member[other])
    return by_member[first]


def _first_spectrograms(
    inspect_by: Callable[[Member, Any], list[InspectedClip]], members: list[tuple[Member, Any]]
) -> list[InspectedClip] | None:
    """Return the spectrograms of the first member that has some."""
    for member, each in members:
        try:
            return inspect_by(member, each)
        except NoOnePictureError:  # its front end makes embeddings
            continue
    return None


def _check_agree(
    first: str, clips: list[InspectedClip], other: str, others: list[InspectedClip]
) -> None:
    """Refuse maps of equal shapes whose cells are at different times or frequencies."""
    # Clip by clip: images are stretched by the lengths of the clips.
    for one, another in zip(clips, others, strict=True):
        for name, unit in (("frequencies", "Hz"), ("times", "s")):
            axes = getattr(one, name), getattr(another, name)
            if not _is_same(*axes):
                ranges = [
                    f"{a[0]:.4g} to {a[-1]:.4g} {unit}" if a is not None else "none" for a in axes
                ]
                raise NoOnePictureError(
                    f"The maps of the members {first!r} and {other!r} have different {name}, "
                    f"{' and '.join(ranges)}, so that their mean has no axes; give their front "
                    "ends the same bands and hop, or inspect the members one by one."
                )


def _is_same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Return whether two axes are equal, or both missing."""
    return a is b or (a is not None and b is not None and np.allclose(a, b))
