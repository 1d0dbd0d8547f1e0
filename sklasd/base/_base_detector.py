"""What every detector does the same way: fit, score, decide, tell where."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, check_memory
from skorch import NeuralNet
from torch import Tensor

from sklasd.base._threshold import fit_offset
from sklasd.training._window_net import (
    exact,
    is_complete,
    seeded,
    settle_batch_norm,
    slim,
    window_net,
)
from sklasd.training._windows import Spectrograms, Windows, overlap_add
from sklasd.utils._progress import progress_bar
from sklasd.utils._validation import (
    check_device,
    check_exposed,
    check_metadata,
    check_normal,
    check_spectrograms,
    draw_seed,
)

_POOLING: dict[str, Any] = {"mean": np.mean, "max": np.max, "min": np.min}


class InterruptedTrainingError(Exception):
    """Training was stopped from the keyboard. Raised, so that no cache keeps the half-made net."""

    def __init__(self, net: NeuralNet) -> None:
        super().__init__(net)
        self.net = net


def _train_net(
    detector: BaseDetector,
    verbose: bool,
    seed: int,
    frames: np.ndarray,
    bounds: np.ndarray,
    clips: np.ndarray,
) -> NeuralNet:
    """Train a detector's net; a function of its arguments alone, so that joblib can cache it."""
    detector = clone(detector).set_params(verbose=verbose)
    device = check_device(detector.device)
    windows = Spectrograms(frames, bounds).windows(*detector._window(), clips=clips, device=device)
    if len(windows) < 2:
        raise ValueError("Got 1 sample that makes a single window; a detector needs at least 2.")
    with seeded(seed, device):
        net = detector._make_net(windows).fit(windows)
        settle_batch_norm(net, windows)
    if not is_complete(net):
        raise InterruptedTrainingError(slim(net))
    return slim(net)


