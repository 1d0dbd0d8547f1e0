"""Several detectors as one: fused scores by hand, members as parameters, bad members."""

import warnings
from pickle import PicklingError
from typing import ClassVar

import joblib
import numpy as np
import pytest
import sklearn.pipeline
import torch
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklasd import (
    ClipStatistics,
    FusionDetector,
    KNNDetector,
    LogMel,
    MahalanobisDetector,
    OEAutoencoder,
    StatisticsDetector,
    make_pipeline,
)
from sklasd.clips._spectrograms import Spectrograms
from sklasd.datasets import make_machine_clips
from sklasd.features import TorchEmbedding

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5))
NEW = np.concatenate([RNG.normal(size=(20, 5)), RNG.normal(size=(20, 5)) + 2])
LABEL = np.repeat([1, -1], 20)


class Says(BaseEstimator):
    """Scores what a function says of the clips."""

    def __init__(self, function):
        self.function = function

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def score_samples(self, X):
        return self.function(X)


def chance(X):
    """Lognormal distances that have nothing to do with the clips."""
    seed = np.abs(X).sum(axis=1) * 1e6 % 1e6
    return -np.exp([np.random.default_rng(int(s)).normal() for s in seed])


def two(**params):
    members = [("near", KNNDetector()), ("distance", MahalanobisDetector())]
    return FusionDetector(members, **params)


@pytest.fixture(scope="module")
def by_hand():
    """Distances of the members out of fold, and of new clips."""
    known = np.column_stack(
        [
            -kind(calibration=PredefinedSplit(np.arange(40))).fit(X).calibration_scores_
            for kind in (KNNDetector, MahalanobisDetector)
        ]
    )
    new = [kind().fit(X).score_samples(NEW) for kind in (KNNDetector, MahalanobisDetector)]
    return known, -np.column_stack(new)


def standard(values, known):
    return (values - known.mean(axis=0)) / known.std(axis=0)


def fisher(new, known):
    """Empirical p-values; the four greatest of forty make the tail."""
    result = np.empty(new.shape)
    for member in range(2):
        c = np.sort(known[:, member])
        for clip, d in enumerate(new[:, member]):
            if d <= c[-5]:
                result[clip, member] = -np.log((1 + np.sum(c >= d)) / 41)
            else:
                result[clip, member] = -np.log(5 / 41) + (d - c[-5]) / np.mean(c[-4:] - c[-5])
    return result


class TestFusedScores:
    @pytest.mark.parametrize(
        ("fusion", "hand"),
        [
            ("log", lambda d, c: standard(np.log(d.clip(c.min(axis=0))), np.log(c)).mean(axis=1)),
            ("zscore", lambda d, c: standard(d, c).mean(axis=1)),
            ("max", lambda d, c: standard(d, c).max(axis=1)),
            ("min", lambda d, c: standard(d, c).min(axis=1)),
            ("rank", lambda d, c: np.mean([(c <= row).mean(axis=0) for row in d], axis=1)),
            ("fisher", lambda d, c: fisher(d, c).mean(axis=1)),
        ],
    )
    def test_by_hand(self, fusion, hand, by_hand):
        known, new = by_hand
        scores = two(fusion=fusion).fit(X).score_samples(NEW)
        np.testing.assert_allclose(scores, -hand(new, known), rtol=1e-9)

    def test_weights(self, by_hand):
        known, new = by_hand
        detector = two(fusion="zscore", weights=[3, 1]).fit(X)
        expected = -standard(new, known) @ [0.75, 0.25]
        np.testing.assert_allclose(detector.score_samples(NEW), expected, rtol=1e-9)
        alone = two(fusion="zscore", weights=[0, 5]).fit(X).score_samples(NEW)
        np.testing.assert_array_equal(rankdata(alone), rankdata(-new[:, 1]))

    def test_out_of_fold_scores_are_fused_for_the_threshold(self, by_hand):
        known, _ = by_hand
        detector = two().fit(X)
        np.testing.assert_allclose(detector.member_distances_, known, rtol=1e-9)
        logs = np.log(known)
        expected = [-standard(logs[i], np.delete(logs, i, axis=0)).mean() for i in range(40)]
        nearest = known.argmin(axis=0)  # no nearer than the nearest of the others
        others = np.delete(np.arange(40), nearest)
        scores = detector.calibration_scores_[others]
        np.testing.assert_allclose(scores, np.array(expected)[others], rtol=1e-9)
        assert detector.p_values(NEW[LABEL == -1]).mean() < detector.p_values(NEW[:20]).mean()

    def test_table(self):
        detector = two(fusion="max").fit(X)
        table = detector.score_table(NEW)
        assert table.columns.tolist() == [
            "near", "distance", "fusion_log", "fusion_fisher", "fusion_zscore", "fusion_rank",
            "fusion_max", "fusion_min",
        ]  # fmt: skip
        np.testing.assert_array_equal(table["near"], KNNDetector().fit(X).score_samples(NEW))
        for fusion in ("log", "fisher", "zscore", "rank", "max", "min"):
            scores = detector.set_params(fusion=fusion).score_samples(NEW)
            np.testing.assert_array_equal(scores, table[f"fusion_{fusion}"])
            if fusion != "max":
                with pytest.raises(ValueError, match="threshold was set for 'max'"):
                    detector.predict(NEW)

    @pytest.mark.parametrize("fusion", ["log", "fisher"])
    def test_a_chance_member_costs_little(self, fusion):
        rng = np.random.default_rng(1)
        train, test = rng.normal(size=(60, 5)), rng.normal(size=(600, 5))
        test[300:] += 1.5
        label = np.repeat([1, -1], 300)
        good = [
            ("near", KNNDetector()),
            ("distance", MahalanobisDetector()),
            ("forest", IsolationForest(n_estimators=20, random_state=0)),
        ]
        auc = [
            roc_auc_score(
                label, FusionDetector(members, fusion=fusion).fit(train).score_samples(test)
            )
            for members in (good, [*good, ("chance", Says(chance))])
        ]
        assert auc[0] > 0.9
        assert auc[0] - auc[1] <= 0.03


