import pickle
from collections import Counter
from itertools import product

import numpy as np
import pandas as pd
import pytest
import sklearn
import sklearn.experimental.enable_halving_search_cv
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    HalvingGridSearchCV,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline

from sklasd import LogMel, OEAutoencoder
from sklasd.metrics import dcase_scorer
from sklasd.model_selection import (
    DCASESplit,
    LeaveOneSectionOut,
    NormalOnlySplit,
    SourceToTargetSplit,
)

UNGROUPED = [
    3,
    KFold(4),
    KFold(3, shuffle=True, random_state=0),
    StratifiedKFold(3),
    ShuffleSplit(4, random_state=0),
    StratifiedShuffleSplit(3, random_state=0),
    RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
    RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0),
    TimeSeriesSplit(3),
    PredefinedSplit(np.arange(60) % 3 - 1),
]
GROUPED = [
    GroupKFold(3),
    StratifiedGroupKFold(3),
    GroupShuffleSplit(3, random_state=0),
    LeaveOneGroupOut(),
]
SPLITTERS = [NormalOnlySplit(), DCASESplit(), LeaveOneSectionOut(), SourceToTargetSplit()]


class Level(OutlierMixin, BaseEstimator):
    """Calls loud clips anomalous; remembers what it was trained on."""

    def __init__(self, sign=1):
        self.sign = sign

    def fit(self, X, y=None, exposed=None):
        exposed = np.zeros(len(X), dtype=bool) if exposed is None else np.asarray(exposed)
        labels = np.ones(len(X)) if y is None else np.asarray(y)
        self.trained_ = _levels(X)[(labels == 1) & ~exposed]
        self.exposed_ = _levels(X)[exposed]
        return self

    def score_samples(self, X):
        return -self.sign * _levels(X)

    decision_function = score_samples

    def predict(self, X):
        return np.where(self.score_samples(X) < -1, -1, 1)


def _levels(X):
    return X["level"].to_numpy() if isinstance(X, pd.DataFrame) else np.asarray(X)[:, 0]


@pytest.fixture
def clips():
    """60 clips: 36 normal, 18 anomalous, 6 exposed; in 2 sections and 2 domains."""
    rng = np.random.default_rng(0)
    label = np.repeat([1, -1, -1], [36, 18, 6])
    table = pd.DataFrame(
        {
            "level": np.where(label == 1, 0, 2) + 0.1 * rng.random(60),
            "machine": np.repeat(["fan", "pump"], [54, 6]),
            "section": np.tile(["00", "01"], 30),
            "domain": np.tile(["source", "source", "target", "target"], 15),
            "split": np.tile(["train"] * 4 + ["test"] * 4, 8)[:60],
            "label": label,
            "exposed": np.repeat([False, True], [54, 6]),
        }
    )
    table.loc[table["label"] == -1, "split"] = "test"
    return table.sample(frac=1, random_state=0).reset_index(drop=True)


def as_arrays(clips):
    return clips[["level"]].to_numpy(), clips["label"].to_numpy()


def own(clips, label):
    return set(np.flatnonzero((clips["label"] == label) & ~clips["exposed"]))


def fold_sets(splitter, X, *args, **kwargs):
    return [(set(a.tolist()), set(b.tolist())) for a, b in splitter.split(X, *args, **kwargs)]


# -- NormalOnlySplit: who is where ---------------------------------------------------------------


@pytest.mark.parametrize("form", ["table", "arrays"])
@pytest.mark.parametrize(
    ("cv", "anomalies"),
    [*product(UNGROUPED, ["all", "split"]), (LeaveOneOut(), "all")],
    ids=str,
)
def test_roles(cv, anomalies, form, clips):
    splitter = NormalOnlySplit(cv, anomalies=anomalies)
    normal, anomalous = own(clips, 1), own(clips, -1)
    exposed = set(np.flatnonzero(clips["exposed"]))
    data = {"X": clips}
    if form == "arrays":
        X, y = as_arrays(clips)
        data = {"X": X, "y": y, "exposed": clips["exposed"].tolist()}
    folds = fold_sets(splitter, **data)
    assert len(folds) == splitter.get_n_splits(**data)
    for train, test in folds:
        assert not train & test
        assert train - exposed <= normal
        assert exposed <= train
        assert test & normal
        assert test <= normal | anomalous
        assert test & anomalous
        assert anomalies == "split" or anomalous <= test


