"""AudDSR (Zavrtanik et al., ICASSP 2024): anomalies simulated in a space of codes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn.functional import avg_pool2d

from sklasd.base import NetDetector, TrainingClips
from sklasd.clips._spectrograms import Spectrograms
from sklasd.detectors._discrete_autoencoder import DiscreteAutoencoder
from sklasd.losses import RestorationLoss
from sklasd.nets._dsr import DSR
from sklasd.training._cache import train_cached
from sklasd.training._window_net import WindowNet
from sklasd.utils._seeds import draw_seed

_LONGEST = 320  # frames of a window by default: ten seconds, and padding


class AudDSRDetector(NetDetector):
    r"""Detect anomalies by a net that learns to find replaced codes.

    A `DiscreteAutoencoder`, trained before and frozen, turns a normal spectrogram into two maps of
    codes. Other codes of the codebook replace regions of these maps: simulated anomalies. An
    object-specific decoder learns to rebuild the normal spectrogram :math:`\hat x` from them, while
    the general decoder keeps the anomaly; a U-Net compares both and learns to mark the regions. In
    scoring nothing is replaced, and the net marks the clip's own anomalies.

    .. math:: L = \sum_{l} \|f_l - q_l\|^2 + \lambda \|x - \hat x\|^2 +
        \operatorname{focal}(\text{map}, M)

    with the restored features :math:`f_l` and the clean codes :math:`q_l` of both levels.

    Parameters
    ----------
    autoencoder : DiscreteAutoencoder or FrozenEstimator, default=None
        The first stage. A clone is fitted to the normal and the exposed clips, unless it is a
        ``FrozenEstimator(autoencoder)``: then clones, folds and searches all use the fitted one.
        None means ``DiscreteAutoencoder()``.
    detection_width : int, default=64
        Channels of the detection module's first level.
    window_length : int, default=None
        Length of the windows in frames. None takes the shortest training clip, at most 320 frames;
        shorter clips cannot be scored then.
    hop : int, default=None
        Frames from one window to the next, at most the window's length where that is taken from the
        clips. None means the window's length.
    anomalous_share : float, default=0.5
        Share of each batch that gets simulated anomalies.
    band_share : float, default=0.5
        Share of the simulated anomalies that are a frequency band over several segments of time.
        The others are thresholded Perlin noise.
    bands : (int, int), default=(4, 64)
        Least and greatest height of such a band, in mel bands.
    n_segments : (int, int), default=(1, 5)
        Least and greatest number of its segments.
    segment_frames : (int, int), default=None
        Least and greatest length of a segment in frames; None means 8 and half of the window.
    perlin_threshold : float, default=0.5
        Perlin noise, between -1 and 1, is anomalous above this value.
    perlin_octaves : (int, int), default=(0, 5)
        Range of a and b, at random, in the :math:`2^a \times 2^b` cells of the noise.
    replacement : {"codebook", "nearest"}, default="codebook"
        Replace codes by any other, as in the paper, or, as in DSR, by one whose rank of nearness
        lies between 5 % of the codebook and a random share from the range `strength`.
    strength : (float, float), default=(0.2, 1.0)
        Range of that share, for "nearest".
    image_weight : float, default=10.0
        :math:`\lambda`.
    mask_weight : float, default=0.0
        Weight of a further term, the mean absolute error of the map. It is not in the paper, but in
        3DSR by the same authors. Values from 1 to 3 help short trainings.
    smoothing : int, default=21
        Side in cells of the square that averages the map before its maximum is taken.
    needs_exposed : bool, default=False
        Raise an error without exposed clips, as AudDSR_annot needs them.
    anomaly_score : {"map_mean", "map_max"}, default="map_mean"
        Mean of the map, or maximum of the smoothed map.
    pooling : {"mean", "max", "min"}, default="mean"
        How the windows' scores become the clip's.
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
    lr : float, default=2e-4
        Learning rate of Adam.
    batch_size : int, default=16
        Windows in a batch.
    max_iterations : int, default=10000
        Length of the training in batches.
    max_epochs : int, default=None
        Length of the training in passes over the windows; replaces `max_iterations`.
    device : str, default="auto"
        "cpu", "cuda", or "auto" for a GPU where there is one.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, order and simulated anomalies, and of a first stage without a seed.
    memory : str or object with the joblib.Memory interface, default=None
        Cache of trained nets: a search over parameters of scoring and decision then trains once per
        fold. It needs a `random_state`.
    verbose : int, default=1
        0 hides the progress bar, which is shown in terminals only.

    Attributes
    ----------
    nets_ : dict of str to WindowNet
        "dsr", and before it "autoencoder", the first stage, unless it was frozen.
    autoencoder_ : DiscreteAutoencoder
        The fitted first stage.
    shortest_ : int
        Frames of the shortest training clip, at most 320.
    net_ : WindowNet
        The skorch net of the second stage.
    loss_curve_ : ndarray of shape (n_epochs,)
        Its training loss, for each epoch or for each 100 iterations.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        Scores of the normal clips that set the threshold.
    offset_ : float
        Threshold: clips that score below it are anomalous.
    n_features_in_ : int
        Number of mel bands.

    See Also
    --------
    DiscreteAutoencoder : The first stage.

    Notes
    -----
    Exposed clips are anomalous everywhere (a map of ones), and the net restores nothing from them:
    with clips of other machines of the same type this is the paper's AudDSR_annot. Expose about as
    many clips as there are normal ones, as all windows are equally likely in a batch. `section`,
    `domain` and `groups` only guide the split into folds.

    The paper has no public code; it says that it follows DSR [2]_. What it says is kept: the origin
    of the codes, the kinds of regions, half of each batch, iterations, Adam, the mean of the map as
    the score. What it leaves out is DSR's: the restriction of both subspaces before the
    object-specific decoder, the weights of the loss, the corrupted levels (both for half of the
    windows, else one), the noise, the mask's target (the cells whose codes were replaced). Neither
    gives the sizes of segments, which are parameters. With "nearest", codes are ranked by their
    distance from a cell's own code; DSR takes that from its feature before quantisation.

    The map takes long to become sharp: with small nets and made-up bursts, 1,000 batches with
    ``mask_weight=3`` made it at least twice as bright inside nearly all bursts, the paper's loss
    inside less than half of them (``python benchmarks/bench_auddsr.py --localise``). Windows are
    padded by their last band and frame until 32 divides both sides.

    References
    ----------
    .. [1] V. Zavrtanik, M. Marolt, M. Kristan, D. Skocaj, "Anomalous sound detection by
       feature-level anomaly simulation", ICASSP 2024.
    .. [2] V. Zavrtanik, M. Kristan, D. Skocaj, "DSR - a dual subspace re-projection network for
       surface anomaly detection", ECCV 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd.detectors import AudDSRDetector, DiscreteAutoencoder
    >>> X = np.random.default_rng(0).normal(-40, 5, (12, 32, 70)).astype(np.float32)
    >>> first = DiscreteAutoencoder(
    ...     n_features=8, codebook_size=4, batch_size=8, max_iterations=20
    ... )
    >>> detector = AudDSRDetector(
    ...     first, detection_width=4, max_iterations=10, calibration=None, random_state=0
    ... ).fit(X)
    >>> detector.anomaly_map(X[:2]).shape
    (2, 32, 70)
    """

    _window_scores = ("map_mean", "map_max")
    _map_unit = "probability"
    _scoring_batch: ClassVar[int] = 16  # windows of ten seconds take much memory
    _parameter_constraints: ClassVar[dict] = {
        **NetDetector._parameter_constraints,
        "autoencoder": [DiscreteAutoencoder, FrozenEstimator, None],
        "detection_width": [Interval(Integral, 1, None, closed="left")],
        "window_length": [Interval(Integral, 1, None, closed="left"), None],
        "hop": [Interval(Integral, 1, None, closed="left"), None],
        "anomalous_share": [Interval(Real, 0, 1, closed="both")],
        "band_share": [Interval(Real, 0, 1, closed="both")],
        "bands": [tuple, list],  # `_check_params` looks at the numbers of ranges
        "n_segments": [tuple, list],
        "segment_frames": [tuple, list, None],
        "perlin_threshold": [Interval(Real, -1, 1, closed="both")],
        "perlin_octaves": [tuple, list],
        "replacement": [StrOptions({"codebook", "nearest"})],
        "strength": [tuple, list],
        "image_weight": [Interval(Real, 0, None, closed="left")],
        "mask_weight": [Interval(Real, 0, None, closed="left")],
        "smoothing": [Interval(Integral, 1, None, closed="left")],
        "needs_exposed": ["boolean"],
        "max_iterations": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        autoencoder: Any = None,
        *,
        detection_width: int = 64,
        window_length: int | None = None,
        hop: int | None = None,
        anomalous_share: float = 0.5,
        band_share: float = 0.5,
        bands: Sequence[int] = (4, 64),
        n_segments: Sequence[int] = (1, 5),
        segment_frames: Sequence[int] | None = None,
        perlin_threshold: float = 0.5,
        perlin_octaves: Sequence[int] = (0, 5),
        replacement: str = "codebook",
        strength: Sequence[float] = (0.2, 1.0),
        image_weight: float = 10.0,
        mask_weight: float = 0.0,
        smoothing: int = 21,
        needs_exposed: bool = False,
        anomaly_score: str = "map_mean",
        pooling: str = "mean",
        threshold: Any = "gamma",
        contamination: float = 0.1,
        calibration: Any = "auto",
        lr: float = 2e-4,
        batch_size: int = 16,
        max_iterations: int = 10_000,
        max_epochs: int | None = None,
        device: str = "auto",
        random_state: Any = None,
        memory: Any = None,
        verbose: int = 1,
    ) -> None:
        self.autoencoder = autoencoder
        self.detection_width = detection_width
        self.window_length = window_length
        self.hop = hop
        self.anomalous_share = anomalous_share
        self.band_share = band_share
        self.bands = bands
        self.n_segments = n_segments
        self.segment_frames = segment_frames
        self.perlin_threshold = perlin_threshold
        self.perlin_octaves = perlin_octaves
        self.replacement = replacement
        self.strength = strength
        self.image_weight = image_weight
        self.mask_weight = mask_weight
        self.smoothing = smoothing
        self.needs_exposed = needs_exposed
        self.anomaly_score = anomaly_score
        self.pooling = pooling
        self.threshold = threshold
        self.contamination = contamination
        self.calibration = calibration
        self.lr = lr
        self.batch_size = batch_size
        self.max_iterations = max_iterations
        self.max_epochs = max_epochs
        self.device = device
        self.random_state = random_state
        self.memory = memory
        self.verbose = verbose

    def _window(self) -> tuple[int, int]:
        if self.window_length is not None:
            return self.window_length, self.window_length if self.hop is None else self.hop
        length = vars(self).get("shortest_", _LONGEST)  # unfitted, the clips' lengths are unknown
        return length, length if self.hop is None else min(self.hop, length)

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        ranges = {"bands": 1, "n_segments": 1, "segment_frames": 1, "perlin_octaves": 0}
        for name, least in ranges.items():
            values = getattr(self, name)
            if values is not None and not _is_range(values, least, Integral):
                raise ValueError(
                    f"Got {name}={values!r}; pass two whole numbers, at least {least}, the lower "
                    "one first."
                )
        if not _is_range(self.strength, 0, Real) or self.strength[1] > 1:
            raise ValueError(
                f"Got strength={self.strength!r}; pass two numbers from 0 to 1, the lower first."
            )
        if isinstance(self.autoencoder, FrozenEstimator):
            if not isinstance(self.autoencoder.estimator, DiscreteAutoencoder):
                raise ValueError(
                    f"Got a frozen {type(self.autoencoder.estimator).__name__}; freeze a fitted "
                    "DiscreteAutoencoder."
                )
            check_is_fitted(self.autoencoder)  # `fit` of a frozen estimator does nothing
            expected = self.autoencoder.estimator.n_features_in_
            if n_features is not None and n_features != expected:
                raise ValueError(
                    f"Got clips of n_mels={n_features}, but the frozen autoencoder was fitted on "
                    f"{expected}; use the front end it was fitted with."
                )
        elif self.autoencoder is not None:
            self.autoencoder.check_params()
        if clips is not None:
            # Folds get the windows of all clips: windows of another length make other scores.
            is_learnt = clips.whole.normal | clips.whole.exposed
            self.shortest_ = min(int(clips.data.n_frames[is_learnt].min()), _LONGEST)
        if clips is not None and self.needs_exposed and not clips.exposed.any():
            raise ValueError(
                f"Got needs_exposed=True, but none of {len(clips)} samples is exposed; pass "
                "exposed=..., a mask of clips of other machines."
            )

    def _match_training_effort(self, share: float) -> None:
        # A number of iterations does not depend on the number of clips; a number of epochs does.
        if self.max_epochs is not None:
            super()._match_training_effort(share)
        stage = self.autoencoder
        if isinstance(stage, DiscreteAutoencoder) and stage.max_epochs is not None:
            n_epochs = max(1, round(stage.max_epochs / share))
            # A clone: the user's object is shared by the detectors of all folds.
            self.autoencoder = clone(stage).set_params(max_epochs=n_epochs)

    def _train_nets(self, clips: TrainingClips) -> dict[str, WindowNet]:
        index = np.flatnonzero(clips.normal | clips.exposed)
        self.autoencoder_ = self._first_stage(clips.data, index)
        first = self.autoencoder_.net_
        windows = self._training_windows(clips, index).with_targets(clips.exposed)
        params = first.module_
        # The second stage starts from the first one's encoder, codebooks and general decoder.
        net = self._window_net(
            DSR,
            criterion=RestorationLoss,
            criterion__image_weight=self.image_weight,
            criterion__mask_weight=self.mask_weight,
            max_epochs=self.max_epochs,
            max_iterations=self.max_iterations if self.max_epochs is None else None,
            # The sizes of the fitted first stage, whatever its parameters have become.
            module__n_features=params.quantize_fine.codebook.shape[1],
            module__codebook_size=len(params.quantize_fine.codebook),
            module__n_mels=len(params.scaling.centre),
            module__width=self.detection_width,
            module__anomalous_share=self.anomalous_share,
            module__band_share=self.band_share,
            module__replacement=self.replacement,
            module__strength=tuple(self.strength),
            module__bands=tuple(self.bands),
            module__n_segments=tuple(self.n_segments),
            module__segment_frames=self.segment_frames,
            module__threshold=self.perlin_threshold,
            module__octaves=tuple(self.perlin_octaves),
            initial_state={name: x.cpu().numpy() for name, x in params.state_dict().items()},
        )
        # `nets_` lists what this fit has trained: a frozen first stage was trained elsewhere.
        trained = {} if isinstance(self.autoencoder, FrozenEstimator) else {"autoencoder": first}
        return trained | {"dsr": train_cached(self, net, windows)}

    def _first_stage(self, data: Spectrograms, index: np.ndarray) -> DiscreteAutoencoder:
        """Return the first stage, as it was frozen or fitted to the clips at some positions."""
        if isinstance(self.autoencoder, FrozenEstimator):
            return self.autoencoder.estimator
        # A fit leaves parameters alone: this clone takes over what the user has not set.
        stage = clone(self.autoencoder or DiscreteAutoencoder())
        if stage.random_state is None and self.random_state is not None:
            stage.set_params(random_state=draw_seed(self.random_state))  # one seed for both stages
        stage.set_params(device=self.device, verbose=self.verbose)
        if stage.memory is None:
            stage.set_params(memory=self.memory)
        stage._fit_clips(data, index)
        stage.net_.module_.requires_grad_(False)  # the second stage trains its own nets alone
        return stage

    def _describe(self, x: Tensor, scores: Collection[str]) -> dict[str, Tensor]:
        where = self.net_.module_.segment(x)  # (batch, n_mels, window_length)
        # A window narrower than the square is averaged over its whole side.
        size = [min(self.smoothing, side) for side in where.shape[1:]]
        smooth = avg_pool2d(where[:, None], size, stride=1)
        # A fault of a moment hardly changes the mean, one spread over the clip hardly the maximum.
        return {"map_mean": where.mean(dim=(1, 2)), "map_max": smooth.amax(dim=(1, 2, 3))}

    def _map(self, x: Tensor) -> Tensor:
        return self.net_.module_.segment(x)


def _is_range(values: Any, least: float, kind: type) -> bool:
    """Return whether values are two of a kind, in order and not below the least one."""
    ok = len(values) == 2 and all(isinstance(v, kind) for v in values)
    return bool(ok and least <= values[0] <= values[1])