class BaseDetector(OutlierMixin, BaseEstimator):
    """Base of all detectors on spectrograms.

    A detector's own file says three things: how long its windows are (`_window`), what net it
    trains (`_make_net`), and what it measures on a window (`_describe`). Optional hooks: how far
    apart windows are in scoring (`_scoring_hop`), what it learns after training
    (`_after_training`), how it joins what was pooled over a clip (`_join`), and where in a window
    the anomaly is (`_map`).

    Its scores are named in two class attributes: `_window_scores` are measured per window and
    pooled over the clip; `_clip_scores` are made of the clip's mean vectors, without pooling.
    """

    _window_scores: ClassVar[tuple[str, ...]] = ()
    _clip_scores: ClassVar[tuple[str, ...]] = ()
    _scoring_batch: ClassVar[int] = 1024  # windows; bounds what an hour-long clip takes
    # Parameters that do not change the trained net: a search over them trains once.
    _scoring_params: ClassVar[frozenset[str]] = frozenset(
        {"anomaly_score", "pooling", "threshold", "contamination", "memory", "verbose"}
    )

    _parameter_constraints: ClassVar[dict] = {
        "pooling": [StrOptions(set(_POOLING))],
        "threshold": [StrOptions({"gamma", "quantile"}), callable],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "random_state": ["random_state"],
        "memory": [str, HasMethods(["cache"]), None],
        "verbose": ["verbose"],
    }

    # -- what a detector defines ---------------------------------------------------------------

    @abstractmethod
    def _window(self) -> tuple[int, int]:
        """Return the length and the hop of the windows, in frames."""

    def _scoring_hop(self) -> int:
        """Return the hop of the windows in scoring."""
        return self._window()[1]

    @abstractmethod
    def _make_net(self, windows: Windows) -> NeuralNet:
        """Return the unfitted net: the paper's architecture and loss."""

    @abstractmethod
    def _describe(self, x: Tensor, scores: Collection[str]) -> dict[str, Tensor]:
        """Measure windows: the paper's scoring.

        Parameters
        ----------
        x : Tensor of shape (batch, n_mels, window_length)
            Windows of one clip.
        scores : collection of str
            The anomaly scores that are wanted; others need not be computed.

        Returns
        -------
        dict of str to Tensor of shape (batch,) or (batch, n_features)
            Quantities that are larger for anomalies, or vectors, of which the clip's mean is taken.
        """

    def _after_training(
        self,
        spectrograms: Spectrograms,
        clips: np.ndarray,
        metadata: dict[str, np.ndarray | None],
    ) -> None:
        """Learn from normal training clips what scoring needs beside the net."""

    def _join(
        self, pooled: dict[str, np.ndarray], scores: Collection[str]
    ) -> dict[str, np.ndarray]:
        """Make the wanted anomaly scores (n_clips,) of what was pooled over each clip, by name."""
        return pooled

    def _known_clip_scores(self) -> Collection[str]:
        """Return the names of the scores of clips that `score_table` lists."""
        return self._clip_scores

    def _score_name(self) -> str:
        """Return the name of the chosen anomaly score."""
        return self.anomaly_score

    # -- the contract ----------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, exposed: Any = None) -> Self:
        """Learn what normal sounds like, and set the threshold.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms, in dB as from `LogMel`.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous. Anomalous clips are left out of training and threshold;
            None takes all for normal.
        exposed : array-like of bool, shape (n_clips,), default=None
            Clips of other machines. They never count as normal and never set the threshold.

        Returns
        -------
        self : object
            The fitted detector.

        Raises
        ------
        ValueError
            For bad parameters, labels or clips, before training starts.
        FloatingPointError
            When the loss stops being finite.

        Warns
        -----
        UserWarning
            When training was interrupted from the keyboard (the detector is usable as it is), or
            when the threshold's gamma fit failed.
        """
        return self._fit(X, y, exposed=exposed)

    def fit_predict(self, X: Any, y: Any = None, **metadata: Any) -> np.ndarray:
        """Fit, and decide on the same clips.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.
        y : array-like of shape (n_clips,), default=None
            As in `fit`.
        **metadata
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_clips,), int
            +1 normal, -1 anomalous.
        """
        return self.fit(X, y, **metadata).predict(X)

    def score_samples(self, X: Any) -> np.ndarray:
        """Score clips: minus the anomaly score.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.

        Returns
        -------
        ndarray of shape (n_clips,), float64
            Higher is more normal.
        """
        check_is_fitted(self)
        return self._score_samples(self._check_X(X, reset=False))

    def decision_function(self, X: Any) -> np.ndarray:
        """Score clips relative to the threshold, ``score_samples(X) - offset_``.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.

        Returns
        -------
        ndarray of shape (n_clips,), float64
            Negative for anomalies.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Decide on clips.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.

        Returns
        -------
        ndarray of shape (n_clips,), int
            +1 normal, -1 anomalous.
        """
        # A score that is not a number is not normal either.
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def score_table(self, X: Any) -> pd.DataFrame:
        """Score clips by every variant at once, in one pass through the net.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.

        Returns
        -------
        DataFrame of shape (n_clips, n_variants), float64
            A column per anomaly score and pooling, such as "reconstruction_max", equal to
            `score_samples` under these parameters: higher is more normal.
        """
        check_is_fitted(self)
        of_clips = self._known_clip_scores()
        values = self._measure(self._check_X(X, reset=False), {*self._window_scores, *of_clips})
        table: dict[str, np.ndarray] = {}
        for pooling in _POOLING:
            scores = self._join(_pool(values, pooling), self._window_scores)
            table |= {f"{name}_{pooling}": -scores[name] for name in self._window_scores}
        if of_clips:
            scores = self._join(_pool(values, "mean"), of_clips)
            table |= {name: -scores[name] for name in of_clips}
        return pd.DataFrame(table)

    def recalibrate(self, X: Any, y: Any = None) -> Self:
        """Set the threshold anew, from given normal clips, without training.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms of normal clips, for example of a new installation.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous; the latter are left out.

        Returns
        -------
        self : object
            The detector, with a new `offset_`.
        """
        check_is_fitted(self)
        spectrograms = self._check_X(X, reset=False)
        normal = check_normal(y, check_exposed(None, len(spectrograms)))
        self._set_offset(self._score_samples(spectrograms, np.flatnonzero(normal)))
        return self

    @available_if(lambda self: hasattr(self, "_map"))
    def anomaly_map(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Tell where in time and frequency the anomaly is.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.

        Returns
        -------
        ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
            Larger is more anomalous; the mean over the windows that cover a frame.
        """
        return self._maps(X)

    @property
    def loss_curve_(self) -> np.ndarray:
        """Training loss of each complete epoch, shape (n_epochs,)."""
        check_is_fitted(self)
        return np.array([e["train_loss"] for e in self.net_.history if "train_loss" in e])

    # -- how it is done --------------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, *, exposed: Any = None, **metadata: Any) -> Self:
        self._validate_params()
        check_device(self.device)
        spectrograms = self._check_X(X, reset=True)
        n_clips = len(spectrograms)
        clips = np.flatnonzero(check_normal(y, check_exposed(exposed, n_clips)))
        known = {name: check_metadata(name, v, n_clips) for name, v in metadata.items()}
        self.net_ = self._train(spectrograms, clips)
        self._after_training(spectrograms, clips, known)
        self._set_offset(self._training_scores(spectrograms, clips))
        return self

    def _check_X(self, X: Any, *, reset: bool) -> Spectrograms:
        """Check spectrograms and lay them end to end."""
        spectrograms = Spectrograms.stack(check_spectrograms(X))
        length, _ = self._window()
        if reset:
            self.n_features_in_, self._length = spectrograms.n_mels, length
        elif length != self._length:
            raise ValueError(
                f"Got window_length={length}, but {type(self).__name__} was fitted on windows of "
                f"{self._length}; fit it again."
            )
        elif spectrograms.n_mels != self.n_features_in_:
            raise ValueError(
                f"X has {spectrograms.n_mels} mel bands, but {type(self).__name__} was fitted on "
                f"{self.n_features_in_}; use the front end it was fitted with."
            )
        self._check_lengths(spectrograms.n_frames)
        return spectrograms

    def _check_lengths(self, n_frames: np.ndarray) -> None:
        length, _ = self._window()
        if self._scoring_hop() > length:
            raise ValueError(
                f"Got a hop of {self._scoring_hop()} frames for windows of {length}; what lies "
                "between them would never be scored. Pass a hop of at most window_length."
            )
        short = np.flatnonzero(n_frames < length)
        if short.size:
            named = ", ".join(f"clip {i} has only {n_frames[i]} frames" for i in short)
            raise ValueError(
                f"Got window_length={length}, but {named}; record longer clips, or pass a smaller "
                "window_length, or LogMel(duration=...), which repeats short ones."
            )

    def _train(self, spectrograms: Spectrograms, clips: np.ndarray) -> NeuralNet:
        """Train the net, or find it in the cache; warn where training was interrupted."""
        defaults = type(self)().get_params(deep=False)
        neutral = {name: defaults[name] for name in self._scoring_params | {"random_state"}}
        trainee = clone(self).set_params(**neutral)
        # Without a seed every training is another one, and none may come from the cache.
        memory = check_memory(None if self.random_state is None else self.memory)
        train = memory.cache(_train_net, ignore=["verbose"])
        seed = draw_seed(self.random_state)
        frames, bounds = spectrograms.frames, spectrograms.bounds
        try:
            return train(trainee, self.verbose, seed, frames, bounds, clips)
        except InterruptedTrainingError as interruption:
            net = interruption.net
            warnings.warn(
                f"Training was interrupted in epoch {len(net.history)} of {self.max_epochs}; the "
                "detector works, with what it had learnt by then.",
                UserWarning,
                stacklevel=4,
            )
            return net

    def _window_net(self, module: type, *, criterion: type, **params: Any) -> NeuralNet:
        """Return a skorch net with this detector's training parameters."""
        return window_net(
            module,
            criterion=criterion,
            lr=self.lr,
            batch_size=self.batch_size,
            max_epochs=self.max_epochs,
            device=check_device(self.device),
            verbose=bool(self.verbose),
            **params,
        )

    def _ready(self) -> str:
        """Put the net where and how scoring needs it, and return the device."""
        device = check_device(self.device)
        self.net_.module_.to(device).eval()
        return device

    def _batches(
        self, spectrograms: Spectrograms, clip: int, device: str
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield windows of one clip on a device, and their first frames.

        A clip is computed by itself: its score cannot depend on the company it is in, not even in
        the last bit, as it would if matrices of another size were multiplied.
        """
        length, _ = self._window()
        windows = spectrograms.windows(length, self._scoring_hop(), clips=[clip], device="cpu")
        starts = windows.starts - int(spectrograms.bounds[clip])
        size = self._scoring_batch
        with torch.inference_mode(), exact(device):
            for x, first in zip(windows.batches(size), starts.split(size), strict=True):
                yield x.to(device), first

    def _measure(
        self, spectrograms: Spectrograms, scores: Collection[str], clips: Any = None
    ) -> dict[str, list[np.ndarray]]:
        """Describe the windows of each clip: scalars of all windows, and means of vectors."""
        clips = range(len(spectrograms)) if clips is None else clips
        device = self._ready()
        values: dict[str, list[np.ndarray]] = defaultdict(list)
        with progress_bar(len(clips), desc="scoring", verbose=bool(self.verbose)) as bar:
            for clip in clips:
                parts: dict[str, list[np.ndarray]] = defaultdict(list)
                for x, _ in self._batches(spectrograms, clip, device):
                    for name, value in self._describe(x, scores).items():
                        parts[name].append(value.double().cpu().numpy())
                for name, part in parts.items():
                    whole = np.concatenate(part)
                    values[name].append(whole if whole.ndim == 1 else whole.mean(0, keepdims=True))
                bar.update()
        return values

    def _score_samples(self, spectrograms: Spectrograms, clips: Any = None) -> np.ndarray:
        self._validate_params()  # set_params may have come after fit
        name = self._score_name()
        values = self._measure(spectrograms, {name}, clips)
        return -self._join(_pool(values, self.pooling), {name})[name]

    def _training_scores(self, spectrograms: Spectrograms, clips: np.ndarray) -> np.ndarray:
        """Score the normal training clips, for the threshold."""
        return self._score_samples(spectrograms, clips)

    def _set_offset(self, scores: np.ndarray) -> None:
        self.offset_ = fit_offset(scores, self.threshold, self.contamination)

    def _maps(self, X: Any, **options: Any) -> np.ndarray | list[np.ndarray]:
        check_is_fitted(self)
        spectrograms = self._check_X(X, reset=False)
        device = self._ready()
        clips = range(len(spectrograms))
        maps = [self._map_clip(spectrograms, clip, device, **options) for clip in clips]
        return maps if len(set(spectrograms.n_frames)) > 1 else np.stack(maps)

    def _map_clip(self, spectrograms: Spectrograms, clip: int, device: str) -> np.ndarray:
        return self._overlap_add(spectrograms, clip, device, self._map)

    def _overlap_add(
        self,
        spectrograms: Spectrograms,
        clip: int,
        device: str,
        function: Callable[[Tensor], Tensor],
    ) -> np.ndarray:
        """Map the windows of a clip, and average where they overlap; (n_mels, n_frames)."""
        batches = self._batches(spectrograms, clip, device)
        parts = ((function(x), starts) for x, starts in batches)
        return overlap_add(parts, spectrograms.n_mels, int(spectrograms.n_frames[clip]))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def _pool(values: dict[str, list[np.ndarray]], pooling: str) -> dict[str, np.ndarray]:
    """Pool window values, (n_windows,) or one mean (1, n_features), to one per clip."""
    pool = _POOLING[pooling]
    return {name: np.stack([pool(x, axis=0) for x in clips]) for name, clips in values.items()}
