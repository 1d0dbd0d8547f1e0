"""Detectors that exist to try the hooks: sections, exposed clips, stages, embeddings."""

import numpy as np
from torch import nn

from sklasd.base import NetDetector
from sklasd.training import train_cached


class Classifier(nn.Module):
    """Standardise, then weigh."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.norm = nn.BatchNorm1d(n_features, affine=False)
        self.weigh = nn.Linear(n_features, n_classes)

    def forward(self, x):
        return self.weigh(self.norm(x))


class TellsApart(NetDetector):
    """On embeddings: a linear classifier of the sections, and of exposed clips as one more."""

    _window_scores = ("exposed_margin",)
    _takes_embeddings = True

    def __init__(
        self, *, anomaly_score="exposed_margin", pooling="mean", threshold="gamma",
        contamination=0.1, calibration="auto", lr=1e-2, batch_size=8, max_epochs=30,
        device="auto", random_state=None, memory=None, verbose=1,
    ):  # fmt: skip
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

    def _window(self):
        return 1, 1

    def _check_params(self, n_features=None, clips=None):
        if clips is not None and (clips.section is None or not clips.exposed.any()):
            raise ValueError(f"Got {len(clips)} samples; TellsApart needs section and exposed.")

    def _train_nets(self, clips):
        self.sections_, number = np.unique(clips.section, return_inverse=True)
        used = np.flatnonzero(clips.normal | clips.exposed)
        windows = self._training_windows(clips, used)
        windows = windows.with_targets(np.where(clips.exposed, len(self.sections_), number))
        net = self._window_net(
            Classifier,
            criterion=nn.CrossEntropyLoss,
            module__n_features=clips.n_features,
            module__n_classes=len(self.sections_) + 1,
        )
        return {"classifier": train_cached(self, net, windows)}

    def _describe(self, x, scores):
        logits = self.net_.module_(x)  # (batch, n_sections + 1)
        return {"exposed_margin": logits[:, -1] - logits[:, :-1].amax(dim=1)}


class Bottleneck(nn.Module):
    """Squeeze a window through a few numbers."""

    def __init__(self, n_values, n_latent):
        super().__init__()
        self.encode = nn.Linear(n_values, n_latent)
        self.decode = nn.Linear(n_latent, n_values)

    def forward(self, x):  # (batch, n_mels, window_length)
        return self.decode(self.encode(x.flatten(1))).view_as(x)


class Remainder(nn.Module):
    """Rebuild what a frozen first stage leaves."""

    def __init__(self, n_values, n_latent):
        super().__init__()
        self.first = Bottleneck(n_values, n_latent).requires_grad_(False)
        self.second = Bottleneck(n_values, n_latent)

    def set_initial_state(self, **state):
        self.first.load_state_dict(state)

    def forward(self, x):
        rebuilt = self.first(x)
        return rebuilt + self.second(x - rebuilt)


class TwoStages(NetDetector):
    """On spectrograms: a first net counted in epochs, a second one in iterations."""

    _window_scores = ("reconstruction",)

    def __init__(
        self, *, n_iterations=250, anomaly_score="reconstruction", pooling="mean",
        threshold="gamma", contamination=0.1, calibration="auto", lr=1e-2, batch_size=64,
        max_epochs=20, device="auto", random_state=None, memory=None, verbose=1,
    ):  # fmt: skip
        self.n_iterations = n_iterations
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

    def _window(self):
        return 4, 2

    def _train_nets(self, clips):
        windows = self._training_windows(clips)
        size = {"module__n_values": 4 * clips.n_features, "module__n_latent": 4}
        loss = {"criterion": nn.MSELoss}
        first = train_cached(self, self._window_net(Bottleneck, **loss, **size), windows)
        state = {name: w.numpy() for name, w in first.module_.state_dict().items()}
        second = self._window_net(
            Remainder, **loss, **size, max_iterations=self.n_iterations, initial_state=state
        )
        return {"first": first, "second": train_cached(self, second, windows)}

    def _describe(self, x, scores):
        residual = self.net_.module_(x) - x
        return {"reconstruction": residual.square().mean(dim=(1, 2))}

    def _map(self, x):
        return (self.net_.module_(x) - x).square()


def sections_and_exposed(n_clips):
    """Tell of every third clip that it is of another machine, and of each its section."""
    clip = np.arange(n_clips)
    return {"section": clip % 2, "exposed": clip % 3 == 2}