class TestMembers:
    def test_one_is_dropped(self):
        detector = two().set_params(near="drop").fit(X)
        assert list(detector.named_estimators_) == ["distance"]
        assert detector.member_distances_.shape == (40, 1)
        with pytest.raises(ValueError, match='"drop" for all members'):
            two().set_params(near="drop", distance="drop").fit(X)

    def test_their_parameters_are_nested(self):
        detector = two().set_params(near__n_neighbors=3)
        assert detector.get_params()["near__n_neighbors"] == 3
        assert clone(detector).get_params()["near__n_neighbors"] == 3
        assert detector.fit(X).named_estimators_["near"].n_neighbors == 3

    def test_search_over_them(self):
        clips, y = np.concatenate([X, NEW]), np.concatenate([np.ones(40), LABEL])
        grid = {"near": ["drop", KNNDetector(n_neighbors=3)], "fusion": ["log", "min"]}
        fold = PredefinedSplit(np.repeat([-1, 0], 40))
        search = GridSearchCV(two(), grid, scoring="roc_auc", cv=fold).fit(clips, y)
        assert len(search.cv_results_["params"]) == 4
        assert search.best_score_ > 0.9

    def test_more_at_once(self):
        expected = two().fit(X).score_samples(NEW)
        np.testing.assert_array_equal(two(n_jobs=2).fit(X).score_samples(NEW), expected)

    def test_they_are_not_touched(self):
        near = KNNDetector()
        FusionDetector([("near", near)]).fit(X)
        assert not hasattr(near, "offset_")
        assert near.calibration == "auto"

    def test_metadata_reach_them(self):
        domain = np.repeat(["source", "target"], 20)
        detector = FusionDetector(
            [
                ("distance", MahalanobisDetector()),
                ("scaled", make_pipeline(StandardScaler(), MahalanobisDetector())),
                ("forest", IsolationForest(random_state=0)),
            ],
            fusion="zscore",
        ).fit(X, domain=domain)
        assert detector.named_estimators_["distance"].domains_.tolist() == ["source", "target"]
        assert detector.named_estimators_["scaled"][-1].domains_.tolist() == ["source", "target"]

    def test_groups_are_never_split(self):
        groups = np.repeat(np.arange(8), 5)
        told = two().fit(X, groups=groups)
        assert not np.array_equal(told.member_distances_, two().fit(X).member_distances_)
        assert told.score_samples(NEW).shape == (40,)

    def test_nothing_of_an_earlier_fit_is_left(self):
        detector = two().fit(X)
        detector.set_params(near="drop").fit(X)
        assert detector.score_table(NEW).columns[0] == "distance"

    def test_it_survives_a_file(self, tmp_path):
        detector = two().fit(X)
        joblib.dump(detector, tmp_path / "fusion.joblib")
        again = joblib.load(tmp_path / "fusion.joblib")
        np.testing.assert_array_equal(again.predict(NEW), detector.predict(NEW))


