"""The official MobileNetV2 baseline of DCASE Task 2 (2021 and 2022), a classifier of sections."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval
from torch import Tensor
from torch.nn import CrossEntropyLoss

from sklasd.base import NetDetector, TrainingClips
from sklasd.base._sections import Sections, unique_names
from sklasd.nets._mobilenet_v2 import SpectrogramMobileNet
from sklasd.scores import class_log_odds
from sklasd.training import WindowNet
from sklasd.training._cache import train_cached


class SectionMobileNetDetector(NetDetector):
    r"""Detect anomalies by a MobileNetV2 that classifies the sections of a machine.

    The net learns the section of each window of normal clips. A clip is anomalous if the net does
    not recognise its section: its score is minus the mean over its windows of

    .. math:: \log(1 - p) - \log p

    with the probability :math:`p` of the clip's own section, or, if that is unknown, of the
    likeliest one.

    Parameters
    ----------
    width_multiplier : float, default=0.5
        Factor of the numbers of channels; the cost grows with its square.
    window_length : int, default=64
        Frames in a window.
    hop : int, default=8
        Frames from one window to the next in training.
    scoring_hop : int, default=1
        The same in scoring; None means `hop`. A larger one scores that many times as fast.
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
    lr : float, default=1e-5
        Learning rate of Adam.
    batch_size : int, default=32
        Windows in a batch.
    max_epochs : int, default=20
        Passes over the training windows.
    device : str, default="auto"
        "cpu", "cuda", or "auto" for a GPU where there is one.
    random_state : int, RandomState instance or None, default=None
        Seed of weights and order.
    memory : str or object with the joblib.Memory interface, default=None
        Cache of trained nets: a search over parameters of scoring and decision then trains once per
        fold. It needs a `random_state`.
    verbose : int, default=1
        0 hides the progress bar, which is shown in terminals only.

    Attributes
    ----------
    sections_ : ndarray of str, shape (n_sections,)
        Names of the sections, sorted: the net's classes.
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
        Number of mel bands.

    See Also
    --------
    LogMel : The front end; its defaults are the baseline's.
    OEMobileNetDetector : Separates the machine from others, and needs no sections.

    Notes
    -----
    `fit` needs `section`, with at least two sections. Pass it to `score_samples`, `predict` and the
    others as well, ``predict(X, section=...)``; a pipeline of sklasd reads it from the column of a
    clip table. A clip without a section is scored by its likeliest section. So is, with a warning,
    a clip whose section in a column was not in `fit`; passed as an argument, such a section is an
    error. Clips whose section is known set the threshold. As the score of the likeliest section is
    never lower than that of the own one, unknown sections raise no more false alarms, but a fault
    that makes a clip sound like another section is missed.

    The net learns what separates the sections, and nothing else.

    The official training script fits a gamma distribution to the mean of
    :math:`\log(\max(1 - p, \epsilon) - \log \max(p, \epsilon))`, with a misplaced bracket, which is
    not the score of its test: its decisions (precision, recall, F1) mean nothing, while its AUC is
    right. Here score and threshold are the same quantity.

    The official net is that of Keras, whose batch normalisation has other constants; both start
    from random weights. Here the statistics of batch normalisation are computed anew after
    training, from all training windows. As in the baseline, :math:`p` and :math:`1 - p` are at
    least 2.2e-16, but they are computed in double precision from the logits: in single precision
    :math:`1 - p` would be 0 from 17 nats on.

    `exposed` clips are left out; `domain` and `groups` only guide the split into folds. At least
    two sections must remain for training in every fold. If a fold holds out all clips of a section,
    these are scored by the likeliest other one.

    References
    ----------
    .. [1] Y. Kawaguchi et al., "Description and discussion on DCASE 2021 Challenge Task 2:
       unsupervised anomalous detection for machine condition monitoring under domain shifted
       conditions", DCASE 2021.
    .. [2] K. Dohi et al., "Description and discussion on DCASE 2022 Challenge Task 2: unsupervised
       anomalous sound detection for machine condition monitoring applying domain generalization
       techniques", DCASE 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd import SectionMobileNetDetector
    >>> X = np.random.default_rng(0).normal(-50, 2, size=(16, 32, 24))
    >>> section = np.arange(16) % 2
    >>> X[section == 0, 5:8] += 15  # dB: each section has a tone of its own
    >>> X[section == 1, 20:23] += 15
    >>> detector = SectionMobileNetDetector(
    ...     width_multiplier=0.25, window_length=16, hop=4, scoring_hop=4, lr=3e-3, max_epochs=6,
    ...     calibration=None, random_state=0,
    ... ).fit(X, section=section)
    >>> detector.predict(X[:2], section=[1, 0])  # each with the other's name
    array([-1, -1])
    """

    _window_scores = ("log_odds",)
    _gives_log_odds = True  # allows threshold="mean_confidence"
    _parameter_constraints: ClassVar[dict] = {
        **NetDetector._parameter_constraints,
        "width_multiplier": [Interval(Real, 0, None, closed="neither")],
        "window_length": [Interval(Integral, 1, None, closed="left")],
        "hop": [Interval(Integral, 1, None, closed="left")],
        "scoring_hop": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        *,
        width_multiplier: float = 0.5,
        window_length: int = 64,
        hop: int = 8,
        scoring_hop: int | None = 1,
        anomaly_score: str = "log_odds",
        pooling: str = "mean",
        threshold: Any = "gamma",
        contamination: float = 0.1,
        calibration: Any = "auto",
        lr: float = 1e-5,
        batch_size: int = 32,
        max_epochs: int = 20,
        device: str = "auto",
        random_state: Any = None,
        memory: Any = None,
        verbose: int = 1,
    ) -> None:
        self.width_multiplier = width_multiplier
        self.window_length = window_length
        self.hop = hop
        self.scoring_hop = scoring_hop
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
        if clips is None:  # nothing has been read yet
            return
        if clips.section is None:
            raise ValueError(
                f"Got no section for {len(clips)} samples, but the net learns to classify "
                "sections; pass section=..., a name for each clip."
            )
        # A section with anomalous clips alone teaches nothing.
        names = unique_names(clips.section[clips.normal])
        if len(names) < 2:
            raise ValueError(
                f"Got the single section {names[0]!r} for {clips.normal.sum()} samples, but a "
                "classifier needs two; pass clips of several sections, or use OEMobileNetDetector, "
                "which separates a machine from others."
            )

    def _train_nets(self, clips: TrainingClips) -> dict[str, WindowNet]:
        self._sections = Sections.learn(clips)
        self.sections_, self._learnt_sections = self._sections.names, self._sections.given
        number = self._sections.of_training(clips)  # the class of each clip
        windows = self._training_windows(clips).with_targets(number)
        net = self._window_net(
            SpectrogramMobileNet,
            criterion=CrossEntropyLoss,
            module__n_classes=len(self.sections_),
            module__width_multiplier=float(self.width_multiplier),
            module__dropout=0.0,  # as Keras builds the net, unlike torchvision
            module__normalise=False,  # ImageNet's means are for pretrained weights
        )
        return {"net": train_cached(self, net, windows)}

    def _describe(self, x: Tensor, scores: Collection[str]) -> dict[str, Tensor]:
        # Sections are chosen for the whole clip, so windows are measured by each of them.
        log_odds = class_log_odds(self.net_.module_(x))  # (batch, n_sections)
        return {name: -log_odds[:, i] for i, name in enumerate(self.sections_)}

    def _join(
        self,
        pooled: dict[str, np.ndarray],
        scores: Collection[str],
        section: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        # (n_clips, n_sections): the mean log odds of each section
        by_section = np.column_stack([pooled[name] for name in self.sections_])
        return {name: self._sections.pick(by_section, section) for name in scores}