@pytest.mark.parametrize("n_repeats", [1, 3])
def test_every_normal_clip_is_tested_once_per_repetition(n_repeats, clips):
    cv = RepeatedKFold(n_splits=4, n_repeats=n_repeats, random_state=0)
    tested = Counter(i for _, test in NormalOnlySplit(cv).split(clips) for i in test)
    assert {tested[i] for i in own(clips, 1)} == {n_repeats}
    assert {tested[i] for i in own(clips, -1)} == {4 * n_repeats}


def test_dealt_anomalies_are_balanced(clips):
    folds = list(NormalOnlySplit(3, anomalies="split").split(clips))
    tested = np.concatenate([test for _, test in folds])
    assert sorted(tested) == sorted(own(clips, 1) | own(clips, -1))
    counts = [clips.loc[test].groupby(["label", "section", "domain"]).size() for _, test in folds]
    assert all(np.ptp(sizes) <= 1 for sizes in zip(*counts, strict=True))
    assert len({test[clips.loc[test, "label"] == -1].size for _, test in folds}) == 1


def test_number_of_folds_stratifies_clip_tables(clips):
    clips = clips.sort_values(["section", "domain"]).reset_index(drop=True)
    for _, test in NormalOnlySplit(3).split(clips):
        strata = clips.loc[test].query("label == 1").groupby(["section", "domain"])
        assert strata.ngroups == 4
        assert np.ptp(strata.size()) <= 1
    X, y = as_arrays(clips)
    expected = [test.tolist() for _, test in KFold(3).split(np.flatnonzero(y == 1))]
    for (_, test), rows in zip(NormalOnlySplit(3).split(X, y), expected, strict=True):
        assert np.isin(np.flatnonzero(y == 1)[rows], test).all()


def test_unknown_domains_are_a_stratum(clips):
    clips["domain"] = np.where(clips.index % 2, None, "source")
    for _, test in NormalOnlySplit(3).split(clips):
        assert clips.loc[test].query("label == 1")["domain"].isna().sum() in range(5, 8)


def test_positions_not_index(clips):
    shifted = clips.set_index(clips.index[::-1] + 1000)
    assert fold_sets(NormalOnlySplit(), clips) == fold_sets(NormalOnlySplit(), shifted)


def test_predefined_folds_of_all_clips(clips):
    clips = clips.drop(columns="split")  # else only clips of the split "train" are trained on
    fold = np.arange(60) % 3 - 1
    for number, (train, test) in enumerate(
        fold_sets(NormalOnlySplit(PredefinedSplit(fold)), clips)
    ):
        normal = own(clips, 1)
        assert test & normal == {i for i in normal if fold[i] == number}
        assert train & normal == {i for i in normal if fold[i] != number}


def test_only_the_split_train_is_trained_on(clips):
    is_train = clips["split"].eq("train").to_numpy() | clips["exposed"].to_numpy()
    assert 0 < is_train.sum() < 60
    fold = PredefinedSplit(np.arange(60) % 3 - 1)
    bare = clips.drop(columns="split")
    for (train, test), (all_train, all_test) in zip(
        fold_sets(NormalOnlySplit(fold), clips), fold_sets(NormalOnlySplit(fold), bare), strict=True
    ):
        assert train == {i for i in all_train if is_train[i]}
        assert test == all_test


def test_supplemental_clips_are_left_out(clips):
    clips.loc[:4, "split"] = "supplemental"
    used = set().union(*(train | test for train, test in fold_sets(NormalOnlySplit(), clips)))
    assert used == set(range(60)) - {i for i in range(5) if not clips.loc[i, "exposed"]}


# -- groups --------------------------------------------------------------------------------------