class TestDecisions:
    @pytest.mark.parametrize("fusion", ["log", "fisher", "zscore", "rank", "max", "min"])
    def test_what_is_no_number_is_an_alarm(self, fusion):
        members = [
            ("near", KNNDetector()),
            ("odd", Says(lambda X: np.where(X[:, 0] > 50, np.nan, -1 - np.abs(X[:, 0])))),
        ]
        detector = FusionDetector(members, fusion=fusion).fit(X)
        assert detector.predict(np.full((1, 5), 99.0))[0] == -1

    def test_ranks_can_alarm(self):
        detector = two(fusion="rank", contamination=0.05).fit(X)
        assert detector.predict(np.full((1, 5), 99.0))[0] == -1

    @pytest.mark.parametrize("n_members", [2, 3, 5])
    def test_company_does_not_matter(self, n_members):
        members = [(f"m{k}", KNNDetector(n_neighbors=k + 1)) for k in range(n_members - 1)]
        members.append(("pca", sklearn.pipeline.make_pipeline(PCA(3), MahalanobisDetector())))
        for fusion in ("log", "fisher", "zscore", "rank"):
            detector = FusionDetector(members, fusion=fusion, cv=3).fit(X)
            together = detector.score_samples(NEW[:37])
            alone = [detector.score_samples(row[None])[0] for row in NEW[:37]]
            np.testing.assert_array_equal(together, alone)

    def test_a_copy_of_a_training_clip_does_not_outweigh_all(self):
        detector = FusionDetector([("a", KNNDetector()), ("b", KNNDetector(n_neighbors=3))])
        scores = detector.fit(X).score_samples(np.concatenate([X[:1], X[:1] + 0.01]))
        assert abs(scores[0] - scores[1]) < 1


class Unhashable:
    """A parameter that is copied, but not pickled."""

    def __init__(self, error):
        self.error = error

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise self.error


class TestFrontEndsThatCannotBePickled:
    def fit(self, front_end):
        return FusionDetector([("near", make_pipeline(front_end, KNNDetector()))]).fit(X)

    def test_functions(self):
        def double(X):
            return 2 * X

        expected = self.fit(FunctionTransformer()).score_samples(NEW)
        for function in (double, lambda X: 2 * X):  # fused logs do not tell distances from doubles
            scores = self.fit(FunctionTransformer(function)).score_samples(NEW)
            np.testing.assert_allclose(scores, expected)

    @pytest.mark.parametrize("error", [PicklingError("no"), AttributeError("no"), TypeError("no")])
    def test_parameters(self, error):
        self.fit(FunctionTransformer(inv_kw_args={"no": Unhashable(error)}))

    def test_other_errors_are_told(self):
        broken = FunctionTransformer(inv_kw_args={"no": Unhashable(RuntimeError("disk gone"))})
        with pytest.raises(RuntimeError, match="disk gone"):
            self.fit(broken)


def test_a_step_that_is_passed_through():
    members = [("near", sklearn.pipeline.Pipeline([("no", "passthrough"), ("knn", KNNDetector())]))]
    alone = KNNDetector().fit(X)
    fused = FusionDetector(members, fusion="zscore").fit(X)
    np.testing.assert_array_equal(
        rankdata(fused.score_samples(NEW)), rankdata(alone.score_samples(NEW))
    )


@pytest.mark.parametrize("nothing", ["passthrough", None])
@pytest.mark.parametrize("head", [KNNDetector(), StatisticsDetector(), LogMel()])
def test_the_head_is_the_first_step_that_does_something(head, nothing):
    inner = sklearn.pipeline.Pipeline([("no", nothing), ("head", head)])
    outer = sklearn.pipeline.Pipeline([("no", nothing), ("in", inner)])
    expected = head.__sklearn_tags__().input_tags
    for pipeline in (inner, outer):
        tags = FusionDetector([("only", pipeline)]).__sklearn_tags__().input_tags
        for kind in ("two_d_array", "three_d_array", "string"):
            assert getattr(tags, kind) == getattr(expected, kind), kind


