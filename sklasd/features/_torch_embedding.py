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
    """Embed clips by a frozen torch module of your own, one row per clip.

    The module gets waveforms, (batch, n_samples), float32. Its output, or the outputs of some of
    its layers, are averaged over time and all other axes but that of the features.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode. It is never changed.
    sample_rate : int, default=16000
        In Hz. Files are resampled to it (soxr); arrays are taken to be at it.
    layers : sequence of str, default=None
        Names of submodules whose outputs are concatenated; None takes the output of the module.
        The module must run each of them exactly once.
    feature_axis : int, default=-1
        Axis of the features in these outputs, (batch, n_frames, n_features) of a transformer; 1
        for the maps (batch, channels, height, width) of convolutions.
    min_samples : int, default=1
        Samples of the shortest clip that the module accepts.
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
        Number of features, found by a second of silence.

    See Also
    --------
    PANNsEmbedding : Embeds clips by nets that were trained on AudioSet.

    Notes
    -----
    A batch holds clips of one length without padding. It is always full, by repeating a clip where
    needed, so that the row of a clip does not depend on the others.

    The net sees a segment without the sound beyond its ends, so the row of a clip longer than
    `segment_duration` differs slightly from that of the whole clip. How much depends on the module;
    raise `segment_duration` as memory allows.

    A clone copies the module, and a search makes many clones. The cache identifies a module by its
    class, its printed form and its weights: after a change of the code of its `forward`, use
    another folder. A pickle holds the module; its class must be importable where it is loaded.

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
        """Check the parameters and the mode of the module, as `fit` and `transform` do."""
        if isinstance(self.layers, str):
            raise ValueError(f"Got layers={self.layers!r}; pass layers=[{self.layers!r}].")
        super().check_params()
        # A clip one sample longer than a segment is cut into two: the shorter half must fit.
        if (self._longest + 1) // 2 < self.min_samples:
            raise ValueError(
                f"Got segment_duration={self.segment_duration:g}, but a clip that is slightly "
                f"longer is cut into halves, which would have fewer than min_samples="
                f"{self.min_samples} at {self.sample_rate} Hz; pass segment_duration="
                f"{2 * self.min_samples / self.sample_rate} or more."
            )
        # Dropout would make random rows, and batch normalisation rows that depend on others.
        learning = [name for name, part in self.module.named_modules() if part.training]
        if learning:
            raise ValueError(
                f"Got a module with {learning[0] or 'all parts'} in training mode; call "
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
            row = self._pool(self.module, silence.to(_device(self.module)))
        self.n_features_out_ = row.shape[1]

    def _net(self, device: str) -> Callable[[Tensor], Tensor]:
        module = self.module
        if torch.device(device) != _device(module):
            module = copy.deepcopy(module).to(device)  # the user's module stays where it is
        longest = self._longest

        def embed(x: Tensor) -> Tensor:
            # Segments differ by a sample in length, so each one counts by its own.
            segments = x.tensor_split(-(-x.shape[1] // longest), dim=1)
            rows = [self._pool(module, segment) * segment.shape[1] for segment in segments]
            return torch.stack(rows).sum(dim=0) / x.shape[1]

        return embed

    @property
    def _longest(self) -> int:
        """Greatest number of samples of a segment."""
        return int(self.segment_duration * self.sample_rate)

    def _pool(self, module: nn.Module, x: Tensor) -> Tensor:
        return pooled_layers(module, x, self.layers, self.feature_axis)

    def _input(self) -> NetInput:
        rate, shortest = self.sample_rate, self.min_samples
        return NetInput(type(self.module).__name__, rate, rate, shortest, lambda wave: wave)

    def _params_key(self) -> Any:
        """Return a hashable form of the parameters: two pickles of one module differ."""
        params = self.get_params()
        return self._identity(), {k: params[k] for k in params if k != "module"}

    def _identity(self) -> Any:
        # As bytes, since numpy has no bfloat16.
        weights = {
            name: values.cpu().reshape(-1).view(torch.uint8).numpy()
            for name, values in self.module.state_dict().items()
        }
        kind = f"{type(self.module).__module__}.{type(self.module).__qualname__}"
        how = (self.sample_rate, self.layers, self.feature_axis, self.segment_duration)
        return kind, repr(self.module), joblib.hash(weights), how


def _device(module: nn.Module) -> torch.device:
    """Return the device of a module; the CPU for one without weights."""
    return next((values.device for values in module.state_dict().values()), torch.device("cpu"))
