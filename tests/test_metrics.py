import pickle
from inspect import signature

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hmean
from sklearn import config_context
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.ensemble import IsolationForest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state

from sklasd.metrics import auc_score, dcase_score, dcase_scorer, evaluation_table, pauc_score
from sklasd.metrics._roc import Draws, RankedClips

YEARS = range(2020, 2027)
YEARS_WITH_SHARED_ANOMALIES = range(2022, 2027)

# Standardised pAUC with fewer than ten normal clips and no ties: only the most suspicious normal
# clip lies left of the limit. With a share t of the anomalies beyond it the area is 0.1 t, and
# 1/2 (1 + (0.1 t - 0.005) / (0.1 - 0.005)) = (9 + 10 t) / 19.

# One section by which the rules of the years can be told apart. Scores: higher = more normal.
SECTION = pd.DataFrame(
    [
        (+1, 0.9, "source"),
        (+1, 0.6, "source"),
        (-1, 0.7, "source"),
        (-1, 0.2, "source"),
        (+1, 0.5, "target"),
        (+1, 0.3, "target"),
        (-1, 0.45, "target"),
        (-1, 0.35, "target"),
    ],
    columns=["label", "score", "domain"],
)


def score_of(clips, year, **kwargs):
    columns = {name: clips[name] for name in ("machine", "section", "domain") if name in clips}
    return dcase_score(clips["label"], clips["score"], year=year, **{**columns, **kwargs})


def table_of(clips, year, **kwargs):
    columns = {name: clips[name] for name in ("machine", "section", "domain") if name in clips}
    kwargs = {"n_bootstrap": 0, **columns, **kwargs}
    return evaluation_table(clips["label"], clips["score"], year=year, **kwargs)


def make_clips(n_machines=2, n_sections=2, n_per_kind=6, seed=0, decimals=8):
    """Clips of every kind with random scores, in random order."""
    rng = np.random.default_rng(seed)
    kinds = [
        (f"machine_{m}", f"{s:02d}", domain, label)
        for m in range(n_machines)
        for s in range(n_sections)
        for domain in ("source", "target")
        for label in (1, -1)
    ]
    clips = pd.DataFrame(kinds * n_per_kind, columns=["machine", "section", "domain", "label"])
    clips["score"] = np.round(rng.normal(size=len(clips)) + 0.8 * clips["label"], decimals)
    return clips.sample(frac=1, random_state=seed).reset_index(drop=True)


# ---------------------------------------------------------------------------------------------
# AUC and pAUC


@pytest.mark.parametrize("decimals", [8, 1, 0], ids=["no ties", "some ties", "many ties"])
def test_areas_equal_those_of_scikit_learn(decimals):
    rng = np.random.default_rng(0)
    for _ in range(100):
        y_true = rng.permutation(np.r_[1, -1, rng.choice([1, -1], rng.integers(1, 60))])
        y_score = np.round(rng.normal(size=len(y_true)) + y_true, decimals)
        max_fpr = rng.uniform(0.01, 1)
        is_anomaly, suspicion = y_true == -1, -y_score
        assert auc_score(y_true, y_score) == pytest.approx(
            roc_auc_score(is_anomaly, suspicion), abs=1e-13
        )
        for limit in (0.1, max_fpr, 1.0):
            assert pauc_score(y_true, y_score, max_fpr=limit) == pytest.approx(
                roc_auc_score(is_anomaly, suspicion, max_fpr=limit), abs=1e-12
            )


def test_direction():
    y_true = np.array([1] * 20 + [-1] * 20)
    perfect = y_true + np.linspace(0, 0.1, 40)
    assert auc_score(y_true, perfect) == pauc_score(y_true, perfect) == 1
    assert pauc_score(y_true, perfect, standardized=False) == 1
    assert auc_score(y_true, -perfect) == 0
    assert pauc_score(y_true, -perfect, standardized=False) == 0
    # The standardised value of an area of 0: 1/2 (1 - 0.005 / 0.095) = 9/19.
    assert pauc_score(y_true, -perfect) == pytest.approx(9 / 19)


def test_constant_scores_are_chance():
    y_true, y_score = [1, 1, 1, -1, -1], np.zeros(5)
    assert auc_score(y_true, y_score) == 0.5
    assert pauc_score(y_true, y_score) == pytest.approx(0.5)
    # A tie is no win in the papers' formula: H(0) = 0.
    assert pauc_score(y_true, y_score, max_fpr=0.5, standardized=False) == 0


def test_formula_of_the_task_papers_by_hand():
    # 20 normal clips 1 ... 20: the floor(0.1 * 20) = 2 most suspicious ones are 1 and 2.
    # Anomalies 0 (below both), 1.5 (below one), 2 (tied with one: no win), 7 (below none):
    # 3 of 4 * 2 pairs.
    y_true = [1] * 20 + [-1] * 4
    y_score = [*range(1, 21), 0, 1.5, 2, 7]
    assert pauc_score(y_true, y_score, standardized=False) == 3 / 8
    # Standardised: steps at 0, 1/20 and, for the tie, a ramp from 1/20 to 2/20:
    # A = (0.1 + 0.05 + 0.025) / 4, and 1/2 (1 + (A - 0.005) / 0.095) = 0.7039...
    assert pauc_score(y_true, y_score) == pytest.approx(0.5 * (1 + (0.04375 - 0.005) / 0.095))