@pytest.mark.parametrize("anomalies", ["all", "split"])
@pytest.mark.parametrize(
    "cv", [3, *UNGROUPED[1:-1], *GROUPED, PredefinedSplit([0, 1] * 100)], ids=str
)
def test_groups_stay_apart(cv, anomalies):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        y = np.where(rng.random(200) < 0.6, 1, -1)
        exposed = rng.random(200) < 0.2
        groups = np.array([f"recording {i}" for i in rng.integers(0, 8, 200)])
        loose = (y == -1) & (rng.random(200) < 0.7)  # faults recorded by themselves
        groups[loose] = "faults"
        splitter = NormalOnlySplit(cv, anomalies=anomalies)
        data = {"y": y, "groups": groups, "exposed": exposed}
        folds = fold_sets(splitter, np.zeros((200, 1)), **data)
        assert len(folds) == splitter.get_n_splits(np.zeros((200, 1)), **data)
        for train, test in folds:
            assert not {groups[i] for i in train} & {groups[i] for i in test}
            assert all(exposed[i] or y[i] == 1 for i in train)
            assert not any(exposed[i] for i in test)
        if anomalies == "split":
            assert set(Counter(i for _, t in folds for i in t if y[i] == -1).values()) <= {1}


def test_groups_from_columns(clips):
    clips["recording"] = [f"{i // 6}" for i in range(60)]
    by_column = fold_sets(NormalOnlySplit(group="recording"), clips)
    assert by_column == fold_sets(NormalOnlySplit(), clips, groups=clips["recording"])
    pairs = clips["machine"] + clips["section"]
    by_columns = fold_sets(NormalOnlySplit(2, group=["machine", "section"]), clips)
    assert by_columns == fold_sets(NormalOnlySplit(2), clips, groups=pairs)
    # Sections of the exposed machine bear the same numbers: named alone, they count as the same.
    exposed = np.flatnonzero(clips["exposed"])
    assert all(train.issuperset(exposed) for train, _ in by_columns)
    by_section = fold_sets(NormalOnlySplit(2, group="section"), clips)
    assert not any(train.issuperset(exposed) for train, _ in by_section)


def test_exposed_clips_need_no_group(clips):
    clips["recording"] = np.where(clips["exposed"], None, clips.index % 7)
    for train, _ in fold_sets(NormalOnlySplit(3, group="recording"), clips):
        assert train.issuperset(np.flatnonzero(clips["exposed"]))


# -- the given split, sections and domains -------------------------------------------------------


@pytest.mark.parametrize("form", ["table", "arrays"])
def test_dcase_split(form, clips):
    X, y = as_arrays(clips)
    data = {"X": clips}
    if form == "arrays":
        data = {"X": X, "y": y, "groups": clips["split"], "exposed": clips["exposed"]}
    [(train, test)] = fold_sets(DCASESplit(), **data)
    rows = clips.query("not exposed")
    assert test == set(rows.index[rows["split"] == "test"])
    assert train == set(rows.index[rows["split"] == "train"]) | set(clips.index[clips["exposed"]])


def test_leave_one_section_out(clips):
    folds = fold_sets(LeaveOneSectionOut(), clips)
    assert LeaveOneSectionOut().get_n_splits(clips) == len(folds) == 2
    exposed = set(np.flatnonzero(clips["exposed"]))
    [(_, given)] = fold_sets(DCASESplit(), clips)
    assert folds[0][1] | folds[1][1] == given  # the very clips that DCASE tests
    for (train, test), section in zip(folds, ["00", "01"], strict=True):
        assert set(clips.loc[list(test), "section"]) == {section}
        assert exposed <= train
        assert section not in set(clips.loc[list(train - exposed), "section"])
        assert set(clips.loc[list(train - exposed), "split"]) == {"train"}


def test_leave_one_section_out_of_arrays(clips):
    X, y = as_arrays(clips)
    section, exposed = clips["section"].to_numpy(), clips["exposed"]
    for (train, test), name in zip(
        fold_sets(LeaveOneSectionOut(), X, y, section, exposed), ["00", "01"], strict=True
    ):
        expected = set(np.flatnonzero((section == name) & ~exposed))
        assert test == expected
        assert train == set(range(60)) - expected - own(clips, -1)


def test_sections_of_one_class_only_train(clips):
    clips.loc[(clips["section"] == "01") & (clips["label"] == -1), "label"] = 1
    [(train, test)] = fold_sets(LeaveOneSectionOut(), clips)
    assert set(clips.loc[list(test), "section"]) == {"00"}
    assert "01" in set(clips.loc[list(train), "section"])


