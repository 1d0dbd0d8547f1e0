"""The rules of the DCASE evaluators: which clips are compared, and how the areas are averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import hmean

from sklasd.metrics._roc import FloatArray, RankedClips
from sklasd.metrics._scored_clips import ALL, DOMAINS, ScoredClips, check_clips

Areas = dict[str, FloatArray]

# Every area that some rule has, in the order of a table's columns.
COLUMNS = ("official", "auc", "auc_source", "auc_target", "pauc")


def arithmetic_mean(values: FloatArray) -> FloatArray:
    """Return the mean over the first axis."""
    return values.mean(axis=0)


def harmonic_mean(values: FloatArray) -> FloatArray:
    """Return the harmonic mean over the first axis."""
    # The evaluators floor areas in this way: a single area of 0 would have no reciprocal.
    return np.asarray(hmean(np.maximum(values, np.finfo(np.float64).eps), axis=0))


MEANS = {"arithmetic mean": arithmetic_mean, "harmonic mean": harmonic_mean}


@dataclass(frozen=True)
class Rule:
    """Rule by which one year's evaluator turns clips into one number.

    The defaults are the rule of 2022, which the later years kept.
    """

    year: int
    # The areas of a unit that enter the score, and the mean that forms it.
    columns: tuple[str, ...] = ("auc_source", "auc_target", "pauc")
    kind: Literal["arithmetic mean", "harmonic mean"] = "harmonic mean"
    # "ignored": one unit per section, whatever the domain. "separate": one unit per section and
    # domain, each with its own clips. "shared": one unit per section, where the normal clips of
    # either domain are compared with the anomalous clips of both.
    domains: Literal["ignored", "separate", "shared"] = "shared"
    machines_first: bool = False  # whether all machines weigh the same, rather than all sections


_RULES = {
    2020: Rule(2020, ("auc", "pauc"), "arithmetic mean", "ignored", machines_first=True),
    2021: Rule(2021, ("auc", "pauc"), domains="separate"),
    **{year: Rule(year) for year in range(2022, 2027)},
}


def get_rule(year: int) -> Rule:
    """Return the rule of a year."""
    if year not in _RULES:
        raise ValueError(
            f"Got year={year!r}, but there are rules of {', '.join(map(str, _RULES))}; pass one of "
            "these years as an integer."
        )
    return _RULES[year]


@dataclass(frozen=True)
class Unit:
    """Clips behind one row of the evaluation."""

    machine: object
    section: object
    domain: str
    # Positions of the clips, by domain where the rule tells domains apart within a unit.
    normal: dict[str, NDArray[np.intp]]
    anomalous: dict[str, NDArray[np.intp]]

    def clips_of(self, domain: str) -> NDArray[np.intp]:
        """Return the positions of the unit's clips in one domain, or in all."""
        # By the keys, not by DOMAINS: a rule without domains has the single key "all".
        names = self.normal if domain == ALL else [domain]
        return np.concatenate(
            [rows[name] for rows in (self.normal, self.anomalous) for name in names]
        )

    def find_gap(self) -> str | None:
        """Describe the clips if they are too few for an area, else return None."""
        counts = {domain: len(rows) for domain, rows in self.normal.items()}
        n_anomalous = sum(map(len, self.anomalous.values()))
        if n_anomalous and all(counts.values()):
            return None
        given = {"machine": self.machine, "section": self.section, "domain": self.domain}
        name = ", ".join(f"{key} {value!r}" for key, value in given.items() if value != ALL)
        normal = ", ".join(f"{n} normal" + f" {d}" * (d != ALL) for d, n in counts.items())
        return f"{name}{': ' * bool(name)}{normal} and {n_anomalous} anomalous clips"


