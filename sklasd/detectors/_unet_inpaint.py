"""Inpainting of masked spectrograms by a U-Net (Hauser, Katsch, Moosbauer, 2023)."""

from __future__ import annotations

from collections.abc import Collection
from math import ceil
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from sklasd.base import NetDetector, TrainingClips
from sklasd.base._window_maps import residual_moments, usual_power
from sklasd.features import SpectrogramScaler
from sklasd.losses import MaskedMSE
from sklasd.nets._unet import InpaintingUNet, Residuals
from sklasd.simulation import balanced_patch_masks
from sklasd.training import WindowNet, Windows
from sklasd.training._scaling import learn_scaling

_HALVINGS = 16  # the U-Net halves each side four times
_POWER_MASKS = 16  # masks that `residual_power_` is measured with: a scale, not a score
_MAPS_HELD = 6  # times width: what the U-Net holds of an image at full resolution
_CPU_BYTES = 2**25  # activations of a chunk that the caches of a CPU still serve


def _chunk_bytes(device: torch.device) -> int:
    """Return the memory for the activations of a chunk, in bytes."""
    # Not the *free* memory: other sizes of chunks would change the last bits of scores.
    if device.type != "cuda":
        return _CPU_BYTES
    return torch.cuda.get_device_properties(device).total_memory // 32