@pytest.mark.parametrize("form", ["table", "table without split", "arrays"])
def test_source_to_target(form, clips):
    X, y = as_arrays(clips)
    data = {"X": clips}
    if form == "table without split":
        data = {"X": clips.drop(columns="split")}
    if form == "arrays":
        data = {"X": X, "y": y, "groups": clips["domain"], "exposed": clips["exposed"]}
    [(train, test)] = fold_sets(SourceToTargetSplit(), **data)
    given = clips["split"] if form == "table" else None
    rows = clips.query("not exposed and domain == 'target'")
    assert test == set(rows.index if given is None else rows.index[rows["split"] == "test"])
    rows = clips.query("label == 1 and domain == 'source'")
    rows = rows if given is None else rows.query("split == 'train'")
    assert train == set(rows.index) | set(clips.index[clips["exposed"]])


def test_source_to_target_by_the_official_rule(clips):
    splitter = SourceToTargetSplit(test_source=True)
    [(train, test)] = fold_sets(splitter, clips)
    assert test == fold_sets(DCASESplit(), clips)[0][1]
    assert train < fold_sets(DCASESplit(), clips)[0][0]
    clips = clips.query("not exposed")
    scores = cross_validate(Level(), clips, scoring=dcase_scorer(2023), cv=splitter)
    assert scores["test_score"] == pytest.approx([1])


# -- as scikit-learn uses them -------------------------------------------------------------------


@pytest.mark.parametrize("splitter", [*SPLITTERS, NormalOnlySplit(KFold(3), group="section")])
def test_clone_pickle_repr(splitter, clips):
    for twin in (clone(splitter), pickle.loads(pickle.dumps(splitter)), eval(repr(splitter))):
        assert type(twin) is type(splitter)
        assert repr(twin) == repr(splitter)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = clone(clone(splitter).set_split_request(groups="domain"))
    assert routed.get_metadata_routing().split.requests == {"groups": "domain", "exposed": True}


@pytest.mark.parametrize("cv", [4, KFold(4), ShuffleSplit(4), GroupKFold(4)], ids=str)
def test_n_splits_without_data(cv):
    assert NormalOnlySplit(cv).get_n_splits() == 4
    assert DCASESplit().get_n_splits() == SourceToTargetSplit().get_n_splits() == 1


def test_n_splits_counts_normal_clips_only(clips):
    assert NormalOnlySplit(LeaveOneOut()).get_n_splits(clips) == 36
    assert NormalOnlySplit(LeaveOneGroupOut(), group="section").get_n_splits(clips) == 2
    for splitter in (NormalOnlySplit(LeaveOneOut()), LeaveOneSectionOut()):
        with pytest.raises(ValueError, match="X=None"):
            splitter.get_n_splits()


def test_seeds(clips):
    seeded = NormalOnlySplit(ShuffleSplit(random_state=0))
    assert fold_sets(seeded, clips) == fold_sets(clone(seeded), clips)
    other = NormalOnlySplit(ShuffleSplit(random_state=1))
    assert fold_sets(seeded, clips) != fold_sets(other, clips)
    assert fold_sets(NormalOnlySplit(ShuffleSplit()), clips) != fold_sets(seeded, clips)


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("routing", [False, True])
def test_clip_tables_in_scikit_learn(splitter, routing, clips):
    y = clips["label"]
    n_splits = splitter.get_n_splits(clips)
    with sklearn.config_context(enable_metadata_routing=routing):
        scores = cross_val_score(Level(), clips, y, cv=splitter, scoring="roc_auc")
        assert scores == pytest.approx(np.ones(n_splits))
        scores = cross_validate(Level(), clips, cv=splitter, scoring=dcase_scorer(2020))
        assert scores["test_score"] == pytest.approx(np.ones(n_splits))
        grid = GridSearchCV(
            Level(), {"sign": [-1, 1]}, cv=splitter, scoring="roc_auc", error_score="raise"
        ).fit(clips, y)
    assert grid.best_params_ == {"sign": 1}
    assert grid.n_splits_ == n_splits
    assert grid.best_estimator_.trained_.max() < 1  # the refit left out anomalies
    assert sklearn.get_config()["enable_metadata_routing"] is False