def test_nested_fusions_agree_on_silent_clips(fan):
    train, test, _ = fan
    waves = np.concatenate([train, np.zeros_like(train[:1])])
    inner = make_pipeline(LogMel(n_mels=16), StatisticsDetector("mean"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        outer = FusionDetector(
            [("in", FusionDetector([("p", inner)], cv=3))], fusion="zscore", cv=3
        ).fit(waves)
    assert np.isfinite(outer.score_samples(test)).all()


def nested(levels):
    """A fusion within a fusion, and so on, about two front ends."""
    detector = FusionDetector(
        [
            ("p", make_pipeline(LogMel(n_mels=16), StatisticsDetector("mean"))),
            ("q", make_pipeline(LogMel(n_fft=2048, n_mels=16), StatisticsDetector("mean"))),
        ],
        cv=3,
    )
    for _ in range(levels):
        detector = FusionDetector([("in", detector)], fusion="zscore", cv=3)
    return detector


@pytest.mark.parametrize("levels", [1, 2])
def test_front_ends_of_nested_fusions_are_computed_once(fan, levels, monkeypatch):
    train, test, _ = fan
    calls = count_front_ends(monkeypatch)
    y = np.where(np.arange(len(train)) == 4, -1, 1)  # the inner one is told of the others
    detector = nested(levels).fit(train, y)
    assert calls == [30, 30]
    detector.score_samples(test)
    assert calls == [30, 30, 20, 20]


def test_nested_fusions_know_their_input(fan):
    front_end = LogMel(n_mels=16)
    inner = FusionDetector([("p", StatisticsDetector("mean"))], cv=3)
    outer = FusionDetector([("in", make_pipeline(front_end, inner))], fusion="zscore", cv=3)
    outer.fit(fan[0])
    assert outer.named_estimators_["in"].n_features_in_ == 16
    alone = inner.fit(front_end.transform(fan[0])).score_samples(front_end.transform(fan[1]))
    np.testing.assert_array_equal(outer.score_table(fan[1])["in"], alone)


@pytest.mark.parametrize("levels", [0, 1])
def test_nobody_asks_for_silent_clips_to_score(fan, levels, monkeypatch):
    train, test, _ = fan
    detector = nested(levels).fit(train)
    asked = []
    are_silent = Spectrograms.are_silent.func
    monkeypatch.setattr(
        Spectrograms, "are_silent", property(lambda self: asked.append(self) or are_silent(self))
    )
    detector.predict(test)
    detector.score_table(test)
    assert not asked
    detector.recalibrate(test[:10])
    assert asked


def test_rows_of_the_front_end_hide_no_silent_clip(fan):
    train, _, _ = fan
    waves = np.concatenate([train, np.zeros_like(train[:1])])
    member = make_pipeline(
        LogMel(n_mels=16), ClipStatistics("mean"), StandardScaler(), MahalanobisDetector()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        detector = FusionDetector([("rows", member)], cv=3).fit(waves)
    assert len(detector.member_distances_) == len(train)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda X: np.full(len(X), 3.0), r"member 'odd' scores 3 for every clip"),
        (lambda X: np.where(X[:, 0] > 1, np.nan, X[:, 0]), r"member 'odd' scores nan for .* \[\d"),
        (lambda X: X[:, 0], r"fusion='log', but minus the scores of the member 'odd' are not dist"),
    ],
)
def test_bad_members_are_named(function, words):
    members = [("near", KNNDetector()), ("odd", Says(function))]
    with pytest.raises(ValueError, match=words):
        FusionDetector(members).fit(X)


def test_an_error_names_its_member():
    def fail(X):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError) as caught:
        FusionDetector([("near", KNNDetector()), ("odd", Says(fail))]).fit(X)
    assert "member 'odd'" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("detector", "words"),
    [
        (FusionDetector([KNNDetector()]), "list of \\(name, estimator\\)"),
        (FusionDetector([("fusion_log", KNNDetector())]), "has such columns already"),
        (FusionDetector([("in", two())]), "the member 'in' is a fusion"),
        (FusionDetector([]), "list of \\(name, estimator\\)"),
        (FusionDetector([("near", KNNDetector)]), "for the member 'near'; pass an estimator"),
        (FusionDetector([("near", StandardScaler())]), "for the member 'near'"),
        (FusionDetector([("cv", KNNDetector())]), "conflict with constructor"),
        (two(weights=[1]), r"weights=\[1\] for 2 members"),
        (two(weights=[1, -1]), "none of them negative"),
        (two(weights=[1, 1], fusion="max"), "takes one member's score"),
        (two(fusion="median"), "fusion"),
        (FusionDetector([("net", OEAutoencoder(max_epochs=-1))]), "max_epochs"),
    ],
)
def test_bad_parameters(detector, words):
    with pytest.raises(ValueError, match=words):
        detector.fit(X)


