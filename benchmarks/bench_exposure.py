"""What outlier exposure does to the autoencoder: AUC with each loss, and without exposed clips.

Of each synthetic machine 30 normal clips of 4 s are learnt, and 30 clips of the five other kinds
are exposed; "plain, twice" is the plain autoencoder with as many steps as one with exposed clips
takes. "literal" squashes the errors of normal windows, too, and "mean window" wants exposed windows
rebuilt as the mean one: both were tried and are not in the package. "own half" exposes half of the
machine's own normal clips, and so tells what exposure does where there is nothing to learn from it;
"plain, half" learns the other half alone. "AUC" is of faults, "others" of new normal clips of the
other kinds, both against the machine's own new normal clips.

--real takes real recordings, slide rail and fan, and exposes the clips of all other machines there.

    python benchmarks/bench_exposure.py [--seeds 0 1 2 3 4] [--epochs 10]
    python benchmarks/bench_exposure.py --real ../shared/data
"""

from __future__ import annotations

import argparse
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from sklasd import LogMel, OEAutoencoder
from sklasd.datasets import load_clips, make_machine_clips
from sklasd.evaluation._parts import held_out_clips, training_clips
from sklasd.evaluation._scoring import measure_levels
from sklasd.metrics import auc_score
from sklasd.training import ComparingNet

KINDS = ("fan", "pump", "gearbox", "bearing", "slider", "valve")


class Literal(torch.nn.Module):
    """Squared distance of squashed errors from 0 and 1: the report's words."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, rebuilt, x, is_exposed):  # noqa: D102
        error = (rebuilt - x).square().flatten(1).mean(dim=1)
        return (error / (error + self.scale) - is_exposed.float()).square().mean()


class MeanWindow(torch.nn.Module):
    """Exposed windows are to be rebuilt as the mean window."""

    def __init__(self, mean: torch.Tensor) -> None:
        super().__init__()
        self.mean = mean

    def forward(self, rebuilt, x, is_exposed):  # noqa: D102
        aim = torch.where(is_exposed[:, None, None], self.mean, x)
        return (rebuilt - aim).square().mean()


class LiteralAutoencoder(OEAutoencoder):
    """Exposure by the report's words."""

    def _objective(self, windows, clips):
        scale = super()._objective(windows, clips)["criterion__scale"]
        return {"net": ComparingNet, "criterion": Literal, "criterion__scale": scale}


class MeanWindowAutoencoder(OEAutoencoder):
    """Exposure by rebuilding the mean window."""

    def _objective(self, windows, clips):
        return {"net": ComparingNet, "criterion": MeanWindow, "criterion__mean": windows.mean()}


class Sounds(NamedTuple):
    """Spectrograms of a machine and of others, as lists."""

    own: list  # normal, to learn from
    exposed: list  # of others
    test: list
    label: np.ndarray  # of test
    others: list  # new ones of others
    level: np.ndarray  # of test, in dB


def variants(epochs: int, rng: np.random.Generator, n_own: int, groups=None) -> dict:
    """Return detectors by name: what they expose, and which of their own clips they learn."""
    half = half_of(np.arange(n_own) if groups is None else groups, rng)
    every = np.ones(n_own, dtype=bool)
    make = OEAutoencoder
    return {
        "plain": (make, {}, "nothing", every),
        "plain, twice": (make, {"max_epochs": 2 * epochs}, "nothing", every),
        "squashed": (make, {"exposure_loss": "squashed"}, "others", every),
        "margin": (make, {"exposure_loss": "margin"}, "others", every),
        "margin of 1": (make, {"exposure_loss": "margin", "exposure_margin": 1.0}, "others", every),
        "literal": (LiteralAutoencoder, {}, "others", every),
        "mean window": (MeanWindowAutoencoder, {}, "others", every),
        "plain, half": (make, {"max_epochs": 4 * epochs}, "nothing", half),
        "squashed, own half": (
            make, {"exposure_loss": "squashed", "max_epochs": 2 * epochs}, "own", half
        ),
        "margin, own half": (
            make, {"exposure_loss": "margin", "max_epochs": 2 * epochs}, "own", half
        ),
    }  # fmt: skip


