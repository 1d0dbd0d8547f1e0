"""Every recipe on the same machines: what to take, and by which the default is chosen.

Each row is one recipe, trained on one machine under one condition. Machines are synthetic (six
kinds, four of each), or real recordings (--data). Of each the script keeps AUC and pAUC, the share
of faults found and of new normal clips called anomalous where 10 % are asked for, and the share of
faults whose true regions are at least twice as bright in the anomaly map as the rest. --speed tells
what fitting and scoring cost. Rows are appended to --results as they come: interrupted, it goes on
where it was. Recipes that need a GPU (--gpu) are left out without, but for small versions of some:
"auddsr, small" and the like, with the settings below. "RMS level" is a volume meter.

    python benchmarks/bench_detectors.py [--recipes statistics ...] [--conditions default ...]
        [--data ../shared/data] [--results benchmarks/detectors.csv] [--report docs]

--report writes the table and the plot of the documentation's page from the rows that are there.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from sklearn.model_selection import ShuffleSplit
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sklasd import (
    ClipStatistics,
    DiscreteAutoencoder,
    LogMel,
    list_recipes,
    make_pipeline,
    make_recipe,
)
from sklasd.datasets import load_clips, make_machine_clips
from sklasd.evaluation._parts import held_out_clips, training_clips
from sklasd.evaluation._scoring import fit_pipeline
from sklasd.metrics import auc_score, pauc_score
from sklasd.recipes import RECIPES

KINDS = ("fan", "pump", "gearbox", "bearing", "slider", "valve")
LEVEL = "RMS level"
DEFAULT = list_recipes()[0]
ASKED = 0.1
CONDITIONS = {
    "default": {},
    "20 clips": {"n_train": 20},
    "200 clips": {"n_train": 200},
    "mild faults": {"severity": 0.5},
    "severe faults": {"severity": 2.0},
    "shifted domain": {"target_share": 0.2},
}
STATIONARY = {"bearing_defect", "imbalance", "looseness"}  # faults that sound throughout the clip
NEED_GPU = ("unet-inpaint", "aegan-ad", "auddsr", "auddsr-annot", "oe-mobilenet")
NEED_WEIGHTS = ("cl-vae", "cvae", "panns-knn", "panns-mahalanobis")  # they run where they are named
NEED_OTHERS = ("oe-autoencoder", "oe-mobilenet", "auddsr-annot")  # 12 clips of each other kind
NEED_SECTIONS = ("mobilenet-sections", "cl-vae", "cvae")  # three machines of a kind
# Widths, lengths and front ends that two cores train in a minute or two; one held-out share.
ONE_SHARE = ShuffleSplit(1, test_size=0.3, random_state=0)
COARSE = {"logmel__n_fft": 2048, "logmel__hop_length": 1024, "logmel__n_mels": 64}
SMALL = {
    "auddsr": COARSE | {
        "auddsrdetector__autoencoder": DiscreteAutoencoder(
            n_features=16, codebook_size=64, batch_size=32, lr=2e-3, decay=0.95, window_length=32,
            hop=16, max_iterations=300,
        ),
        "auddsrdetector__detection_width": 8, "auddsrdetector__window_length": 32,
        "auddsrdetector__batch_size": 8, "auddsrdetector__lr": 1e-3,
        "auddsrdetector__max_iterations": 600, "auddsrdetector__mask_weight": 3.0,
        "auddsrdetector__bands": (2, 16), "auddsrdetector__segment_frames": (4, 12),
        "auddsrdetector__perlin_octaves": (2, 4), "auddsrdetector__calibration": ONE_SHARE,
    },
    "oe-autoencoder": {
        "oeautoencoder__max_epochs": 20, "oeautoencoder__calibration": ONE_SHARE,
    },
    "oe-mobilenet": {
        "stftimage__height": 96, "stftimage__width": 96, "stftimage__n_jobs": 1,
        "oemobilenetdetector__window_length": 96, "oemobilenetdetector__hop": 96,
        "oemobilenetdetector__weights": "random",
        "oemobilenetdetector__width_multiplier": 0.35,
        "oemobilenetdetector__lr": 1e-3, "oemobilenetdetector__max_epochs": 10,
        "oemobilenetdetector__calibration": ONE_SHARE,
    },
    "mobilenet-sections": COARSE | {
        "sectionmobilenetdetector__width_multiplier": 0.25,
        "sectionmobilenetdetector__window_length": 32, "sectionmobilenetdetector__hop": 16,
        "sectionmobilenetdetector__scoring_hop": 8, "sectionmobilenetdetector__lr": 1e-3,
        "sectionmobilenetdetector__max_epochs": 15,
        "sectionmobilenetdetector__calibration": ONE_SHARE,
    },
    "cl-vae": {  # on statistics, as PANNs' weights are the user's to bring
        "pannsembedding": make_pipeline(
            LogMel(), ClipStatistics(("mean", "deviation")), StandardScaler()
        ),
        "clvaedetector__hidden_layer_sizes": (128, 128, 64), "clvaedetector__latent_features": 32,
        "clvaedetector__max_epochs": 100, "clvaedetector__batch_size": 32,
        "clvaedetector__calibration": ONE_SHARE,
    },
}  # fmt: skip
RESULTS = Path(__file__).parent / "detectors.csv"


def made_up(kind: str, seed: int, condition: str, **more: int) -> tuple[np.ndarray, pd.DataFrame]:
    settings = {"n_train": 60, "n_test": 40, "n_anomalies": 40, "duration": 4.0}
    return make_machine_clips(kind, random_state=seed, **(settings | CONDITIONS[condition] | more))


def add_others(train: np.ndarray, kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Append normal clips of all other kinds, and say which they are."""
    others = [
        made_up(other, seed, "default", n_train=12, n_test=0, n_anomalies=0)[0]
        for other in KINDS if other != kind
    ]  # fmt: skip
    exposed = np.arange(len(train) + 12 * len(others)) >= len(train)
    return np.concatenate([train, *others]), exposed


