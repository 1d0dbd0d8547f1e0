"""A model for each machine, and the better of two for each, chosen without a fault."""

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import FunctionTransformer

from sklasd import (
    Augmented,
    ClipError,
    ClipStatistics,
    GroupedDetector,
    LogMel,
    OEAutoencoder,
    StatisticsDetector,
    make_pipeline,
)
from sklasd.base import BaseDetector
from sklasd.base._unwrap import detector_of
from sklasd.datasets import make_machine_clips
from sklasd.metrics import dcase_scorer
from sklasd.model_selection import DCASESplit, NormalOnlySplit


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three machines of two sections each, in files, in no order."""
    tables = []
    for machine in ("fan", "pump", "valve"):
        _, table = make_machine_clips(
            machine, n_train=12, n_test=4, n_anomalies=4, n_sections=2, duration=1.0,
            root=tmp_path_factory.mktemp("clips"), random_state=0,
        )  # fmt: skip
        tables.append(table)
    return pd.concat(tables, ignore_index=True).sample(frac=1, random_state=0)


@pytest.fixture(scope="module")
def train(clips):
    return clips[clips["split"] == "train"]


@pytest.fixture(scope="module")
def test(clips):
    return clips[clips["split"] == "test"]


def by_statistics(**params):
    detector = StatisticsDetector(threshold="quantile", contamination=0.2, **params)
    return make_pipeline(LogMel(n_mels=16), detector)


def by_net(**params):
    detector = OEAutoencoder(
        hidden_layer_sizes=(8,), max_epochs=2, threshold="quantile", calibration=2, random_state=0,
        **params,
    )  # fmt: skip
    return make_pipeline(LogMel(n_mels=16), detector)


@pytest.fixture(scope="module")
def fitted(train):
    return GroupedDetector(by_statistics()).fit(train)


class Spy(BaseDetector):
    """Keeps what it was told."""

    def __init__(self, threshold="quantile", contamination=0.5, calibration=None):
        self.threshold = threshold
        self.contamination = contamination
        self.calibration = calibration

    def _learn(self, clips):
        self.clips_ = clips

    def _score_samples(self, data, index=None, section=None):
        return (data if index is None else data[index]).sum(axis=1)


def numbers(X):
    return X[["number"]].to_numpy()


def first(*args):
    return 1.0


def spies():
    return make_pipeline(FunctionTransformer(numbers), Spy())


class TestScores:
    @pytest.mark.parametrize("by", ["machine", ["machine", "section"], ("section",)])
    @pytest.mark.parametrize("make", [by_statistics, by_net])
    def test_those_of_separate_clones(self, train, test, by, make):
        detector = GroupedDetector(make(), by=by).fit(train)
        scores, decisions, p = (
            ask(test) for ask in (detector.score_samples, detector.predict, detector.p_values)
        )
        columns = [by] if isinstance(by, str) else list(by)
        groups = {values[0] if isinstance(by, str) else values: values
                  for values in set(train[columns].itertuples(index=False, name=None))}  # fmt: skip
        assert detector.estimators_.keys() == groups.keys()
        for name, values in groups.items():
            wanted = pd.Series(values, index=columns)
            own, asked = ((of[columns] == wanted).all(axis=1).to_numpy() for of in (train, test))
            alone = make().fit(train[own])
            np.testing.assert_array_equal(scores[asked], alone.score_samples(test[asked]))
            np.testing.assert_array_equal(decisions[asked], alone.predict(test[asked]))
            features = alone[0].transform(test[asked])
            np.testing.assert_array_equal(p[asked], alone[1].p_values(features))
            offset = detector.estimators_[name][-1].offset_
            np.testing.assert_array_equal(
                detector.decision_function(test)[asked], scores[asked] - offset
            )

    def test_which_others_are_there_does_not_matter(self, fitted, train, test):
        two = GroupedDetector(by_statistics()).fit(train[train["machine"] != "pump"])
        asked = test[test["machine"] == "valve"]
        np.testing.assert_array_equal(two.score_samples(asked), fitted.score_samples(asked))

    def test_a_random_state_with_a_state_is_the_same_for_all(self, train, test):
        net = by_net().set_params(oeautoencoder__random_state=np.random.RandomState(3))
        both = GroupedDetector(net).fit(train).score_samples(test)
        asked = (test["machine"] == "valve").to_numpy()
        only = GroupedDetector(net).fit(train[train["machine"] == "valve"])
        np.testing.assert_array_equal(both[asked], only.score_samples(test[asked]))

    @pytest.mark.parametrize("backend", ["loky", "threading"])
    def test_workers_do_not_matter(self, fitted, train, test, backend):
        with parallel_config(backend, n_jobs=2):
            again = clone(fitted).fit(train)
        np.testing.assert_array_equal(again.score_samples(test), fitted.score_samples(test))

    def test_maps(self, fitted, test):
        maps = fitted.anomaly_map(test)
        assert maps.shape[:2] == (len(test), 16)
        np.testing.assert_allclose(
            maps.sum(axis=(1, 2)), -fitted.score_samples(test), rtol=1e-4
        )  # a map's sum is its clip's distance: so each is where it belongs

    def test_maps_of_several_lengths(self, fitted, test):
        waves = [np.random.default_rng(i).normal(size=9000 + 999 * i) for i in range(len(test))]
        ragged = test.assign(path=waves)
        maps = fitted.anomaly_map(ragged)
        assert isinstance(maps, list)
        assert [m.shape[1] for m in maps] == [1 + len(wave) // 512 for wave in waves]

    def test_score_table(self, train, test):
        detector = GroupedDetector(by_net()).fit(train)
        table = detector.score_table(test)
        assert list(table.index) == list(range(len(test)))
        np.testing.assert_array_equal(table["reconstruction_mean"], detector.score_samples(test))

    def test_what_the_detector_cannot_it_cannot(self, fitted):
        assert not hasattr(fitted, "score_table")
        assert hasattr(fitted, "anomaly_map")
        assert not hasattr(GroupedDetector(IsolationForest()), "p_values")

    def test_recalibrate_some(self, train, test):
        detector = GroupedDetector(by_statistics()).fit(train)
        before = {name: each[-1].offset_ for name, each in detector.estimators_.items()}
        valves = test[test["machine"] == "valve"]
        assert detector.recalibrate(valves, valves["label"]) is detector
        after = {name: each[-1].offset_ for name, each in detector.estimators_.items()}
        assert [name for name in after if after[name] != before[name]] == ["valve"]
        normal = valves[valves["label"] == 1]
        np.testing.assert_array_equal(
            detector.estimators_["valve"][-1].calibration_scores_, detector.score_samples(normal)
        )

    def test_kept_on_disk(self, fitted, test, tmp_path):
        joblib.dump(fitted, tmp_path / "model.joblib")
        again = joblib.load(tmp_path / "model.joblib")
        np.testing.assert_array_equal(again.predict(test), fitted.predict(test))
        assert not hasattr(clone(fitted), "estimators_")

    def test_others_than_ours(self):
        table = pd.DataFrame({"machine": list("ab") * 20, "number": np.arange(40.0)})
        forest = make_pipeline(FunctionTransformer(numbers), IsolationForest(random_state=0))
        detector = GroupedDetector(forest).fit(table)
        assert detector.predict(table.assign(number=1e3)).tolist() == [-1] * 40
        np.testing.assert_array_equal(detector.fit_predict(table), detector.predict(table))

    def test_others_learn_from_normal_clips_only(self):
        table = pd.DataFrame({"machine": list("ab") * 20, "number": np.arange(40.0)})
        forest = make_pipeline(FunctionTransformer(numbers), IsolationForest(random_state=0))
        y = np.where(np.arange(40) < 10, -1, 1)
        exposed = np.arange(40) >= 36
        told = GroupedDetector(forest, expose_others=True).fit(table, y, exposed=exposed)
        own = GroupedDetector(forest).fit(table[(y == 1) & ~exposed])
        np.testing.assert_array_equal(told.score_samples(table), own.score_samples(table))


class SectionSpy(Spy):
    """Says by which section it was asked to score."""

    def _score_samples(self, data, index=None, section=None):
        self.asked_ = section if index is None else None
        return super()._score_samples(data, index, section)


class TestWhatClonesAreTold:
    @pytest.fixture
    def table(self):
        return pd.DataFrame({"machine": list("aabbbc"), "number": range(6)})

    def seen(self, detector):
        return {name: each[-1].clips_ for name, each in detector.estimators_.items()}

    def test_metadata_is_dealt(self, table):
        told = {name: np.arange(6) * i for i, name in enumerate(("section", "domain"), 1)}
        seen = self.seen(GroupedDetector(spies()).fit(table, [1, -1, 1, 1, -1, 1], **told))
        assert seen["b"].section.tolist() == [2, 3, 4]
        assert seen["b"].domain.tolist() == [4, 6, 8]
        assert seen["b"].normal.tolist() == [True, True, False]
        assert not seen["b"].exposed.any()
        assert seen["a"].normal.tolist() == [True, False]

    def test_others_are_exposed(self, table):
        y = [1, 1, 1, -1, 1, 1]
        seen = self.seen(GroupedDetector(spies(), expose_others=True).fit(table, y))
        assert seen["a"].data[:, 0].tolist() == [0, 1, 2, 4, 5]
        assert seen["a"].exposed.tolist() == [False, False, True, True, True]
        assert seen["b"].data[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
        assert seen["b"].normal.tolist() == [False, False, True, False, True, False]
        assert seen["c"].exposed.sum() == 4

    @pytest.mark.parametrize("expose_others", [False, True])
    def test_exposed_clips_belong_to_nobody(self, table, expose_others):
        table.loc[5, "machine"] = None
        exposed = np.arange(6) == 5
        detector = GroupedDetector(spies(), expose_others=expose_others)
        seen = self.seen(detector.fit(table, exposed=exposed))
        assert seen.keys() == {"a", "b"}
        assert (
            seen["a"].data[seen["a"].exposed, 0].tolist() == [2, 3, 4, 5][3 - 3 * expose_others :]
        )

    def test_exposed_clips_of_the_table(self, table):
        told = table.assign(path=list("uvwxyz"), exposed=np.arange(6) == 5)
        seen = self.seen(GroupedDetector(spies()).fit(told))
        assert seen.keys() == {"a", "b"}
        assert seen["a"].exposed.tolist() == [False, False, True]

    def test_what_fit_is_told_comes_before_the_table(self, table):
        told = table.assign(exposed=np.arange(6) == 5)
        seen = self.seen(GroupedDetector(spies()).fit(told, exposed=np.zeros(6, dtype=bool)))
        assert seen.keys() == {"a", "b", "c"}
        assert seen["c"].normal.tolist() == [True]

    def test_a_search_is_told_too(self, table):
        more = pd.concat([table] * 4, ignore_index=True)
        cv = NormalOnlySplit(2, anomalies="none")
        search = GridSearchCV(spies(), {"spy__contamination": [0.4]}, scoring=first, cv=cv)
        detector = GroupedDetector(search, expose_others=True)
        detector.fit(more, groups=np.arange(24))
        best = detector.estimators_["a"].best_estimator_[-1].clips_
        assert best.exposed.sum() == 16
        assert len(best.groups) == 24

    @pytest.mark.parametrize("copies", [None, 0])
    def test_sections_that_are_passed_are_handed_on(self, train, copies):
        clone_of = make_pipeline(LogMel(n_mels=16), ClipStatistics("mean"), SectionSpy())
        inner = clone_of if copies is None else Augmented(clone_of, copies=copies)
        section = train["section"].to_numpy()
        detector = GroupedDetector(inner)
        detector.fit_predict(train.drop(columns="section"), section=section)
        for machine, each in detector.estimators_.items():
            asked = detector_of(each).asked_.tolist()
            assert asked == section[train["machine"] == machine].tolist()

    def test_pipelines_around(self, table):
        outer = make_pipeline(GroupedDetector(spies())).fit(
            table, groupeddetector__section=np.arange(6)
        )
        assert outer[-1].estimators_["c"][-1].clips_.section.tolist() == [5]


class TestSearches:
    @pytest.mark.parametrize("expose_others", [False, True])
    def test_folds_are_scored_on_test_clips(self, clips, expose_others):
        search = GridSearchCV(
            by_statistics(), {"statisticsdetector__statistics": ["mean", "shape"]},
            scoring="roc_auc", cv=DCASESplit(),
        )  # fmt: skip
        model = GroupedDetector(search, expose_others=expose_others).fit(clips)
        fans = clips[clips["machine"] == "fan"]
        alone = clone(search).fit(fans, fans["label"])
        if not expose_others:
            assert_array_equal(
                model.estimators_["fan"].cv_results_["mean_test_score"],
                alone.cv_results_["mean_test_score"],
            )
            assert_array_equal(model.score_samples(fans), alone.score_samples(fans))
        # The chosen pipeline learns from training clips alone, and so do the exposed clips.
        n_normal = model.estimators_["fan"].best_estimator_[-1].calibration_scores_.size
        assert n_normal == alone.best_estimator_[-1].calibration_scores_.size

    def test_no_test_clip_of_others_is_exposed(self):
        told = pd.DataFrame({"machine": list("aabb") * 6, "number": range(24), "path": "x"})
        told["split"] = ["train", "test"] * 12
        cv = NormalOnlySplit(2, anomalies="none")
        search = GridSearchCV(spies(), {"spy__contamination": [0.4]}, scoring=first, cv=cv)
        model = GroupedDetector(search, expose_others=True).fit(told)
        seen = model.estimators_["a"].best_estimator_[-1].clips_
        assert len(seen) == 12
        assert seen.exposed.sum() == 6

    def test_inside_a_search(self, clips):
        grid = {"by": ["machine", ["machine", "section"]],
                "estimator__statisticsdetector__statistics": ["quantiles", "shape"]}  # fmt: skip
        detector = GroupedDetector(by_statistics().set_params(statisticsdetector__calibration=None))
        search = GridSearchCV(
            detector, grid, scoring=dcase_scorer(2020), cv=NormalOnlySplit(2), error_score="raise"
        ).fit(clips, clips["label"])
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert search.predict(clips).shape == (len(clips),)

    def test_augmented_inside(self, train, test):
        loud = Augmented(
            by_statistics(), copies=1, pitch_shift=None, time_stretch=None, gain=(-3, 3),
            random_state=0,
        )  # fmt: skip
        detector = GroupedDetector(loud).fit(train)
        own = train["machine"] == "fan"
        asked = test[test["machine"] == "fan"]
        np.testing.assert_array_equal(
            detector.p_values(asked), clone(loud).fit(train[own]).p_values(asked)
        )
        assert hasattr(detector, "anomaly_map")


class TestErrors:
    def test_unknown_groups(self, fitted, test):
        strange = test.assign(machine=np.where(np.arange(len(test)) == 4, "drill", "fan"))
        with pytest.raises(
            ValueError, match=r"machine='drill', at positions such as \[4\], but .*m"
        ):
            fitted.predict(strange)

    def test_unknown_combinations(self, train, test):
        detector = GroupedDetector(by_statistics(), by=["machine", "section"])
        detector.fit(train[(train["machine"] != "fan") | (train["section"] == "00")])
        words = "machine='fan', section='01', at .* models of .*machine='fan', section='00'"
        with pytest.raises(ValueError, match=words):
            detector.score_samples(test)

    @pytest.mark.parametrize("missing", [None, np.nan])
    def test_missing_groups(self, fitted, train, missing):
        table = train.assign(machine=[*train["machine"][:-1], missing])
        words = rf"Got 1 clips without machine, at positions such as \[{len(train) - 1}\]; fill it"
        for ask in (clone(fitted).fit, fitted.score_samples):
            with pytest.raises(ValueError, match=words):
                ask(table)

    @pytest.mark.parametrize("X", [["a.wav"], np.zeros((2, 9)), pd.DataFrame({"path": ["a.wav"]})])
    def test_no_column(self, fitted, X):
        with pytest.raises(ValueError, match="without a column 'machine'; pass a clip table"):
            clone(fitted).fit(X)
        with pytest.raises(ValueError, match="without a column 'machine'; pass a clip table"):
            fitted.predict(X)

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_the_group_that_fails_is_named(self, train, n_jobs):
        row = int(np.flatnonzero(train["machine"] == "pump")[3])
        broken = train.assign(path=[*train["path"][:row], "gone.wav", *train["path"][row + 1 :]])
        with pytest.raises(ClipError, match="gone") as caught:
            GroupedDetector(by_statistics(), n_jobs=n_jobs).fit(broken)
        assert caught.value.__notes__ == ["This was the group machine='pump' of a GroupedDetector."]

    def test_bad_clips_are_named_by_their_rows(self, fitted, train, test):
        machines = test["machine"].to_numpy()
        bad = [int(np.flatnonzero(machines == machine)[2]) for machine in ("pump", "valve")]
        paths = test["path"].to_numpy().copy()
        paths[bad] = [f"{row}.wav" for row in bad]
        with pytest.raises(ClipError) as caught:
            fitted.predict(test.assign(path=paths))
        assert caught.value.n_clips == len(test)
        assert {row: reason.split(" does")[0] for row, reason in caught.value.clips.items()} == {
            row: f"clip {row} ('{row}.wav')" for row in bad
        }
        assert f"clip {max(bad)} (" in str(caught.value)
        row = int(np.flatnonzero(train["machine"] == "valve")[1])
        broken = train.assign(path=[*train["path"][:row], "no.wav", *train["path"][row + 1 :]])
        with pytest.raises(ClipError, match=rf"clip {row} \('no.wav'\)"):
            clone(fitted).fit(broken)

    def test_short_clips_are_named_by_their_rows(self, rng):
        waves = [rng.normal(size=512 * n) for n in (30, 30, 30, 30, 2, 30, 2, 30)]
        table = pd.DataFrame({"machine": list("abababab"), "path": waves})
        net = by_net(contamination=0.4)
        detector = GroupedDetector(net).fit(table.drop(index=[4, 6]))
        words = r"but clip 4 has only 3 frames, clip 6 has only 3 frames; record longer clips"
        for ask in (detector.predict, clone(detector).fit, detector.recalibrate):
            with pytest.raises(ClipError, match=words):
                ask(table)

    def test_so_is_the_group_that_cannot_be_scored(self, fitted, test):
        with pytest.raises(ClipError) as caught:
            fitted.predict(test.assign(path="gone.wav")[test["machine"] == "fan"])
        assert "machine='fan'" in caught.value.__notes__[0]

    @pytest.mark.parametrize(
        ("params", "words"),
        [
            ({"by": []}, r"Got by=\[\]; name a column"),
            ({"by": 3}, "'by' parameter of GroupedDetector"),
            ({"estimator__logmel__n_mels": 0}, "'n_mels' parameter of LogMel"),
            ({"expose_others": "yes"}, "'expose_others' parameter"),
        ],
    )
    def test_parameters(self, params, words):
        with pytest.raises(ValueError, match=words):
            GroupedDetector(by_statistics()).set_params(**params).fit(None)

    def test_lengths(self, train):
        with pytest.raises(ValueError, match="Got section of shape"):
            GroupedDetector(by_statistics()).fit(train, section=[0])

    def test_no_clips(self, fitted, test):
        with pytest.raises(ValueError, match="Got 0 clips"):
            fitted.predict(test[:0])
