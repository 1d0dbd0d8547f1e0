"""AEGAN-AD: an autoencoder and a critic that guides it (Jiang et al., 2023)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import joblib
import numpy as np
import pandas as pd
from sklearn.neighbors import LocalOutlierFactor
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklasd.backends import KNNDetector, MahalanobisDetector, NearestMean
from sklasd.backends._by_name import OWN, check_own_backend, fit_backends, score_by
from sklasd.base import NetDetector, TrainingClips
from sklasd.base._window_maps import map_clips
from sklasd.clips._spectrograms import Spectrograms, join_maps
from sklasd.features import SpectrogramScaler
from sklasd.losses import MeanSquaredError
from sklasd.nets._aegan import AEGAN
from sklasd.scores import DISTANCES
from sklasd.training import CURVES, AdversarialNet, WindowNet, Windows
from sklasd.training._scaling import learn_scaling

_SMALLEST = 32  # bands and frames of a window; each side is a power of two
_FEWEST = 3  # clips; back ends have nothing to compare fewer with


class AEGANDetector(NetDetector):
    r"""Detect anomalies by an autoencoder that is taught what matters by a critic.

    A convolutional autoencoder, the generator :math:`G`, learns to rebuild windows :math:`x` of
    normal spectrograms. A critic :math:`D` learns to tell :math:`x` from :math:`r = G(x)`, and
    what it looks at, its embedding :math:`f`, is matched:

    .. math::
        L_D &= -\overline{D(x)} + \overline{D(r)} + \lambda \,
            \overline{(\|\nabla D(\hat x)\| - 1)^2} \\
        L_G &= \overline{(r - x)^2} + w \, \overline{(\overline{f(r)} - \overline{f(x)})^2}

    Anomalies differ from their reconstruction, in the windows or in the encoder's latent vectors
    :math:`z = E(x)` and :math:`E(r)`, or are far from normal clips in the critic's embedding.

    Parameters
    ----------
    window_length : int, default=128
        Frames in a window. This and the number of mel bands are powers of two from 32 on, and
        need not be equal.
    hop : int, default=1
        Frames from one window to the next in training.
    scoring_hop : int, default=None
        The same in scoring; None takes `hop`. A larger one scores that many times as fast.
    width : int, default=32
        Channels after the first convolution, of both nets; the cost grows with its square.
    latent_features : int, default=256
        Size of the latent vector.
    norm : {"layer", "batch"}, default="layer"
        Normalisation of the generator; the critic's is always "layer".
    first_norm : bool, default=True
        Normalise after the encoder's first convolution, too.
    matching : {"mean", "mean_std"}, default="mean"
        What of the embeddings is matched: their means over the batch, or their deviations, too.
    matching_weight : float, default=0.1
        :math:`w`, the weight of feature matching.
    penalty_weight : float, default=10.0
        :math:`\lambda`, the weight of the gradient penalty.
    n_critic : int, default=1
        Steps of the critic to one of the generator.
    scaler : SpectrogramScaler, default=None
        How the input is scaled, learnt from the normal training clips; None takes
        ``SpectrogramScaler(feature_range=(-1, 1))``. The generator's output is in [-1, 1]. It is
        cloned, not fitted.
    anomaly_score : str, default="embedding_mahalanobis"
        Of windows, pooled over the clip: "sample_l1" and "sample_l2", the sums over pixels of
        :math:`|r - x|` and :math:`(r - x)^2`, scaled; "latent_l1", "latent_l2" and
        "latent_cosine", the same of :math:`E(r)` and :math:`E(x)`, and one less their cosine.
        Of the clip's mean embedding, against those of the training clips: "embedding_knn", the
        sum of the cosine distances to the two nearest; "embedding_lof", the local outlier factor
        of four neighbours by cosine distance; "embedding_mahalanobis", the Mahalanobis distance;
        "embedding_cosine", the cosine distance to the mean; "embedding_backend", the score of
        `backend`.
    backend : estimator, default=None
        With ``fit`` and ``score_samples``, such as ``KNNDetector(density="ratio")`` or
        ``IsolationForest()``. It is cloned and fitted to the training clips' mean embeddings.
    pooling : {"mean", "max", "min"}, default="mean"
        How the scores of a clip's windows become one.
    threshold : {"gamma", "quantile", "conformal"} or callable, default="gamma"
        How `offset_` is found from `calibration_scores_`: by a gamma fit to the anomaly scores, by
        their empirical quantile, by the rank below which ``p_values(X) <= contamination``, or by a
        function of the scores (n_clips,).
    contamination : float, default=0.1
        Share of new normal clips that is to lie beyond the threshold: the false-alarm rate.
    calibration : {"auto"}, int, splitter or None, default="auto"
        How `calibration_scores_` are made: of clips that the nets which score them have not seen.
        "auto" deals up to 100 normal clips into ten folds, and up to 200 or groups into five, each
        scored by nets trained on the others for as many steps; of more, it holds out a quarter. New
        clips are always scored by nets trained on all. An int is the number of folds; a
        scikit-learn splitter deals them. None takes the training clips' own scores, as the papers
        do, by which far more new clips are alarms than were asked for; it trains once, and suits a
        search in which thresholds do not matter.
    lr : float, default=2e-4
        Step size of Adam, for both nets.
    betas : (float, float), default=(0.5, 0.999)
        Decay rates of Adam's averages, for both nets.
    batch_size : int, default=512
        Windows in a training step. A last, smaller batch is left out, unless it is the only one.
    max_epochs : int, default=60
        Passes over the training windows.
    precision : {"32", "bf16"}, default="32"
        Of the multiplications in training: single (on a GPU what torch takes for it, TF32 where
        there is such), or bfloat16 mixed with it. Scores are always computed in single.
    device : str, default="auto"
        "auto" (a GPU where there is one), "cpu" or "cuda".
    random_state : int, RandomState instance or None, default=None
        Seed of weights, order and the gradient penalty. None draws a new one without touching the
        global generators.
    memory : str or object with the joblib.Memory interface, default=None
        Where trained nets are cached, so that a search over parameters of scoring and decision
        trains once per fold. It needs a `random_state`.
    verbose : int, default=1
        0 hides the progress bar, which is only ever shown in a terminal.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained generator and discriminator, with the scaling before them.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        What normal clips score that were not learnt from.
    offset_ : float
        Score below which a clip is called anomalous.
    loss_curve_ : ndarray of shape (n_epochs,)
        The generator's training loss.
    history_ : DataFrame of shape (n_epochs, 4)
        ``generator_loss``, ``critic_loss``, ``gradient_penalty`` and ``critic_margin``,
        :math:`\overline{D(x)} - \overline{D(r)}`.
    embeddings_ : ndarray of shape (n_normal_clips, n_features)
        Mean embedding of each normal training clip; 512 features at the default size.
    backends_ : dict of str to estimator
        What scores embeddings, by the name of the score, fitted to `embeddings_`.
    mean_spectrogram_ : ndarray of shape (n_mels, n_frames), float32
        Mean of the normal training clips at each frame, in dB; as long as the longest.
    n_features_in_ : int
        Number of mel bands.

    See Also
    --------
    KNNDetector, MahalanobisDetector : What scores the embeddings.
    LogMel : The front end; the paper's is ``LogMel(n_fft=2048, top_db=80)``.
    make_recipe : "aegan-ad", and the settings for each machine, as "aegan-ad:gearbox".

    Notes
    -----
    The published figures cannot be had by choosing settings beforehand: after each of 60 epochs
    all 19 scores were evaluated on the *labelled test clips*, and the best of them decided which
    epoch and which score was reported for each machine. Here the last epoch is kept, and the
    score is a parameter, whose default is the best of all by a rule that was fixed beforehand: the
    mean AUC on 24 synthetic machines, averaged with that on the real recordings, all with small
    nets (``benchmarks/bench_aegan_scores.py``). "embedding_mahalanobis" has 0.842 on the synthetic
    machines, "embedding_knn" 0.775, "sample_l2" 0.621 and the latent scores 0.582. The paper's own
    size was not trained. The critic's layer normalisation takes the level out: embedding scores
    hardly notice a clip that is only louder, the scores of windows do. Search with labelled clips
    of your own.

    What the paper leaves open, or the authors' code does otherwise:

    - The paper matches means and deviations, ``matching="mean_std"``. The default is that of the
      code, which made the paper's figures for four of its five machines by means alone. The
      weight of 0.1 is the code's, too.
    - The norms of the formulas are means over features in the code, and here.
    - Normalisation, ``betas[0]``, matching and the first normalisation differ from machine to
      machine in the code; the recipes "aegan-ad:..." have them.
    - The mean over windows stands for the code's sum, so that clips of different length compare.
    - `hop` is a real stride, and the last window ends with the clip.
    - The Mahalanobis distance takes the inverse of the sample covariance where there are at least
      five times as many normal training clips as features, as in the paper, with a millionth of
      the mean variance on the diagonal. With fewer it would be arbitrary, or none: then the
      covariance is shrunk by Ledoit and Wolf's rule.
    - The code has no threshold. The one here is that of held-out clips, scored by nets and back
      ends that never saw them. Embedding scores need at least 3 normal training clips.
    - With batch normalisation, its statistics are computed anew after training.
    - `n_critic` counts steps through the whole training, where the code starts anew in each epoch,
      whose first step is then always one of the generator, too. With the default of 1 they agree.

    Of what `fit` may be told, `section`, `domain` and `groups` only help to deal out the
    calibration's folds, and exposed clips are left out.

    `anomaly_map` is the difference between a clip and its overlap-added reconstruction, in dB. The
    paper's own, ``reference="mean"``, is that between the reconstruction and the mean training
    spectrogram; frames beyond the longest training clip are compared with its mean over time. It
    shows faults that the generator rebuilds in sounds that are in step with each other. On the
    synthetic machines it is hardly better than chance (the same benchmark), which is why it is
    not the default.

    A window of 128 x 128 costs 0.28 billion multiply-adds to score in the windows, 0.41 billion by
    latent vectors and 0.14 billion by its embedding, and 2.9 billion to train on. 186,000 windows
    take no more memory than their 1,000 clips: a batch is gathered by index, on a GPU from
    spectrograms that stay there.

    References
    ----------
    .. [1] A. Jiang, W.-Q. Zhang, Y. Deng, P. Fan, J. Liu, "Unsupervised anomaly detection and
       localization of machine audio: a GAN-based approach", ICASSP 2023.
    .. [2] I. Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017.
    .. [3] T. Salimans et al., "Improved techniques for training GANs", NeurIPS 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd import AEGANDetector
    >>> X = np.random.default_rng(0).normal(size=(24, 32, 40))
    >>> small = {"window_length": 32, "hop": 8, "width": 2, "batch_size": 8}
    >>> detector = AEGANDetector(**small, max_epochs=2, random_state=0).fit(X)
    >>> hum = X[:1].copy()
    >>> hum[:, 4:8] += 9  # dB, in four bands
    >>> detector.predict(hum)
    array([-1])
    """

    _window_scores = ("sample_l1", "sample_l2", "latent_l1", "latent_l2", "latent_cosine")
    _clip_scores = (
        "embedding_knn", "embedding_lof", "embedding_mahalanobis", "embedding_cosine",
        "embedding_backend",
    )  # fmt: skip
    _scoring_batch = 64
    _map_unit = "absolute difference in dB"

    _parameter_constraints: ClassVar[dict] = {
        **NetDetector._parameter_constraints,
        "window_length": [Interval(Integral, 1, None, closed="left")],
        "hop": [Interval(Integral, 1, None, closed="left")],
        "scoring_hop": [Interval(Integral, 1, None, closed="left"), None],
        "width": [Interval(Integral, 1, None, closed="left")],
        "latent_features": [Interval(Integral, 1, None, closed="left")],
        "norm": [StrOptions({"layer", "batch"})],
        "first_norm": ["boolean"],
        "matching": [StrOptions({"mean", "mean_std"})],
        "matching_weight": [Interval(Real, 0, None, closed="left")],
        "penalty_weight": [Interval(Real, 0, None, closed="left")],
        "n_critic": [Interval(Integral, 1, None, closed="left")],
        "scaler": [SpectrogramScaler, None],
        "betas": [tuple, list],
        "backend": [HasMethods(["fit", "score_samples"]), None],
        "precision": [StrOptions({"32", "bf16"})],
    }

    def __init__(
        self,
        *,
        window_length: int = 128,
        hop: int = 1,
        scoring_hop: int | None = None,
        width: int = 32,
        latent_features: int = 256,
        norm: str = "layer",
        first_norm: bool = True,
        matching: str = "mean",
        matching_weight: float = 0.1,
        penalty_weight: float = 10.0,
        n_critic: int = 1,
        scaler: SpectrogramScaler | None = None,
        anomaly_score: str = "embedding_mahalanobis",
        backend: Any = None,
        pooling: str = "mean",
        threshold: Any = "gamma",
        contamination: float = 0.1,
        calibration: Any = "auto",
        lr: float = 2e-4,
        betas: Sequence[float] = (0.5, 0.999),
        batch_size: int = 512,
        max_epochs: int = 60,
        precision: str = "32",
        device: str = "auto",
        random_state: Any = None,
        memory: Any = None,
        verbose: int = 1,
    ) -> None:
        self.window_length = window_length
        self.hop = hop
        self.scoring_hop = scoring_hop
        self.width = width
        self.latent_features = latent_features
        self.norm = norm
        self.first_norm = first_norm
        self.matching = matching
        self.matching_weight = matching_weight
        self.penalty_weight = penalty_weight
        self.n_critic = n_critic
        self.scaler = scaler
        self.anomaly_score = anomaly_score
        self.backend = backend
        self.pooling = pooling
        self.threshold = threshold
        self.contamination = contamination
        self.calibration = calibration
        self.lr = lr
        self.betas = betas
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.memory = memory
        self.verbose = verbose

    @property
    def history_(self) -> pd.DataFrame:
        """What training recorded, a row for each complete epoch."""
        check_is_fitted(self)
        curves = self.net_.history[:, ("train_loss", *CURVES)]
        return pd.DataFrame(curves, columns=["generator_loss", *CURVES])

    def _window(self) -> tuple[int, int]:
        return self.window_length, self.hop

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters, as `fit` does before it looks at any data.

        Parameters
        ----------
        n_features : int, default=None
            Number of mel bands that are going to come; None where that is not known.

        Raises
        ------
        ValueError
            For values that cannot be, or that do not go together.
        TypeError
            Where `backend` is a class, not an estimator.
        """
        super().check_params(n_features)
        check_own_backend(self.backend, is_wanted=self.anomaly_score == OWN)

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        n_clips = _FEWEST if clips is None else len(clips.normal_index)
        if n_clips < _FEWEST and self.anomaly_score in self._clip_scores:
            raise ValueError(
                f"Got {n_clips} samples of normal clips to learn from, too few for "
                f"anomaly_score={self.anomaly_score!r}; pass at least {_FEWEST} (two more to "
                f"calibrate), or a score of windows: {', '.join(self._window_scores)}."
            )
        if len(self.betas) != 2 or not all(isinstance(b, Real) and 0 <= b < 1 for b in self.betas):
            raise ValueError(f"Got betas={self.betas!r}; pass two numbers from 0 to below 1.")
        for name, size in {"n_mels": n_features, "window_length": self.window_length}.items():
            if size is not None and (size < _SMALLEST or size & (size - 1)):
                raise ValueError(
                    f"Got {name}={size}, which the nets cannot halve down to 4; pass a power of "
                    f"two from {_SMALLEST} on."
                )

    def _make_net(self, windows: Windows, clips: TrainingClips) -> WindowNet:
        return self._window_net(
            AEGAN,
            net=AdversarialNet,
            criterion=MeanSquaredError,
            module__shape=(clips.data.n_mels, self.window_length),
            module__width=self.width,
            module__latent_features=self.latent_features,
            module__norm=self.norm,
            module__first_norm=self.first_norm,
            initial_state=learn_scaling(
                self.scaler, windows, default=SpectrogramScaler(feature_range=(-1, 1))
            ),
            optimizer__betas=tuple(self.betas),
            iterator_train__drop_last=True,  # a few windows would match noisy means
            penalty_weight=self.penalty_weight,
            matching=self.matching,
            matching_weight=self.matching_weight,
            n_critic=self.n_critic,
            precision=self.precision,
        )

    def _after_training(self, clips: TrainingClips) -> None:
        index = clips.normal_index
        self.mean_spectrogram_ = _mean_spectrogram(clips.data, index)
        self.embeddings_ = self._measure(clips.data, self._clip_scores, index)["embedding"]
        self.backends_: dict[str, Any] = {}
        if len(self.embeddings_) >= _FEWEST:
            backends = _make_backends(len(self.embeddings_)) | {OWN: self.backend}
            self.backends_ = fit_backends(backends, self.embeddings_, self._seed)
        self.backend_digest_ = joblib.hash(self.backend)

    @property
    def _listed_clip_scores(self) -> Collection[str]:
        return list(self.backends_)

    def _describe(self, x: Tensor, scores: Collection[str]) -> dict[str, Tensor]:
        net = self.net_.module_
        images = net.scale(x)
        values = {}
        if not set(scores).issubset(self._window_scores):
            values["embedding"] = net.discriminator.embed(images)
        wanted = [score.split("_") for score in self._window_scores if score in scores]
        if not wanted:
            return values
        latent = net.generator.encoder(images)
        rebuilt = net.generator.decoder(latent)
        pairs = {"sample": (rebuilt, images)}
        if "latent" in [space for space, _ in wanted]:  # another pass, only where it is asked for
            pairs["latent"] = (net.generator.encoder(rebuilt), latent)
        for space, distance in wanted:
            values[f"{space}_{distance}"] = DISTANCES[distance](*pairs[space])
        return values

    def _join(
        self,
        pooled: dict[str, np.ndarray],
        scores: Collection[str],
        section: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        # Embeddings are vectors, to which no pooling but the mean applies: see `ClipValues`.
        joined = {name: value for name, value in pooled.items() if name != "embedding"}
        for name in set(scores).difference(self._window_scores):
            joined[name] = -score_by(self, name, pooled["embedding"])
        return joined

    def anomaly_map(self, X: Any, *, reference: str = "input") -> np.ndarray | list[np.ndarray]:
        """Tell where in time and frequency the anomaly is.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.
        reference : {"input", "mean"}, default="input"
            What the reconstruction is compared with: the clip itself, or, as in the paper, the
            mean of the normal training clips.

        Returns
        -------
        ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
            Absolute difference in dB; larger is more anomalous.
        """
        if reference not in ("input", "mean"):
            raise ValueError(f'Got reference={reference!r}; pass "input" or "mean".')
        check_is_fitted(self)
        data = self._prepare(X, reset=False)
        rebuilt = map_clips(self, data, self.net_.module_)
        usual = data if reference == "input" else (self._usual(x.shape[1]) for x in data)
        return join_maps([np.abs(x - y) for x, y in zip(rebuilt, usual, strict=True)])

    def _usual(self, n_frames: int) -> np.ndarray:
        """Return the mean training spectrogram, (n_mels, n_frames)."""
        mean = self.mean_spectrogram_
        # Beyond the longest training clip, only the mean over time is known.
        usual = np.repeat(mean.mean(axis=1, keepdims=True), n_frames, axis=1)
        usual[:, : mean.shape[1]] = mean[:, :n_frames]
        return usual


def _make_backends(n_clips: int) -> dict[str, Any]:
    """Return the paper's back ends, unfitted, by the name of their score."""
    return {
        "embedding_knn": KNNDetector(n_neighbors=2, metric="cosine", aggregation="sum"),
        "embedding_lof": LocalOutlierFactor(min(4, n_clips - 1), metric="cosine", novelty=True),
        "embedding_mahalanobis": MahalanobisDetector(),
        "embedding_cosine": NearestMean(),
    }


def _mean_spectrogram(spectrograms: Spectrograms, clips: np.ndarray) -> np.ndarray:
    """Average clips frame by frame, (n_mels, longest), the late ones over those that are long."""
    longest = spectrograms.n_frames[clips].max()
    total, count = np.zeros((longest, spectrograms.n_mels)), np.zeros((longest, 1))
    for clip in clips:
        first, last = spectrograms.bounds[clip : clip + 2]
        total[: last - first] += spectrograms.frames[first:last]
        count[: last - first] += 1
    return (total / count).T.astype(np.float32)
