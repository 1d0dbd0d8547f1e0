"""A clip table is believed: what it says counts the same, whatever is fitted on it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, PredefinedSplit

from sklasd import (
    Augmented,
    CLVAEDetector,
    FusionDetector,
    GroupedDetector,
    LogMel,
    StatisticsDetector,
    make_pipeline,
    make_recipe,
)
from sklasd.base._clip_table import read_fit_input, take_new_normal
from sklasd.datasets import make_machine_clips


@pytest.fixture(scope="module")
def clips():
    """Thirty normal clips and ten faulty ones of a fan, as waveforms."""
    waves, table = make_machine_clips(
        "fan", n_train=30, n_test=10, n_anomalies=10, duration=1.0, random_state=0
    )
    return table.assign(path=list(waves)).drop(columns=["split", "label"]), np.repeat(
        [1, -1], [40, 10]
    )


def small():
    return make_pipeline(LogMel(n_mels=32), StatisticsDetector())


def around(kind):
    """Return what is fitted, and how its detector is reached."""
    return {
        "pipeline": (small(), lambda model: model[-1]),
        "grouped": (GroupedDetector(small()), lambda model: model.estimators_["fan"][-1]),
        "augmented": (
            Augmented(small(), copies=1, pitch_shift=None, time_stretch=None, gain=(-1, 1)),
            lambda model: model.estimator_[-1],
        ),
        "fusion": (FusionDetector([("only", small())], cv=3), lambda model: model),
    }[kind]


KINDS = ("pipeline", "grouped", "augmented", "fusion")


@pytest.mark.parametrize("kind", KINDS)
class TestFit:
    def offset(self, kind, table, y=None, **metadata):
        model, detector_of = around(kind)
        if kind == "augmented":
            model.set_params(random_state=0)
        return detector_of(model.fit(table, y, **metadata)).offset_

    def test_faults_are_left_out(self, clips, kind):
        table, y = clips
        offset = self.offset(kind, table.assign(label=y))
        assert offset == self.offset(kind, table, y)
        assert offset == self.offset(kind, table[y == 1])
        assert offset != self.offset(kind, table)

    def test_test_clips_are_left_out(self, clips, kind):
        table, _ = clips
        split = np.repeat(["test", "train", "supplemental"], [10, 30, 10])
        offset = self.offset(kind, table.assign(split=split))
        assert offset == self.offset(kind, table[10:40])

    def test_recordings_are_groups(self, clips, kind):
        table, _ = clips
        recording = pd.Series(np.repeat(["a", "b", "c", "d", None], 10), dtype=object)
        table = table.assign(recording=recording.to_numpy())
        groups = np.concatenate([np.repeat([0, 1, 2, 3], 10), np.arange(4, 14)])
        offset = self.offset(kind, table)
        assert offset == self.offset(kind, table.drop(columns="recording"), groups=groups)
        assert offset != self.offset(kind, table.drop(columns="recording"))
        # What is passed has precedence.
        assert self.offset(kind, table, groups=np.arange(50)) != offset

    def test_labels_that_contradict_are_refused(self, clips, kind):
        table, y = clips
        with pytest.raises(ValueError, match=r"contradict the column `label` of the clips 40, 41,"):
            self.offset(kind, table.assign(label=y), np.ones(50))

    @pytest.mark.parametrize("name", ["Label", "labels", " recording", "Splits", "RECORDING"])
    def test_almost_the_name_is_refused(self, clips, kind, name):
        table, y = clips
        meant = name.strip().lower().rstrip("s")
        with pytest.raises(ValueError, match=f"the column {name!r}; rename it to {meant!r}"):
            self.offset(kind, table.assign(**{name: y}))


def test_domains_are_read():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"path": list(rng.normal(size=(20, 4000))), "domain": ["source"] * 20})
    table.loc[10:, "domain"] = "target"
    seen = []

    class Listens(StatisticsDetector):
        def _learn(self, clips):
            seen.append(clips.domain)
            super()._learn(clips)

    make_pipeline(LogMel(n_mels=8), Listens(calibration=None)).fit(table)
    assert seen[0].tolist() == table["domain"].tolist()


class Rows(BaseEstimator):
    """A front end of tables: two columns as an embedding."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X[["a", "b"]].to_numpy()


def test_sections_are_read_in_fit_and_scoring(rng):
    table = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])
    table["section"] = np.repeat(["00", "01"], 20)
    table["path"] = "none.wav"
    table.loc[20:, ["a", "b"]] += 5
    detector = CLVAEDetector(
        hidden_layer_sizes=(8,), latent_features=2, max_epochs=5, calibration=None, random_state=0
    )
    pipeline = make_pipeline(Rows(), detector).fit(table)
    assert pipeline[-1].sections_.tolist() == ["00", "01"]
    own = pipeline.score_samples(table.drop(columns="section"), section=table["section"])
    np.testing.assert_array_equal(pipeline.score_samples(table), own)
    with pytest.warns(UserWarning, match="sections 02, which fit did not get"):
        pipeline.predict(table.assign(section="02"))