def test_formula_of_the_task_papers_counts_clips_without_rounding_errors():
    # 0.29 * 100 is less than 29 in floating point. One anomaly, below 29 - 28 of the top 29.
    y_score = [*range(100), 27.5]
    area = pauc_score([1] * 100 + [-1], y_score, max_fpr=0.29, standardized=False)
    assert area == pytest.approx(1 / 29)


def test_formula_of_the_task_papers_needs_a_normal_clip():
    with pytest.raises(ValueError, match=r"9 normal clips.*max_fpr=0\.1; take 10 normal clips"):
        pauc_score([1] * 9 + [-1], range(10), standardized=False)


@pytest.mark.parametrize("max_fpr", [0, -0.1, 1.1, np.nan, "0.1"])
def test_max_fpr_out_of_range(max_fpr):
    with pytest.raises(ValueError, match=r"max_fpr=.* \(0, 1\]"):
        pauc_score([1, -1], [1, 0], max_fpr=max_fpr)


def test_infinite_scores_rank_first_and_last():
    y_true, y_score = [1, 1, -1, -1, -1], [np.inf, 0, -np.inf, -np.inf, np.inf]
    # 0 is above two of three; the infinite one is above two and tied with one: (2 + 2.5) / 6.
    assert auc_score(y_true, y_score) == pytest.approx(4.5 / 6)
    assert dcase_score(y_true, y_score, year=2020) == pytest.approx(
        dcase_score(y_true, np.nan_to_num(y_score), year=2020)
    )


@pytest.mark.parametrize("kind", [list, np.array, pd.Series, tuple])
def test_kinds_of_input(kind):
    assert auc_score(kind([1, -1, 1]), kind([3, 2, 1])) == 0.5


def test_indices_of_series_are_ignored():
    y_true = pd.Series([1, -1, 1], index=[5, 6, 7])
    assert auc_score(y_true, pd.Series([3, 2, 1], index=[7, 6, 5])) == 0.5
    assert auc_score(y_true, pd.Series([1.0, 0.0, 2.0])) == 1


# ---------------------------------------------------------------------------------------------
# The rules of the years, by hand


def test_2020_takes_all_clips_of_a_section():
    # 4 normal x 4 anomalous clips. 0.9 and 0.6 are above 4 + 3 anomalies, 0.5 and 0.3 above
    # 3 + 1: AUC = 11/16. One of four anomalies (0.2) is below every normal clip: t = 1/4.
    assert score_of(SECTION, 2020) == pytest.approx((11 / 16 + 11.5 / 19) / 2)
    assert score_of(SECTION, 2020, domain=None) == score_of(SECTION, 2020)
    assert score_of(SECTION, 2020, domain=["?"] * 8) == score_of(SECTION, 2020)


def test_2021_takes_each_domain_with_its_own_anomalies():
    # Source: 0.9 above 0.7 and 0.2, 0.6 above 0.2: AUC = 3/4; 0.2 below both: t = 1/2.
    # Target: 0.5 above 0.45 and 0.35, 0.3 above none: AUC = 2/4; t = 0.
    # pAUC: (9 + 5) / 19 = 14/19 and 9/19. Harmonic mean of all four:
    assert score_of(SECTION, 2021) == pytest.approx(4 / (4 / 3 + 19 / 14 + 2 + 19 / 9))


@pytest.mark.parametrize("year", YEARS_WITH_SHARED_ANOMALIES)
def test_2022_and_later_take_normal_clips_of_a_domain_with_all_anomalies(year):
    # Source: 0.9 above all four anomalies, 0.6 above three: AUC_source = 7/8.
    # Target: 0.5 above three, 0.3 above one: AUC_target = 4/8.
    # All: t = 1/4 as in 2020, pAUC = 11.5/19.
    assert score_of(SECTION, year) == pytest.approx(3 / (8 / 7 + 2 + 19 / 11.5))


def test_2020_averages_over_sections_then_over_machines():
    clips = pd.DataFrame(
        [
            # AUC: 0.5 is below two of three, 0.1 below three: 5/6. t = 1/2: pAUC = 14/19.
            *(("fan", "00", 1, s) for s in (0.9, 0.8, 0.4)),
            *(("fan", "00", -1, s) for s in (0.5, 0.1)),
            # A perfect section: 1 and 1.
            *(("fan", "02", 1, s) for s in (0.7, 0.6)),
            *(("fan", "02", -1, s) for s in (0.5, 0.2)),
            # AUC: both are below one of two: 1/2. t = 0: pAUC = 9/19.
            *(("pump", "00", 1, s) for s in (0.9, 0.3)),
            *(("pump", "00", -1, s) for s in (0.6, 0.4)),
        ],
        columns=["machine", "section", "label", "score"],
    )
    fan = ((5 / 6 + 1) / 2 + (14 / 19 + 1) / 2) / 2
    pump = (1 / 2 + 9 / 19) / 2
    assert score_of(clips, 2020) == pytest.approx((fan + pump) / 2)
    # Not the mean over the three sections.
    flat = (5 / 6 + 14 / 19 + 1 + 1 + 1 / 2 + 9 / 19) / 6
    assert score_of(clips, 2020) != pytest.approx(flat)
    table = table_of(clips, 2020)
    means = table[table["row"] == "arithmetic mean"].set_index("machine")
    assert means.loc["fan", "auc"] == pytest.approx((5 / 6 + 1) / 2)
    assert means.loc["fan", "official"] == pytest.approx(fan)
    assert means.loc["all", "pauc"] == pytest.approx(((14 / 19 + 1) / 2 + 9 / 19) / 2)