class UNetInpaintDetector(NetDetector):
    r"""Detect anomalies by the error of a U-Net that fills in hidden patches of a spectrogram.

    A mask :math:`m` (1 where hidden) hides patches of each window of `window_length` frames. A
    U-Net :math:`f` learns to fill them in from the rest, on normal windows :math:`x`, by the
    squared error there. In scoring, `n_masks` masks hide every patch equally often; the anomaly
    score is the mean over pixels of

    .. math:: \Big(x - \frac{\sum_k m_k \, f(x (1 - m_k))}{\sum_k m_k}\Big)^2 ,

    the squared error of the mean prediction while the pixel was hidden.

    Parameters
    ----------
    window_length : int, default=64
        Frames in a window, a multiple of 16.
    hop : int, default=64
        Frames from one window to the next; the last window ends with the clip.
    patch_size : int, default=8
        Side of the square patches, in bands and in frames.
    n_masked : int or float, default=48
        Number of hidden patches in a window; a float between 0 and 1 is their share, which suits a
        search over `patch_size`.
    n_masks : int, default=256
        Masks per window in scoring. We recommend 16: they rank clips as the report's 256 random
        masks do (see Notes), 16 times as fast.
    width : int, default=64
        Channels of the U-Net at full resolution; the cost grows with its square.
    loss : {"masked", "full"}, default="masked"
        Whether training minimises the error of hidden pixels, or of all pixels.
    scaler : SpectrogramScaler, default=None
        Scales the U-Net's input; a clone is fitted to the normal training windows. None means
        ``SpectrogramScaler()``, to [0, 1].
    anomaly_score : {"masked", "mean_of_masks", "full"}, default="masked"
        In dB². "masked" is described above. "mean_of_masks" is the mean over masks of the mean
        squared error of the pixels that they hide. "full" is the squared error of the mean over all
        predictions, hidden or not; it belongs to ``loss="full"``.
    pooling : {"mean", "max", "min"}, default="mean"
        How the scores of a clip's windows become one.
    threshold : {"gamma", "quantile", "conformal"} or callable, default="gamma"
        How `offset_` is found from `calibration_scores_`: "gamma" fits a gamma distribution to the
        anomaly scores, "quantile" takes their quantile, "conformal" takes the rank below which
        ``p_values(X) <= contamination``. A callable computes it from the scores (n_clips,).
    contamination : float, default=0.1
        Share of new normal clips beyond the threshold: the false-alarm rate.
    calibration : {"auto"}, int, splitter or None, default="auto"
        How `calibration_scores_` are computed. "auto" splits up to 100 normal clips into ten folds,
        and up to 200 clips, or clips with `groups`, into five; nets trained on the other folds, for
        as many steps, score each fold. From more clips it holds out a quarter. New clips are always
        scored by nets trained on all normal clips. An int is the number of folds; a scikit-learn
        splitter makes its own. None uses the training clips' own scores, as the papers do, which
        raises far more alarms than `contamination`. It trains once, and suits a search in which
        thresholds do not matter.
    lr : float, default=1e-4
        Step size of Adam.
    batch_size : int, default=64
        Windows in a training step.
    max_epochs : int, default=100
        Passes over the training windows, each with new masks.
    device : str, default="auto"
        "cpu", "cuda", or "auto" for a GPU where there is one.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, order and masks. None draws a new one and leaves
        the global generators alone.
    memory : str or object with the joblib.Memory interface, default=None
        Cache of trained nets: a search over parameters of scoring and decision then trains once per
        fold. It needs a `random_state`.
    verbose : int, default=1
        0 hides the progress bar, which is shown in terminals only.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained U-Net, with the scaling in it.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        Scores of the normal clips that set the threshold.
    offset_ : float
        Threshold: clips that score below it are anomalous.
    loss_curve_ : ndarray of shape (n_epochs,)
        Training loss in dB².
    mask_seed_ : int
        Seed of the masks in scoring, the same for all windows.
    residual_power_ : ndarray of shape (n_mels,), float32
        Mean squared error of each band on normal training clips, in dB².
    n_features_in_ : int
        Number of mel bands.

    See Also
    --------
    LogMel : The front end; the report's is ``LogMel(n_fft=400, hop_length=256, n_mels=64)``.
    SpectrogramScaler : Scales the input.
    OEAutoencoder : The official baseline, many times faster.

    Notes
    -----
    The report contradicts itself in places, and leaves others open. Choices made here:

    - 64 mel bands (its table says 80, its shapes 64), and frames of n_fft=400 samples (its table
      says 124, fewer than the hop: half of the sound would be lost).
    - Its windows last one second, its clips 6 to 18: clips are cut into windows.
    - The output layer is a leaky ReLU, which hardly reaches negative decibels: the U-Net works on
      [0, 1], where hidden pixels are 0. Loss and scores are in dB² all the same.
    - The score is that of its section 2.2; "mean_of_masks" is that of its abstract, and
      ``loss="full", anomaly_score="full"`` is column a) of its Table 5.
    - The U-Net is the bilinear one, of 17,303,681 parameters, whose shapes are those of Table 3.

    After training, the statistics of batch normalisation are computed anew from all training
    windows under new masks, as running averages are far off after few steps. The report does not
    mention it.

    `section`, `domain` and `groups` only guide the split into folds; exposed clips are left out.

    The report draws random masks for each score. Here they are drawn once, and balanced, so that
    fewer are needed: on a made-up fan (``benchmarks/bench_inpainting_masks.py``) the scores of 16
    have a rank correlation of 0.994 with those of 256 random ones, 32 have 0.997, and another 256
    random ones have 0.999.

    The authors' results are near chance (AUC 40 to 64 %), and they suspect mistakes of their own.
    `anomaly_map` gives the squared error relative to `residual_power_`: 1 is as large as usual.

    A window of 64 x 64 costs 2.6 billion multiply-adds per mask at width 64, and three times as
    much to train on.

    References
    ----------
    .. [1] D. Hauser, T. Katsch, S. Moosbauer, "Anomaly detection using spectrogram reconstruction
       errors with U-Net", DCASE Challenge 2023.
    .. [2] O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional networks for biomedical image
       segmentation", MICCAI 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd.detectors import UNetInpaintDetector
    >>> X = np.random.default_rng(0).normal(size=(12, 16, 40))
    >>> small = {"window_length": 16, "hop": 16, "patch_size": 4, "n_masked": 0.75, "width": 2}
    >>> detector = UNetInpaintDetector(**small, n_masks=8, max_epochs=2, random_state=0).fit(X)
    >>> detector.predict(20 * X[:1])  # as loud, but scattered more
    array([-1])
    """

    _window_scores = ("masked", "mean_of_masks", "full")
    _score_params = (
        *NetDetector._score_params, "n_masks", "n_masked", "patch_size",
    )  # fmt: skip
    _scoring_batch = 8  # windows, each under all masks: these bound the memory

    _parameter_constraints: ClassVar[dict] = {
        **NetDetector._parameter_constraints,
        "window_length": [Interval(Integral, _HALVINGS, None, closed="left")],
        "hop": [Interval(Integral, 1, None, closed="left")],
        "patch_size": [Interval(Integral, 1, None, closed="left")],
        "n_masked": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
        ],
        "n_masks": [Interval(Integral, 1, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "loss": [StrOptions({"masked", "full"})],
        "scaler": [SpectrogramScaler, None],
    }

    def __init__(
        self,
        *,
        window_length: int = 64,
        hop: int = 64,
        patch_size: int = 8,
        n_masked: float = 48,
        n_masks: int = 256,
        width: int = 64,
        loss: str = "masked",
        scaler: SpectrogramScaler | None = None,
        anomaly_score: str = "masked",
        pooling: str = "mean",
        threshold: Any = "gamma",
        contamination: float = 0.1,
        calibration: Any = "auto",
        lr: float = 1e-4,
        batch_size: int = 64,
        max_epochs: int = 100,
        device: str = "auto",
        random_state: Any = None,
        memory: Any = None,
        verbose: int = 1,
    ) -> None:
        self.window_length = window_length
        self.hop = hop
        self.patch_size = patch_size
        self.n_masked = n_masked
        self.n_masks = n_masks
        self.width = width
        self.loss = loss
        self.scaler = scaler
        self.anomaly_score = anomaly_score
        self.pooling = pooling
        self.threshold = threshold
        self.contamination = contamination
        self.calibration = calibration
        self.lr = lr
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.device = device
        self.random_state = random_state
        self.memory = memory
        self.verbose = verbose

    def _window(self) -> tuple[int, int]:
        return self.window_length, self.hop

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        sizes = {"window_length": self.window_length, "n_mels": n_features}
        for name, size in sizes.items():
            if size is not None and size % _HALVINGS:
                raise ValueError(
                    f"Got {name}={size}, which the U-Net cannot halve four times; pass a "
                    f"multiple of {_HALVINGS}."
                )
        if n_features is None:  # the number of patches depends on it
            return
        fewest = self._fewest_masks(n_features)
        if self.n_masks < fewest:
            raise ValueError(
                f"Got n_masks={self.n_masks}, too few to hide every patch; pass at least {fewest}."
            )

    def _make_net(self, windows: Windows, clips: TrainingClips) -> WindowNet:
        n_mels = clips.data.n_mels
        return self._window_net(
            InpaintingUNet,
            criterion=MaskedMSE,
            criterion__everywhere=self.loss == "full",
            module__patch_size=self.patch_size,
            module__n_masked=self._count_masked(n_mels),
            module__width=self.width,
            module__n_mels=n_mels,
            initial_state=learn_scaling(self.scaler, windows, default=SpectrogramScaler()),
        )

    def _fewest_masks(self, n_mels: int) -> int:
        """Return the least number of balanced masks that hide every patch."""
        # The masks know best how many patches fit into a window, and how many pixels they hide.
        mask = self._masks(n_mels, n_masks=1)
        return ceil(mask.numel() / int(mask.sum()))

    def _count_masked(self, n_mels: int) -> int:
        """Return the number of hidden patches in a window, from 1 to all but one."""
        if isinstance(self.n_masked, Integral):  # a number, not a share
            return int(self.n_masked)
        n_patches = (n_mels // self.patch_size) * (self.window_length // self.patch_size)
        return min(max(1, round(self.n_masked * n_patches)), n_patches - 1)

    def _masks(self, n_mels: int, n_masks: int, seed: int = 0) -> Tensor:
        """Draw masks (n_masks, n_mels, window_length); equal seeds give equal masks."""
        return balanced_patch_masks(
            n_masks,
            (n_mels, self.window_length),
            patch_size=self.patch_size,
            n_masked=self._count_masked(n_mels),
            generator=torch.Generator().manual_seed(seed),
        )

    def _after_training(self, clips: TrainingClips) -> None:
        # One set of masks for all clips: scores differ by the clips, not by chance.
        self.mask_seed_ = self._seed
        # A scale needs fewer masks than a score; but each patch must be hidden at least once.
        n_masks = min(self.n_masks, max(_POWER_MASKS, self._fewest_masks(clips.data.n_mels)))
        _, square, _ = residual_moments(
            self, clips, clips.normal_index, lambda x: self._residuals(x, n_masks).hidden
        )
        self.residual_power_ = usual_power(square)

    def _residuals(self, x: Tensor, n_masks: int) -> Residuals:
        """Measure windows under all masks, in chunks that the device's memory holds."""
        _, n_mels, n_frames = x.shape
        masks = self._masks(n_mels, n_masks, self.mask_seed_).to(x.device)
        window_bytes = _MAPS_HELD * self.width * n_mels * n_frames * x.element_size()
        n_at_once = max(1, _chunk_bytes(x.device) // window_bytes)
        return self.net_.module_.residuals(x, masks, n_at_once)

    def _describe(self, x: Tensor, scores: Collection[str]) -> dict[str, Tensor]:
        # One pass through the net gives all scores: to compute only the wanted ones saves nothing.
        residuals = self._residuals(x, self.n_masks)
        return {
            "masked": residuals.hidden.square().mean(dim=(1, 2)),
            "mean_of_masks": residuals.squares,
            "full": residuals.whole.square().mean(dim=(1, 2)),
        }

    def _residual(self, x: Tensor) -> Tensor:
        return self._residuals(x, self.n_masks).hidden