def test_searches_read_it_too(clips):
    table, y = clips
    order = np.random.default_rng(1).permutation(50)
    table, y = table.iloc[order].assign(label=y[order]), y[order]
    fold = PredefinedSplit(np.where(np.arange(50) < 25, -1, 0))
    search = GridSearchCV(
        small(), {"statisticsdetector__statistics": ["mean"]}, scoring="roc_auc", cv=fold
    ).fit(table, y)
    expected = small().set_params(statisticsdetector__statistics="mean").fit(table[y == 1])
    assert search.best_estimator_[-1].offset_ == expected[-1].offset_


class TestRecalibrate:
    @pytest.mark.parametrize("kind", KINDS)
    def test_takes_new_normal_clips(self, clips, kind):
        table, y = clips
        table = table.assign(label=y, split=np.repeat(["train", "test"], [30, 20]))
        model, detector_of = around(kind)
        model.fit(table)
        model.recalibrate(table)
        assert len(detector_of(model).calibration_scores_) == 10
        with pytest.raises(ValueError, match="no new normal clip"):
            model.recalibrate(table[:30])

    def test_other_forms_are_left_alone(self):
        X, y = ["a.wav", "b.wav"], [1, -1]
        assert take_new_normal(X, y, None) == (X, y, None)


def test_clips_are_named_by_their_rows_in_the_table(clips):
    table, _ = clips
    table = table.assign(split=np.repeat(["test", "train"], [10, 40]))
    table.at[table.index[12], "path"] = "nowhere.wav"
    for kind in ("pipeline", "grouped"):
        with pytest.raises(ValueError, match=r"clip 12 \('nowhere.wav'\)"):
            around(kind)[0].fit(table)


def test_arguments_of_steps_lose_the_clips_that_are_left_out(clips):
    table, _ = clips
    table = table.assign(split=np.repeat(["test", "train"], [10, 40]))
    domain = np.repeat(["source", "target", "source"], [20, 10, 20])
    model = small().fit(table, statisticsdetector__domain=domain)
    expected = small().fit(table[10:].drop(columns="split"), domain=domain[10:])
    np.testing.assert_array_equal(model.score_samples(table), expected.score_samples(table))


@pytest.mark.parametrize("n_values", [40, 49])
@pytest.mark.parametrize("name", ["y", "section", "domain", "groups", "exposed"])
def test_arguments_have_a_value_for_each_clip_of_the_table(clips, name, n_values):
    table, _ = clips
    table = table.assign(split=np.repeat(["test", "train"], [10, 40]))
    with pytest.raises(ValueError, match=rf"Got {name} of .*{n_values}.*50"):
        small().fit(table, **{name: np.ones(n_values, dtype=int)})


def test_a_table_of_features_is_no_clip_table():
    table = pd.DataFrame({"split": [0.1, 0.2, 0.3, 0.5], "label": [1.0, 2.0, 3.0, 4.0]})
    assert read_fit_input(table).X is table


class TestPipelineSpeaks:
    def test_of_decisions(self, clips):
        table, _ = clips
        pipeline = small().fit(table[:30])
        features = pipeline[:-1].transform(table[30:])
        for method in ("p_values", "predict", "score_samples", "anomaly_map", "contributions"):
            expected = getattr(pipeline[-1], method)(features)
            np.testing.assert_array_equal(getattr(pipeline, method)(table[30:]), expected)
        scores = pipeline.score_samples(table[30:])
        np.testing.assert_array_equal(pipeline.decide(scores), pipeline.predict(table[30:]))
        assert pipeline.recalibrate(table[30:40]) is pipeline
        assert len(pipeline[-1].calibration_scores_) == 10

    def test_only_of_what_its_detector_has(self):
        pipeline = make_pipeline(LogMel(), StatisticsDetector())
        assert hasattr(pipeline, "anomaly_map")
        assert not hasattr(pipeline, "score_table")
        assert not hasattr(GroupedDetector(pipeline), "decide")

    def test_metadata_need_no_step(self, clips):
        table, y = clips
        groups = np.repeat(np.arange(10), 5)
        waves = list(table["path"])
        told = small().fit(waves, y, groups=groups)[-1].offset_
        assert told == small().fit(waves, y, statisticsdetector__groups=groups)[-1].offset_


class TestParametersOfRecipes:
    def test_reach_the_step_that_has_them(self):
        assert make_recipe(contamination=0.01)[-1].contamination == 0.01
        ensemble = make_recipe("ensemble", max_epochs=3, threshold="quantile")
        assert ensemble.get_params()["fusiondetector__autoencoder__oeautoencoder__max_epochs"] == 3
        assert ensemble[-1].threshold == "quantile"

    def test_of_several_steps_are_refused(self):
        with pytest.raises(ValueError, match="one of logmel__device, oeautoencoder__device"):
            make_recipe("dcase-autoencoder", device="cpu")

    def test_unknown_ones_are_refused(self):
        with pytest.raises(ValueError, match=r"has no parameter 'windows'; it has .*logmel__"):
            make_recipe(windows=3)
