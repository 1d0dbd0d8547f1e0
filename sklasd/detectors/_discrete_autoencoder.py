"""AudDSR's first stage (Zavrtanik et al., ICASSP 2024): sounds as two maps of codes."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklasd.clips._spectrograms import Spectrograms
from sklasd.features import SpectrogramScaler
from sklasd.losses import RebuiltLoss
from sklasd.nets._vqvae2 import VQVAE2
from sklasd.training import cut_windows
from sklasd.training._cache import train_cached
from sklasd.training._modes import exact
from sklasd.training._scaling import learn_scaling
from sklasd.training._window_net import window_net
from sklasd.utils._check_spectrograms import check_spectrograms
from sklasd.utils._devices import check_device
from sklasd.utils._metadata import check_normal

_FEWEST_CODES = 8  # in use; a codebook with fewer has collapsed
_DIVISOR = 8  # bands and frames of a coarse code: windows are a multiple of it


class Codes(NamedTuple):
    """A clip as two maps of codes.

    Parameters
    ----------
    coarse : ndarray of shape (height, width), int64
        The paper's Q1: the number of a code for each 8 bands and 8 frames.
    fine : ndarray of shape (2 * height, 2 * width), int64
        The paper's Q2: the number of a code for each 4 bands and 4 frames.
    shape : (int, int)
        Bands and frames of the spectrogram.
    """

    coarse: np.ndarray
    fine: np.ndarray
    shape: tuple[int, int]


class DiscreteAutoencoder(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    r"""Turn spectrograms into two maps of codes, and back.

    A VQ-VAE-2: an encoder computes features at an eighth of the resolution, and the nearest vectors
    of a codebook replace them; given these, it computes features at a quarter, which another
    codebook replaces. A decoder rebuilds the spectrogram from both. Train it once, on any machine
    sounds and without labels, and share it as ``FrozenEstimator(autoencoder)`` between many
    `AudDSRDetector`.

    .. math:: L = \|x - \hat x\|^2 + \sum_{\text{levels}} \beta \|f - \mathrm{sg}[q]\|^2
        \; (+ \; \|\mathrm{sg}[f] - q\|^2)

    Parameters
    ----------
    n_features : int, default=128
        Channels of the features, and length of a code's vector.
    codebook_size : int, default=4096
        Codes in each of the two codebooks.
    codebook_update : {"ema", "gradient"}, default="ema"
        Codes are moving averages of the features assigned to them, or learn by the gradient of the
        last term (equation 1 of the paper).
    commitment : float, default=0.25
        :math:`\beta`.
    decay : float, default=0.99
        Decay rate of the moving averages.
    restart_below : float, default=0.05
        A random feature of the batch replaces a code that is used less often than this, in
        multiples of the average code; 0 keeps dead codes.
    scaler : SpectrogramScaler, default=None
        Scales the input; a clone is fitted. None means ``SpectrogramScaler()``, to [0, 1].
    window_length : int, default=128
        Length of the training windows in frames, at most that of the shortest clip.
    hop : int, default=64
        Frames from one training window to the next.
    lr : float, default=2e-4
        Learning rate of Adam.
    batch_size : int, default=256
        Windows in a batch.
    max_iterations : int, default=20000
        Length of the training in batches.
    max_epochs : int, default=None
        Length of the training in passes over the windows; replaces `max_iterations`.
    device : str, default="auto"
        "cpu", "cuda", or "auto" for a GPU where there is one.
    random_state : int, RandomState instance or None, default=None
        Seed of weights and order.
    memory : str or object with the joblib.Memory interface, default=None
        Cache of trained nets. It needs a `random_state`.
    verbose : int, default=1
        0 hides the progress bar, which is shown in terminals only.

    Attributes
    ----------
    net_ : WindowNet
        The trained skorch net; ``net_.module_`` is the torch module.
    perplexity_ : ndarray of shape (2,)
        Effective number of codes in use, coarse and fine, from 1 to `codebook_size`.
    loss_curve_ : ndarray of shape (n_epochs,)
        Training loss, for each epoch or for each 100 iterations.
    n_features_in_ : int
        Number of mel bands.

    See Also
    --------
    AudDSRDetector : Learns to detect anomalies in these codes.

    Notes
    -----
    The paper has no public code. Where it is silent, the values are those of DSR, its ancestor for
    images: widths, 4,096 codes, moving averages with a decay of 0.99. The paper gives no weights
    for the terms of the loss; here they are 1. Its text and its equation 1 disagree on which
    features belong to which codebook; as in VQ-VAE-2, the deeper ones are quantised first. Coarse
    codes reach the decoder by bilinear interpolation, as in the paper; DSR learns it. DSR restarts
    no dead codes, and its code only loads a trained net: trained from scratch, most of a large
    codebook dies at once. The learning rate is constant, as in the paper.

    References
    ----------
    .. [1] V. Zavrtanik, M. Marolt, M. Kristan, D. Skocaj, "Anomalous sound detection by
       feature-level anomaly simulation", ICASSP 2024, section 3.1.
    .. [2] A. Razavi, A. van den Oord, O. Vinyals, "Generating diverse high-fidelity images with
       VQ-VAE-2", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd.detectors import DiscreteAutoencoder
    >>> X = np.random.default_rng(0).normal(-40, 5, (8, 32, 70)).astype(np.float32)
    >>> autoencoder = DiscreteAutoencoder(
    ...     n_features=8, codebook_size=4, batch_size=8, max_iterations=20, random_state=0
    ... ).fit(X)
    >>> codes = autoencoder.transform(X)
    >>> codes[0].coarse.shape, codes[0].fine.shape
    ((4, 9), (8, 18))
    >>> autoencoder.inverse_transform(codes).shape
    (8, 32, 70)
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_features": [Interval(Integral, 2, None, closed="left")],
        "codebook_size": [Interval(Integral, 2, None, closed="left")],
        "codebook_update": [StrOptions({"ema", "gradient"})],
        "commitment": [Interval(Real, 0, None, closed="left")],
        "decay": [Interval(Real, 0, 1, closed="left")],
        "restart_below": [Interval(Real, 0, None, closed="left")],
        "scaler": [SpectrogramScaler, None],
        "window_length": [Interval(Integral, 8, None, closed="left")],
        "hop": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "max_iterations": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "device": [str],
        "random_state": ["random_state"],
        "memory": [str, HasMethods(["cache"]), None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        n_features: int = 128,
        codebook_size: int = 4096,
        codebook_update: str = "ema",
        commitment: float = 0.25,
        decay: float = 0.99,
        restart_below: float = 0.05,
        scaler: SpectrogramScaler | None = None,
        window_length: int = 128,
        hop: int = 64,
        lr: float = 2e-4,
        batch_size: int = 256,
        max_iterations: int = 20_000,
        max_epochs: int | None = None,
        device: str = "auto",
        random_state: Any = None,
        memory: Any = None,
        verbose: int = 1,
    ) -> None:
        self.n_features = n_features
        self.codebook_size = codebook_size
        self.codebook_update = codebook_update
        self.commitment = commitment
        self.decay = decay
        self.restart_below = restart_below
        self.scaler = scaler
        self.window_length = window_length
        self.hop = hop
        self.lr = lr
        self.batch_size = batch_size
        self.max_iterations = max_iterations
        self.max_epochs = max_epochs
        self.device = device
        self.random_state = random_state
        self.memory = memory
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn codes, without labels.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms of any machines, in dB. Clips without any sound are left out.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous; anomalous clips are left out. None takes all clips for normal.

        Returns
        -------
        self : DiscreteAutoencoder
            Fitted.

        Raises
        ------
        ValueError
            For bad parameters or clips, before training starts.
        FloatingPointError
            When the loss stops being finite.

        Warns
        -----
        UserWarning
            If hardly any codes are in use: the codebook has collapsed.
        """
        self.check_params()
        data = Spectrograms.stack(check_spectrograms(X))
        # A silent clip is all one code, and would take part of the codebook for nothing.
        normal = check_normal(y, np.zeros(len(data), dtype=bool)) & ~data.are_silent
        if not normal.any():
            raise ValueError("Got no clip with any sound; check the microphone and its cable.")
        return self._fit_clips(data, np.flatnonzero(normal))

    def _fit_clips(self, data: Spectrograms, index: np.ndarray) -> Self:
        """Learn from the clips at some positions, without a copy of them."""
        shortest = int(data.n_frames[index].min())
        # Only whole codes: a padded edge would teach the codebook about padding.
        length = min(self.window_length, shortest) // _DIVISOR * _DIVISOR
        if length == 0 or data.n_mels < _DIVISOR:
            raise ValueError(
                f"Got a clip of {data.n_mels} bands and {shortest} frames, smaller than a code of "
                f"{_DIVISOR} x {_DIVISOR}; pass longer clips, or LogMel(duration=...)."
            )
        device = check_device(self.device)
        windows = cut_windows(data, length, min(self.hop, length), index=index, device=device)
        net = window_net(
            VQVAE2,
            criterion=RebuiltLoss,
            lr=self.lr,
            batch_size=self.batch_size,
            device=device,
            max_epochs=self.max_epochs,
            max_iterations=self.max_iterations if self.max_epochs is None else None,  # either one
            module__n_features=self.n_features,
            module__codebook_size=self.codebook_size,
            module__update=self.codebook_update,
            module__commitment=self.commitment,
            module__decay=self.decay,
            module__restart_below=self.restart_below,
            module__n_mels=data.n_mels,
            initial_state=learn_scaling(self.scaler, windows, default=SpectrogramScaler()),
        )
        self.net_ = train_cached(self, net, windows)
        # Only after training: a fit that fails leaves no half-fitted estimator.
        self.n_features_in_ = data.n_mels
        self.perplexity_ = self.net_.module_.perplexity.numpy().astype(float)
        self._warn_of_collapse()  # AudDSR would train on such codes without noticing
        return self

    def transform(self, X: Any) -> list[Codes]:
        """Encode clips.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms in dB, of any length.

        Returns
        -------
        list of Codes
            `coarse`, `fine` and the `shape` of each spectrogram.
        """
        return [self._encode(clip) for clip in self._check_X(X)]

    def inverse_transform(self, codes: list[Codes]) -> np.ndarray | list[np.ndarray]:
        """Rebuild spectrograms from their codes.

        Parameters
        ----------
        codes : list of Codes
            From `transform`.

        Returns
        -------
        ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
            In dB; a list if lengths differ.
        """
        clips = [self._decode(each) for each in codes]
        # An array wherever that is possible, as front ends return it.
        return clips if len({clip.shape for clip in clips}) > 1 else np.stack(clips)

    def reconstruction_error(self, X: Any) -> np.ndarray:
        """Measure the difference between clips and what their codes rebuild.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms in dB.

        Returns
        -------
        ndarray of shape (n_clips,), float64
            Mean squared error in dB².
        """
        clips = self._check_X(X)
        return np.array(
            [np.square(self._decode(self._encode(x)) - x).mean(dtype=float) for x in clips]
        )

    @property
    def loss_curve_(self) -> np.ndarray:
        """Training loss, shape (n_epochs,)."""
        check_is_fitted(self)
        return np.array([epoch["train_loss"] for epoch in self.net_.history])

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters, as `fit` does before it looks at any clip.

        Parameters
        ----------
        n_features : ignored
            Present for the convention.

        Raises
        ------
        ValueError
            For invalid values, or a GPU that does not exist.
        """
        self._validate_params()
        check_device(self.device)

    def _check_X(self, X: Any) -> np.ndarray | list[np.ndarray]:
        check_is_fitted(self)
        clips = check_spectrograms(X)
        if len(clips[0]) != self.n_features_in_:  # all clips have the same bands: just checked
            raise ValueError(
                f"X has {len(clips[0])} mel bands, but DiscreteAutoencoder was fitted on "
                f"{self.n_features_in_}; use the front end it was fitted with."
            )
        return clips

    # Clips go through the net one by one: their lengths differ, and so do the shapes of their maps.
    def _encode(self, clip: np.ndarray) -> Codes:
        device = check_device(self.device)
        net = self.net_.module_.to(device).eval()
        with torch.inference_mode(), exact(device):
            x = torch.from_numpy(np.ascontiguousarray(clip))[None].to(device)
            coarse, fine = net.encode(net.scale(x))  # (1, height, width), (1, 2 height, 2 width)
        return Codes(coarse.codes[0].cpu().numpy(), fine.codes[0].cpu().numpy(), clip.shape)

    def _decode(self, codes: Codes) -> np.ndarray:
        device = check_device(self.device)
        net = self.net_.module_.to(device).eval()
        n_mels, n_frames = codes.shape
        with torch.inference_mode(), exact(device):
            coarse, fine = (torch.from_numpy(c)[None].to(device) for c in codes[:2])
            # (1, n_features, height, width), and twice as high and wide
            vectors = net.quantize_coarse.look_up(coarse), net.quantize_fine.look_up(fine)
            # The net pads to whole codes; the padding is cut off again.
            rebuilt = net.scaling.inverse(net.decode(*vectors)[:, :n_mels, :n_frames])
        return rebuilt[0].cpu().numpy()

    def _warn_of_collapse(self) -> None:
        fewest = min(_FEWEST_CODES, self.codebook_size / 4)  # tiny codebooks have few to lose
        if self.perplexity_.min() < fewest:
            warnings.warn(
                f"Only about {self.perplexity_.round(1).tolist()} (coarse, fine) of "
                f"{self.codebook_size} codes are in use: the codebook has collapsed, and simulates "
                "poor anomalies. Train longer or on more varied sounds, or raise "
                f"restart_below={self.restart_below}.",
                UserWarning,
                stacklevel=3,
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []  # codes are integers
        return tags
