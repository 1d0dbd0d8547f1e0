"""Time of an evaluation table with confidence intervals, next to a loop over roc_auc_score.

Run with ``python benchmarks/bench_evaluation_table.py [n_clips] [n_bootstrap]``. The loop is
timed for a few draws and extrapolated. Both use one core.
"""

import sys
import time

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from sklasd.metrics import dcase_score, evaluation_table

N_DRAWS_OF_LOOP = 3


def make_clips(n_clips, n_sections, rng):
    clips = pd.DataFrame(
        {
            "section": np.arange(n_clips) % n_sections,
            "domain": rng.choice(["source", "target"], n_clips),
            "label": rng.choice([1, -1], n_clips),
        }
    )
    clips["machine"] = clips["section"] // 10
    clips["score"] = rng.normal(size=n_clips) + clips["label"]
    return clips


def time_of_table(clips, n_bootstrap):
    start = time.perf_counter()
    table = evaluation_table(
        clips["label"],
        clips["score"],
        y_pred=np.where(clips["score"] < 0, -1, 1),
        machine=clips["machine"],
        section=clips["section"],
        domain=clips["domain"],
        n_bootstrap=n_bootstrap,
    )
    seconds = time.perf_counter() - start
    groups = {name: clips[name] for name in ("machine", "section", "domain")}
    expected = dcase_score(clips["label"], clips["score"], **groups)
    assert abs(table["official"].iloc[-1] - expected) < 1e-12
    return seconds


def time_of_loop(clips, n_bootstrap, rng):
    """Resample each kind of clip and call scikit-learn for each area, draw by draw."""
    sections = []
    for _, part in clips.groupby(["machine", "section"]):
        strata = part.reset_index(drop=True).groupby(["domain", "label"]).indices.values()
        columns = (part["label"] == -1, -part["score"], part["domain"])
        sections.append((strata, *(column.to_numpy() for column in columns)))
    start = time.perf_counter()
    for _ in range(N_DRAWS_OF_LOOP):
        for strata, is_anomaly, suspicion, domain in sections:
            drawn = np.concatenate([rng.choice(rows, len(rows)) for rows in strata])
            truth, score, where = is_anomaly[drawn], suspicion[drawn], domain[drawn]
            for name in ("source", "target"):
                used = truth | (where == name)
                roc_auc_score(truth[used], score[used])
            roc_auc_score(truth, score)
            roc_auc_score(truth, score, max_fpr=0.1)
    return (time.perf_counter() - start) * n_bootstrap / N_DRAWS_OF_LOOP


def main(n_clips=100_000, n_bootstrap=1000):
    print(f"{n_clips} clips, {n_bootstrap} draws, rule of 2023")
    for n_sections in (10, 50, 500):
        rng = np.random.default_rng(0)
        clips = make_clips(n_clips, n_sections, rng)
        table, loop = time_of_table(clips, n_bootstrap), time_of_loop(clips, n_bootstrap, rng)
        print(
            f"{n_sections:4d} sections: table {table:6.1f} s, loop {loop:7.0f} s (extrapolated "
            f"from {N_DRAWS_OF_LOOP} draws), ratio {loop / table:.0f}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
