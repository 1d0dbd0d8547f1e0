"""What every detector with nets on windows does the same way: train, cache, measure, map."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from sklasd.base._base_detector import BaseDetector
from sklasd.base._clip_values import ClipValues, pool
from sklasd.base._spectrogram_input import check_lengths, read_spectrograms
from sklasd.base._training_clips import TrainingClips
from sklasd.base._window_maps import (
    hop_in_scoring,
    map_clips,
    nets_on_device,
    residual_moments,
    times_the_usual,
    usual_power,
)
from sklasd.clips._spectrograms import Spectrograms, join_maps
from sklasd.training import WindowNet, Windows, cut_windows
from sklasd.training._cache import open_cache, train_cached
from sklasd.training._modes import exact
from sklasd.training._window_net import window_net
from sklasd.utils._devices import check_device
from sklasd.utils._progress import progress_bar
from sklasd.utils._seeds import draw_seed

POOLINGS = ("mean", "max", "min")
# Parameters that no net and nothing learnt after it depends on: a search over them trains once.
_NOT_LEARNT = frozenset(
    {"anomaly_score", "pooling", "threshold", "contamination", "calibration", "memory", "verbose"}
)


def _learn_rest(detector: NetDetector, clips: TrainingClips, key: str) -> dict[str, Any]:
    """Run `_after_training`, and return what it learnt, so that joblib can cache it by `key`."""
    before = dict(vars(detector))
    detector._after_training(clips)
    # What was there already counts as well where the hook has set it anew.
    return {n: value for n, value in vars(detector).items() if value is not before.get(n, before)}


class NetDetector(BaseDetector):
    """Base of detectors with nets on windows of spectrograms, or on embeddings.

    A detector's own file says three things: how long its windows are (`_window`), what net it
    trains (`_make_net`, or `_train_nets` where there are several), and what it measures on a window
    (`_describe`). Optional hooks: what it learns after training (`_after_training`), how it joins
    what was pooled over a clip (`_join`), where in a window the anomaly is (`_map`, or `_residual`
    for nets that rebuild windows), and what parameters it refuses (`_check_params`).

    Its scores are named in two class attributes: `_window_scores` are measured per window and
    pooled over the clip; `_clip_scores` are made of the clip's mean vectors, without pooling. A
    detector on embeddings, of one window each, may name the latter only, and leave the parameter
    `pooling` and its `_score_params` out. A parameter `scoring_hop`, where there is one, is the hop
    of the windows in scoring.
    """

    _window_scores: ClassVar[tuple[str, ...]] = ()
    _clip_scores: ClassVar[tuple[str, ...]] = ()
    _takes_embeddings: ClassVar[bool] = False  # (n_clips, n_features), not spectrograms
    _scoring_batch: ClassVar[int] = 256  # windows that are always scored together
    _score_params: ClassVar[tuple[str, ...]] = ("anomaly_score", "pooling")
    _map_unit: ClassVar[str] = "times the usual power"  # of a map of residuals
    max_epochs: Any  # each detector's own parameter

    _parameter_constraints: ClassVar[dict] = {
        **BaseDetector._parameter_constraints,
        "pooling": [StrOptions(set(POOLINGS))],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "random_state": ["random_state"],
        "memory": [str, HasMethods(["cache"]), None],
        "verbose": ["verbose"],
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let `anomaly_score` be one of the scores that the class names."""
        super().__init_subclass__(**kwargs)
        names = {*cls._window_scores, *cls._clip_scores}
        if names:
            allowed = {"anomaly_score": [StrOptions(names)]}
            cls._parameter_constraints = cls._parameter_constraints | allowed

    # -- what a detector defines ---------------------------------------------------------------

    @abstractmethod
    def _window(self) -> tuple[int, int]:
        """Return the length and the hop of the windows, in frames; (1, 1) for embeddings."""

    def _make_net(self, windows: Windows, clips: TrainingClips) -> WindowNet:
        """Return the unfitted net with the paper's architecture and loss, for normal windows.

        It is made by ``self._window_net(Module, criterion=Loss, ...)``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no _make_net and no _train_nets.")

    def _train_nets(self, clips: TrainingClips) -> dict[str, WindowNet]:
        """Train every net, each by `train_cached`; here that of `_make_net`, on normal clips.

        The nets are returned by name, in the order of training; the last one is `net_`.
        """
        windows = self._training_windows(clips)
        return {"net": train_cached(self, self._make_net(windows, clips), windows)}

    def _after_training(self, clips: TrainingClips) -> None:
        """Learn what scoring needs beside the nets, into attributes with a trailing underscore.

        Here, for a detector with `_residual`, the usual power of each band. What is drawn at random
        is drawn from `self._seed`.
        """
        if hasattr(self, "_residual"):
            _, square, _ = residual_moments(self, clips, clips.normal_index, self._residual)
            self.residual_power_ = usual_power(square)

    @abstractmethod
    def _describe(self, x: Tensor, scores: Collection[str]) -> dict[str, Tensor]:
        """Measure windows of any clips, (batch, n_mels, window_length) or (batch, n_features).

        Only the wanted `scores` need to be computed. Returns tensors by name: quantities (batch,)
        that are larger for anomalies, or vectors (batch, n_features), averaged over the clip.
        """

    def _join(
        self,
        pooled: dict[str, np.ndarray],
        scores: Collection[str],
        section: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Make the wanted anomaly scores (n_clips,) of what was pooled over each clip, by name.

        Sections (n_clips,) matter where `Sections` were learnt.
        """
        return pooled

    # -- the contract ----------------------------------------------------------------------------

    def score_table(self, X: Any, *, section: Any = None) -> pd.DataFrame:
        """Score clips by every variant at once, in one pass through the net.

        Parameters
        ----------
        X : clips
            As in `fit`.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.

        Returns
        -------
        DataFrame of shape (n_clips, n_variants), float64
            A column per anomaly score and pooling, such as "reconstruction_max", equal to
            `score_samples` under these parameters: higher is more normal.

        Warns
        -----
        UserWarning
            As `score_samples` does.
        """
        data, section = self._ready_to_score(X, section)
        of_clips = self._listed_clip_scores
        values = self._measure(data, {*self._window_scores, *of_clips})
        table: dict[str, np.ndarray] = {}
        for pooling in POOLINGS:
            scores = self._join(pool(values, pooling), self._window_scores, section)
            table |= {f"{name}_{pooling}": -scores[name] for name in self._window_scores}
        if of_clips:
            scores = self._join(pool(values, "mean"), of_clips, section)
            table |= {name: -scores[name] for name in of_clips}
        return pd.DataFrame(table)

    @property
    def _listed_clip_scores(self) -> Collection[str]:
        """Names of the scores of clips that `score_table` lists."""
        return self._clip_scores

    @available_if(lambda self: hasattr(self, "_map") or hasattr(self, "_residual"))
    def anomaly_map(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Map where in time and frequency the anomaly is.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.

        Returns
        -------
        ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
            Larger is more anomalous; the mean over the windows that cover a frame.
        """
        check_is_fitted(self)
        data = self._prepare(X, reset=False)
        return join_maps(map_clips(self, data, getattr(self, "_map", times_the_usual(self))))

    @property
    def net_(self) -> WindowNet:
        """The net that was trained last: the only one of most detectors."""
        if "nets_" not in vars(self):  # check_is_fitted would ask for this very attribute
            raise AttributeError(f"This {type(self).__name__} has no net_ before it is fitted.")
        return list(self.nets_.values())[-1]

    @property
    def loss_curve_(self) -> np.ndarray:
        """Training loss of `net_`, a value for each epoch, shape (n_epochs,)."""
        check_is_fitted(self)
        return np.array([epoch["train_loss"] for epoch in self.net_.history])

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters, as `fit` does before it looks at any data.

        Parameters
        ----------
        n_features : int, default=None
            Number of mel bands, or features, of the clips; None if it is unknown.

        Raises
        ------
        ValueError
            For values that cannot be, that do not go together, or a GPU that is not there.
        """
        super().check_params(n_features)
        check_device(self.device)
        length, _ = self._window()
        if hop_in_scoring(self) > length:
            raise ValueError(
                f"Got a hop of {hop_in_scoring(self)} frames for windows of {length}; what lies "
                "between them would never be scored. Pass a hop of at most window_length."
            )

    # -- training --------------------------------------------------------------------------------

    def _window_net(self, module: type, *, criterion: type, **params: Any) -> WindowNet:
        """Return a net with this detector's training parameters, unless others are passed."""
        settings = {
            "lr": self.lr,
            "batch_size": self.batch_size,
            "max_epochs": self.max_epochs,
            "device": check_device(self.device),
        }
        return window_net(module, criterion=criterion, **(settings | params))

    def _training_windows(
        self, clips: TrainingClips, index: np.ndarray | None = None, device: str | None = None
    ) -> Windows:
        """Cut clips into windows, the normal ones or those at some positions."""
        index = clips.normal_index if index is None else index
        device = check_device(self.device) if device is None else device
        return cut_windows(clips.data, *self._window(), index=index, device=device)

    def _check_clips(self, clips: TrainingClips) -> None:
        super()._check_clips(clips)
        length, _ = self._window()
        check_lengths(clips.data.n_frames, length)  # clips that are not learnt from, too
        index = clips.normal_index
        if len(index) == 1 and clips.data.n_frames[index[0]] == length:
            raise ValueError(
                "Got 1 sample that makes a single window, where a net needs at least 2; pass more "
                "or longer clips, or, where it is one of two that are calibrated on each other, "
                "calibration=None."
            )

    def _learn(self, clips: TrainingClips) -> None:
        self._length, _ = self._window()
        self.nets_ = self._train_nets(clips)
        params = clone(self).get_params(deep=False).items()
        learnt_by = {name: value for name, value in params if name not in _NOT_LEARNT}
        learnt_by["device"] = check_device(self.device)  # "auto" is another one elsewhere
        # Drawn here, not where it is used: a cache that serves must not change later draws.
        self._seed = draw_seed(self.random_state)
        memory, key = open_cache(self, clips, type(self), learnt_by)
        learn = memory.cache(_learn_rest, ignore=["detector", "clips"])
        for name, value in learn(self, clips, key).items():
            setattr(self, name, value)

    # -- scoring ---------------------------------------------------------------------------------

    def _prepare(self, X: Any, *, reset: bool) -> Spectrograms:
        """Check the clips and lay them end to end."""
        if self._takes_embeddings:
            rows = validate_data(self, X, reset=reset, dtype=np.float32)
            return Spectrograms.of_rows(rows)
        spectrograms = read_spectrograms(self, X, reset=reset)
        if reset:  # lengths are checked with the training clips
            return spectrograms
        length, _ = self._window()
        if length != self._length:
            raise ValueError(
                f"Got window_length={length}, but {type(self).__name__} was fitted on windows of "
                f"{self._length}; fit it again."
            )
        check_lengths(spectrograms.n_frames, length)
        return spectrograms

    def _score_param_values(self) -> dict[str, Any]:
        return super()._score_param_values() | {"hop in scoring": hop_in_scoring(self)}

    def _measure(
        self, data: Spectrograms, scores: Collection[str], index: np.ndarray | None = None
    ) -> dict[str, Any]:
        """Describe the windows of clips, in batches across clips: see `ClipValues`."""
        device = nets_on_device(self)
        length, _ = self._window()
        windows = cut_windows(data, length, hop_in_scoring(self), index=index)
        values: dict[str, ClipValues] = defaultdict(lambda: ClipValues(windows.clip))
        with (
            torch.inference_mode(),
            exact(device),
            progress_bar(
                len(windows), desc="scoring", unit="window", verbose=bool(self.verbose)
            ) as bar,
        ):
            for x, n_windows in windows.full_batches(self._scoring_batch):
                for name, value in self._describe(x.to(device), scores).items():
                    values[name].add(value[:n_windows].double().cpu().numpy())
                bar.update(n_windows)
        return {name: value.by_clip() for name, value in values.items()}

    def _score_samples(
        self,
        data: Spectrograms,
        index: np.ndarray | None = None,
        section: np.ndarray | None = None,
    ) -> np.ndarray:
        self._validate_params()  # set_params may have come after fit
        name = self.anomaly_score
        pooling = getattr(self, "pooling", "mean")  # an embedding is its clip's only window
        pooled = pool(self._measure(data, {name}, index), pooling)
        return -self._join(pooled, {name}, section)[name]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self._takes_embeddings
        tags.input_tags.three_d_array = not self._takes_embeddings
        return tags


ReconstructionDetector = NetDetector  # the name of the base for detectors with `_residual`, once
