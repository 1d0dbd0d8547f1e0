"""Image MobileNetV2 with outlier exposure (Kazakova et al., DCASE 2022)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor
from torch.nn import CrossEntropyLoss

from sklasd.base import NetDetector, TrainingClips
from sklasd.nets._mobilenet_v2 import MobileNetV2, SpectrogramMobileNet
from sklasd.training import Spectrograms, WindowNet
from sklasd.training._cache import train_cached
from sklasd.training._loader import BalancedLoader
from sklasd.training._weights import load_weights

_OTHERS, _OWN = 0, 1  # the net's classes
_BEYOND = 1.0  # how far from [0, 1] values may lie: altered images stay within it, decibels do not


def _check_range(images: Spectrograms) -> None:
    """Refuse spectrograms in dB, which pretrained weights have never seen."""
    low, high = images.frames.min(), images.frames.max()
    if images.are_images or (low >= -_BEYOND and high <= 1 + _BEYOND):
        return
    row = images.frames.argmin() if low < -_BEYOND else images.frames.argmax()
    clip = np.searchsorted(images.bounds, row // images.n_mels, side="right") - 1
    own = images.frames[images.bounds[clip] : images.bounds[clip + 1]]
    raise ValueError(
        f"Got pretrained weights, which need images from 0 to 1, but clip {clip} has values from "
        f"{own.min():g} to {own.max():g}; pass images of STFTImage, or bytes, or "
        'weights="random".'
    )


class OEMobileNetDetector(NetDetector):
    r"""Detect anomalies by a MobileNetV2 that separates the machine's images from others'.

    Normal clips and exposed clips, of other machines, are two classes, which the net learns to
    separate by cross-entropy. A new clip is anomalous if the net takes it for another machine's:
    its score is minus

    .. math:: \log \frac{1 - p}{p}

    with the probability :math:`p` of the machine's own class.

    Parameters
    ----------
    weights : {"random"}, path or None, default=None
        A file with a state dict, by the names of torchvision's ``mobilenet_v2``, such as that of
        ImageNet. Training starts from all of it but the classifier. None starts from random weights
        with a warning, "random" without one.
    width_multiplier : float, default=1.0
        Factor of the numbers of channels; the cost grows with its square. Pretrained weights need
        1.
    window_length : int, default=320
        Frames in a window: all of an image from `STFTImage`.
    hop : int, default=320
        Frames from one window to the next; the last window ends with the clip.
    anomaly_score : {"log_odds"}, default="log_odds"
        The score above.
    pooling : {"mean", "max", "min"}, default="mean"
        How the scores of a clip's windows become one.
    threshold : {"gamma", "quantile", "conformal", "mean_confidence"} or callable, default="gamma"
        How `offset_` is found from `calibration_scores_`: "gamma" fits a gamma distribution to the
        anomaly scores, "quantile" takes their quantile, "conformal" takes the rank below which
        ``p_values(X) <= contamination``, "mean_confidence" takes `sklasd.base.mean_confidence`,
        which ignores `contamination`. A callable computes it from the scores (n_clips,).
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
        Learning rate of Adam.
    batch_size : int, default=64
        Windows in a batch: one half the machine's own, one half exposed.
    max_epochs : int, default=20
        Passes over the machine's own windows. Exposed ones are repeated as often as needed.
    device : str, default="auto"
        "cpu", "cuda", or "auto" for a GPU where there is one.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, order and dropout.
    memory : str or object with the joblib.Memory interface, default=None
        Cache of trained nets: a search over parameters of scoring and decision then trains once per
        fold. It needs a `random_state`.
    verbose : int, default=1
        0 hides the progress bar, which is shown in terminals only.

    Attributes
    ----------
    net_ : WindowNet
        The trained skorch net.
    nets_ : dict of str to WindowNet
        The same, as "net".
    loss_curve_ : ndarray of shape (n_epochs,)
        Its training loss: the mean cross-entropy of each epoch, in nats.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        Scores of the normal clips that set the threshold.
    offset_ : float
        Threshold: clips that score below it are anomalous.
    n_features_in_ : int
        Height of the images.

    See Also
    --------
    STFTImage : Makes the images.
    SectionMobileNetDetector : Separates sections of a machine, and needs no other machines.

    Notes
    -----
    `fit` needs exposed clips: pass a mask as ``exposed``. They count neither for the threshold nor
    for the calibration. What the net attends to depends on the machines that they come from: in the
    report's table of pairs AUCs range from 51 to 65 %.

    The report leaves out the head, the optimiser, the length of the training, and the number of
    exposed clips. Here the head is torchvision's, dropout and one layer; all layers are trained;
    Adam's step and the batches, half and half, are those of [2]_, and 20 epochs are our choice. The
    report's augmentation, pitch and tempo of the machine's clips, is left to you (`Augmented`). Its
    "90 classes" fit an object detector rather than an ImageNet classifier.

    Images are floats from 0 to 1, or bytes, which stay bytes until they are in a batch. One channel
    becomes three equal ones, with ImageNet's means and deviations. From random weights, the net
    also takes images of any size and spectrograms in dB, in windows; with pretrained weights,
    floats more than 1 beyond the range from 0 to 1 are refused.

    After training, the statistics of batch normalisation are computed anew, from balanced batches.

    For another alpha of `mean_confidence`, pass ``functools.partial(mean_confidence, alpha=0.02)``.
    The report finds it from 500 training images; here it uses `calibration_scores_`, by default
    those of held-out clips. `section`, `domain` and `groups` only guide the split into folds.

    An image of 320 x 320 costs 0.61 billion multiply-adds to score.

    References
    ----------
    .. [1] S. Kazakova, A. Semenov, A. Surkov, S. Astapov, "Anomalous sound detection with
       autoencoder and image MobileNet using outlier exposure approach", DCASE2022 Challenge
       technical report.
    .. [2] P. Primus, V. Haunschmid, P. Praher, G. Widmer, "Anomalous sound detection as a simple
       binary classification problem with careful selection of proxy outlier examples", DCASE 2020.
    .. [3] M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, "MobileNetV2: inverted residuals
       and linear bottlenecks", CVPR 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd import OEMobileNetDetector
    >>> X = np.random.default_rng(0).uniform(size=(24, 32, 32))
    >>> exposed = np.arange(24) % 2 == 1
    >>> X[exposed, 10:14] += 1  # the other machine has a tone
    >>> detector = OEMobileNetDetector(
    ...     weights="random", width_multiplier=0.25, window_length=16, hop=8, lr=1e-2,
    ...     batch_size=24, max_epochs=8, calibration=None, random_state=0,
    ... ).fit(X, exposed=exposed)
    >>> bool(detector.score_samples(X[exposed]).mean() < detector.offset_)
    True
    """

    _window_scores = ("log_odds",)
    _scoring_batch: ClassVar[int] = 8  # images of 320 x 320 take much memory
    _takes_bytes = True  # a quarter of the memory of floats
    _compares_conditions = False  # every image has a scale of its own
    _gives_log_odds = True  # allows threshold="mean_confidence"
    _parameter_constraints: ClassVar[dict] = {
        **NetDetector._parameter_constraints,
        "weights": [str, os.PathLike, None],
        "width_multiplier": [Interval(Real, 0, None, closed="neither")],
        "window_length": [Interval(Integral, 1, None, closed="left")],
        "hop": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        weights: str | os.PathLike[str] | None = None,
        width_multiplier: float = 1.0,
        window_length: int = 320,
        hop: int = 320,
        anomaly_score: str = "log_odds",
        pooling: str = "mean",
        threshold: Any = "gamma",
        contamination: float = 0.1,
        calibration: Any = "auto",
        lr: float = 1e-4,
        batch_size: int = 64,
        max_epochs: int = 20,
        device: str = "auto",
        random_state: Any = None,
        memory: Any = None,
        verbose: int = 1,
    ) -> None:
        self.weights = weights
        self.width_multiplier = width_multiplier
        self.window_length = window_length
        self.hop = hop
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

    def _prepare(self, X: Any, *, reset: bool) -> Spectrograms:
        images = super()._prepare(X, reset=reset)
        if self.weights not in (None, "random"):
            _check_range(images)
        return images

    def _window(self) -> tuple[int, int]:
        return self.window_length, self.hop

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        if clips is None:  # a fitted detector is recalibrated without the file of weights
            return
        if not clips.exposed.any():
            raise ValueError(
                f"Got no exposed clip among {len(clips)} samples, but the net learns to separate "
                "the machine from others; pass exposed=..., a mask of clips of other machines."
            )
        self._pretrained()  # a bad file is found before training

    def _pretrained(self) -> dict[str, np.ndarray] | None:
        """Read the weights, or refuse them."""
        if self.weights is None or self.weights == "random":
            return None
        with torch.device("meta"):  # names and shapes alone, without memory
            net = MobileNetV2(width_multiplier=self.width_multiplier)
        return load_weights(self.weights, net.state_dict(), head="classifier.")

    def _match_training_effort(self, share: float) -> None:
        super()._match_training_effort(share)
        if self.weights is None:
            self.weights = "random"  # the net of all clips has warned already

    def _train_nets(self, clips: TrainingClips) -> dict[str, WindowNet]:
        if self.weights is None:
            warnings.warn(
                "Got weights=None: MobileNetV2 is trained from random weights, where the report "
                'started from pretrained ones. Pass the path of a file, or weights="random" to '
                "silence this.",
                UserWarning,
                stacklevel=4,
            )
        index = np.flatnonzero(clips.normal | clips.exposed)
        labels = np.where(clips.normal, _OWN, _OTHERS)
        windows = self._training_windows(clips, index).with_targets(labels)
        net = self._window_net(
            SpectrogramMobileNet,
            criterion=CrossEntropyLoss,
            module__width_multiplier=float(self.width_multiplier),
            iterator_train=BalancedLoader,
            initial_state=self._pretrained(),
        )
        return {"net": train_cached(self, net, windows)}

    def _describe(self, x: Tensor, scores: Collection[str]) -> dict[str, Tensor]:
        logits = self.net_.module_(x)
        # The log odds of two classes are the difference of their logits.
        return {"log_odds": logits[:, _OTHERS] - logits[:, _OWN]}