class OfficialEvaluation:
    """Scored clips, split into the units of a year's rule."""

    def __init__(self, rule: Rule, clips: ScoredClips) -> None:
        self.rule = rule
        self.clips = clips
        self.units = self._split_into_units()
        gaps = [gap for unit in self.units if (gap := unit.find_gap())]
        if gaps:
            raise ValueError(
                f"Got {'; '.join(gaps[:5])}{' ...' * (len(gaps) > 5)}, but the rule of "
                f"{rule.year} needs at least one clip of each kind; leave such sections out or, "
                "in cross-validation, use a splitter whose test folds hold normal and anomalous "
                "clips of every section, such as NormalOnlySplit."
            )

    def measure_areas(
        self, n_bootstrap: int = 0, random_state: int | np.random.Generator | None = None
    ) -> Areas:
        """Return areas and score of each unit: arrays of shape (n_units, 1 + n_bootstrap).

        Column 0 is the value of the clips as they are: a mean over the units then serves the
        value and the draws alike.
        """
        rng = np.random.default_rng(random_state)
        rows = [self._measure_unit(unit, n_bootstrap, rng) for unit in self.units]
        areas = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        in_score = np.stack([areas[name] for name in self.rule.columns])
        areas["official"] = MEANS[self.rule.kind](in_score)
        # In the order of a table's columns, whatever the rule has measured first.
        return {name: areas[name] for name in COLUMNS if name in areas}

    def measure_decisions(self, flagged: NDArray[np.bool_]) -> Areas:
        """Return precision, recall and F1 of each unit and of its domains: (n_units, 1)."""
        values = {}
        for domain in (ALL, *DOMAINS) if self.rule.domains == "shared" else (ALL,):
            clips = [unit.clips_of(domain) for unit in self.units]
            rows = [decision_metrics(self.clips.anomalous[i], flagged[i]) for i in clips]
            for name in rows[0]:
                key = name if domain == ALL else f"{name}_{domain}"
                values[key] = np.array([[row[name]] for row in rows])
        return values

    def mean(self, values: FloatArray, kind: str | None = None) -> FloatArray:
        """Return the mean over the units, by default of the rule's kind: (n_draws,)."""
        mean = MEANS[kind or self.rule.kind]
        if self.rule.machines_first:
            values = np.stack([mean(values[rows]) for rows in self.by_machine().values()])
        return mean(values)

    def headline(self) -> dict[str, float]:
        """Return the official score, and the mean of each area over the units that have it."""
        areas = self.measure_areas()
        values = {name: float(self.mean(areas[name])[0]) for name in areas}
        if self.rule.domains == "separate":
            # Here a unit is of one domain and has a plain AUC; later rules have these two per unit.
            for domain in DOMAINS:
                rows = [unit.domain == domain for unit in self.units]
                values[f"auc_{domain}"] = float(MEANS[self.rule.kind](areas["auc"][rows])[0])
        return values

    def by_machine(self) -> dict[object, list[int]]:
        """Return the positions of each machine's units."""
        members: dict[object, list[int]] = {}
        for position, unit in enumerate(self.units):
            members.setdefault(unit.machine, []).append(position)
        return members

    def _split_into_units(self) -> list[Unit]:
        units = []
        for machine, section, rows in self.clips.by_section():
            strata = {ALL: rows}
            if self.rule.domains != "ignored":
                strata = {d: rows[self.clips.domain[rows] == d] for d in DOMAINS}
            # One unit with both domains, or one unit for each.
            groups = {ALL: strata}
            if self.rule.domains == "separate":
                groups = {domain: {ALL: strata[domain]} for domain in DOMAINS}
            for domain, members in groups.items():
                units.append(Unit(machine, section, domain, *self.clips.by_class(members)))
        return units

    def _measure_unit(self, unit: Unit, n_bootstrap: int, rng: np.random.Generator) -> Areas:
        scores = self.clips.anomaly_score
        ranked = RankedClips(
            {domain: scores[rows] for domain, rows in unit.normal.items()},
            [scores[rows] for rows in unit.anomalous.values()],
        )
        row = ranked.observed()
        if n_bootstrap:
            draws = ranked.bootstrap(n_bootstrap, rng)
            row = {name: np.concatenate([row[name], draws[name]]) for name in row}
        return row


