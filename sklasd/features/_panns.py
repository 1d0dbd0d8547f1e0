"""Embeddings of clips by PANNs, nets that were trained on AudioSet (Kong et al., 2020)."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import StrOptions
from torch import Tensor

from sklasd.clips._sound_file import ClipFormat
from sklasd.features._frozen_net import FrozenNetEmbedding, NetInput
from sklasd.features._mel_bands import MelBands
from sklasd.features._panns_weights import MODELS, find_weights, load_net
from sklasd.nets._panns import N_CLASSES, PANN
from sklasd.nets._panns_pooling import PooledPANN
from sklasd.utils._devices import check_device
from sklasd.utils._seeds import draw_seed

_FRAMES_AT_ONCE = 512  # whose spectra stay in the cache of a core


class PANNsEmbedding(FrozenNetEmbedding):
    r"""Embed clips by a net that was trained to tag AudioSet, one row per clip.

    ============== =========== ============ ============= ===========================
    `model`        sample rate ``"blocks"`` `"embedding"` official checkpoint
    ============== =========== ============ ============= ===========================
    ``resnet38``   32,000 Hz   3,776        2,048         ``ResNet38_mAP=0.434.pth``
    ``cnn14``      32,000 Hz   4,032        2,048         ``Cnn14_mAP=0.431.pth``
    ``cnn14_16k``  16,000 Hz   4,032        2,048         ``Cnn14_16k_mAP=0.438.pth``
    ``cnn10``      32,000 Hz   960          512           ``Cnn10_mAP=0.380.pth``
    ``cnn6``       32,000 Hz   960          512           ``Cnn6_mAP=0.343.pth``
    ============== =========== ============ ============= ===========================

    Parameters
    ----------
    model : {"resnet38", "cnn14", "cnn14_16k", "cnn10", "cnn6"}, default="resnet38"
        The net.
    weights : path or "random", default=None
        File of the checkpoint. None takes the one that `sklasd.datasets.fetch_panns` downloads.
        "random" draws weights, to try everything around the net.
    layers : {"blocks", "embedding", "logits"}, default="blocks"
        "blocks" takes the mean over time and frequency of each channel of the 16 basic blocks
        (of each convolutional block of a Cnn, before its average); "embedding" the values before
        the last matrix; "logits" one value for each of the 527 classes of AudioSet, before the
        sigmoid.
    precision : {"32", "bf16"}, default="32"
        Precision of convolutions. "bf16" is nearly twice as fast on CPUs that support it, with
        errors of some thousandths of the largest value.
    pad_short : bool, default=False
        Append silence to clips that are too short for the net; otherwise they are refused.
    segment_duration : float, default=60.0
        In seconds. Longer clips are cut into segments of about this length, with the same result.
    trust_pickle : bool, default=False
        Read a checkpoint that holds more than tensors. It can run any code.
    embed_weights : bool, default=False
        Whether pickles hold the net; otherwise they name its file and the sha256.
    channel : "mean" or int, default="mean"
        How files with several channels become mono: their mean, or the channel of this index
        (in DCASE 2026, 0 is the near microphone).
    n_jobs : int, default=None
        Threads that read clips; None is 1, -1 all cores.
    device : str, default="auto"
        Where the net runs: "cpu", "cuda", or "auto" for a GPU where there is one.
    random_state : int or RandomState, default=None
        Seed of ``weights="random"``, where it is required.
    memory : str or object with the joblib.Memory interface, default=None
        Where embeddings are cached, clip by clip, so that a search computes them once.

    Attributes
    ----------
    weights_ : Weights
        The path of the file and its sha256, or the seed.
    mel_filters_ : ndarray of shape (64, 1 + n_fft // 2), float32
        Mel filters of the checkpoint.

    See Also
    --------
    TorchEmbedding : The same for a module of your own.
    sklasd.datasets.fetch_panns : Downloads the checkpoints.

    Notes
    -----
    The front end is the official one: 64 mel bands (50 to 14,000 Hz) of frames of 1,024 samples
    every 320, in dB, within 1e-3 dB of librosa; for ``cnn14_16k`` 50 to 8,000 Hz, 512 and 160. Mel
    filters are taken from the checkpoint. The Fourier transform is an FFT; a checkpoint with the
    kernels of another transform is refused.

    "blocks" is the feature of [2]_: 3 x 64 + 4 x 128 + 6 x 256 + 3 x 512 values of ResNet38, after
    the sum and the ReLU of each block, in the order of the blocks. It covers the whole clip, and
    nothing is scaled.

    Clips may have any length from 32 frames (16 for ``cnn10`` and ``cnn6``): 9,920 samples, 0.31 s,
    4,960 at 16 kHz. A segment of a long clip has as much context on either side as the last layer
    needs, which does not count twice: means and maxima are those of the whole clip, but for
    rounding. A batch holds clips of one length without padding. It is always full, by repeating a
    clip where needed, so that the row of a clip does not depend on the others.

    A search fits often: a process reads the net only once, and with `memory` no clip passes it
    twice. Nothing is learnt from clips.

    A pickle names the file of the weights by its absolute path. It is refused if the file is
    missing or has changed; after moving it, call ``set_params(weights=PATH).fit(None)``.

    For a clip of 10 s, ResNet38 takes 20 billion multiply-adds for "blocks", and 3 more for the
    other layers.

    References
    ----------
    .. [1] Q. Kong, Y. Cao, T. Iqbal, Y. Wang, W. Wang, M. D. Plumbley, "PANNs: large-scale
       pretrained audio neural networks for audio pattern recognition", IEEE/ACM TASLP 28, 2020.
    .. [2] H. Narita, "Unsupervised anomalous sound detection using intermediate
       representation of trained models and metric learning based variational autoencoder",
       technical report, DCASE 2021.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from sklasd import PANNsEmbedding
    >>> clips = np.random.default_rng(0).normal(size=(2, 16000))  # half a second
    >>> with warnings.catch_warnings(action="ignore"):  # random weights have learnt nothing
    ...     PANNsEmbedding("cnn6", "random", random_state=0).fit_transform(clips).shape
    (2, 960)
    """

    _parameter_constraints: ClassVar[dict] = {
        **FrozenNetEmbedding._parameter_constraints,
        "model": [StrOptions(set(MODELS))],
        "weights": [str, os.PathLike, None],
        "layers": [StrOptions({"blocks", "embedding", "logits"})],
        "precision": [StrOptions({"32", "bf16"})],
        "trust_pickle": ["boolean"],
        "embed_weights": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        model: str = "resnet38",
        weights: str | os.PathLike[str] | None = None,
        layers: str = "blocks",
        *,
        precision: str = "32",
        pad_short: bool = False,
        segment_duration: float = 60.0,
        trust_pickle: bool = False,
        embed_weights: bool = False,
        channel: str | int = "mean",
        n_jobs: int | None = None,
        device: str = "auto",
        random_state: Any = None,
        memory: Any = None,
    ) -> None:
        self.model = model
        self.weights = weights
        self.layers = layers
        self.precision = precision
        self.pad_short = pad_short
        self.segment_duration = segment_duration
        self.trust_pickle = trust_pickle
        self.embed_weights = embed_weights
        self.channel = channel
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.memory = memory

    @property
    def clip_format(self) -> ClipFormat:
        """How clips are read: sample rate, channel, and the rest of a `ClipFormat`."""
        return ClipFormat(MODELS[self.model].sample_rate, self.channel)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns.

        Parameters
        ----------
        input_features : ignored
            Present for the convention.

        Returns
        -------
        ndarray of str, shape (n_features,)
            Such as "layer4.2_511", by block and channel; "embedding_0", "class_0" and so on.
        """
        net = MODELS[self.model].net
        widths = {
            "blocks": net.widths,
            "embedding": {"embedding": net.n_embedding},
            "logits": {"class": N_CLASSES},
        }[self.layers]
        names = [f"{layer}_{i}" for layer, width in widths.items() for i in range(width)]
        return np.array(names, dtype=object)

    def _load(self) -> None:
        seed = None
        if isinstance(self.weights, str) and self.weights == "random":
            if self.random_state is None:
                raise ValueError(
                    'Got weights="random" and random_state=None, which would make another net each '
                    "time; pass random_state=0."
                )
            warnings.warn(
                'The weights are drawn at random (weights="random"): the net has learnt nothing, '
                "and serves trials only.",
                UserWarning,
                stacklevel=3,
            )
            seed = draw_seed(self.random_state)
        self.weights_ = find_weights(self.model, self.weights, seed, self.trust_pickle)
        self._embedded: dict[str, PANN] = {}
        net = load_net(self.weights_, self.precision, check_device(self.device))
        self.mel_filters_ = net.logmel_extractor.melW.T.cpu().numpy().copy()

    def _net(self, device: str) -> Callable[[Tensor], Tensor]:
        net = self._embedded.get(self.precision)
        if net is None:  # not from a pickle that holds the net
            net = load_net(self.weights_, self.precision, device)
        elif torch.device(device).type != "cpu":
            net = copy.deepcopy(net).to(device)
        return PooledPANN(net, self.layers, int(self.segment_duration * self._input().rate))

    def _input(self) -> NetInput:
        # Readers' threads compute the spectrograms, on the CPU, while the net works on others.
        model = MODELS[self.model]
        mel_bands = MelBands(self.mel_filters_, model.n_fft, model.n_fft, 2.0, "cpu")
        margin = model.n_fft // 2

        def front_end(wave: np.ndarray) -> np.ndarray:
            # Reflected at both ends, as in the official code.
            padded = torch.from_numpy(np.pad(wave, margin, mode="reflect"))
            frames = padded.unfold(0, model.n_fft, model.hop_length)  # (n_frames, n_fft), a view
            mel = torch.cat([mel_bands(some) for some in frames.split(_FRAMES_AT_ONCE)])
            return mel.log10_().mul_(10).numpy()

        rate = model.sample_rate / model.hop_length
        name = f"model={self.model!r}"
        return NetInput(name, model.sample_rate, rate, model.min_samples, front_end)

    def _identity(self) -> Any:
        return self.weights_.sha256, self.model, self.layers, self.precision, self.segment_duration

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        # Weights of 300 MB stay in their file, unless the user asks for them.
        if "weights_" in state:
            state["_embedded"] = {}
            if self.embed_weights:
                net = self._embedded.get(self.precision)
                net = net or load_net(self.weights_, self.precision, "cpu")
                state["_embedded"][self.precision] = net
        return state