ARRAYS = [
    (NormalOnlySplit(3), "recording"),
    (NormalOnlySplit(GroupKFold(3)), "recording"),
    (DCASESplit(), "split"),
    (LeaveOneSectionOut(), "section"),
    (SourceToTargetSplit(), "domain"),
]


@pytest.mark.parametrize(("splitter", "column"), ARRAYS)
def test_arrays_without_routing(splitter, column, clips):
    clips = clips.assign(recording=clips.index % 9).query("not exposed")
    X, y = as_arrays(clips)
    groups = clips[column].to_numpy()
    n_splits = splitter.get_n_splits(X, y, groups)
    for scores in (
        cross_val_score(Level(), X, y, groups=groups, cv=splitter, scoring="roc_auc"),
        cross_validate(Level(), X, y, groups=groups, cv=splitter, scoring="roc_auc")["test_score"],
    ):
        assert scores == pytest.approx(np.ones(n_splits))
    grid = GridSearchCV(Level(), {"sign": [-1, 1]}, cv=splitter, scoring="roc_auc")
    assert grid.fit(X, y, groups=groups).best_params_ == {"sign": 1}


@pytest.mark.parametrize(("splitter", "column"), ARRAYS)
def test_arrays_with_routing(splitter, column, clips):
    clips = clips.assign(recording=clips.index % 9)
    X, y = as_arrays(clips)
    metadata = {"groups": clips[column].to_numpy(), "exposed": clips["exposed"].to_numpy()}
    expected = fold_sets(splitter, X, y, **metadata)
    with sklearn.config_context(enable_metadata_routing=True):
        detector = Level().set_fit_request(exposed=True)
        result = cross_validate(
            detector,
            X,
            y,
            cv=splitter,
            scoring="roc_auc",
            params=metadata,
            return_indices=True,
            return_estimator=True,
        )
        grid = GridSearchCV(detector, {"sign": [-1, 1]}, cv=splitter, scoring="roc_auc")
        grid.fit(X, y, **metadata)
    tested = [set(test.tolist()) for test in result["indices"]["test"]]
    assert tested == [test for _, test in expected]
    for (train, _), fitted in zip(expected, result["estimator"], strict=True):
        exposed = sorted(i for i in train if metadata["exposed"][i])
        assert fitted.exposed_.tolist() == X[exposed, 0].tolist()
        assert len(fitted.trained_) == len(train) - len(exposed)
    assert grid.best_params_ == {"sign": 1}
    assert grid.n_splits_ == len(expected)
    assert grid.best_estimator_.exposed_.size == 6


def test_routing_by_another_name(clips):
    X, y = as_arrays(clips.query("not exposed"))
    domain = clips.query("not exposed")["domain"].to_numpy()
    with sklearn.config_context(enable_metadata_routing=True):
        cv = SourceToTargetSplit().set_split_request(groups="domain")
        scores = cross_validate(Level(), X, y, cv=cv, scoring="roc_auc", params={"domain": domain})
    assert scores["test_score"] == pytest.approx([1])


def test_folds_made_beforehand(clips):
    X, y = as_arrays(clips)
    folds = list(NormalOnlySplit(3).split(X, y, exposed=clips["exposed"]))
    grid = GridSearchCV(Level(), {"sign": [-1, 1]}, cv=folds, scoring="roc_auc")
    grid.fit(X, y, exposed=clips["exposed"])  # without routing, this goes to the detector
    assert grid.best_params_ == {"sign": 1}
    assert grid.best_estimator_.exposed_.size == 6


def test_halving_search(clips):
    clips = clips.query("not exposed")
    search = HalvingGridSearchCV(
        Level(),
        {"sign": [-1, 1]},
        cv=NormalOnlySplit(2),
        scoring="roc_auc",
        min_resources=30,
        return_train_score=False,
        random_state=0,
    )
    assert search.fit(clips, clips["label"]).best_params_ == {"sign": 1}
    search.set_params(cv=NormalOnlySplit(KFold(2, shuffle=True)))
    with pytest.raises(ValueError, match="consistent folds"):
        search.fit(clips, clips["label"])


