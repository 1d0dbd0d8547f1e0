"""A clip with what a detector sees in it: all that is needed to draw it, and to hear it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sklasd.clips import ClipFormat
from sklasd.clips._waveforms import load_waveform
from sklasd.inspection._masks import apply_mask, check_share, soft_mask


@dataclass(frozen=True)
class InspectedClip:
    """A clip's spectrogram, where in it the anomaly is, and the axes of both.

    Parameters
    ----------
    name : str
        The file's name, or "clip 3" of what comes from no file.
    spectrogram : ndarray of shape (n_bands, n_frames)
        What the front end made of the clip, the lowest frequency first.
    spectrogram_unit : str, default=""
        Such as "dB"; empty where no front end tells it.
    anomaly_map : ndarray of shape (n_bands, n_frames) or None, default=None
        Larger is more anomalous; None where the detector cannot tell where.
    map_unit : str, default=""
        Of `anomaly_map`, such as "times the usual power".
    times : ndarray of shape (n_frames,) or None, default=None
        Centre of each column in seconds; None where there is no front end that tells it.
    frequencies : ndarray of shape (n_bands,) or None, default=None
        Centre of each row in Hz; None where there is no front end that tells it.
    source : path, ndarray of shape (n_samples,) or None, default=None
        Where the clip comes from; None of spectrograms without a front end.
    clip_format : ClipFormat or None, default=None
        How the front end reads it.

    See Also
    --------
    inspect_clips : Makes them.
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
        """Of `waveform` and `resynthesise`, in Hz."""
        return self._heard_by().sample_rate

    def waveform(self) -> np.ndarray:
        """Read the clip as its front end does.

        Returns
        -------
        ndarray of shape (n_samples,), float32
            Mono, at ``clip_format.sample_rate``.

        Raises
        ------
        ValueError
            Where there is a spectrogram only.
        """
        return load_waveform(self.source, self._heard_by())[0]

    def resynthesise(self, *, share: float = 0.5) -> np.ndarray:
        """Return what the anomaly map marks of the clip, as sound.

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
            Where there is no anomaly map, or a spectrogram only; for a share that is none.
        """
        check_share(share)
        if self.anomaly_map is None:
            raise ValueError(
                f"Got {self.name} without an anomaly map, as its detector cannot tell where."
            )
        wave, mask = self.waveform(), soft_mask(self.anomaly_map, share)
        return apply_mask(wave, self.sample_rate, mask, self.times, self.frequencies)

    def _heard_by(self) -> ClipFormat:
        if self.clip_format is None:
            raise ValueError(
                f"Got the spectrogram of {self.name} only, of which no sound can be made; pass "
                "clips, and a pipeline that begins with a front end such as LogMel."
            )
        return self.clip_format