def test_harmonic_mean_over_all_areas_of_unequal_machines():
    # fan has two sections, the second perfect, pump has one: the section of the rules above.
    perfect = SECTION.assign(score=SECTION["label"])
    clips = pd.concat(
        [
            SECTION.assign(machine="fan", section="00"),
            perfect.assign(machine="fan", section="01"),
            SECTION.assign(machine="pump", section="00"),
        ]
    )
    # 2021: twice the four areas of the section, and four times 1.
    inverse = 4 / 3 + 19 / 14 + 2 + 19 / 9
    assert score_of(clips, 2021) == pytest.approx(12 / (2 * inverse + 4))
    # 2023: twice the three areas of the section, and three times 1.
    inverse = 8 / 7 + 2 + 19 / 11.5
    assert score_of(clips, 2023) == pytest.approx(9 / (2 * inverse + 3))


@pytest.mark.parametrize("year", YEARS)
def test_score_against_a_plain_reading_of_the_rule(year):
    clips = make_clips(n_machines=3, n_sections=3, decimals=1)
    clips = clips.drop(clips[(clips["machine"] == "machine_0") & (clips["section"] == "02")].index)

    def areas(part, normal=None):
        normal = part if normal is None else normal
        used = pd.concat([normal[normal["label"] == 1], part[part["label"] == -1]])
        is_anomaly = used["label"] == -1
        return [roc_auc_score(is_anomaly, -used["score"], max_fpr=p) for p in (None, 0.1)]

    values = {}
    for (machine, _), part in clips.groupby(["machine", "section"]):
        source, target = (part[part["domain"] == d] for d in ("source", "target"))
        if year == 2020:
            row = areas(part)
        elif year == 2021:
            row = areas(source) + areas(target)
        else:
            row = [areas(part, source)[0], areas(part, target)[0], areas(part)[1]]
        values.setdefault(machine, []).append(row)
    if year == 2020:
        expected = np.mean([np.mean(rows) for rows in values.values()])
    else:
        expected = hmean(np.ravel([x for rows in values.values() for row in rows for x in row]))
    assert score_of(clips, year) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("year", YEARS)
def test_perfect_and_reversed_detectors(year):
    assert score_of(SECTION.assign(score=SECTION["label"]), year) == pytest.approx(1)
    reversed_ = score_of(SECTION.assign(score=-SECTION["label"]), year)
    if year == 2020:  # AUC 0, pAUC 9/19
        assert reversed_ == pytest.approx(9 / 38)
    else:  # the floor of the evaluators keeps the harmonic mean off a division by 0
        assert 0 < reversed_ < 1e-15


def test_floor_by_hand():
    # 2023, one anomaly below every source clip and above every target clip: the areas are 1, the
    # floor, and with t = 0 the pAUC 9/19.
    clips = pd.DataFrame({"label": [1, 1, -1], "score": [3, 1, 2]})
    floor = np.finfo(float).eps
    score = score_of(clips, 2023, domain=["source", "target", "source"])
    assert score == pytest.approx(3 / (1 + 1 / floor + 19 / 9), rel=1e-12)


def test_all_anomalies_may_be_of_one_domain_from_2022_on():
    clips = SECTION.drop(index=[6, 7])
    # 0.7 and 0.2: below 0.9 both, below 0.6 one: 3/4. Below 0.5 and 0.3 only 0.2: 2/4. t = 1/2.
    assert score_of(clips, 2023) == pytest.approx(3 / (4 / 3 + 2 + 19 / 14))


def test_default_year_is_2023():
    for function in (dcase_score, evaluation_table, dcase_scorer):
        assert signature(function).parameters["year"].default == 2023


# ---------------------------------------------------------------------------------------------
# Errors


@pytest.mark.parametrize("function", [auc_score, pauc_score])
@pytest.mark.parametrize("label", [1, -1])
def test_one_class(function, label):
    counts = "2 normal and 0 anom" if label == 1 else "0 normal and 2 anom"
    with pytest.raises(ValueError, match=f"{counts}.*needs both.*NormalOnlySplit"):
        function([label, label], [0.0, 1.0])


@pytest.mark.parametrize(
    ("year", "dropped", "text"),
    [
        (2020, [2, 3, 6, 7], r"machine 'fan', section '03': 4 normal and 0 anomalous clips"),
        (2021, [6, 7], r"section '03', domain 'target': 2 normal and 0 anomalous clips"),
        (2021, [4, 5, 6, 7], r"domain 'target': 0 normal and 0 anomalous clips"),
        (2023, [0, 1], r"'03': 0 normal source, 2 normal target and 4 anomalous clips"),
        (2023, [2, 3, 6, 7], r"2 normal source, 2 normal target and 0 anomalous clips"),
    ],
)
def test_section_that_lacks_clips(year, dropped, text):
    broken = SECTION.drop(index=dropped).assign(machine="fan", section="03")
    clips = pd.concat([SECTION.assign(machine="fan", section="00"), broken])
    with pytest.raises(ValueError, match=f"{text}.*rule of {year}.*NormalOnlySplit") as error:
        score_of(clips, year)
    assert "'00'" not in str(error.value)
    with pytest.raises(ValueError, match=text):
        table_of(clips, year)