def test_nested_search(clips):
    clips = clips.query("not exposed")
    grid = GridSearchCV(Level(), {"sign": [-1, 1]}, cv=NormalOnlySplit(3), scoring="roc_auc")
    scores = cross_val_score(
        grid, clips, clips["label"], cv=StratifiedKFold(3), scoring="roc_auc", error_score="raise"
    )
    assert scores == pytest.approx(np.ones(3))


def test_predictions_of_folds_that_share_no_clip(clips):
    X, y = as_arrays(clips.query("not exposed"))
    cv = NormalOnlySplit(3, anomalies="split")
    assert cross_val_predict(Level(), X, y, cv=cv).tolist() == y.tolist()
    with pytest.raises(ValueError, match="partitions"):
        cross_val_predict(Level(), X, y, cv=NormalOnlySplit(3))


@pytest.mark.parametrize("form", ["table", "list"])
@pytest.mark.parametrize("routing", [False, True])
def test_whole_pipeline(form, routing, write_clip, rng):
    clips = pd.DataFrame({"section": ["00", "01"] * 8, "label": [1] * 10 + [-1] * 4 + [1] * 2})
    clips["exposed"] = clips.index >= 14
    if form == "table":
        X = clips.assign(path=[write_clip(f"{i}.wav", seconds=0.2) for i in clips.index])
    else:
        X = list(0.1 * rng.standard_normal((16, 3200)))
    detector = OEAutoencoder(
        max_epochs=1, hidden_layer_sizes=(8,), threshold="quantile", calibration=None,
        random_state=0, verbose=0,
    )  # fmt: skip
    metadata = {"exposed": clips["exposed"].to_numpy()}
    cv = NormalOnlySplit(2)
    with sklearn.config_context(enable_metadata_routing=routing):
        if routing:
            detector.set_fit_request(exposed=True)
        else:
            if form == "list":
                cv = list(cv.split(X, clips["label"], **metadata))
            metadata = {"oeautoencoder__exposed": metadata["exposed"]}
        pipeline = make_pipeline(LogMel(), detector)
        grid = GridSearchCV(
            pipeline,
            {"oeautoencoder__pooling": ["mean", "max"]},
            cv=cv,
            scoring=dcase_scorer(2020),
            error_score="raise",
        ).fit(X, clips["label"], **metadata)
    assert grid.n_splits_ == 2
    assert 0 <= grid.best_score_ <= 1
    assert set(grid.predict(X)) <= {1, -1}


# -- errors --------------------------------------------------------------------------------------


def first_fold(splitter, *args, **kwargs):
    return next(splitter.split(*args, **kwargs))