@pytest.fixture(scope="module")
def fan():
    waves, table = make_machine_clips(
        "fan", duration=2.0, n_train=30, n_test=10, n_anomalies=10, random_state=0
    )
    is_train = (table["split"] == "train").to_numpy()
    return waves[is_train], waves[~is_train], table["label"].to_numpy()[~is_train]


def count_front_ends(monkeypatch):
    """Note how many clips come to a `LogMel`, each time."""
    calls = []
    transform = LogMel.transform
    monkeypatch.setattr(
        LogMel, "transform", lambda self, X: calls.append(len(X)) or transform(self, X)
    )
    return calls


class TestOnClips:
    def members(self):
        front = {"n_fft": 2048, "n_mels": 32}
        return [
            ("level", make_pipeline(LogMel(**front), StatisticsDetector())),
            ("shape", make_pipeline(LogMel(**front), StatisticsDetector("shape"))),
            ("other", make_pipeline(LogMel(n_mels=32), StatisticsDetector("mean"))),
        ]

    def test_front_ends_are_computed_once(self, fan, monkeypatch):
        train, test, label = fan
        calls = count_front_ends(monkeypatch)
        detector = FusionDetector(self.members()).fit(train)
        assert calls == [30, 30]  # two front ends for three members
        assert roc_auc_score(label, detector.score_samples(test)) > 0.7

    def test_a_step_that_is_passed_through_hides_no_shared_front_end(self, fan, monkeypatch):
        calls = count_front_ends(monkeypatch)
        steps = [("no", "passthrough"), ("none", None), *self.members()[1][1].steps]
        members = [self.members()[0], ("through", sklearn.pipeline.Pipeline(steps))]
        FusionDetector(members, cv=3).fit(fan[0])
        assert calls == [30]

    def test_it_is_the_fusion_behind_one_front_end(self, fan):
        train, test, _ = fan
        apart = FusionDetector(self.members()[:2]).fit(train)
        members = [(name, member[-1]) for name, member in self.members()[:2]]
        joined = make_pipeline(LogMel(n_fft=2048, n_mels=32), FusionDetector(members)).fit(train)
        np.testing.assert_array_equal(apart.score_samples(test), joined.score_samples(test))
        assert apart.offset_ == joined[-1].offset_

    def test_map_is_the_weighted_mean(self, fan):
        train, test, _ = fan
        members = [*self.members(), ("near", make_pipeline(*self.members()[0][1][:1], Flat()))]
        detector = FusionDetector(members, weights=[2, 1, 1, 5], fusion="zscore").fit(train)
        maps = []
        for name, member in self.members():
            pipeline = member.fit(train)
            where = pipeline[-1].anomaly_map(
                pipeline[0].transform(np.concatenate([train[:20], test]))
            )
            maps.append(where[20:] / where[:20].mean())
            assert name in detector.named_estimators_
        expected = (2 * maps[0] + maps[1] + maps[2]) / 4  # one member cannot tell where
        np.testing.assert_allclose(detector.anomaly_map(test), expected, rtol=1e-4)

    def test_maps_of_other_shapes_are_refused(self, fan):
        train, test, _ = fan
        other = ("coarse", make_pipeline(LogMel(n_mels=16), StatisticsDetector()))
        detector = FusionDetector([self.members()[0], other]).fit(train)
        with pytest.raises(ValueError, match=r"shapes .*; give their front ends the same n_mels"):
            detector.anomaly_map(test)
        around = FusionDetector([("inner", detector), self.members()[1]], fusion="zscore")
        assert np.isfinite(around.fit(train).score_samples(test)).all()  # it need not tell where
        with pytest.raises(ValueError, match=r"shapes .*; give their front ends the same n_mels"):
            around.anomaly_map(test)

    def test_a_dead_microphone_is_left_out(self, fan):
        train, test, _ = fan
        with_it = np.concatenate([train, np.zeros_like(train[:1])])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            detector = FusionDetector(self.members()).fit(with_it)
        assert any("clip 30 has no sound" in str(w.message) for w in caught)
        without = FusionDetector(self.members()).fit(train)
        np.testing.assert_array_equal(detector.score_samples(test), without.score_samples(test))
        assert detector.offset_ == without.offset_

    def test_nets_are_trained_as_thoroughly_on_folds(self, fan, monkeypatch):
        train, _, _ = fan
        epochs = []
        learn = OEAutoencoder._learn
        monkeypatch.setattr(
            OEAutoencoder, "_learn",
            lambda self, clips: epochs.append(self.max_epochs) or learn(self, clips),
        )  # fmt: skip
        net = OEAutoencoder(hidden_layer_sizes=(8,), max_epochs=2, random_state=0, verbose=0)
        members = [("net", make_pipeline(LogMel(n_mels=16), net)), self.members()[0]]
        FusionDetector(members, cv=2).fit(train)
        assert epochs == [2, 4, 4]


