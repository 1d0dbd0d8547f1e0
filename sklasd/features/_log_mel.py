"""Log-mel spectrograms, the front end of most detectors."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval

from sklasd.clips._formats import Formats, headers_of, warn_of_formats
from sklasd.clips._map_clips import collect, map_clips
from sklasd.clips._sound_file import BadClipError, ClipFormat, Header
from sklasd.clips._waveforms import list_clips
from sklasd.features._front_end import FrontEnd
from sklasd.features._mel_scale import band_names, mel_filters
from sklasd.utils._devices import check_device

if TYPE_CHECKING:
    from torch import Tensor

# Samples that are transformed at once: their spectra stay in the cache of a core.
_CACHED = 512 * 1024


def _at_level(wave: np.ndarray, level: float) -> np.ndarray:
    """Bring a waveform to an RMS level in dB; silence stays silence."""
    # In blocks: an hour in double precision would take 460 MB.
    blocks = np.array_split(wave, 1 + len(wave) // _CACHED)
    power = sum(np.square(block, dtype=np.float64).sum() for block in blocks) / len(wave)
    return wave * np.float32(10 ** (level / 20) / np.sqrt(power)) if power > 0 else wave


class LogMel(FrontEnd):
    r"""Turn clips into log-mel spectrograms.

    A clip is cut into frames of ``win_length`` samples every ``hop_length`` samples, centred and
    padded with zeros; each is windowed (Hann) and transformed by a real FFT. The magnitudes
    :math:`|S|^p` are summed into mel bands and given in decibels,
    :math:`10 \log_{10} \max(10^{-10}, M |S|^p)`.

    Nothing is learnt: `fit` only stores the sample rates and channels of the files, so that
    `transform` can warn of others.

    Parameters
    ----------
    sample_rate : int, default=16000
        In Hz. Files are resampled to it (soxr); arrays are taken to be at it.
    n_fft : int, default=1024
        Length of the FFT in samples.
    hop_length : int, default=512
        Samples from one frame to the next.
    win_length : int, default=None
        Length of the Hann window in samples, at most `n_fft`, which is the default.
    n_mels : int, default=128
        Number of mel bands.
    fmin, fmax : float, default=0.0 and None
        Edges of the mel range in Hz; ``fmax=None`` is half the sample rate.
    power : float, default=2.0
        Exponent of the magnitude: 2 is power, 1 is amplitude.
    top_db : float, default=None
        Raise values that lie further below the maximum of their spectrogram to this distance;
        None keeps them.
    htk : bool, default=False
        Use HTK's mel formula instead of Slaney's.
    duration : float, default=None
        In seconds. Longer clips are cropped to it and shorter ones repeated, so that all
        spectrograms have one length; None keeps the length of each clip.
    max_duration : float, default=7200.0
        In seconds. Longer clips are refused before they are read, unless `duration` crops them;
        None refuses none. An hour at 16 kHz takes 230 MB while it is transformed.
    channel : "mean" or int, default="mean"
        How files with several channels become mono: their mean, or the channel of this index
        (in DCASE 2026, 0 is the near microphone).
    normalize : float, default=None
        RMS level in dB that every clip is brought to, such as -20 (0 dB is an RMS of 1): scores
        then do not depend on the gain, and a fault that is only louder is not found. None keeps
        the level of each clip.
    n_jobs : int, default=None
        Threads that read and transform clips; None is 1, -1 all cores.
    device : str, default="cpu"
        Where the transform is computed: "cpu", "cuda", or "auto" for a GPU where there is one.

    See Also
    --------
    sklasd.OEAutoencoder : The official DCASE autoencoder, made for the default settings.

    Notes
    -----
    The defaults are those of the DCASE Task 2 baselines. They agree with
    ``librosa.power_to_db(librosa.feature.melspectrogram(...), top_db=top_db)`` within 1e-3 dB.
    The FFT is in single precision. Frames in which a band lies 65 dB or more below the loudest
    partial are transformed again in double precision, as rounding would reach 1e-3 dB there.

    Three things differ from the baselines. Their floor is 2.2e-16 (-157 dB); here and in librosa it
    is 1e-10 (-100 dB), the value of digital silence and of bands without sound. Clips are padded
    with zeros, as librosa does from 0.9 on; the baselines of 2020 and 2021 pin librosa 0.6, which
    pads with the reflection of the clip, so that the frames at both ends differ. The baseline of
    2026 uses the near microphone, ``channel=0``, as the recipe "dcase-autoencoder" does.

    The baselines write :math:`20/p \cdot \log_{10}`, which is the same for power 2; for power 1
    this transformer keeps librosa's factor of 10.

    A clip costs one real FFT per frame (about 2.5 n_fft log2 n_fft operations), and the products
    with the mel filters, in blocks that skip most of the zeros of the filter bank.

    The result lies in memory frame by frame (the band axis is the fastest), so that a window of
    the clip is one contiguous piece and detectors need no copy of it.

    An array (n_clips, n_mels, n_frames) fits no DataFrame, so `set_output` takes "default" only.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd import LogMel
    >>> clips = np.random.default_rng(0).normal(size=(3, 16000))
    >>> LogMel(n_mels=64).fit_transform(clips).shape
    (3, 64, 32)
    """

    _unit = "dB"
    _parameter_constraints: ClassVar[dict] = {
        **FrontEnd._parameter_constraints,
        "sample_rate": [Interval(Integral, 1, None, closed="left")],
        "n_fft": [Interval(Integral, 2, None, closed="left")],
        "hop_length": [Interval(Integral, 1, None, closed="left")],
        "win_length": [Interval(Integral, 1, None, closed="left"), None],
        "n_mels": [Interval(Integral, 1, None, closed="left")],
        "fmin": [Interval(Real, 0, None, closed="left")],
        "fmax": [Interval(Real, 0, None, closed="neither"), None],
        "power": [Interval(Real, 0, None, closed="neither")],
        "top_db": [Interval(Real, 0, None, closed="left"), None],
        "htk": ["boolean"],
        "duration": [Interval(Real, 0, None, closed="neither"), None],
        "max_duration": [Interval(Real, 0, None, closed="neither"), None],
        "normalize": [Interval(Real, -200, 200, closed="both"), None],
    }

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        n_fft: int = 1024,
        hop_length: int = 512,
        win_length: int | None = None,
        n_mels: int = 128,
        fmin: float = 0.0,
        fmax: float | None = None,
        power: float = 2.0,
        top_db: float | None = None,
        htk: bool = False,
        duration: float | None = None,
        max_duration: float | None = 7200.0,
        channel: str | int = "mean",
        normalize: float | None = None,
        n_jobs: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.win_length = win_length
        self.n_mels = n_mels
        self.fmin = fmin
        self.fmax = fmax
        self.power = power
        self.top_db = top_db
        self.htk = htk
        self.duration = duration
        self.max_duration = max_duration
        self.channel = channel
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.device = device

    def fit(self, X: Any, y: Any = None) -> LogMel:
        """Check the parameters, and store how files were recorded; nothing is learnt.

        Parameters
        ----------
        X : clips
            Only the headers of files are read; `transform` refuses the bad ones.
        y : ignored
            Present for the convention.

        Returns
        -------
        self : LogMel
            The same transformer.
        """
        self.check_params()
        self._formats: Formats | None = None
        if X is not None:
            headers = headers_of(list_clips(X))
            warn_of_formats(headers, None, self.sample_rate, self.mel_frequencies)
            self._formats = Formats.of(headers)
        return self

    def transform(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Compute the spectrograms.

        Parameters
        ----------
        X : list of paths, clip table, array (n_clips, n_samples) or list of 1-D arrays
            The clips.

        Returns
        -------
        ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
            In dB; a list where the lengths of the clips differ.
            ``n_frames = 1 + n_samples // hop_length`` where `n_fft` is even.

        Raises
        ------
        ClipError
            (a ValueError) that names every bad clip, what is wrong with it, and the remedy.

        Warns
        -----
        UserWarning
            When bands are empty, as they lie above half the sample rate of a file; when files have
            another sample rate than those in `fit`, or, with ``channel="mean"``, another number of
            channels; when clips are silent.
        """
        self.check_params()
        sources = list_clips(X)
        headers: dict[int, Header] = {}
        spectrograms = map_clips(
            self._make_transform(),
            sources,
            self.clip_format,
            n_jobs=self.n_jobs,
            desc="log-mel",
            headers=headers,
        )
        features = collect(spectrograms, len(sources))
        formats = vars(self).get("_formats")  # `transform` works without `fit`, too
        warn_of_formats(
            headers.values(), formats, self.sample_rate, self.mel_frequencies, self.channel
        )
        # Views: in memory the bands of a frame stay next to each other.
        if isinstance(features, list):
            return [spectrogram.T for spectrogram in features]
        return features.transpose(0, 2, 1)

    @property
    def clip_format(self) -> ClipFormat:
        """How clips are read: sample rate, channel, and the rest of a `ClipFormat`."""
        return ClipFormat(
            self.sample_rate, self.channel, self.duration, self._win_length, self.max_duration
        )

    @property
    def mel_frequencies(self) -> np.ndarray:
        """Centre of each band in Hz, shape (n_mels,)."""
        from librosa import mel_frequencies

        fmax = self.sample_rate / 2 if self.fmax is None else self.fmax
        return mel_frequencies(self.n_mels + 2, fmin=self.fmin, fmax=fmax, htk=self.htk)[1:-1]

    @property
    def frequencies(self) -> np.ndarray:
        """Centre of each row in Hz, shape (n_mels,): the same as `mel_frequencies`."""
        return self.mel_frequencies

    def times(self, n_frames: int, *, n_samples: int | None = None) -> np.ndarray:
        """Return where the frames of a clip lie in time.

        Parameters
        ----------
        n_frames : int
            Number of frames of the clip.
        n_samples : ignored
            Present for the convention.

        Returns
        -------
        ndarray of shape (n_frames,), float64
            Centre of each frame in seconds from the clip's beginning; the first is 0.

        Examples
        --------
        >>> LogMel(sample_rate=8000, hop_length=400).times(3)
        array([0.  , 0.05, 0.1 ])
        """
        return np.arange(n_frames) * self.hop_length / self.sample_rate

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the bands, the second axis of the output.

        Parameters
        ----------
        input_features : ignored
            Present for the convention.

        Returns
        -------
        ndarray of str, shape (n_mels,)
            The centres of the bands, such as "437Hz".
        """
        return np.array(band_names(self.mel_frequencies), dtype=object)

    @property
    def _win_length(self) -> int:
        return self.n_fft if self.win_length is None else self.win_length

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters, as `fit` and `transform` do before they read any clip."""
        super().check_params()
        nyquist = self.sample_rate / 2
        if self._win_length > self.n_fft:
            raise ValueError(
                f"Got win_length={self.win_length}, longer than n_fft={self.n_fft}; "
                f"pass n_fft={2 ** int(np.ceil(np.log2(self._win_length)))} or a shorter window."
            )
        if self.fmax is not None and self.fmax > nyquist:
            raise ValueError(
                f"Got fmax={self.fmax} Hz, above half the sample_rate={self.sample_rate}; "
                f"pass fmax=None for {nyquist:g} Hz, or a higher sample_rate."
            )
        if self.fmin >= (nyquist if self.fmax is None else self.fmax):
            raise ValueError(
                f"Got fmin={self.fmin} Hz, not below fmax={self.fmax or nyquist:g} Hz; lower it."
            )

    def _make_transform(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function from a waveform to (n_frames, n_mels) decibels."""
        # Imported here: a LogMel is made, printed and checked without torch.
        import torch

        from sklasd.features._mel_bands import MelBands

        device = check_device(self.device)
        filters = mel_filters(
            self.sample_rate, self.n_fft, self.n_mels, self.fmin, self.fmax, self.htk
        )
        mel_bands = MelBands(filters, self.n_fft, self._win_length, self.power, device)
        n_at_once = max(1, _CACHED // self.n_fft)

        def transform(wave: np.ndarray) -> np.ndarray:
            if self.normalize is not None:
                wave = _at_level(wave, self.normalize)
            # librosa's count: padded by half an FFT at both ends, an odd one loses a sample.
            n_frames = 1 + (len(wave) - self.n_fft % 2) // self.hop_length
            mel = torch.empty(n_frames, self.n_mels, device=device)
            for first in range(0, n_frames, n_at_once):
                some = slice(first, min(first + n_at_once, n_frames))
                mel[some] = mel_bands(self._cut_frames(wave, some).to(device))
            decibels = mel.log10_().mul_(10)
            if self.top_db is not None:
                decibels.clamp_min_(decibels.max() - self.top_db)
            # The maximum of infinite powers is infinite, and that of NaN is NaN.
            if not torch.isfinite(decibels.max()):
                raise BadClipError(
                    f"reaches {np.abs(wave).max():g}, where full scale is 1, so that its "
                    f"magnitudes to the power={self.power} overflow; scale it to [-1, 1]"
                )
            return decibels.cpu().numpy()

        return transform

    def _cut_frames(self, wave: np.ndarray, some: slice) -> Tensor:
        """Cut some frames out of a waveform, (n_frames, n_fft), with zeros beyond its ends."""
        import torch

        # Frames are centred: the first one begins half its length before the clip. Only the piece
        # that these frames need is padded, so that an hour is never held in memory twice.
        begin = some.start * self.hop_length - self.n_fft // 2
        end = (some.stop - 1) * self.hop_length - self.n_fft // 2 + self.n_fft
        piece = torch.from_numpy(wave[max(begin, 0) : end])
        missing = (max(-begin, 0), max(end - len(wave), 0))
        return torch.nn.functional.pad(piece, missing).unfold(0, self.n_fft, self.hop_length)
