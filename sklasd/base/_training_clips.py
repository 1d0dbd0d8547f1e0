"""What `fit` was given: checked, aligned, and handed to every hook that learns."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import joblib
import numpy as np
import pandas as pd

from sklasd.utils._lists import name_some
from sklasd.utils._metadata import check_copies, check_exposed, check_metadata, check_normal


@dataclass(frozen=True)
class TrainingClips:
    """Clips to learn from, one entry per clip in each field.

    Parameters
    ----------
    data : Spectrograms or ndarray of shape (n_clips, n_features)
        All clips, whether they are learnt from or not.
    normal : ndarray of bool, shape (n_clips,)
        Normal clips of the machine's own: what a detector learns, and sets its threshold by.
    exposed : ndarray of bool, shape (n_clips,)
        Clips of other machines, which serve as outliers.
    section, domain, groups : ndarray of shape (n_clips,), or None
        Metadata of each clip; groups are numbered.
    copy_of : ndarray of int, shape (n_clips,), or None
        Of altered copies the position of their original, of recordings -1; None where there is no
        copy. Copies are learnt from as their originals are, and never set a threshold.
    taken_from : TrainingClips, default=None
        All clips, where these are the clips of a calibration fold.
    leaves_one_out : bool, default=False
        Whether each clip is going to be left out by a closed form, which may need one clip more.

    Examples
    --------
    >>> clips = TrainingClips.gather(np.zeros((3, 2)), y=[1, -1, 1], domain=["source"] * 3)
    >>> clips.normal_index
    array([0, 2])
    >>> augmented = TrainingClips.gather(np.zeros((4, 2)), copy_of=[-1, -1, 0, 1])
    >>> augmented.recorded_index, augmented.take_normal([1]).normal_index
    (array([0, 1]), array([1, 3]))
    """

    data: Any
    normal: np.ndarray
    exposed: np.ndarray
    section: np.ndarray | None = None
    domain: np.ndarray | None = None
    groups: np.ndarray | None = None
    copy_of: np.ndarray | None = None
    taken_from: TrainingClips | None = None
    leaves_one_out: bool = False

    @classmethod
    def gather(
        cls, data: Any, y: Any = None, *, exposed: Any = None, copy_of: Any = None, **metadata: Any
    ) -> Self:
        """Check labels and metadata, and leave out what carries no sound.

        Parameters
        ----------
        data : Spectrograms or ndarray
            The clips.
        y : array-like of +1 and -1, shape (n_clips,), default=None
            None takes all for normal.
        exposed : array-like of bool, shape (n_clips,), default=None
            Clips of other machines.
        copy_of : array-like of int, shape (n_clips,), default=None
            Of altered copies the position of their original, of recordings -1.
        **metadata
            `section`, `domain`, `groups`.

        Returns
        -------
        TrainingClips
            Without silent clips among the normal and the exposed ones.

        Raises
        ------
        ValueError
            For bad labels or metadata, or where no normal clip is left.

        Warns
        -----
        UserWarning
            Naming silent clips: one dead microphone would move a threshold far off.
        """
        n_clips = len(data)
        outliers = check_exposed(exposed, n_clips)
        normal = check_normal(y, outliers)
        given: dict[str, Any] = {
            n: check_metadata(n, v, n_clips) for n, v in metadata.items() if v is not None
        }
        if given:
            _check_complete(given, normal)
        if "groups" in given:  # numbers, whatever they are called
            given["groups"] = pd.factorize(given["groups"])[0]
        if y is not None and outliers.any():
            _warn_of_exposed_faults(y, outliers)
        if copy_of is not None:
            copy_of = check_copies(copy_of, n_clips)
        silent = getattr(data, "are_silent", np.zeros(n_clips, dtype=bool))
        recorded = np.ones(n_clips, dtype=bool) if copy_of is None else copy_of < 0
        if silent.any():
            _leave_out_silent(
                np.flatnonzero(silent & recorded & (normal | outliers)),
                bool((normal & recorded & ~silent).any()),
            )
            normal, outliers = normal & ~silent, outliers & ~silent
        if copy_of is not None:  # where an original is left out, its copies are
            original = np.where(recorded, np.arange(n_clips), copy_of)
            normal, outliers = normal & normal[original], outliers & outliers[original]
        return cls(data, normal, outliers, **given, copy_of=copy_of)

    def __len__(self) -> int:
        return len(self.normal)

    @property
    def n_features(self) -> int:
        """Number of mel bands, or features of an embedding."""
        return self.data.n_mels if hasattr(self.data, "n_mels") else self.data.shape[1]

    @cached_property
    def normal_index(self) -> np.ndarray:
        """Positions of the normal clips that are learnt from, copies and all, (n_normal,)."""
        return np.flatnonzero(self.normal)

    @cached_property
    def recorded_index(self) -> np.ndarray:
        """Positions of the normal clips that are not copies: what a threshold is set by."""
        return np.flatnonzero(self.normal & ~self.is_copy)

    @property
    def is_copy(self) -> np.ndarray:
        """Which clips are altered copies of others, bool (n_clips,)."""
        return np.zeros(len(self), dtype=bool) if self.copy_of is None else self.copy_of >= 0

    @property
    def whole(self) -> TrainingClips:
        """All clips of the `fit`, also those that a calibration fold holds out."""
        return self if self.taken_from is None else self.taken_from

    @property
    def are_independent(self) -> bool:
        """Whether each normal clip can be left out by itself: without groups and copies."""
        return self.groups is None and self.copy_of is None

    def take(self, name: str, index: np.ndarray) -> np.ndarray | None:
        """Return the metadata of some clips, such as "section"; None where there are none."""
        values = getattr(self, name)
        return None if values is None else values[index]

    def take_normal(self, index: np.ndarray) -> TrainingClips:
        """Keep some of the normal clips with their copies, and all exposed ones.

        Parameters
        ----------
        index : ndarray of int
            Positions of the recorded clips that stay normal.

        Returns
        -------
        TrainingClips
            Of the same length: clips that are not learnt from stay where they are.
        """
        normal = np.zeros(len(self), dtype=bool)
        normal[index] = True
        if self.copy_of is not None:  # a copy goes where its original goes
            normal = np.where(self.is_copy, normal[self.copy_of], normal)
        return replace(self, normal=normal & self.normal, taken_from=self.whole)

    @cached_property
    def digest(self) -> str:
        """What a cache knows the clips by; `groups` only ever matter to the calibration."""
        data = getattr(self.data, "digest", self.data)
        return joblib.hash((data, self.normal, self.exposed, self.section, self.domain))


def _check_complete(metadata: dict[str, np.ndarray], normal: np.ndarray) -> None:
    """Name the normal clips whose metadata are missing."""
    for name, values in metadata.items():
        missing = np.flatnonzero(normal & pd.isna(values))
        if missing.size:
            raise ValueError(
                f"Got no {name} of the normal clips {name_some(missing)}; fill it in for all of "
                "them, or pass none."
            )


def _warn_of_exposed_faults(y: Any, outliers: np.ndarray) -> None:
    """Warn of exposed clips that are labelled as anomalous: faults would be learnt from."""
    both = np.flatnonzero(outliers & (np.ravel(y) == -1))
    if both.size:
        warnings.warn(
            f"Exposed clips are labelled -1: {name_some(both)}. They are learnt from as outliers; "
            "if they are faults of this machine, do not expose them, as labels are for scoring "
            "only.",
            UserWarning,
            stacklevel=5,
        )


def _leave_out_silent(silent: np.ndarray, any_left: bool) -> None:
    """Name clips without any sound, which would move a threshold far off."""
    if not silent.size:
        return
    named = name_some(silent)
    clips = f"clip {named} has" if silent.size == 1 else f"clips {named} have"
    if not any_left:
        raise ValueError(
            f"Got no normal clip with any sound: {clips} one level throughout; check the "
            "microphone and its cable."
        )
    warnings.warn(
        f"Among the training clips, {clips} no sound (one level throughout): left out of training "
        "and threshold. Check the microphone, or leave such clips out to silence this.",
        UserWarning,
        stacklevel=5,
    )