def apply_rule(
    y_true: ArrayLike,
    y_score: ArrayLike,
    year: int,
    *,
    machine: ArrayLike | None,
    section: ArrayLike | None,
    domain: ArrayLike | None,
) -> OfficialEvaluation:
    """Check the clips and split them by the rule of a year."""
    rule = get_rule(year)
    if rule.domains == "ignored":
        domain = None  # not even checked: tables of 2020 may hold anything there
    elif domain is None:
        raise ValueError(
            f"Got domain=None, but the rule of {year} tells the domains apart; pass 'source' or "
            "'target' for each clip (dcase_scorer reads the domain column of a clip table, or "
            "takes domain= by metadata routing), or use year=2020, which has no domains."
        )
    clips = check_clips(y_true, y_score, machine=machine, section=section, domain=domain)
    return OfficialEvaluation(rule, clips)


def decision_metrics(anomalous: NDArray[np.bool_], flagged: NDArray[np.bool_]) -> dict[str, float]:
    """Return precision, recall and F1 with the anomaly as the positive class."""
    hits, alarms, anomalies = (anomalous & flagged).sum(), flagged.sum(), anomalous.sum()
    # Without alarms or anomalies there are no hits either: 0 / 1 is the 0 of "undefined".
    return {
        "precision": float(hits / max(alarms, 1)),
        "recall": float(hits / max(anomalies, 1)),
        "f1": float(2 * hits / max(alarms + anomalies, 1)),
    }


def build_table(evaluation: OfficialEvaluation, values: Areas, confidence: float) -> pd.DataFrame:
    """Make rows for each unit, two means per machine, two over all, and the official score."""
    columns: dict[str, NDArray] = {}
    for name, draws in values.items():
        rows = _append_means(evaluation, draws)
        columns[name] = rows[:, 0]
        if rows.shape[1] > 1:
            columns[f"{name}_low"], columns[f"{name}_high"] = _interval(rows, confidence)
    table = pd.concat([_name_rows(evaluation), pd.DataFrame(columns)], axis=1)
    return table if evaluation.rule.domains == "separate" else table.drop(columns="domain")


def _name_rows(evaluation: OfficialEvaluation) -> pd.DataFrame:
    """Return the columns that say what a row of the table is about."""
    # In the order of `_append_means`, which computes the values of the same rows.
    rows: list[tuple[object, object, str, str]] = []
    for machine, members in evaluation.by_machine().items():
        units = [evaluation.units[i] for i in members]
        rows += [(machine, unit.section, unit.domain, "section") for unit in units]
        rows += [(machine, ALL, ALL, kind) for kind in MEANS]
    rows += [(ALL, ALL, ALL, label) for label in (*MEANS, "official")]
    return pd.DataFrame(rows, columns=["machine", "section", "domain", "row"])


def _append_means(evaluation: OfficialEvaluation, draws: FloatArray) -> FloatArray:
    """Add means to the units' draws: (n_units, n_draws) -> (n_rows, n_draws)."""
    parts = []
    for members in evaluation.by_machine().values():
        parts += [draws[members], *(mean(draws[members])[None] for mean in MEANS.values())]
    kinds = (*MEANS, evaluation.rule.kind)
    return np.concatenate([*parts, *(evaluation.mean(draws, kind)[None] for kind in kinds)])


def _interval(rows: FloatArray, confidence: float) -> tuple[FloatArray, FloatArray]:
    """Return the bounds of each row's value, from the value (column 0) and its draws."""
    value, draws = rows[:, 0], rows[:, 1:]
    # Resampling has a bias of its own (a clip drawn twice ties with itself): small for one
    # section, but larger than the interval for a mean over hundreds. So the draws are centred.
    centred = draws + (value - draws.mean(axis=1))[:, np.newaxis]
    tail = (1 - confidence) / 2
    low, high = np.clip(np.quantile(centred, [tail, 1 - tail], axis=1), 0, 1)
    # Draws are skewed near 0 and 1, where their quantiles may miss the value.
    return np.minimum(low, value), np.maximum(high, value)
