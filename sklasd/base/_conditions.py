"""What clips are like as a whole, and whether others are far from it: gain and length."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from sklasd.base._training_clips import TrainingClips

_LEAST_SHIFT = 5.0  # dB that a level may always move by
_FEWEST = 5  # clips that show a gain: fewer may all be loud faults, or dead microphones
_DEVIATIONS = 3.0  # or so many times what the clips scatter by
_TIMES = 2.0  # that clips may be longer or shorter
_NORMAL_MAD = 1.4826  # standard deviations in a median absolute deviation


class Conditions(NamedTuple):
    """How loud and how long clips are that were learnt from.

    Parameters
    ----------
    level : float
        Median of the clips' levels in dB; NaN for images, which are not compared.
    scatter : float
        Their deviation from it, by the median of its magnitude.
    shortest, longest : int
        In frames.
    """

    level: float
    scatter: float
    shortest: int
    longest: int

    @classmethod
    def of(cls, levels: np.ndarray, n_frames: np.ndarray) -> Self:
        """Sum up clips."""
        level = np.median(levels)
        scatter = _NORMAL_MAD * np.median(np.abs(levels - level))
        return cls(float(level), float(scatter), int(n_frames.min()), int(n_frames.max()))

    @classmethod
    def of_clips(cls, clips: TrainingClips) -> Self | None:
        """Sum up the recorded normal clips; None where there are no spectrograms of them."""
        spectrograms = getattr(clips.data, "spectrograms", None)
        if spectrograms is None:
            return None
        index = clips.recorded_index
        return cls.of(spectrograms.levels[index], spectrograms.n_frames[index])

    def differences(self, levels: np.ndarray, n_frames: np.ndarray) -> list[str]:
        """Tell what sets most of some other clips apart from these.

        A single fault that is loud is what a detector is for, so it is the median that counts.

        Examples
        --------
        >>> usual = Conditions.of(np.array([-40.0, -41.0, -40.5]), np.array([30, 31, 31]))
        >>> for sentence in usual.differences(np.full(5, -34.5), np.full(5, 31)):
        ...     print(sentence)
        The clips are 6 dB louder than those that were learnt from, which scatter by 0.7 dB. If ...
        """
        sentences = []
        shift = float(np.median(levels)) - self.level
        if len(levels) >= _FEWEST and abs(shift) > max(_LEAST_SHIFT, _DEVIATIONS * self.scatter):
            sentences.append(
                f"The clips are {abs(shift):.0f} dB {'louder' if shift > 0 else 'quieter'} than "
                f"those that were learnt from, which scatter by {self.scatter:.1f} dB. If it is "
                "the gain that was changed, set it back, or fit with LogMel(normalize=-20), which "
                "brings every clip to one level."
            )
        length = float(np.median(n_frames))
        if not self.shortest / _TIMES <= length <= self.longest * _TIMES:
            learnt = {self.shortest, self.longest}
            sentences.append(
                f"The clips have {length:.0f} frames, those that were learnt from "
                f"{' to '.join(map(str, sorted(learnt)))}, and scores may depend on the length. "
                "Cut them alike, or fit with LogMel(duration=...)."
            )
        return sentences