def measure(recipe: str, machine: str, seed: int, condition: str, data: str | None) -> dict:
    """Train a recipe on a machine, score its test clips, and sum up."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    about = {"recipe": recipe, "machine": machine, "seed": seed, "condition": condition}
    name = recipe.partition(", ")[0]
    told: dict = {}
    with threadpool_limits(1):
        if data is None:
            more = {"n_sections": 3} if name in NEED_SECTIONS else {}
            waves, table = made_up(machine, seed, condition, **more)
            is_train = (table["split"] == "train").to_numpy()
            train, test = waves[is_train], waves[~is_train]
            clips, known = table[~is_train].reset_index(drop=True), table[is_train]
            if condition == "shifted domain":
                told["domain"] = known["domain"].to_numpy()
            if name in NEED_SECTIONS:
                told["section"] = known["section"].to_numpy()
            if name in NEED_OTHERS:
                train, told["exposed"] = add_others(train, machine, seed)
        else:
            table = load_clips(f"{data}/manifest.csv")
            table = table[table["machine"] == machine]
            train, clips = training_clips(table), held_out_clips(table)
            test = clips
        if recipe == LEVEL:
            score = -levels(test, data)
            return about | areas(clips, score)
        pipeline = prepared(recipe, seed)
        if data is not None:
            fit_pipeline(pipeline, train)
        else:
            pipeline.fit(train, **{f"{pipeline.steps[-1][0]}__{k}": v for k, v in told.items()})
        section = {"section": clips["section"].to_numpy()} if "section" in told else {}
        score = pipeline[-1].score_samples(pipeline[:-1].transform(test), **section)
    row = about | areas(clips, score)
    is_alarm = pipeline[-1].decide(score) == -1
    label = clips["label"].to_numpy()
    row |= {
        "found": is_alarm[label == -1].mean(), "false_alarms": is_alarm[label == 1].mean(),
    }  # fmt: skip
    if data is None and hasattr(pipeline[-1], "anomaly_map"):
        row |= localise(pipeline, test, clips)
    return row


CACHE = str(Path(tempfile.gettempdir(), "bench_detectors"))  # nets that two recipes train alike


def prepared(recipe: str, seed: int):
    """Make a recipe; nets of one recipe that another trains as well come from a cache."""
    name, _, size = recipe.partition(", ")
    pipeline = make_recipe(name).set_params(**(SMALL[name] if size else {}))
    settings = {}
    for name in pipeline.get_params():
        last = name.split("__")[-1]
        if last in {"random_state", "memory", "verbose"} and "__" in name:
            settings[name] = {"random_state": seed, "memory": CACHE, "verbose": False}[last]
    return pipeline.set_params(**settings)


def levels(clips, data) -> np.ndarray:
    if data is None:
        return 10 * np.log10(np.square(clips).mean(axis=1, dtype=float))
    from sklasd import LogMel
    from sklasd.evaluation._scoring import measure_levels

    return measure_levels(LogMel(), clips)


def areas(clips: pd.DataFrame, score: np.ndarray) -> dict:
    label = clips["label"].to_numpy()
    row = {"auc": auc_score(label, score), "pauc": pauc_score(label, score)}
    if "domain" in clips and clips["domain"].nunique() == 2:
        for domain in ("source", "target"):
            of = (clips["domain"] == domain).to_numpy()
            row[f"auc_{domain}"] = auc_score(label[of], score[of])
    return row


def localise(pipeline, waves: np.ndarray, clips: pd.DataFrame) -> dict:
    """Compare the map inside and outside the true regions of each fault."""
    faulty = np.flatnonzero(clips["label"] == -1)
    maps = pipeline[-1].anomaly_map(pipeline[:-1].transform(waves[faulty])
                                    if len(pipeline) > 1 else waves[faulty])  # fmt: skip
    hop_length = pipeline.get_params().get("logmel__hop_length", 512)
    ratios = {True: [], False: []}
    for clip, where in zip(faulty, maps, strict=True):
        inside = true_cells(clips["regions"][clip], where.shape, hop_length)
        if inside.any() and not inside.all():
            ratio = where[inside].mean() / where[~inside].mean()
            ratios[clips["fault"][clip] in STATIONARY].append(ratio >= 2)
    names = {True: "located_stationary", False: "located_other"}
    return {names[kind]: np.mean(found) for kind, found in ratios.items() if found}


def true_cells(regions, shape: tuple[int, int], hop_length: int, rate: int = 16000):
    """Mark the cells of a log-mel spectrogram that lie in one of the boxes."""
    from librosa import mel_frequencies

    edges = mel_frequencies(shape[0] + 2, fmin=0, fmax=rate / 2)
    seconds = np.arange(shape[1]) * hop_length / rate
    cells = np.zeros(shape, dtype=bool)
    for start, end, low, high in regions:
        bands = (edges[2:] > low) & (edges[:-2] < high)
        cells |= bands[:, None] & ((seconds >= start) & (seconds <= end))
    return cells


def speed(recipe: str) -> dict:
    """Time a fit to 60 WAV files of 10 s on two cores, and scoring them on one."""
    warnings.simplefilter("ignore")
    about = {"recipe": recipe, "machine": "fan", "seed": 0, "condition": "speed"}
    with tempfile.TemporaryDirectory() as folder:
        _, table = make_machine_clips(
            "fan", n_train=60, n_test=0, n_anomalies=0, duration=10.0, root=folder, random_state=0
        )
        paths = table["path"].tolist()
        make_recipe("statistics-mahalanobis").fit(paths[:12])  # imports, and files in memory
        pipeline = prepared(recipe, 0)
        pipeline.set_params(
            **{n: None for n in pipeline.get_params() if n.endswith("__memory")},
            **{n: 2 for n in pipeline.get_params() if n.endswith("logmel__n_jobs")},
        )
        torch.set_num_threads(2)
        start = time.perf_counter()
        pipeline.fit(paths)
        fit_s = time.perf_counter() - start
        pipeline.set_params(**{n: 1 for n in pipeline.get_params() if n.endswith("logmel__n_jobs")})
        torch.set_num_threads(1)
        with threadpool_limits(1):
            start = time.perf_counter()
            pipeline.score_samples(paths)
            score_s = time.perf_counter() - start
    return about | {"fit_s": fit_s, "score_ms": 1000 * score_s / 60, "real_time": 600 / score_s}


def jobs(args: argparse.Namespace, done: pd.DataFrame) -> list[tuple]:
    """List what has not been measured yet."""
    known = set()
    if len(done):
        known = set(zip(done["recipe"], done["machine"], done["seed"], done["condition"]))  # noqa: B905
    wanted = []
    for condition in args.conditions:
        recipes = [*args.recipes, LEVEL]
        wanted += [(r, m, s, condition, None) for m, s, r in product(KINDS, args.seeds, recipes)]
    if args.data is not None:
        wanted += [
            (r, m, 0, "real", args.data)
            for m, r in product(("slider", "fanstate"), [*args.recipes, LEVEL])
        ]
    return [job for job in wanted if job[:4] not in known]


def summarise(rows: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Sum up the machines: mean, its 95 % interval by resampling machines, and the worst.

    Of a recipe that was run on some of the machines only, say what the default has on the same.
    """
    part = rows[rows["condition"] == condition]
    of_default = part[part["recipe"] == DEFAULT].set_index(["machine", "seed"])["auc"]
    rng = np.random.default_rng(0)
    table = []
    for recipe, of in part.groupby("recipe", sort=False):
        auc = of["auc"].to_numpy()
        draws = rng.choice(auc, (2000, len(auc))).mean(axis=1)
        low, high = np.quantile(draws, [0.025, 0.975])
        same = of_default[of_default.index.isin(of.set_index(["machine", "seed"]).index)]
        line = {
            "recipe": recipe, "machines": len(of), "AUC": f"{auc.mean():.3f}",
            f"{DEFAULT} on these": same.mean() if len(same) < len(of_default) else np.nan,
            "95 %": f"{low:.3f} to {high:.3f}", "worst": f"{auc.min():.3f}",
            "pAUC": of["pauc"].mean(),
        }  # fmt: skip
        for name, column in (
            ("source", "auc_source"), ("target", "auc_target"), ("found", "found"),
            ("false alarms", "false_alarms"), ("worst false alarms", "false_alarms"),
            ("located", "located_stationary"), ("located others", "located_other"),
        ):  # fmt: skip
            if column in of and of[column].notna().any():
                line[name] = of[column].max() if name.startswith("worst") else of[column].mean()
        table.append(line)
    table = pd.DataFrame(table).sort_values("AUC", ascending=False, key=lambda c: c.astype(float))
    return table.dropna(axis=1, how="all").reset_index(drop=True)


