"""What pipelines see in clips: the steps are followed to the detector, and axes with them."""

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
from sklasd.inspection._ask_pipelines import tells_where
from sklasd.inspection._inspected_clip import InspectedClip


class NoOnePictureError(ValueError):
    """There is no spectrogram, or there are maps of which a cell is no one place."""


def inspect_clips(estimator: Any, X: Any) -> list[InspectedClip]:
    """Tell what a detector sees in clips: spectrograms and anomaly maps with units and axes.

    Parameters
    ----------
    estimator : estimator
        Fitted: a pipeline that ends in a detector, a search over one, or what is around either,
        such as `Augmented` or `GroupedDetector`; or a front end by itself.
    X : clips
        As the first step takes them; of a detector without a front end, spectrograms.

    Returns
    -------
    list of InspectedClip
        One for each clip. Where the detector cannot tell where, they have no anomaly map; without
        a front end that tells them, they have no axes.

    Raises
    ------
    ValueError
        Where there is no spectrogram, as of front ends that make embeddings; where the members of a
        fusion have maps of other axes, so that a cell of their mean would be no one place.

    Notes
    -----
    The spectrogram is what the front end made, before any scaler. Of a fusion whose members have
    front ends of their own, it is that of the first member that tells where; where none does, of
    the first that has one.

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
    if not tells_where(estimator):
        return see_clips(estimator, X)
    maps = call_detector(estimator, "anomaly_map", X)
    seen = _follow(estimator, X, None, is_mapped=True)
    return [
        replace(clip, name=name, anomaly_map=where)
        for clip, name, where in zip(seen, _names(X), maps, strict=True)
    ]


def see_clips(estimator: Any, X: Any) -> list[InspectedClip]:
    """Do as `inspect_clips` does, without maps, which may take a net."""
    seen = _follow(estimator, X, None, is_mapped=False)
    return [replace(clip, name=name) for clip, name in zip(seen, _names(X), strict=True)]


def _names(X: Any) -> list[str]:
    """Name clips by their files, or by their positions."""
    clips = [None] * _num_samples(X) if are_spectrograms(X) else list_clips(X)
    return [
        os.path.basename(clip) if isinstance(clip, str | os.PathLike) else f"clip {index}"
        for index, clip in enumerate(clips)
    ]


def _follow(
    estimator: Any, X: Any, seen: list[InspectedClip] | None, *, is_mapped: bool
) -> list[InspectedClip]:
    """Follow clips to the detector that an estimator ends in, and return what it sees."""
    if isinstance(estimator, BaseSearchCV | GroupedDetector | FusionDetector):
        check_is_fitted(estimator)  # front ends alone need no fit
    if isinstance(estimator, BaseSearchCV):
        return _follow(estimator.best_estimator_, X, seen, is_mapped=is_mapped)
    if isinstance(estimator, Pipeline):
        *before, end = (step for _, step in estimator.steps)
        return _follow(end, *_pass(before, X, seen), is_mapped=is_mapped)
    if isinstance(estimator, GroupedDetector):
        return _by_group(estimator, X, is_mapped=is_mapped)
    if hasattr(estimator, "inner_estimators"):  # Augmented, around one pipeline
        return _follow(estimator.inner_estimators()[0], X, seen, is_mapped=is_mapped)
    if isinstance(estimator, FusionDetector):
        seen = _by_members(estimator, X, seen, is_mapped=is_mapped)
    elif seen is None:
        _, seen = _pass([estimator], X, None) if _has_axes(estimator) else (X, _without_axes(X))
    if seen is None:
        raise NoOnePictureError(
            f"Got clips for {type(detector_of(estimator)).__name__}, but nothing that makes "
            "spectrograms of them; pass a pipeline that begins with LogMel or STFTImage, or "
            "spectrograms."
        )
    return [replace(clip, map_unit=getattr(estimator, "_map_unit", "")) for clip in seen]


def _pass(
    steps: Iterable[Any], X: Any, seen: list[InspectedClip] | None
) -> tuple[Any, list[InspectedClip] | None]:
    """Pass clips through transformers, and keep the spectrograms that come first."""
    for step in steps:
        if passes_through(step):
            continue
        made = step.transform(X)
        if _has_axes(step):
            seen = [_look(step, *pair) for pair in zip(list_clips(X), made, strict=True)]
        elif are_spectrograms(made) and not _are_alike(seen, made):  # other bands, or frames
            seen = _without_axes(made)
        X = made
    return X, seen


def _has_axes(step: Any) -> bool:
    return hasattr(step, "frequencies") and hasattr(step, "times")


def _are_alike(seen: list[InspectedClip] | None, made: Any) -> bool:
    return seen is not None and all(
        clip.spectrogram.shape == each.shape for clip, each in zip(seen, made, strict=True)
    )


def _without_axes(X: Any) -> list[InspectedClip] | None:
    return [InspectedClip("", np.asarray(each)) for each in X] if are_spectrograms(X) else None


def _look(front_end: Any, source: Any, spectrogram: np.ndarray) -> InspectedClip:
    """Note what a front end made of a clip, and its axes."""
    # Only where columns depend on the clip's length is it read once more.
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
    """Ask each clip's own clone, in the order of the clips."""
    seen: dict[int, InspectedClip] = {}
    for name, rows in grouped.rows_by_group(X):
        of_group = _follow(grouped.estimators_[name], X.iloc[rows], None, is_mapped=is_mapped)
        seen.update(zip(rows.tolist(), of_group, strict=True))
    return [seen[row] for row in range(len(seen))]


def _by_members(
    fusion: FusionDetector, X: Any, seen: list[InspectedClip] | None, *, is_mapped: bool
) -> list[InspectedClip] | None:
    """Ask the members that tell where, which are to agree on the axes; else who has a picture."""
    passed: dict[str, Any] = {}  # of each front end

    def follow(member: Member, each: Any) -> list[InspectedClip]:
        if member.front_key not in passed:
            passed[member.front_key] = _pass(member.front_end, X, seen)
        return _follow(each, *passed[member.front_key], is_mapped=is_mapped)

    mapping = [(member, each) for member, each, _ in fusion.mapping()]
    every = list(zip(fusion.members(), fusion.estimators_, strict=True))
    if not is_mapped:
        return _first_picture(follow, [*mapping, *every])
    by_member = {member.name: follow(member, each) for member, each in mapping}
    first, *others = by_member
    for other in others:
        _check_agree(first, by_member[first], other, by_member[other])
    return by_member[first]


def _first_picture(
    follow: Callable[[Member, Any], list[InspectedClip]], members: list[tuple[Member, Any]]
) -> list[InspectedClip] | None:
    for member, each in members:
        try:
            return follow(member, each)
        except NoOnePictureError:  # of embeddings
            continue
    return None


def _check_agree(
    first: str, clips: list[InspectedClip], other: str, others: list[InspectedClip]
) -> None:
    """Refuse maps of which a cell is not the same place; their shapes agree."""
    for one, another in zip(clips, others, strict=True):
        for name, unit in (("frequencies", "Hz"), ("times", "s")):
            axes = getattr(one, name), getattr(another, name)
            if not _is_same(*axes):
                told = [
                    f"{a[0]:.4g} to {a[-1]:.4g} {unit}" if a is not None else "none" for a in axes
                ]
                raise NoOnePictureError(
                    f"The maps of the members {first!r} and {other!r} have other {name}, "
                    f"{' and '.join(told)}, so that a cell of their mean is no one place; give "
                    "their front ends the same bands and hop, or inspect the members one by one."
                )


def _is_same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return a is b or (a is not None and b is not None and np.allclose(a, b))
