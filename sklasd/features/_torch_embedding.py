"""Embeddings of clips by a torch module of the user's own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, ClassVar

import joblib
import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from sklasd.clips._sound_file import ClipFormat
from sklasd.features._frozen_net import FrozenNetEmbedding, NetInput
from sklasd.nets._pooled_layers import pooled_layers


class TorchEmbedding(FrozenNetEmbedding):
    """Turn clips into what a frozen torch module of your own makes of them, one row per clip.

    The module gets waveforms, (batch, n_samples), float32. Its output, or those of some of its
    layers, are averaged over time and whatever other axes there are.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode. It is used as it is, and never changed.
    sample_rate : int, default=16000
        In Hz. Files are resampled to it (soxr); arrays are taken to be at it.
    layers : sequence of str, default=None
        Names of submodules whose outputs are taken, next to each other; None takes the module's.
        Each of them is one that the module runs once.
    feature_axis : int, default=-1
        Axis of the features in these outputs, (batch, n_frames, n_features) of a transformer; 1
        for the maps (batch, channels, height, width) of convolutions.
    min_samples : int, default=1
        Samples of the shortest clip that the module takes.
    pad_short : bool, default=False
        Append silence to clips that are too short for the net; otherwise they are refused.
    segment_duration : float, default=60.0
        In seconds. Longer clips are cut into equal segments of at most that, and their embeddings
        are averaged.
    channel : "mean" or int, default="mean"
        How files with several channels become mono: their mean, or the channel of this index
        (in DCASE 2026, 0 is the near microphone).
    n_jobs : int, default=None
        Threads that read clips; None is 1, -1 all cores.
    device : str, default="auto"
        Where the net runs: "cpu", "cuda", or "auto" for a GPU where there is one.
    memory : str or object with the joblib.Memory interface, default=None
        Where embeddings are cached, clip by clip, so that a search computes them once.

    Attributes
    ----------
    n_features_out_ : int
        Number of features, as found by a second of silence.

    See Also
    --------
    PANNsEmbedding : Nets that were trained on AudioSet.

    Notes
    -----
    A batch holds clips of one length, and no padding; it is always full, if need be by repeating a
    clip, so that a clip's row does not depend on the others.

    A segment knows nothing of the sound beyond its ends, so that the row of a clip longer than
    `segment_duration` is not quite that of the clip as a whole. How far off it is depends on the
    module; raise `segment_duration` as memory allows.

    A clone, of which a search makes many, copies the module. The cache knows a module by its class,
    its printed form and its weights: after a change of the code of its `forward`, take another
    folder. A pickle holds the module; its class has to be importable where it is loaded.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sklasd.features import TorchEmbedding
    >>> class Energies(torch.nn.Module):
    ...     def forward(self, x):  # (batch, n_samples)
    ...         return x.unfold(1, 400, 400).square()  # (batch, n_frames, 400)
    >>> clips = np.random.default_rng(0).normal(size=(3, 16000))
    >>> TorchEmbedding(Energies().eval()).fit_transform(clips).shape
    (3, 400)
    """

    _parameter_constraints: ClassVar[dict] = {
        **FrozenNetEmbedding._parameter_constraints,
        "module": [nn.Module],
        "sample_rate": [Interval(Integral, 1, None, closed="left")],
        "layers": [tuple, list, None],
        "feature_axis": [Integral],
        "min_samples": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        module: nn.Module,
        sample_rate: int = 16000,
        *,
        layers: Sequence[str] | None = None,
        feature_axis: int = -1,
        min_samples: int = 1,
        pad_short: bool = False,
        segment_duration: float = 60.0,
        channel: str | int = "mean",
        n_jobs: int | None = None,
        device: str = "auto",
        memory: Any = None,
    ) -> None:
        self.module = module
        self.sample_rate = sample_rate
        self.layers = layers
        self.feature_axis = feature_axis
        self.min_samples = min_samples
        self.pad_short = pad_short
        self.segment_duration = segment_duration
        self.channel = channel
        self.n_jobs = n_jobs
        self.device = device
        self.memory = memory

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters, as `fit` and `transform` do before they look at any clip.

        Parameters
        ----------
        n_features : ignored
            Present for the convention.

        Raises
        ------
        ValueError
            For values that cannot be, or a module in training mode.
        """
        if isinstance(self.layers, str):
            raise ValueError(f"Got layers={self.layers!r}; pass layers=[{self.layers!r}].")
        super().check_params()
        if (self._longest + 1) // 2 < self.min_samples:
            raise ValueError(
                f"Got segment_duration={self.segment_duration:g}, but a clip that is a little "
                f"longer is cut into halves, which would have fewer than min_samples="
                f"{self.min_samples} at {self.sample_rate} Hz; pass segment_duration="
                f"{2 * self.min_samples / self.sample_rate} or more."
            )
        learning = [name for name, part in self.module.named_modules() if part.training]
        if learning:
            raise ValueError(
                f"Got a module of which {learning[0] or 'the whole'!r} is in training mode; call "
                "module.eval() first."
            )
        names = {name for name, _ in self.module.named_modules()}
        unknown = [name for name in self.layers or () if name not in names]
        if unknown or (self.layers is not None and not len(self.layers)):
            raise ValueError(
                f"Got layers={self.layers!r}; pass names of submodules, such as "
                f"{sorted(names - {''})[:5]}."
            )

    @property
    def clip_format(self) -> ClipFormat:
        """How clips are read: sample rate, channel, and the rest of a `ClipFormat`."""
        return ClipFormat(self.sample_rate, self.channel)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns.

        Parameters
        ----------
        input_features : ignored
            Present for the convention.

        Returns
        -------
        ndarray of str, shape (n_features,)
            "torchembedding0" and so on.
        """
        return np.array([f"torchembedding{i}" for i in range(self.n_features_out_)], dtype=object)

    def _load(self) -> None:
        silence = torch.zeros(1, max(self.min_samples, self.sample_rate))
        with torch.inference_mode():
            self.n_features_out_ = self._pool(self.module, silence.to(_device(self.module))).shape[
                1
            ]

    def _net(self, device: str) -> Callable[[Tensor], Tensor]:
        module = self.module
        if torch.device(device) != _device(module):
            module = copy.deepcopy(module).to(device)  # the user's stays where it is
        longest = self._longest

        def embed(x: Tensor) -> Tensor:
            segments = x.tensor_split(-(-x.shape[1] // longest), dim=1)
            rows = [self._pool(module, segment) * segment.shape[1] for segment in segments]
            return torch.stack(rows).sum(dim=0) / x.shape[1]

        return embed

    @property
    def _longest(self) -> int:
        """Samples that a segment may have."""
        return int(self.segment_duration * self.sample_rate)

    def _pool(self, module: nn.Module, x: Tensor) -> Tensor:
        return pooled_layers(module, x, self.layers, self.feature_axis)

    def _input(self) -> NetInput:
        rate, shortest = self.sample_rate, self.min_samples
        return NetInput(type(self.module).__name__, rate, rate, shortest, lambda wave: wave)

    def _params_key(self) -> Any:
        """Return what tells it from others: a module is never pickled twice the same."""
        params = self.get_params()
        return self._identity(), {k: params[k] for k in params if k != "module"}

    def _identity(self) -> Any:
        weights = {
            name: values.cpu().reshape(-1).view(torch.uint8).numpy()
            for name, values in self.module.state_dict().items()
        }
        kind = f"{type(self.module).__module__}.{type(self.module).__qualname__}"
        how = (self.sample_rate, self.layers, self.feature_axis, self.segment_duration)
        return kind, repr(self.module), joblib.hash(weights), how


def _device(module: nn.Module) -> torch.device:
    """Return where a module is; one without weights is anywhere, so on the CPU."""
    return next((values.device for values in module.state_dict().values()), torch.device("cpu"))