def test_sections_that_lack_clips_are_named_together():
    parts = [SECTION.drop(index=[0, 1]).assign(machine="fan", section=s) for s in range(7)]
    with pytest.raises(ValueError, match=r"section 0: .*; machine 'fan', section 4: .* \.\.\.,"):
        score_of(pd.concat(parts), 2023)


def test_missing_clips_without_names():
    with pytest.raises(ValueError, match=r"^Got 1 normal source, 0 normal target and 1 anom"):
        dcase_score([1, -1], [1, 0], domain=["source", "source"])


@pytest.mark.parametrize("year", range(2021, 2027))
def test_domain_is_needed(year):
    with pytest.raises(ValueError, match=rf"domain=None.*rule of {year}.*year=2020"):
        score_of(SECTION, year, domain=None)


def test_unknown_domain():
    domain = ["source"] * 5 + ["Target", "other", "target"]
    with pytest.raises(ValueError, match=r"domain \['Target', 'other'\] at positions 5, 6, but"):
        score_of(SECTION, 2023, domain=domain)
    with pytest.raises(ValueError, match=r"domain \[0, 1\].*np\.where\(domain == 1"):
        score_of(SECTION, 2023, domain=[0, 0, 0, 0, 1, 1, 1, 1])


@pytest.mark.parametrize("name", ["machine", "section", "domain"])
def test_missing_group(name):
    values = pd.Series(["source"] * 4 + ["target"] * 4)
    values[3] = None
    with pytest.raises(ValueError, match=rf"Got {name} without a value at positions 3, but"):
        score_of(SECTION, 2023, **{name: values})


@pytest.mark.parametrize("year", [2019, 2027, "2023", None])
def test_unknown_year(year):
    for call in (lambda: score_of(SECTION, year), lambda: dcase_scorer(year)):
        with pytest.raises(ValueError, match=r"year=.*2020, 2021, .*2026; pass one"):
            call()


def test_nan_scores_are_named():
    y_score = np.arange(10.0)
    y_score[[2, 5]] = np.nan
    with pytest.raises(ValueError, match=r"NaN at positions 2, 5, but"):
        auc_score([1, -1] * 5, y_score)
    with pytest.raises(ValueError, match=r"positions 0, 1, 2, 3, 4 and 5 more"):
        dcase_score([1, -1] * 5, np.full(10, np.nan), year=2020)


@pytest.mark.parametrize(
    "labels", [[0, 1, 0], [True, False, True], [1, -1, 2], [1.0, -1.0, np.nan]]
)
def test_other_labels(labels):
    with pytest.raises(
        ValueError, match=r"y_true with the labels .*np\.where\(label == 1, -1, 1\)"
    ):
        auc_score(labels, [1, 2, 3])


def test_lengths():
    with pytest.raises(ValueError, match=r"y_score of shape \(3,\), but there are 2 clips"):
        auc_score([1, -1], [1, 2, 3])
    for name in ("machine", "section", "domain"):
        with pytest.raises(ValueError, match=rf"{name} of shape \(7,\), but there are 8 clips"):
            score_of(SECTION, 2023, **{name: ["source"] * 7})
    with pytest.raises(ValueError, match=r"y_pred of shape \(7,\), but there are 8 clips"):
        table_of(SECTION, 2023, y_pred=[1] * 7)


def test_shapes():
    with pytest.raises(ValueError, match=r"y_score of shape \(2, 1\)"):
        auc_score([1, -1], [[1.0], [2.0]])
    with pytest.raises(ValueError, match=r"machine of shape \(\)"):
        score_of(SECTION, 2023, machine="fan")
    with pytest.raises(ValueError, match="no clips"):
        auc_score([], [])


@pytest.mark.parametrize("confidence", [0, 1, 95, np.nan, "0.95"])
def test_confidence_out_of_range(confidence):
    with pytest.raises(ValueError, match=r"confidence=.*such as 0\.95"):
        table_of(SECTION, 2023, confidence=confidence)


@pytest.mark.parametrize("n_bootstrap", [-1, 10.0, None])
def test_number_of_draws_out_of_range(n_bootstrap):
    with pytest.raises(ValueError, match=r"n_bootstrap=.*such as 1000"):
        table_of(SECTION, 2023, n_bootstrap=n_bootstrap)


# ---------------------------------------------------------------------------------------------
# The table


def test_rows_and_columns_from_2022_on():
    table = table_of(make_clips(), 2023)
    assert list(table.columns) == [
        *("machine", "section", "row", "official", "auc", "auc_source", "auc_target", "pauc"),
    ]
    means = ["arithmetic mean", "harmonic mean"]
    assert list(table["row"]) == [*(["section"] * 2 + means) * 2, *means, "official"]
    assert list(table["machine"]) == ["machine_0"] * 4 + ["machine_1"] * 4 + ["all"] * 3
    assert list(table["section"][:4]) == ["00", "01", "all", "all"]