class Energies(torch.nn.Module):
    """A net that says how many clips come to it, each time."""

    calls: ClassVar[list] = []

    def __init__(self, length=400):
        super().__init__()
        self.register_buffer("window", torch.hann_window(length))

    def forward(self, x):
        self.calls.append(len(x))
        return torch.fft.rfft(x.unfold(1, 400, 400) * self.window).abs().log()


class LearningLogMel(LogMel):
    """A front end that would learn of clips."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return super().fit(X, y)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags


class TestFrozenNets:
    def embedding(self, net=None):
        return TorchEmbedding(net or Energies().eval())

    def test_they_pass_each_clip_once_for_all_members(self, fan, tmp_path):
        train, test = fan[0][:, :4000], fan[1][:, :4000]
        backends = {"near": KNNDetector(), "distance": MahalanobisDetector()}
        members = [(k, make_pipeline(self.embedding(), b)) for k, b in backends.items()]
        Energies.calls.clear()
        detector = FusionDetector(members).fit(train)
        assert Energies.calls == [1, 16, 16]  # a second of silence, and full batches of 30 clips
        Energies.calls.clear()
        joblib.dump(detector, tmp_path / "m.joblib")
        scores = joblib.load(tmp_path / "m.joblib").score_samples(test)
        assert Energies.calls == [16, 16]
        behind = make_pipeline(self.embedding(), FusionDetector(list(backends.items())))
        np.testing.assert_array_equal(scores, behind.fit(train).score_samples(test))

    def test_other_weights_are_another_front_end(self, fan):
        other = Energies().eval()
        other.window += 1
        members = [
            (name, make_pipeline(self.embedding(net), KNNDetector()))
            for name, net in (("a", None), ("b", other))
        ]
        table = FusionDetector(members).fit(fan[0]).score_table(fan[1])
        assert not np.array_equal(table["a"], table["b"])

    def test_in_a_fusion_within(self, fan):
        inner = FusionDetector([("p", make_pipeline(self.embedding(), KNNDetector()))], cv=3)
        Energies.calls.clear()
        outer = FusionDetector([("in", inner)], fusion="zscore", cv=3, calibration=2)
        outer.fit(fan[0][:, :4000])
        assert Energies.calls == [1, 16, 16]
        assert np.isfinite(outer.score_samples(fan[1][:, :4000])).all()

    def test_waveforms_are_no_rows(self, fan, monkeypatch):
        calls = count_front_ends(monkeypatch)
        member = make_pipeline(LearningLogMel(n_mels=16), StatisticsDetector("mean"))
        detector = FusionDetector([("only", member)], cv=2).fit(fan[0])
        calls.clear()
        detector.score_samples(fan[1])
        assert calls == [20]


class Flat(BaseEstimator):
    """A member that is told spectrograms and knows no map."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def score_samples(self, X):
        return X.mean(axis=(1, 2)) + X[:, 0, 0]


class TestWeights:
    @pytest.mark.parametrize("same", [(1, 3), np.array([1.0, 3.0]), [2, 6]], ids=str)
    def test_only_their_ratios_matter_to_a_threshold(self, same):
        detector = two(fusion="zscore", weights=[1, 3]).fit(X)
        decisions = detector.predict(NEW)
        np.testing.assert_array_equal(detector.set_params(weights=same).predict(NEW), decisions)

    def test_other_ratios_need_another_threshold(self):
        detector = two(fusion="zscore", weights=[1, 3]).fit(X).set_params(weights=[3, 1])
        with pytest.raises(ValueError, match=r"Got weights=\[0.75, 0.25\], but the threshold was"):
            detector.predict(NEW)


def test_folds_draw_no_maps(fan, monkeypatch):
    maps, draw = [], StatisticsDetector.anomaly_map
    monkeypatch.setattr(
        StatisticsDetector, "anomaly_map", lambda self, X: maps.append(1) or draw(self, X)
    )
    front_end = LogMel(n_mels=16).transform(fan[0])
    members = [("mean", StatisticsDetector("mean")), ("shape", StatisticsDetector("shape"))]
    FusionDetector(members, calibration=3, cv=3).fit(front_end)
    assert len(maps) == 2  # once for each member, of the fit on all clips
