"""Maps of the members of a fusion, laid over each other in one unit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sklasd.base._training_clips import TrainingClips
from sklasd.base._unwrap import call_detector
from sklasd.clips._spectrograms import join_maps
from sklasd.fusion._front_ends import Features, Member
from sklasd.scores import TINY

_MAPPED = 20  # training clips that the usual value of a map is taken from

Mapping = Iterable[tuple[Member, Any, float]]  # members with maps: fitted scorer and weight


def usual_levels(mapping: Mapping, clips: TrainingClips) -> dict[str, float]:
    """Measure the mean of each member's map over normal clips, by the member's name."""
    some = clips.recorded_index[:_MAPPED]
    levels = {}
    for member, scorer, _ in mapping:
        try:
            maps = call_detector(scorer, "anomaly_map", clips.data.take(member.name, some))
        except MapShapeError:  # it can score all the same, and says so when it is asked for a map
            continue
        levels[member.name] = max(np.mean([m.mean() for m in maps]), TINY)
    return levels


def join_member_maps(
    mapping: Mapping, data: Features, usual: dict[str, float]
) -> np.ndarray | list[np.ndarray]:
    """Average the members' maps, each in multiples of its usual level."""
    maps, weights = [], []
    for member, scorer, weight in mapping:
        own = call_detector(scorer, "anomaly_map", data.take(member.name))
        maps.append([m / usual[member.name] for m in own])
        weights.append(weight)
    return mean_map(maps, weights)


class MapShapeError(ValueError):
    """Maps of members that cannot be laid over each other."""


def mean_map(maps: list[Any], weights: list[float]) -> np.ndarray | list[np.ndarray]:
    """Join the members' maps.

    Examples
    --------
    >>> mean_map([np.zeros((1, 1, 2)), np.ones((1, 1, 2))], [1, 3])
    array([[[0.75, 0.75]]], dtype=float32)
    """
    if not any(weights):  # the members with maps do not count for the score
        weights = [1.0] * len(weights)
    shapes = {of_member[0].shape for of_member in maps}
    if len(shapes) > 1:
        raise MapShapeError(
            f"The members' maps are of the shapes {sorted(shapes)}; give their front ends the "
            "same n_mels and hop_length."
        )
    return join_maps(
        [
            np.average(of_clip, axis=0, weights=weights).astype(np.float32)
            for of_clip in zip(*maps, strict=True)
        ]
    )