def as_markdown(table: pd.DataFrame) -> str:
    def cell(value, name):
        if isinstance(value, float):
            return "" if np.isnan(value) else f"{value:.3f}"
        return str(value)

    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    for _, row in table.iterrows():
        lines.append("| " + " | ".join(cell(v, n) for n, v in row.items()) + " |")
    return "\n".join(lines)


def speed_table(rows: pd.DataFrame) -> pd.DataFrame:
    part = rows[rows["condition"] == "speed"].drop_duplicates("recipe", keep="last")
    return pd.DataFrame(
        {
            "recipe": part["recipe"], "fit of 60 clips of 10 s, 2 cores, s": part["fit_s"],
            "ms a clip, 1 core": part["score_ms"],
            "times real time": part["real_time"].round().astype(int),
        }
    ).sort_values("ms a clip, 1 core")  # fmt: skip


def real_table(rows: pd.DataFrame) -> pd.DataFrame:
    part = rows[rows["condition"] == "real"]
    wide = part.pivot_table(index="recipe", columns="machine", values=["auc", "pauc"])
    wide.columns = [f"{machine} {what}" for what, machine in wide.columns]
    return wide.sort_values(wide.columns[0], ascending=False).reset_index()


def choose_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Set what was measured beside what each recipe needs, with small nets where no other ran."""

    def mean(recipe: str, rows: pd.DataFrame, condition: str) -> str:
        rows = rows[rows["condition"] == condition]
        for name in (recipe, f"{recipe}, small"):
            auc = rows.loc[rows["recipe"] == name, "auc"]
            if len(auc):
                size = ", small" if name != recipe else ""
                machines = f" ({len(auc)} machines{size})" if condition == "default" else size
                return f"{auc.mean():.3f}{machines}"
        return "not measured"

    slider, fan = (rows[rows["machine"] == name] for name in ("slider", "fanstate"))
    table = []
    for name, recipe in RECIPES.items():
        if ":" in name:  # the settings of a single machine
            continue
        detector = recipe.build()[-1]
        table.append({
            "recipe": f"`{name}`", "AUC, synthetic": mean(name, rows, "default"),
            "AUC, desk fan": mean(name, fan, "real"), "AUC, slide rail": mean(name, slider, "real"),
            "needs": recipe.needs, "cost": recipe.cost,
            "localises": "yes" if hasattr(detector, "anomaly_map") else "no",
            "input": recipe.inputs, "detector": f"`{type(detector).__name__}`",
            "from": recipe.paper,
        })  # fmt: skip
    return pd.DataFrame(table)


def report(rows: pd.DataFrame, folder: Path) -> None:
    """Write the table and the plot of the documentation's page."""
    parts = []
    for condition in [c for c in CONDITIONS if (rows["condition"] == c).any()]:
        settings = ", ".join(f"{k}={v}" for k, v in CONDITIONS[condition].items()) or "60 clips"
        parts.append(f"## {condition.capitalize()} ({settings})\n\n"
                     f"{as_markdown(summarise(rows, condition))}\n")  # fmt: skip
    if (rows["condition"] == "real").any():
        parts.append(f"## Real recordings\n\n{as_markdown(real_table(rows))}\n")
    if (rows["condition"] == "speed").any():
        parts.append(f"## Speed\n\n{as_markdown(speed_table(rows))}\n")
    (folder / "_detectors_table.md").write_text("\n".join(parts))
    draw(rows, folder / "_static" / "detectors.svg")


