"""A clip with spectrogram, anomaly map and axes: all that drawing and playing it need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sklasd.clips import ClipFormat
from sklasd.clips._waveforms import load_waveform
from sklasd.inspection._masks import apply_mask, check_share, soft_mask


@dataclass(frozen=True)
class InspectedClip:
    """A clip's spectrogram and anomaly map, and the axes of both.

    Parameters
    ----------
    name : str
        The file's name, or a name such as "clip 3" without a file.
    spectrogram : ndarray of shape (n_bands, n_frames)
        Output of the front end, the lowest frequency first.
    spectrogram_unit : str, default=""
        Such as "dB"; empty if unknown.
    anomaly_map : ndarray of shape (n_bands, n_frames) or None, default=None
        Larger is more anomalous; None if the detector has no map.
    map_unit : str, default=""
        Unit of `anomaly_map`, such as "times the usual power".
    times : ndarray of shape (n_frames,) or None, default=None
        Centre of each column in seconds; None if unknown.
    frequencies : ndarray of shape (n_bands,) or None, default=None
        Centre of each row in Hz; None if unknown.
    source : path, ndarray of shape (n_samples,) or None, default=None
        The clip's file or waveform; None if there is a spectrogram only.
    clip_format : ClipFormat or None, default=None
        How the front end reads the clip.

    See Also
    --------
    inspect_clips : Returns such clips.
    """

    name: str
    spectrogram: np.ndarray
    spectrogram_unit: str = ""
    anomaly_map: np.ndarray | None = None
    map_unit: str = ""
    times: Any = None
    frequencies: Any = None
    source: Any = None
    clip_format: ClipFormat | None = None

    @property
    def sample_rate(self) -> int:
        """Sample rate of `waveform` and `resynthesise`, in Hz."""
        return self._format().sample_rate

    def waveform(self) -> np.ndarray:
        """Read the clip as its front end does.

        Returns
        -------
        ndarray of shape (n_samples,), float32
            Mono, at ``clip_format.sample_rate``.

        Raises
        ------
        ValueError
            If there is a spectrogram only.
        """
        return load_waveform(self.source, self._format())[0]

    def resynthesise(self, *, share: float = 0.5) -> np.ndarray:
        """Return the part of the clip that the anomaly map marks, as sound.

        Parameters
        ----------
        share : float, default=0.5
            As in `sklasd.inspection.resynthesise`.

        Returns
        -------
        ndarray of shape (n_samples,), float32
            As long as `waveform`, and at its sample rate.

        Raises
        ------
        ValueError
            If there is no anomaly map, or a spectrogram only, and for an invalid share.
        """
        # Parameters first: the user should learn of a bad share before anything is read.
        check_share(share)
        if self.anomaly_map is None:
            raise ValueError(
                f"Got {self.name} without an anomaly map; use a detector that has one."
            )
        wave, mask = self.waveform(), soft_mask(self.anomaly_map, share)
        return apply_mask(wave, self.sample_rate, mask, self.times, self.frequencies)

    def _format(self) -> ClipFormat:
        """Return how the clip is read, or refuse one that came as a spectrogram."""
        if self.clip_format is None:  # and neither is there a `source`
            raise ValueError(
                f"Got the spectrogram of {self.name} only, which does not contain its sound; pass "
                "clips, and a pipeline that begins with a front end such as LogMel."
            )
        return self.clip_format