@pytest.mark.parametrize(
    ("splitter", "changes", "message"),
    [
        (NormalOnlySplit(), {"y": [0, 1, 1, 0]}, r"Got the labels 0, 1 in y.*np.where"),
        (NormalOnlySplit(), {"y": [1, 1]}, "Got y of shape"),
        (
            NormalOnlySplit(),
            {"y": [1, None, -1, 1]},
            r"1 clips without a label, at positions 1;.*notna",
        ),
        (NormalOnlySplit(), {"y": None}, "Got y=None.*pass y with"),
        (NormalOnlySplit(), {"y": [1, 1, 1, 1]}, "Got no anomalous clip.*add some"),
        (NormalOnlySplit(), {"exposed": [0, 0, 1, 1]}, "Got no anomalous clip"),
        (NormalOnlySplit(), {"y": [-1, -1, -1, -1]}, "Got no normal clip"),
        (NormalOnlySplit(), {"exposed": [1, 0]}, "pass one bool per clip"),
        (NormalOnlySplit(3), {}, "cv=3, which cannot split 2 normal clips: .*fewer folds"),
        (NormalOnlySplit(2), {"groups": ["a"] * 4}, "2 normal clips of 1 groups: .*fewer folds"),
        (NormalOnlySplit(GroupKFold(2)), {}, r"GroupKFold.* without groups; .*group="),
        (NormalOnlySplit(2, group="site"), {}, "Got groups=None, and no clip table with 'site'"),
        (NormalOnlySplit(2), {"groups": [1, 2]}, "Got groups of shape"),
        (NormalOnlySplit(2), {"groups": ["a", None, "b", "c"]}, r"without groups, at positions 1;"),
        (
            NormalOnlySplit(2),
            {"groups": ["a", "b", "a", "a"]},
            r"Fold \d of NormalOnlySplit\(cv=2\) has no anomalous clip to test, but .*fewer folds",
        ),
        (NormalOnlySplit(PredefinedSplit([0, 1])), {}, "test_fold has 2 entries for 4 clips"),
        (NormalOnlySplit(1), {}, "'cv' parameter .* must be an int in the range"),
        (NormalOnlySplit([([0], [1])]), {}, "'cv' parameter"),
        (NormalOnlySplit(anomalies="few"), {}, "'anomalies' parameter"),
        (DCASESplit(), {}, "no clip table with 'split'"),
        (DCASESplit(), {"groups": ["dev"] * 4}, r"split='dev', but 'train' or 'test' or"),
        (DCASESplit(), {"groups": ["test"] * 4}, "Fold 0 of DCASESplit.* no normal clip to train"),
        (DCASESplit(), {"groups": ["train"] * 4}, "no normal clip to test and no anomalous clip"),
        (LeaveOneSectionOut(), {}, "no clip table with 'section'"),
        (LeaveOneSectionOut(), {"groups": ["00"] * 4}, "no normal clip to train on.*two sections"),
        (LeaveOneSectionOut(), {"groups": list("0012")}, "Got no section with normal and"),
        (SourceToTargetSplit(), {"groups": [0, 1, 1, 1]}, r"domain='0', '1', but 'source' or"),
        (SourceToTargetSplit(test_source=True), {}, "without a column 'split'"),
    ],
    ids=str,
)
def test_errors(splitter, changes, message):
    arguments = {"X": np.zeros((4, 1)), "y": [1, 1, -1, -1], **changes}
    with pytest.raises(ValueError, match=f"(?s){message}"):
        first_fold(splitter, **arguments)


def test_too_few_anomalies_to_spread():
    y = [1] * 6 + [-1] * 2
    with pytest.raises(ValueError, match=r'Fold 2 .*has no anomalous clip.*anomalies="all"'):
        first_fold(NormalOnlySplit(3, anomalies="split"), np.zeros((8, 1)), y)


def test_unlabelled_clips_of_a_table(clips):
    clips["label"] = clips["label"].astype("Int64")
    clips.loc[3, "label"] = pd.NA
    with pytest.raises(ValueError, match=r"at positions 3;"):
        first_fold(NormalOnlySplit(), clips)
    first_fold(NormalOnlySplit(), clips[clips["label"].notna()])


def test_bad_folds_are_found_before_any_training(clips):
    clips = clips.query("not exposed and not (section == '01' and label == -1)")
    trained = []

    class Witness(Level):
        def fit(self, X, y=None):
            trained.append(len(X))
            return super().fit(X, y)

    cv = NormalOnlySplit(LeaveOneGroupOut(), group="section")
    with pytest.raises(ValueError, match="Fold 1"):
        cross_validate(Witness(), clips, cv=cv, scoring="roc_auc")
    assert trained == []


class TestWithoutAnomalies:
    def test_normal_clips_are_split_alone(self):
        folds = list(NormalOnlySplit(2, anomalies="none").split(np.zeros((6, 1))))
        assert [(a.tolist(), b.tolist()) for a, b in folds] == [
            ([3, 4, 5], [0, 1, 2]), ([0, 1, 2], [3, 4, 5])
        ]  # fmt: skip

    def test_neither_anomalous_nor_exposed_clips_are_tested(self):
        clips = pd.DataFrame({"label": [1, -1, 1, 1, 1], "exposed": [False] * 4 + [True]})
        for train, test in NormalOnlySplit(3, anomalies="none").split(clips):
            assert 4 in train
            assert set(train) | set(test) == {0, 2, 3, 4}
            assert not set(test) & {1, 4}

    def test_labels_that_are_there_must_be_known(self):
        with pytest.raises(ValueError, match="1 clips without a label"):
            list(NormalOnlySplit(2, anomalies="none").split(pd.DataFrame({"label": [1, 1, None]})))