def test_rows_and_columns_of_2020_and_2021():
    table = table_of(make_clips(), 2020)
    assert list(table.columns) == ["machine", "section", "row", "official", "auc", "pauc"]
    assert len(table) == 2 * (2 + 2) + 3
    table = table_of(make_clips(), 2021)
    assert list(table.columns[:4]) == ["machine", "section", "domain", "row"]
    assert list(table["domain"][:6]) == ["source", "target"] * 2 + ["all", "all"]
    assert len(table) == 2 * (4 + 2) + 3


@pytest.mark.parametrize("year", YEARS)
def test_official_row_is_the_score(year):
    clips = make_clips(n_machines=3)
    table = table_of(clips, year).set_index("row")
    assert table.loc["official", "official"] == pytest.approx(score_of(clips, year), abs=1e-15)
    # The score of a machine stands in the mean that the year's rule takes.
    kind = "arithmetic mean" if year == 2020 else "harmonic mean"
    one = clips[clips["machine"] == "machine_1"]
    of_machine = table[table["machine"] == "machine_1"]
    assert of_machine.loc[kind, "official"] == pytest.approx(score_of(one, year), abs=1e-15)


def test_values_of_the_table_by_hand():
    row = table_of(SECTION, 2023).iloc[0]
    assert row["auc"] == pytest.approx(11 / 16)
    assert row["auc_source"] == pytest.approx(7 / 8)
    assert row["auc_target"] == pytest.approx(1 / 2)
    assert row["pauc"] == pytest.approx(11.5 / 19)
    rows = table_of(SECTION, 2021).set_index("domain")
    assert list(rows.loc[["source", "target"], "auc"]) == pytest.approx([3 / 4, 1 / 2])
    assert rows["row"].iloc[-1] == "official"


def test_means_of_the_table():
    table = table_of(make_clips(n_machines=3), 2022)
    sections = table[table["row"] == "section"]
    overall = table[table["machine"] == "all"].set_index("row")
    for name in ("auc", "auc_source", "auc_target", "pauc", "official"):
        assert overall.loc["arithmetic mean", name] == pytest.approx(sections[name].mean())
        assert overall.loc["harmonic mean", name] == pytest.approx(hmean(sections[name]))
        assert overall.loc["official", name] == overall.loc["harmonic mean", name]


def test_decisions_by_hand():
    # Anomalies: 0.7, 0.2 (source), 0.45, 0.35 (target). Flagged: all clips below 0.55, which is
    # 0.2 in the source and 0.5, 0.3, 0.45, 0.35 in the target domain.
    y_pred = np.where(SECTION["score"] < 0.55, -1, 1)
    row = table_of(SECTION, 2023, y_pred=y_pred).iloc[0]
    assert row["precision_source"] == 1
    assert row["recall_source"] == 1 / 2
    assert row["f1_source"] == pytest.approx(2 / 3)
    assert row["precision_target"] == 1 / 2
    assert row["recall_target"] == 1
    assert row["f1_target"] == pytest.approx(2 / 3)
    # Together: 3 hits in 5 alarms on 4 anomalies.
    assert row["precision"] == 3 / 5
    assert row["recall"] == 3 / 4
    assert row["f1"] == pytest.approx(2 * 3 / 9)
    rows = table_of(SECTION, 2021, y_pred=y_pred)
    assert list(rows.columns[-3:]) == ["precision", "recall", "f1"]
    assert list(rows["precision"][:2]) == [1, 1 / 2]


def test_decisions_equal_those_of_scikit_learn():
    clips = make_clips(n_sections=1)
    y_pred = np.random.default_rng(0).choice([1, -1], len(clips))
    table = table_of(clips, 2023, y_pred=y_pred)
    for machine, part in clips.assign(y_pred=y_pred).groupby("machine"):
        row = table[(table["machine"] == machine) & (table["row"] == "section")].iloc[0]
        for domain in ("source", "target"):
            inside = part[part["domain"] == domain]
            functions = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
            for name, function in functions.items():
                expected = function(inside["label"], inside["y_pred"], pos_label=-1)
                assert row[f"{name}_{domain}"] == pytest.approx(expected)


def test_decisions_without_any_alarm_are_zero():
    table = table_of(SECTION, 2023, y_pred=np.ones(8))
    assert (table.loc[0, ["precision", "recall", "f1"]] == 0).all()
    assert (table.loc[table["row"] == "harmonic mean", "f1"] < 1e-15).all()


def test_decisions_are_checked():
    with pytest.raises(ValueError, match=r"y_pred with the labels \[0, 1\]"):
        table_of(SECTION, 2023, y_pred=[0, 1] * 4)


def test_order_of_the_clips_does_not_matter():
    clips = make_clips(decimals=1)
    shuffled = clips.sample(frac=1, random_state=1)
    for year in (2020, 2021, 2023):
        pd.testing.assert_frame_equal(
            table_of(clips, year, n_bootstrap=50), table_of(shuffled, year, n_bootstrap=50)
        )


def test_names_of_any_type():
    clips = make_clips()
    numbered = clips.assign(
        machine=clips["machine"].map({"machine_0": 0, "machine_1": 1}),
        section=clips["section"].astype("category"),
        domain=clips["domain"].astype("category"),
    )
    assert score_of(numbered, 2023) == score_of(clips, 2023)
    table = table_of(numbered, 2023)
    assert list(table["machine"].unique()) == [0, 1, "all"]