def half_of(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pick half of the groups of clips at random."""
    names = rng.permutation(np.unique(groups))
    return np.isin(groups, names[: len(names) // 2])


def measure(sounds: Sounds, seed: int, epochs: int, hop: int, groups=None) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [{"variant": "RMS level", "AUC": auc_score(sounds.label, -sounds.level)}]
    normal = [x for x, label in zip(sounds.test, sounds.label, strict=True) if label == 1]
    known = np.repeat([1, -1], [len(normal), len(sounds.others)])
    table = variants(epochs, rng, len(sounds.own), groups)
    for name, (make, params, what, mine) in table.items():
        own = [x for x, ok in zip(sounds.own, mine, strict=True) if ok]
        rest = [x for x, ok in zip(sounds.own, mine, strict=True) if not ok]
        exposed = {"nothing": [], "others": sounds.exposed, "own": rest}[what]
        settings = {
            "hop": hop, "batch_size": 64, "max_epochs": epochs, "calibration": None, "verbose": 0,
        }  # fmt: skip
        detector = make(**settings | params, random_state=seed)
        detector.fit(own + exposed, exposed=np.arange(len(own) + len(exposed)) >= len(own))
        row = {"variant": name, "AUC": auc_score(sounds.label, detector.score_samples(sounds.test))}
        if sounds.others:
            row["others"] = auc_score(known, detector.score_samples(normal + sounds.others))
        rows.append(row)
    return pd.DataFrame(rows)


def made_up(seed: int) -> dict[str, Sounds]:
    clips = {
        kind: make_machine_clips(
            kind, n_train=30, n_test=40, n_anomalies=40, duration=4.0, random_state=seed
        )
        for kind in KINDS
    }
    X = {kind: list(LogMel().transform(waves)) for kind, (waves, _) in clips.items()}
    train = {kind: np.flatnonzero(table["split"] == "train") for kind, (_, table) in clips.items()}
    test = {kind: np.flatnonzero(table["split"] == "test") for kind, (_, table) in clips.items()}
    sounds = {}
    for kind, (waves, table) in clips.items():
        rest = [other for other in KINDS if other != kind]
        sounds[kind] = Sounds(
            own=[X[kind][i] for i in train[kind]],
            exposed=[X[other][i] for other in rest for i in train[other][:6]],
            test=[X[kind][i] for i in test[kind]],
            label=table["label"].to_numpy()[test[kind]],
            others=[X[other][i] for other in rest for i in train[other][-4:]],
            level=10 * np.log10(np.square(waves[test[kind]]).mean(axis=1, dtype=float)),
        )
    return sounds


def synthetic(seeds: list[int], epochs: int) -> None:
    rows = []
    for seed in seeds:
        for kind, sounds in made_up(seed).items():
            rows.append(measure(sounds, seed, epochs, hop=4).assign(kind=kind, seed=seed))
            print(f"{kind} {seed}:", *rows[-1]["AUC"].round(3), flush=True)
    table = pd.concat(rows)
    auc = table.pivot(index=["kind", "seed"], columns="variant", values="AUC")
    lead = auc.sub(auc["plain, twice"], axis=0)  # of as many steps
    of = table.groupby("variant", sort=False)
    print(pd.DataFrame({
        "AUC": of["AUC"].mean(),
        "deviation": of["AUC"].std(),
        "less plain, twice": lead.mean(),
        "its error": lead.std() / np.sqrt(len(lead)),
        "others": of["others"].mean(),
    }).loc[table["variant"].unique()].round(3).to_string())  # fmt: skip
    print(auc.groupby("kind", sort=False).mean().T.loc[table["variant"].unique()].round(3))


def real(root: str, seeds: list[int], epochs: int) -> None:
    table = load_clips(f"{root}/manifest.csv")
    for machine in ("fanstate", "slider"):
        clips = table[table["machine"] == machine]
        train, test = training_clips(clips), held_out_clips(clips)
        # Labelled faults of other machines are left out: a user has none.
        rest = table[(table["machine"] != machine) & (table["label"] == 1)]
        groups = train["recording"] if train["recording"].notna().all() else train["path"]
        sounds = Sounds(
            own=list(LogMel().transform(train)),
            exposed=list(LogMel().transform(rest)),
            test=list(LogMel().transform(test)),
            label=test["label"].to_numpy(),
            others=[],
            level=measure_levels(LogMel(), test),
        )
        rows = []
        for seed in seeds:
            rows.append(measure(sounds, seed, epochs, hop=5, groups=groups.to_numpy()))
            print(f"{machine} {seed}:", *rows[-1]["AUC"].round(3), flush=True)
        auc = pd.concat(rows).groupby("variant", sort=False)["AUC"]
        print(f"{machine}: {len(train)} normal clips, {len(rest)} exposed")
        print(pd.DataFrame({"AUC": auc.mean(), "deviation": auc.std()}).round(3).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--real", default=None)
    args = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # few clips, and thresholds do not matter here
    torch.set_num_threads(1)
    if args.real is not None:
        real(args.real, args.seeds, args.epochs)
    else:
        synthetic(args.seeds, args.epochs)


if __name__ == "__main__":
    main()