def draw(rows: pd.DataFrame, path: Path) -> None:
    """Draw each recipe's AUC on every machine."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "sklasd"
    part = rows[rows["condition"] == "default"]
    order = part.groupby("recipe")["auc"].mean().sort_values().index
    figure = Figure(figsize=(8, 0.55 * len(order) + 1.2), layout="constrained")
    axes = figure.subplots()
    for k, kind in enumerate(KINDS):
        of = part[part["machine"] == kind]
        height = [order.get_loc(r) + 0.1 * (k - 2.5) for r in of["recipe"]]
        axes.plot(of["auc"], height, "o", ms=4, alpha=0.8, color=f"C{k}", label=kind)
    means = part.groupby("recipe")["auc"].mean()[order]
    axes.plot(means, range(len(order)), "|", color="black", ms=22, mew=2, label="mean")
    axes.set_yticks(range(len(order)), order)
    axes.set(xlabel="AUC on one machine of 60 training clips", xlim=(0.3, 1.005))
    axes.grid(axis="x", alpha=0.4)
    figure.legend(loc="outside right upper", fontsize=8)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipes", nargs="*", default=None)
    parser.add_argument("--conditions", nargs="*", default=["default"], choices=[*CONDITIONS])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3])
    parser.add_argument("--data", default=None, help="real recordings: slider and fanstate")
    parser.add_argument("--speed", action="store_true", help="60 WAV files of 10 s")
    parser.add_argument("--gpu", action="store_true", help="recipes that need one, too")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--report", type=Path, default=None)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    if args.recipes is None:  # those of a single machine's settings are no competitors
        args.recipes = [r for r in list_recipes() if ":" not in r and r not in NEED_WEIGHTS]
        args.recipes = [r for r in args.recipes if args.gpu or r not in NEED_GPU]
        args.recipes += [f"{r}, small" for r in SMALL]
    done = pd.read_csv(args.results) if args.results.exists() else pd.DataFrame()
    columns = ["recipe", "machine", "seed", "condition", "auc", "pauc", "auc_source", "auc_target",
               "found", "false_alarms", "located_stationary", "located_other", "fit_s", "score_ms",
               "real_time"]  # fmt: skip

    def keep(row: dict) -> None:
        line = pd.DataFrame([row], columns=columns).round(5)
        line.to_csv(args.results, mode="a", header=not args.results.exists(), index=False)

    todo = Parallel(args.jobs, return_as="generator_unordered")(
        delayed(measure)(*job) for job in jobs(args, done)
    )
    for row in todo:
        keep(row)
        print(*(row[k] for k in ("condition", "machine", "seed", "recipe")), round(row["auc"], 3),
              flush=True)  # fmt: skip
    if args.speed:
        for recipe in args.recipes:
            keep(speed(recipe))
    rows = pd.read_csv(args.results)
    for condition in args.conditions:
        print(f"\n{condition}\n{summarise(rows, condition).round(3).to_string(index=False)}")
    if args.report is not None:
        report(rows, args.report)


if __name__ == "__main__":
    main()