# ---------------------------------------------------------------------------------------------
# Confidence intervals


@pytest.mark.parametrize("decimals", [8, 0], ids=["no ties", "ties"])
def test_areas_of_draws_equal_those_of_repeated_clips(decimals):
    rng = np.random.default_rng(0)
    for _ in range(15):
        scores = [np.sort(np.round(rng.normal(size=12) + k, decimals)) for k in (0, 0, 1)]
        source, target, anomalous = scores
        counts = [rng.multinomial(12, np.full(12, 1 / 12), size=5).astype(float) for _ in scores]
        ranked = RankedClips({"source": source, "target": target}, [anomalous])
        areas = ranked.areas(Draws((counts[0], counts[1]), counts[2]))
        for draw in range(5):
            repeated = [
                np.repeat(values, n[draw].astype(int))
                for values, n in zip(scores, counts, strict=True)
            ]
            is_anomaly = np.repeat([0, 0, 1], 12)
            suspicion = np.concatenate(repeated)
            inside = {
                "auc": slice(None),
                "auc_source": np.r_[0:12, 24:36],
                "auc_target": slice(12, 36),
            }
            for name, rows in inside.items():
                expected = roc_auc_score(is_anomaly[rows], suspicion[rows])
                assert areas[name][draw] == pytest.approx(expected)
            expected = roc_auc_score(is_anomaly, suspicion, max_fpr=0.1)
            assert areas["pauc"][draw] == pytest.approx(expected)


@pytest.mark.parametrize("year", [2020, 2021, 2023])
def test_values_lie_inside_their_intervals(year):
    table = table_of(make_clips(n_per_kind=4), year, n_bootstrap=200)
    names = [name for name in table.columns if f"{name}_low" in table]
    assert {"official", "auc", "pauc"} <= set(names)
    for name in names:
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
        assert (table[f"{name}_low"] >= 0).all()
        assert (table[f"{name}_high"] <= 1).all()
        assert (table[f"{name}_low"] < table[f"{name}_high"]).any()


def test_bias_of_resampling_does_not_move_the_interval():
    # Over 300 sections, the draws' pAUC without centring lie above the value altogether.
    table = table_of(make_clips(n_machines=1, n_sections=300), 2023, n_bootstrap=100)
    last = table.iloc[-1]
    below, above = last["pauc"] - last["pauc_low"], last["pauc_high"] - last["pauc"]
    assert 0.4 < below / above < 2.5
    assert 0 < above < 0.02


def test_intervals_cover_the_expected_value():
    # Mean over many test sets of the same make-up: what the intervals should cover 9 times of 10.
    sets = [make_clips(n_machines=2, n_per_kind=25, seed=seed) for seed in range(120)]
    rows = [
        table_of(clips, 2023, n_bootstrap=150, confidence=0.9, random_state=seed).iloc[-1]
        for seed, clips in enumerate(sets)
    ]
    rows = pd.DataFrame(rows)
    for name in ("official", "auc", "pauc"):
        expected = rows[name].mean()
        covered = (rows[f"{name}_low"] <= expected) & (expected <= rows[f"{name}_high"])
        assert 0.8 <= covered.mean() <= 0.98


def test_intervals_narrow_with_more_clips_and_less_confidence():
    def width(**kwargs):
        n_per_kind = kwargs.pop("n_per_kind")
        row = table_of(make_clips(n_per_kind=n_per_kind), 2023, n_bootstrap=300, **kwargs).iloc[-1]
        return row["official_high"] - row["official_low"]

    # Sixteen times the clips: about a quarter of the width.
    assert width(n_per_kind=160) == pytest.approx(width(n_per_kind=10) / 4, rel=0.35)
    assert width(n_per_kind=10, confidence=0.5) < width(n_per_kind=10, confidence=0.9)


def test_perfect_scores_have_no_width():
    table = table_of(SECTION.assign(score=SECTION["label"]), 2023, n_bootstrap=50)
    assert table.filter(regex="low|high|auc|official").to_numpy() == pytest.approx(1)


def test_seeds():
    clips = make_clips()
    first = table_of(clips, 2023, n_bootstrap=20)
    pd.testing.assert_frame_equal(first, table_of(clips, 2023, n_bootstrap=20, random_state=0))
    generator = np.random.default_rng(0)
    drawn = table_of(clips, 2023, n_bootstrap=20, random_state=generator)
    pd.testing.assert_frame_equal(first, drawn)
    other = table_of(clips, 2023, n_bootstrap=20, random_state=1)
    assert not first.equals(other)
    assert (first["official"] == other["official"]).all()


def test_global_random_state_is_left_alone():
    shared = check_random_state(None)
    before = shared.get_state()[1].copy()
    table_of(SECTION, 2023, n_bootstrap=20)
    assert (shared.get_state()[1] == before).all()


def test_many_clips_in_one_section_are_drawn_in_several_passes():
    table = table_of(make_clips(1, 1, n_per_kind=2000), 2023, n_bootstrap=20)
    assert 0 < table["auc_high"].iloc[0] - table["auc_low"].iloc[0] < 0.03


