"""Spectrograms as images of one size, for nets that were made for images."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from sklasd.clips._map_clips import collect, map_clips
from sklasd.clips._sound_file import ClipFormat
from sklasd.clips._waveforms import list_clips
from sklasd.features._front_end import FrontEnd
from sklasd.utils._devices import check_device

_FLOOR = 1e-10  # librosa's amin of a power: -100 dB


def _centres(n_before: int, n_after: int) -> np.ndarray:
    """Return the centres of the pixels after resizing, in pixels before it."""
    # Pixels are areas, as in torch's interpolate with align_corners=False: hence the halves.
    return (np.arange(n_after) + 0.5) * n_before / n_after - 0.5


class STFTImage(FrontEnd):
    r"""Turn clips into images of one size: spectrograms in dB, scaled one by one.

    A clip is cut into frames of `win_length` samples every `hop_length` samples, centred and padded
    with zeros; each is windowed (Hann) and transformed by a real FFT. The decibels
    :math:`d = 20 \log_{10} |S|`, at least `top_db` below the loudest, become
    :math:`(d - \min d) / (\max d - \min d)`, and these are resized bilinearly.

    Nothing is learnt: `fit` only checks the parameters.

    Parameters
    ----------
    sample_rate : int, default=16000
        In Hz. Files are resampled to it (soxr); arrays are taken to be at it.
    win_length : int, default=4096
        Length of window and FFT in samples: 256 ms.
    hop_length : int, default=2048
        Samples from one frame to the next.
    top_db : float, default=80.0
        Raise values that lie further below the maximum of their spectrogram to this distance;
        None keeps them.
    height, width : int, default=320
        Pixels of the images in frequency and in time.
    dtype : {"float32", "uint8"}, default="float32"
        "uint8" rounds to 256 levels, from 0 to 255, which takes a quarter of the memory.
        `OEMobileNetDetector` scales them to numbers from 0 to 1 batch by batch.
    duration : float, default=None
        In seconds. Longer clips are cropped to it and shorter ones repeated; None keeps the length
        of each clip, so that a pixel covers more time in longer clips.
    channel : "mean" or int, default="mean"
        How files with several channels become mono: their mean, or the channel of this index
        (in DCASE 2026, 0 is the near microphone).
    n_jobs : int, default=None
        Threads that read and transform clips; None is 1, -1 all cores.
    device : str, default="cpu"
        Where the transform is computed: "cpu", "cuda", or "auto" for a GPU where there is one.

    See Also
    --------
    LogMel : Spectrograms in dB, as long as their clips.
    OEMobileNetDetector : Separates these images from those of other machines.

    Notes
    -----
    For detectors an image is a spectrogram: rows are bands, the lowest frequency first, and columns
    are frames. All images have the same number of both, for clips of any length.

    The report [1]_ says: STFT, windows of 256 ms, 50 % overlap, 320 by 320. It leaves scale, range
    and interpolation open; the decibels are librosa's defaults. Where an image is reduced, the
    bilinear filter is widened by the same factor, as in Pillow: at 10 s and 16 kHz, 6.4 frequencies
    become one pixel, and most partials would fall between the pixels of a narrow filter. In time
    these clips are stretched by a factor of four.

    A clip of constant level, such as digital silence, becomes an image of zeros, which detectors
    leave out of training. Loudness is lost: every image has its own scale.

    References
    ----------
    .. [1] S. Kazakova, A. Semenov, A. Surkov, S. Astapov, "Anomalous sound detection with
       autoencoder and image MobileNet using outlier exposure approach", DCASE2022 Challenge
       technical report.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd import STFTImage
    >>> clips = np.random.default_rng(0).normal(size=(3, 16000))
    >>> STFTImage(height=64, width=48).fit_transform(clips).shape
    (3, 64, 48)
    """

    _unit = "share of the range"
    _stretches = True
    _parameter_constraints: ClassVar[dict] = {
        **FrontEnd._parameter_constraints,
        "sample_rate": [Interval(Integral, 1, None, closed="left")],
        "win_length": [Interval(Integral, 2, None, closed="left")],
        "hop_length": [Interval(Integral, 1, None, closed="left")],
        "top_db": [Interval(Real, 0, None, closed="neither"), None],
        "height": [Interval(Integral, 1, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "dtype": [StrOptions({"float32", "uint8"})],
        "duration": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        win_length: int = 4096,
        hop_length: int = 2048,
        top_db: float | None = 80.0,
        height: int = 320,
        width: int = 320,
        dtype: str = "float32",
        duration: float | None = None,
        channel: str | int = "mean",
        n_jobs: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.sample_rate = sample_rate
        self.win_length = win_length
        self.hop_length = hop_length
        self.top_db = top_db
        self.height = height
        self.width = width
        self.dtype = dtype
        self.duration = duration
        self.channel = channel
        self.n_jobs = n_jobs
        self.device = device

    def transform(self, X: Any) -> np.ndarray:
        """Make the images.

        Parameters
        ----------
        X : list of paths, clip table, array (n_clips, n_samples) or list of 1-D arrays
            The clips.

        Returns
        -------
        ndarray of shape (n_clips, height, width), float32 or uint8
            From 0 to 1, or from 0 to 255; it lies in memory column by column.

        Raises
        ------
        ClipError
            (a ValueError) that names every bad clip, what is wrong with it, and the remedy.
        """
        self.check_params()
        sources = list_clips(X)
        images = map_clips(
            self._make_transform(),
            sources,
            self.clip_format,
            n_jobs=self.n_jobs,
            desc="STFT images",
        )
        return np.asarray(collect(images, len(sources))).transpose(0, 2, 1)

    @property
    def clip_format(self) -> ClipFormat:
        """How clips are read: sample rate, channel, and the rest of a `ClipFormat`."""
        return ClipFormat(self.sample_rate, self.channel, self.duration, self.win_length)

    @property
    def frequencies(self) -> np.ndarray:
        """Centre of each row in Hz, shape (height,)."""
        n_bins = 1 + self.win_length // 2
        return _centres(n_bins, self.height) * self.sample_rate / self.win_length

    def times(self, n_frames: int, *, n_samples: int | None = None) -> np.ndarray:
        """Return where the columns of an image lie in time.

        Parameters
        ----------
        n_frames : int
            Columns of the image: `width`.
        n_samples : int, default=None
            Length of the clip at `sample_rate`, which is resized to the width of the image. None
            takes the length that `duration` gives every clip.

        Returns
        -------
        ndarray of shape (n_frames,), float64
            Centre of each column in seconds from the clip's beginning. Where the clip is stretched,
            the first ones are negative, by up to half a frame.

        Raises
        ------
        ValueError
            Without `n_samples`, where clips keep their own lengths.

        Examples
        --------
        >>> image = STFTImage(sample_rate=8000, win_length=800, hop_length=400, width=11)
        >>> image.times(11, n_samples=4000)[:3]
        array([0.  , 0.05, 0.1 ])
        """
        n_samples = self.clip_format.n_samples if n_samples is None else n_samples
        if n_samples is None:
            raise ValueError(
                "Got n_samples=None, but the time of a column depends on the length of the clip; "
                "pass the clip's number of samples, or STFTImage(duration=...)."
            )
        margins = 2 * (self.win_length // 2)
        n_cut = 1 + (n_samples + margins - self.win_length) // self.hop_length
        return _centres(n_cut, n_frames) * self.hop_length / self.sample_rate

    def _make_transform(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function from a waveform to an image (width, height)."""
        import torch
        from torch.nn.functional import interpolate, pad

        device = check_device(self.device)
        window = torch.hann_window(self.win_length, dtype=torch.float64).float().to(device)
        margin = self.win_length // 2

        def transform(wave: np.ndarray) -> np.ndarray:
            # Padded by half a window, so that the first frame is centred on the first sample.
            padded = pad(torch.from_numpy(wave).to(device), (margin, margin))
            spectrum = torch.fft.rfft(padded.unfold(0, self.win_length, self.hop_length) * window)
            real, imaginary = torch.view_as_real(spectrum).unbind(dim=2)
            power = real.square().addcmul_(imaginary, imaginary)  # (n_frames, n_bins)
            decibels = power.clamp_min_(_FLOOR).log10_().mul_(10)
            if self.top_db is not None:
                decibels.clamp_min_(decibels.max() - self.top_db)
            # The tiny divisor makes zeros of a constant clip, where 0 / 0 would be NaN.
            low, high = torch.aminmax(decibels)
            image = decibels.sub_(low).div_((high - low).clamp_min(torch.finfo(low.dtype).tiny))
            size = (self.width, self.height)
            image = interpolate(image[None, None], size, mode="bilinear", antialias=True)[0, 0]
            if self.dtype == "uint8":
                image = image.mul_(255).round_().byte()
            return image.cpu().numpy()

        return transform