# ---------------------------------------------------------------------------------------------
# Scorers


class Level(OutlierMixin, BaseEstimator):
    """Scores a clip by a column, or with wrong=True by its opposite."""

    def __init__(self, wrong=False):
        self.wrong = wrong

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def score_samples(self, X):
        level = X["score"] if isinstance(X, pd.DataFrame) else X[:, 0]
        return -level if self.wrong else level

    def predict(self, X):
        return np.where(self.score_samples(X) < 0, -1, 1)


class DecisionOnly(BaseEstimator):
    def fit(self, X, y=None):
        return self

    def decision_function(self, X):
        return X["score"] - 0.5


def halves(clips):
    """Two folds that hold clips of every kind."""
    kinds = ["machine", "section", "domain", "label"]
    even = (clips.groupby(kinds).cumcount() % 2 == 0).to_numpy()
    return [
        (np.flatnonzero(even), np.flatnonzero(~even)),
        (np.flatnonzero(~even), np.flatnonzero(even)),
    ]


def metadata(clips):
    return {name: clips[name].to_numpy() for name in ("machine", "section", "domain")}


@pytest.mark.parametrize("year", YEARS)
def test_scorer_reads_a_clip_table(year):
    clips = make_clips()
    scorer = dcase_scorer(year)
    expected = score_of(clips, year)
    assert scorer(Level(), clips, clips["label"]) == expected
    assert scorer(Level(), clips) == expected
    assert scorer(DecisionOnly(), clips) == expected
    assert scorer(Level(wrong=True), clips) < 0.5 < expected


def test_scorer_takes_absent_columns_for_one_group():
    clips = make_clips().drop(columns=["machine", "section"])
    assert dcase_scorer(2023)(Level(), clips) == score_of(clips, 2023)


def test_scorer_prefers_what_is_given():
    clips = make_clips()
    scorer = dcase_scorer(2023)
    assert scorer(Level(), clips, -clips["label"]) < 0.5
    merged = scorer(Level(), clips, section=["one"] * len(clips))
    assert merged == score_of(clips.assign(section="one"), 2023)


def test_scorer_takes_groups_by_keyword():
    clips = make_clips()
    X = clips[["score"]].to_numpy()
    value = dcase_scorer(2023)(Level(), X, clips["label"], **metadata(clips))
    assert value == score_of(clips, 2023)


def test_scorer_errors():
    clips = make_clips()
    with pytest.raises(ValueError, match=r"y=None.*label column"):
        dcase_scorer(2023)(Level(), clips.drop(columns="label"))
    with pytest.raises(ValueError, match=r"domain=None.*metadata routing"):
        dcase_scorer(2023)(Level(), clips[["score"]].to_numpy(), clips["label"])
    with pytest.raises(ValueError, match=r"0 anomalous clips.*NormalOnlySplit"):
        dcase_scorer(2023)(Level(), clips[clips["label"] == 1])


def test_scorer_refuses_several_years():
    clips = make_clips()
    year = np.where(clips["machine"] == clips["machine"].iloc[0], 2022, 2023)
    assert dcase_scorer(2023)(Level(), clips.assign(year=2021)) == score_of(clips, 2023)
    with pytest.raises(ValueError, match=r"years \[2022, 2023\].*pass the clips of one year"):
        dcase_scorer(2023)(Level(), clips.assign(year=year))


def test_multimetric_scorer():
    clips = make_clips()
    values = dcase_scorer(2023, multimetric=True)(Level(), clips)
    row = table_of(clips, 2023).iloc[-1]
    assert list(values) == ["official", "auc", "auc_source", "auc_target", "pauc"]
    assert values == {name: row[name] for name in values}
    assert all(type(value) is float for value in values.values())


def test_multimetric_scorer_of_2020_and_2021():
    assert list(dcase_scorer(2020, multimetric=True)(Level(), make_clips())) == [
        *("official", "auc", "pauc"),
    ]
    clips = SECTION.assign(section="00")
    values = dcase_scorer(2021, multimetric=True)(Level(), clips)
    assert set(values) == {"official", "auc", "auc_source", "auc_target", "pauc"}
    assert values["auc_source"] == pytest.approx(3 / 4)
    assert values["auc_target"] == pytest.approx(1 / 2)
    assert values["auc"] == pytest.approx(2 / (4 / 3 + 2))


@pytest.mark.parametrize("routing", [False, True])
def test_search_on_a_clip_table(routing):
    clips = make_clips()
    with config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            Level(), {"wrong": [True, False]}, scoring=dcase_scorer(2023), cv=halves(clips)
        ).fit(clips, clips["label"])
        assert search.best_params_ == {"wrong": False}
        folds = [score_of(clips.iloc[test], 2023) for _, test in halves(clips)]
        assert search.best_score_ == pytest.approx(np.mean(folds))
        assert search.score(clips, clips["label"]) == score_of(clips, 2023)


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("year", [2020, 2021, 2023])
def test_search_with_several_metrics(routing, year):
    clips = make_clips()
    with config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            Level(),
            {"wrong": [True, False]},
            scoring=dcase_scorer(year, multimetric=True),
            refit="official",
            cv=halves(clips),
        ).fit(clips, clips["label"])
    assert search.best_params_ == {"wrong": False}
    assert {"mean_test_official", "mean_test_auc", "mean_test_pauc"} <= set(search.cv_results_)
    assert ("mean_test_auc_source" in search.cv_results_) == (year > 2020)


@pytest.mark.parametrize("routing", [False, True])
def test_cross_validation_without_y(routing):
    clips = make_clips()
    with config_context(enable_metadata_routing=routing):
        scores = cross_validate(Level(), clips, scoring=dcase_scorer(2023), cv=halves(clips))
    folds = [score_of(clips.iloc[test], 2023) for _, test in halves(clips)]
    assert list(scores["test_score"]) == folds


@pytest.mark.parametrize("routing", [False, True])
def test_scorers_among_others(routing):
    clips = make_clips()
    scoring = {"dcase": dcase_scorer(2023), "old": dcase_scorer(2020), "accuracy": "accuracy"}
    with config_context(enable_metadata_routing=routing):
        scores = cross_validate(Level(), clips, clips["label"], scoring=scoring, cv=halves(clips))
    assert scores["test_dcase"][0] == score_of(clips.iloc[halves(clips)[0][1]], 2023)
    assert scores["test_old"][0] != scores["test_dcase"][0]


@pytest.mark.parametrize("multimetric", [False, True])
def test_groups_of_arrays_are_routed(multimetric):
    clips = make_clips()
    X, y, cv = clips[["score"]].to_numpy(), clips["label"].to_numpy(), halves(clips)
    folds = [score_of(clips.iloc[test], 2023) for _, test in cv]
    with config_context(enable_metadata_routing=True):
        scorer = dcase_scorer(2023, multimetric=multimetric)
        scorer.set_score_request(machine=True, section=True, domain=True)
        result = cross_validate(Level(), X, y, scoring=scorer, cv=cv, params=metadata(clips))
        key = "test_official" if multimetric else "test_score"
        assert list(result[key]) == folds
        search = GridSearchCV(
            Level(), {"wrong": [True, False]}, scoring=scorer, cv=cv, refit="official"
        ).fit(X, y, **metadata(clips))
        assert search.best_params_ == {"wrong": False}
        assert search.score(X, y, **metadata(clips)) == score_of(clips, 2023)


def test_groups_can_be_routed_under_other_names():
    clips = make_clips().drop(columns=["machine", "section"])
    X, y = clips[["score"]].to_numpy(), clips["label"].to_numpy()
    cv = [(np.arange(len(y)), np.arange(len(y)))]
    with config_context(enable_metadata_routing=True):
        scorer = dcase_scorer(2023).set_score_request(domain="where")
        params = {"where": clips["domain"].to_numpy()}
        scores = cross_val_score(Level(), X, y, scoring=scorer, cv=cv, params=params)
    assert scores[0] == score_of(clips, 2023)


def test_groups_that_nobody_asked_for_are_refused():
    clips = make_clips()
    X, y = clips[["score"]].to_numpy(), clips["label"].to_numpy()
    with (
        config_context(enable_metadata_routing=True),
        pytest.raises(ValueError, match="domain"),
    ):
        cross_validate(
            Level(), X, y, scoring=dcase_scorer(2023), params={"domain": clips["domain"]}
        )


def test_requests_need_routing():
    with pytest.raises(RuntimeError, match="enable_metadata_routing"):
        dcase_scorer(2023).set_score_request(domain=True)


def test_a_fold_of_one_class_is_named_by_the_search():
    clips = make_clips()
    cv = [(np.arange(len(clips)), np.flatnonzero(clips["label"] == 1))]
    with pytest.raises(ValueError, match=r"machine 'machine_0', section '00'.*NormalOnlySplit"):
        cross_validate(Level(), clips, scoring=dcase_scorer(2023), cv=cv, error_score="raise")
    with pytest.warns(UserWarning, match="NormalOnlySplit"):
        scores = cross_validate(Level(), clips, scoring=dcase_scorer(2023), cv=cv)
    assert np.isnan(scores["test_score"]).all()


def test_scorer_of_a_detector_of_scikit_learn():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), np.repeat([1, -1], 30)
    X[y == -1] += 5
    detector = make_pipeline(StandardScaler(), IsolationForest(random_state=0)).fit(X[:30])
    assert dcase_scorer(2020)(detector, X, y) > 0.95


def test_scorer_is_cloned_pickled_and_printed():
    for scorer in (dcase_scorer(2021), dcase_scorer(2022, multimetric=True)):
        copies = (clone(scorer), pickle.loads(pickle.dumps(scorer)))
        for copy in copies:
            assert repr(copy) == repr(scorer)
            assert copy(Level(), make_clips()) == scorer(Level(), make_clips())
    assert repr(dcase_scorer(2021)) == "DCASEScorer(year=2021)"
    search = GridSearchCV(Level(), {}, scoring=dcase_scorer(2022, multimetric=True))
    assert "scoring=DCASEScorer(multimetric=True, year=2022)" in repr(search)
    assert "DCASEScorer" in search._repr_html_()
    with config_context(enable_metadata_routing=True):
        requested = dcase_scorer(2023).set_score_request(domain=True)
        assert clone(requested).get_metadata_routing().score.requests["domain"] is True
        assert pickle.loads(pickle.dumps(requested)).year == 2023
