"""CL-VAE and CVAE: closed forms, centres by hand, sections, and scores from the net's outputs."""

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import sklearn.pipeline
import torch
from scipy.stats import norm
from sklearn.base import clone
from sklearn.metrics import silhouette_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklasd import (
    CLVAEDetector,
    CVAEDetector,
    FusionDetector,
    GroupedDetector,
    KNNDetector,
    SectionMobileNetDetector,
    make_pipeline,
)
from sklasd.detectors._section_vae import _draw_noise
from sklasd.losses import CenterLoss, CenterVAELoss, VAELoss, normal_divergence
from sklasd.metrics import dcase_scorer
from sklasd.model_selection import LeaveOneSectionOut, NormalOnlySplit
from sklasd.nets._vae import VAE, Encoded, Rebuilt
from sklasd.training import train_cached

SMALL = {
    "hidden_layer_sizes": (32, 16), "latent_features": 4, "batch_size": 32, "lr": 1e-2,
    "max_epochs": 20, "calibration": None, "threshold": "quantile", "random_state": 0,
}  # fmt: skip
BOTH = [CLVAEDetector, CVAEDetector]


def small(kind=CLVAEDetector, **params):
    return kind(**(SMALL | params))


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def embeddings():
    """Return 90 embeddings of three sections, without negative values, and the sections."""
    rng = np.random.default_rng(0)
    section = np.repeat(["00", "01", "02"], 30)
    places = rng.uniform(2, 6, size=(3, 12)).repeat(30, axis=0)
    return np.abs(places + rng.normal(0, 0.5, size=(90, 12))).astype(np.float32), section


@pytest.fixture(scope="module")
def searched(embeddings):
    """Return embeddings, a fifth of them anomalous, their labels and their sections."""
    X, section = embeddings
    y = np.where(np.arange(90) % 5 == 0, -1, 1)
    return X + 5 * (y == -1)[:, None], y, section


@pytest.fixture(scope="module", params=BOTH, ids=lambda kind: kind.__name__)
def fitted(request, embeddings):
    X, section = embeddings
    return small(request.param).fit(X, section=section)


class TestNet:
    def test_parameter_counts_are_those_of_table_1(self):
        net = VAE()
        assert n_parameters(net.encoder) == 6_498_816
        assert n_parameters(net.mean) + n_parameters(net.log_variance) == 525_312
        decoder = [net.decoder, net.last, net.last_norm]
        assert sum(map(n_parameters, decoder)) == 6_772_288
        assert n_parameters(net) == 13_796_416

    def test_a_condition_costs_a_column_of_both_first_layers(self):
        assert n_parameters(VAE(n_conditions=6)) == 13_796_416 + 6 * (1024 + 512)

    def test_the_condition_is_used_and_not_rebuilt(self):
        net = VAE(5, n_conditions=2, hidden_layer_sizes=(8,), latent_features=3).eval()
        x, told = torch.rand(4, 5), torch.eye(2)
        codes = [net.encode(torch.cat([x, t.expand(4, -1)], dim=1)).code for t in told]
        assert not torch.equal(*codes)
        z = torch.randn(4, 3)
        assert not torch.equal(*(net.decode(z, t.expand(4, -1)) for t in told))
        output = net(torch.cat([x, told[0].expand(4, -1)], dim=1))
        assert torch.equal(output.x, x)
        assert output.rebuilt.shape == (4, 5)

    def test_draws_are_of_the_gaussian(self):
        torch.manual_seed(0)
        encoded = Encoded(torch.zeros(1, 1), torch.tensor([[3.0]]), torch.tensor([[4.0]]).log())
        z = encoded.draw(torch.randn(100_000, 1))
        assert z.mean().item() == pytest.approx(3, abs=0.03)
        assert z.std().item() == pytest.approx(2, rel=0.02)

    def test_the_output_starts_where_embeddings_are(self):
        torch.manual_seed(0)
        net = VAE(3, hidden_layer_sizes=(8,), latent_features=2, is_rectified=False)
        mean, deviation = torch.tensor([-40.0, 0.0, 7.0]), torch.tensor([2.0, 0.0, 1.0])
        net.fill(mean, deviation)
        rebuilt = net(torch.randn(500, 3)).rebuilt
        torch.testing.assert_close(rebuilt.mean(dim=0), mean, atol=1e-3, rtol=0)
        spread = rebuilt.std(dim=0, correction=0)
        torch.testing.assert_close(spread, deviation, atol=1e-2, rtol=0)

    def test_far_off_inputs_have_finite_scores(self, fitted, embeddings):
        assert np.isfinite(fitted.score_samples(1e6 * embeddings[0])).all()


class TestLosses:
    def test_divergence_against_integrals(self):
        mean, variance = np.array([0.5, -1.0]), np.array([0.3, 2.0])
        z, step = np.linspace(-15, 15, 300_001, retstep=True)
        expected = 0
        for m, v in zip(mean, variance, strict=True):
            p = norm(m, np.sqrt(v))
            expected += (p.pdf(z) * (p.logpdf(z) - norm.logpdf(z))).sum() * step
        got = normal_divergence(*(torch.tensor(a)[None] for a in (mean, np.log(variance))))
        assert got.item() == pytest.approx(expected, rel=1e-6)

    def test_divergence_is_torchs(self):
        mean, log_variance = torch.randn(2, 7, 5)
        normal = torch.distributions.Normal
        p = normal(mean, (0.5 * log_variance).exp())
        expected = torch.distributions.kl_divergence(p, normal(0.0, 1.0)).sum(dim=1)
        torch.testing.assert_close(normal_divergence(mean, log_variance), expected)

    def test_error_is_a_mean_over_all_and_divergence_over_the_batch(self):
        x, rebuilt = torch.zeros(2, 4), torch.full((2, 4), 3.0)
        encoded = Encoded(torch.zeros(2, 1), torch.tensor([[2.0], [0.0]]), torch.zeros(2, 1))
        loss = VAELoss()(Rebuilt(x, rebuilt, encoded), None)
        assert loss.item() == pytest.approx(9 + (2.0 + 0.0) / 2)

    @pytest.mark.parametrize("rate", [1.0, 0.3])
    def test_centres_move_by_equations_4_and_5(self, rate):
        centers, x = torch.randn(3, 2), torch.randn(5, 2)
        label = torch.tensor([0, 2, 0, 0, 2])  # none of 1
        loss = CenterLoss(3, 2, rate)
        loss.centers.copy_(centers)
        loss(x, label)
        for j in range(3):
            own = x[label == j]
            delta = (centers[j] - own).sum(dim=0) / (1 + len(own))
            torch.testing.assert_close(loss.centers[j], centers[j] - rate * delta)
        assert torch.equal(loss.centers[1], centers[1])

    def test_centres_stay_in_evaluation(self):
        loss = CenterLoss(2, 3).eval()
        loss(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]))
        assert not loss.centers.any()

    @pytest.mark.parametrize(("reduction", "factor"), [("sum", 1), ("mean", 2 / (5 * 3))])
    def test_gradient_of_the_center_loss(self, reduction, factor):
        x = torch.randn(5, 2, requires_grad=True)
        label = torch.tensor([0, 2, 0, 1, 2])
        loss = CenterLoss(3, 2, reduction=reduction)
        loss.centers.normal_()
        expected = factor * (x - loss.centers[label]).detach()
        loss(x, label).backward()
        torch.testing.assert_close(x.grad, expected)
        assert not list(loss.parameters())  # no optimiser moves centres

    @pytest.mark.parametrize("reduction", ["sum", "mean"])
    def test_of_one_clip_it_is_the_loss_by_class(self, reduction):
        loss, x = CenterLoss(3, 2, reduction=reduction).eval(), torch.randn(4, 2)
        loss.centers.normal_()
        each = loss.by_class(x)
        for j in range(3):
            expected = torch.stack([loss(row[None], torch.tensor([j])) for row in x])
            torch.testing.assert_close(each[:, j], expected)

    def test_settled_centres_are_means_where_the_rule_rests(self):
        x, label = torch.randn(9, 2), torch.tensor([0, 0, 2, 2, 2, 0, 2, 2, 2])
        loss = CenterLoss(3, 2)
        loss.centers[1] = 5
        loss.settle(zip(x.split(4), label.split(4), strict=True))
        means = [x[label == j].mean(dim=0) for j in (0, 2)]
        expected = torch.stack([means[0], torch.tensor([5.0, 5.0]), means[1]])
        torch.testing.assert_close(loss.centers, expected)
        loss(x, label)
        torch.testing.assert_close(loss.centers, expected)

    def test_whole_loss(self):
        output = VAE(3, hidden_layer_sizes=(4,), latent_features=2)(torch.rand(6, 3))
        label = torch.arange(6) % 2
        loss, center = CenterVAELoss(2, 4, weight=7.0), CenterLoss(2, 4)
        expected = VAELoss()(output, None) + 7 * center(output.encoded.code, label)
        torch.testing.assert_close(loss(output, label), expected)
        torch.testing.assert_close(loss.center.centers, center.centers)


class TestScores:
    def test_by_hand(self, embeddings):
        X, section = embeddings
        detector = small(center_weight=2.0).fit(X, section=section)
        net = detector.net_.module_
        with torch.no_grad():
            code, mean, log_variance = net.encode(torch.from_numpy(X))
            rebuilt = net.decode(mean, torch.zeros(90, 0)).numpy()
        error = np.square(rebuilt - X).mean(axis=1)
        variance = log_variance.exp().numpy()
        divergence = -0.5 * (1 + np.log(variance) - mean.numpy() ** 2 - variance).sum(axis=1)
        squared = np.square(code.numpy()[:, None] - detector.centers_).sum(axis=2)
        elbo, whole = error + divergence, (error + divergence)[:, None] + 2.0 * squared / 3
        table = detector.score_table(X)
        for name, expected in {
            "reconstruction": error, "elbo": elbo, "elbo_center": whole.min(axis=1),
            "ensemble": elbo + 0.01 * whole.min(axis=1),
        }.items():  # fmt: skip
            np.testing.assert_allclose(-table[name], expected, rtol=1e-4, err_msg=name)
        number = np.array([1] * 45 + [2] * 45)
        scores = detector.set_params(anomaly_score="elbo_center").score_samples(
            X, section=detector.sections_[number]
        )
        np.testing.assert_allclose(-scores, whole[np.arange(90), number], rtol=1e-4)

    def test_conditional_by_hand(self, embeddings):
        X, section = embeddings
        detector = small(CVAEDetector).fit(X, section=section)
        net = detector.net_.module_
        each = []
        for told in torch.eye(3):
            condition = told.expand(90, -1)
            with torch.no_grad():
                encoded = net.encode(torch.cat([torch.from_numpy(X), condition], dim=1))
                rebuilt = net.decode(encoded.mean, condition).numpy()
            divergence = normal_divergence(encoded.mean, encoded.log_variance).numpy()
            each.append(np.square(rebuilt - X).mean(axis=1) + divergence)
        np.testing.assert_allclose(-detector.score_samples(X), np.min(each, axis=0), rtol=1e-4)
        of_last = detector.score_samples(X, section=["02"] * 90)
        np.testing.assert_allclose(-of_last, each[2], rtol=1e-4)

    def test_literal_sum_is_half_the_squared_distance(self, embeddings):
        X, section = embeddings
        detector = small(center_weight=0.1, center_reduction="sum").fit(X, section=section)
        with torch.no_grad():
            code = detector.net_.module_.encode(torch.from_numpy(X)).code.numpy()
        squared = np.square(code[:, None] - detector.centers_).sum(axis=2).min(axis=1)
        table = detector.score_table(X)
        np.testing.assert_allclose(
            table["elbo"] - table["elbo_center"], 0.1 * squared / 2, rtol=1e-3, atol=1e-4
        )

    def test_a_section_is_no_better_than_the_best(self, fitted, embeddings):
        X, section = embeddings
        best, own = fitted.score_samples(X), fitted.score_samples(X, section=section)
        wrong = fitted.score_samples(X, section=np.roll(section, 30))
        assert (own <= best).all()
        assert wrong.mean() < own.mean()

    def test_draws_are_the_same_for_every_clip(self, fitted, embeddings):
        X, _ = embeddings
        drawn = clone(fitted).fit(X, section=embeddings[1]).set_params(n_draws=3)
        scores = drawn.score_samples(X)
        np.testing.assert_array_equal(drawn.score_samples(X), scores)
        np.testing.assert_array_equal(drawn.score_samples(X[[40]]), scores[[40]])
        assert (scores != fitted.score_samples(X)).all()
        with pytest.raises(ValueError, match="n_draws=3, but the threshold was set for 0"):
            drawn.predict(X)

    def test_many_draws_by_hand(self, embeddings):
        X, section = embeddings
        detector = small(anomaly_score="reconstruction", n_draws=4).fit(X, section=section)
        net, noise = detector.net_.module_, _draw_noise(detector, torch.device("cpu"))
        with torch.no_grad():
            encoded = net.encode(torch.from_numpy(X))
            sigma = (0.5 * encoded.log_variance).exp()
            rebuilt = [net.decode(encoded.mean + sigma * e, torch.zeros(90, 0)) for e in noise]
        errors = [np.square(r.numpy() - X).mean(axis=1) for r in rebuilt]
        np.testing.assert_allclose(-detector.score_samples(X), np.mean(errors, axis=0), rtol=1e-4)


class TestSections:
    def test_centres_are_means_of_their_sections_codes(self, embeddings):
        X, section = embeddings
        detector = small().fit(X, section=section)
        assert detector.sections_.tolist() == ["00", "01", "02"]
        with torch.no_grad():
            code = detector.net_.module_.encode(torch.from_numpy(X)).code.numpy()
        means = [code[section == s].mean(axis=0) for s in detector.sections_]
        np.testing.assert_allclose(detector.centers_, means, rtol=1e-4, atol=1e-5)

    def test_they_are_further_apart_than_by_a_conditional_net(self):
        rng = np.random.default_rng(1)
        section = np.repeat([0, 1, 2], 60)
        X = rng.normal(size=(180, 24)) + rng.normal(size=(3, 24))[section]
        silhouettes = {}
        for kind in BOTH:
            detector = small(kind, max_epochs=60).fit(X, section=section)
            net = detector.net_.module_
            told = np.eye(3)[section] if kind is CVAEDetector else np.zeros((180, 0))
            rows = torch.from_numpy(np.hstack([X, told]).astype(np.float32))
            with torch.no_grad():
                silhouettes[kind] = silhouette_score(net.encode(rows).code.numpy(), section)
        assert silhouettes[CLVAEDetector] > 0.9
        assert silhouettes[CLVAEDetector] > silhouettes[CVAEDetector] + 0.1

    @pytest.mark.parametrize("kind", BOTH)
    def test_without_sections_there_is_one(self, kind, embeddings):
        X, _ = embeddings
        without, one = small(kind).fit(X), small(kind).fit(X, section=["03"] * 90)
        assert without.sections_.tolist() == ["all"]
        np.testing.assert_array_equal(without.score_samples(X), one.score_samples(X))
        np.testing.assert_array_equal(
            one.score_samples(X), one.score_samples(X, section=["03"] * 90)
        )
        if kind is CLVAEDetector:
            assert without.centers_.shape == (1, 16)

    def test_numbers_do(self, embeddings):
        X, section = embeddings
        by_name = small().fit(X, section=section)
        by_number = small().fit(X, section=section.astype(int))
        assert by_number.sections_.tolist() == ["0", "1", "2"]
        np.testing.assert_array_equal(
            by_name.score_samples(X, section=section),
            by_number.score_samples(X, section=section.astype(int)),
        )
        as_text, with_gaps = section.astype(int).astype(str), section.astype(float)
        for other in (as_text, with_gaps):
            np.testing.assert_array_equal(
                by_number.score_samples(X, section=other),
                by_name.score_samples(X, section=section),
            )

    def test_anomalies_need_none(self, embeddings):
        X, section = embeddings
        some = section.astype(object)
        some[5:8] = None
        y = np.where(np.isin(np.arange(90), [5, 6, 7]), -1, 1)
        assert small().fit(X, y, section=some).sections_.tolist() == ["00", "01", "02"]
        with pytest.raises(ValueError, match=r"no section of the normal clips 5, 6, 7"):
            small().fit(X, section=some)

    def test_decisions_take_it_too(self, fitted, embeddings):
        X, section = embeddings
        wrong = np.roll(section, 30)
        expected = np.where(fitted.score_samples(X, section=wrong) < fitted.offset_, -1, 1)
        np.testing.assert_array_equal(fitted.predict(X, section=wrong), expected)
        assert (expected == -1).mean() > 0.5

    def test_a_threshold_is_one_of_own_centres(self, embeddings):
        X, section = embeddings
        detector = small(anomaly_score="elbo_center", calibration=None).fit(X, section=section)
        np.testing.assert_array_equal(
            detector.calibration_scores_, detector.score_samples(X, section=section)
        )

    def test_a_fold_may_lack_one(self, embeddings):
        X, section = embeddings
        rare = np.where(np.arange(90) == 0, "rare", section)
        detector = small(calibration=3, max_epochs=2).fit(X, section=rare)
        assert len(detector.calibration_scores_) == 90

    def test_a_fold_that_lacks_one_scores_on_the_same_scale(self, embeddings, monkeypatch):
        X, section = embeddings
        losses, train = [], train_cached
        monkeypatch.setattr(
            "sklasd.detectors._cl_vae.train_cached",
            lambda *args: losses.append(net := train(*args)) or net,
        )  # fmt: skip
        split = PredefinedSplit(np.repeat([-1, -1, 0], 30))
        small(calibration=split, max_epochs=1).fit(X, section=section)
        losses = [net.criterion_ for net in losses]
        assert [len(loss.center.centers) for loss in losses] == [3, 2]
        x = torch.zeros(1, 16)
        for loss in losses:
            loss.center.centers[0] = 1
            each = loss.weight * loss.center.by_class(x)[0, 0]
            torch.testing.assert_close(each, torch.tensor(150.0 * 16 / 3))

    def test_unknown_and_misaligned(self, fitted, embeddings):
        X, section = embeddings
        with pytest.raises(ValueError, match=r"sections 07, but fit got 00, 01"):
            fitted.score_samples(X[:2], section=["00", "07"])
        known = clone(fitted).fit(X, section=section)
        known.recalibrate(
            X, np.where(np.arange(90) == 5, -1, 1), section=[*section[:5], "07", *section[6:]]
        )
        assert len(known.calibration_scores_) == 89  # what is left out may be of any section
        some = np.array(["00", None], dtype=object)
        best = fitted.score_samples(X[:2])
        assert fitted.score_samples(X[:2], section=some)[1] == best[1]
        with pytest.raises(ValueError, match=r"section of shape \(1,\); pass one per clip, \(2,\)"):
            fitted.score_samples(X[:2], section=["00"])
        with pytest.raises(ValueError, match=r"section of shape \(3,\)"):
            clone(fitted).fit(X, section=section[:3])


def numbers(table):
    return table.filter(regex="^x").to_numpy(dtype=np.float32)


def chained(detector):
    return make_pipeline(FunctionTransformer(numbers), detector)


@pytest.fixture(scope="module")
def table(embeddings):
    """Return a clip table of one machine; its sections are those of other clips."""
    X, section = embeddings
    clips = pd.DataFrame(X, columns=[f"x{i}" for i in range(12)])
    return clips.assign(machine="fan", section=np.roll(section, 30))


class TestSectionsOfATable:
    ASKED = ("score_samples", "decision_function", "predict", "p_values", "score_table")

    def own(self, fitted, table, asked):
        return getattr(fitted, asked)(numbers(table), section=table["section"])

    @pytest.fixture
    def calibrated(self, embeddings):
        X, section = embeddings
        return small(calibration=2, max_epochs=3, anomaly_score="elbo_center").fit(
            X, section=section
        )

    @pytest.mark.parametrize("asked", ASKED)
    def test_estimators_around_use_them(self, calibrated, table, asked):
        around = GroupedDetector(chained(calibrated))
        around.estimators_ = {"fan": chained(calibrated)}
        expected = self.own(calibrated, table, asked)
        np.testing.assert_array_equal(getattr(around, asked)(table), expected)
        told = getattr(around, asked)(table.drop(columns="section"), section=table["section"])
        np.testing.assert_array_equal(told, expected)
        if asked != "p_values":
            without = getattr(calibrated, asked)(numbers(table))
            assert not np.array_equal(without, expected)

    def test_recalibrate_uses_them(self, calibrated, table):
        around = GroupedDetector(chained(calibrated))
        around.estimators_ = {"fan": chained(calibrated)}
        expected = self.own(calibrated, table, "score_samples")
        around.recalibrate(table)
        np.testing.assert_array_equal(calibrated.calibration_scores_, expected)
        around.recalibrate(table.drop(columns="section"))
        assert (calibrated.calibration_scores_ > expected).any()
        around.recalibrate(table.drop(columns="section"), section=table["section"])
        np.testing.assert_array_equal(calibrated.calibration_scores_, expected)

    @pytest.mark.parametrize("asked", ASKED[:3])
    @pytest.mark.parametrize("make", [make_pipeline, sklearn.pipeline.make_pipeline])
    def test_pipelines_within_pipelines(self, calibrated, table, asked, make):
        within = make_pipeline(
            FunctionTransformer(numbers), make(FunctionTransformer(), calibrated)
        )
        expected = self.own(calibrated, table, asked)
        np.testing.assert_array_equal(getattr(within, asked)(table), expected)
        told = getattr(within, asked)(table.drop(columns="section"), section=table["section"])
        np.testing.assert_array_equal(told, expected)

    def test_a_search_within_a_pipeline(self, embeddings, table):
        X, section = embeddings
        search = GridSearchCV(
            small(max_epochs=2, anomaly_score="elbo_center"), {"n_draws": [0]},
            scoring=lambda *args: 1.0, cv=NormalOnlySplit(2, anomalies="none"),
        ).fit(X, section=section)  # fmt: skip
        expected = self.own(search.best_estimator_, table, "predict")
        np.testing.assert_array_equal(chained(search).predict(table), expected)

    @pytest.mark.parametrize("kind", BOTH)
    def test_who_was_told_of_none_ignores_them(self, kind, table):
        pipeline = chained(small(kind, max_epochs=2)).fit(table)
        without = table.drop(columns="section")
        np.testing.assert_array_equal(pipeline.predict(table), pipeline.predict(without))
        np.testing.assert_array_equal(
            pipeline[-1].score_samples(numbers(table), section=table["section"]),
            pipeline.score_samples(without),
        )
        around = GroupedDetector(clone(pipeline)).fit(table)
        np.testing.assert_array_equal(around.score_samples(table), pipeline.score_samples(without))

    def test_unknown_ones_of_a_column_are_named_but_not_those_passed(self, calibrated, table):
        strange = table.assign(section=["07", *table["section"][1:]])
        words = r"sections 07, which fit did not get: .* fits best"
        with pytest.warns(UserWarning, match=words):
            scores = chained(calibrated).score_samples(strange)
        best = calibrated.score_samples(numbers(table))
        np.testing.assert_array_equal(
            scores, [best[0], *self.own(calibrated, table, "score_samples")[1:]]
        )
        around = GroupedDetector(chained(calibrated))
        around.estimators_ = {"fan": chained(calibrated)}
        with pytest.warns(UserWarning, match=words):
            around.recalibrate(strange)
        np.testing.assert_array_equal(calibrated.calibration_scores_, scores)
        around.recalibrate(strange.assign(section=None))
        np.testing.assert_array_equal(calibrated.calibration_scores_, best)
        for ask in (calibrated.recalibrate, calibrated.p_values):
            with pytest.raises(ValueError, match=r"sections 07, but fit got"):
                ask(numbers(strange), section=strange["section"])

    @pytest.mark.parametrize("kind", [*BOTH, SectionMobileNetDetector])
    def test_a_search_that_leaves_one_out(self, kind, searched):
        X, y, section = searched
        images = FunctionTransformer(lambda clips: numbers(clips)[:, :, None] * np.arange(1, 9))
        clips = pd.DataFrame(X, columns=[f"x{i}" for i in range(12)])
        clips = clips.assign(machine="fan", section=section)[::6]
        detector, front_end = (
            (small(kind, max_epochs=1), FunctionTransformer(numbers)) if kind in BOTH
            else (kind(width_multiplier=0.1, window_length=8, max_epochs=1, calibration=None,
                       threshold="quantile", random_state=0), images)
        )  # fmt: skip
        name = kind.__name__.lower()
        search = GridSearchCV(
            make_pipeline(front_end, detector), {f"{name}__lr": [1e-3]},
            scoring=dcase_scorer(2020), cv=LeaveOneSectionOut(), error_score="raise",
        )  # fmt: skip
        with pytest.warns(UserWarning, match="which fit did not get"):
            search.fit(clips, y[::6], **{f"{name}__section": clips["section"]})
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()

    @pytest.mark.parametrize("left_out", ["exposed", "y"])
    def test_fit_predict_where_others_have_their_own(self, embeddings, left_out):
        X, section = embeddings
        others = np.arange(90) % 9 == 0
        section = np.where(others, "other", section)
        told = {"exposed": others} if left_out == "exposed" else {"y": np.where(others, -1, 1)}
        detector = small(max_epochs=2)
        decisions = detector.fit_predict(X, section=section, **told)
        known = np.where(others, None, section.astype(object))
        np.testing.assert_array_equal(decisions, detector.predict(X, section=known))
        around = GroupedDetector(chained(small(max_epochs=2)))
        clips = pd.DataFrame(X, columns=[f"x{i}" for i in range(12)]).assign(machine="fan")
        again = around.fit_predict(clips, section=section, **told)
        np.testing.assert_array_equal(again, decisions)

    def test_members_of_a_fusion_use_them(self, embeddings, table):
        X, section = embeddings
        near, vae = KNNDetector(), small(max_epochs=3, anomaly_score="elbo_center")
        behind = make_pipeline(StandardScaler(), vae)
        fusion = FusionDetector(
            [("near", near), ("vae", vae), ("behind", behind)], cv=3, fusion="zscore"
        ).fit(X, section=section)
        columns = fusion.score_table(X, section=table["section"])
        member = fusion.named_estimators_.vae
        np.testing.assert_array_equal(columns["vae"], self.own(member, table, "score_samples"))
        scores = fusion.score_samples(X, section=table["section"])
        np.testing.assert_array_equal(scores, columns["fusion_zscore"])
        assert (scores < fusion.score_samples(X)).all()
        strange = table.assign(section="07")
        with pytest.warns(UserWarning, match="sections 07, which fit did not get"):
            best = chained(fusion).score_samples(strange)
        np.testing.assert_array_equal(best, fusion.score_samples(X))


@pytest.mark.parametrize("kind", BOTH)
class TestDetector:
    def test_defaults_are_the_reports(self, kind):
        params = kind().get_params()
        assert params["hidden_layer_sizes"] == (1024, 1024, 1024, 512)
        assert params["latent_features"] == params["batch_size"] == 512
        assert params.get("center_weight", 150) == 150
        assert params.get("center_rate", 1) == 1

    def test_constant_features_are_no_matter_until_they_change(self, kind, embeddings):
        X, section = embeddings
        X = np.hstack([X, np.full((90, 2), 3.0), np.zeros((90, 1))])
        detector = small(kind, anomaly_score="reconstruction").fit(X, section=section)
        scores = detector.score_samples(X)
        changed = X.copy()
        changed[:, -1] = 50
        assert np.isfinite(scores).all()
        assert (detector.score_samples(changed) < scores.min()).all()

    def test_all_constant(self, kind):
        detector = small(kind).fit(np.ones((10, 4)))
        assert np.isfinite(detector.offset_)

    def test_negative_values_are_rebuilt(self, kind, embeddings):
        X, section = embeddings
        assert small(kind, max_epochs=1).fit(X).net_.module_.is_rectified
        detector = small(kind, anomaly_score="reconstruction").fit(X - 50, section=section)
        assert not detector.net_.module_.is_rectified
        assert -detector.score_samples(X - 50).mean() < 2 * X.var(axis=0).mean()

    def test_faults_are_found(self, kind, embeddings):
        X, section = embeddings
        detector = small(kind, max_epochs=60).fit(X[::2], section=section[::2])
        assert detector.score_samples(X[1::2]).mean() > detector.score_samples(X[1::2] + 3).mean()
        assert (detector.predict(X + 10) == -1).all()

    def test_nan_is_named(self, kind, embeddings):
        X, section = embeddings
        broken = X.copy()
        broken[3, 2] = np.nan
        with pytest.raises(ValueError, match="contains NaN"):
            small(kind).fit(broken, section=section)
        with pytest.raises(ValueError, match="contains NaN"):
            small(kind, max_epochs=1).fit(X).score_samples(broken)

    @pytest.mark.parametrize("sizes", [(), (0,), (8, 2.5)])
    def test_layers(self, kind, embeddings, sizes):
        with pytest.raises(ValueError, match=r"hidden_layer_sizes=.*one or more whole numbers"):
            small(kind, hidden_layer_sizes=sizes).fit(embeddings[0])

    def test_seeds(self, kind, embeddings):
        X, section = embeddings
        first, second, other = (
            small(kind, random_state=seed).fit(X, section=section) for seed in (0, 0, 1)
        )
        np.testing.assert_array_equal(first.score_samples(X), second.score_samples(X))
        assert not np.array_equal(first.score_samples(X), other.score_samples(X))
        if kind is CLVAEDetector:
            np.testing.assert_array_equal(first.centers_, second.centers_)

    def test_save_and_load(self, kind, embeddings, tmp_path):
        X, section = embeddings
        detector = small(kind, n_draws=2).fit(X, section=section)
        joblib.dump(detector, tmp_path / "model.joblib")
        loaded = joblib.load(tmp_path / "model.joblib")
        np.testing.assert_array_equal(
            loaded.score_samples(X, section=section), detector.score_samples(X, section=section)
        )
        assert loaded.offset_ == detector.offset_

    def test_centres_come_from_the_cache_too(self, kind, embeddings, tmp_path):
        X, section = embeddings
        detectors = [small(kind, memory=str(tmp_path)).fit(X, section=section) for _ in range(2)]
        stored = list(tmp_path.rglob("train_net/*/output.pkl"))
        assert len(stored) == 1
        a, b = (d.score_samples(X, section=section) for d in detectors)
        np.testing.assert_array_equal(a, b)
        small(kind, memory=str(tmp_path)).fit(X, section=np.roll(section, 1))
        assert len(list(tmp_path.rglob("train_net/*/output.pkl"))) == 2

    def test_search_with_sections_as_a_steps_parameter(self, kind, searched):
        X, y, section = searched
        name = kind.__name__.lower()
        pipeline = make_pipeline(StandardScaler(), small(kind, max_epochs=2))
        search = GridSearchCV(
            pipeline, {f"{name}__latent_features": [2, 4]}, scoring="roc_auc",
            cv=NormalOnlySplit(2),
        ).fit(X, y, **{f"{name}__section": section})  # fmt: skip
        assert search.best_score_ > 0.9
        assert search.best_estimator_[-1].sections_.tolist() == ["00", "01", "02"]

    def test_search_with_routed_sections(self, kind, searched):
        X, y, section = searched
        name = kind.__name__.lower()
        with sklearn.config_context(enable_metadata_routing=True):
            detector = small(kind, max_epochs=2).set_fit_request(section=True)
            search = GridSearchCV(
                make_pipeline(StandardScaler(), detector), {f"{name}__latent_features": [2, 4]},
                scoring="roc_auc", cv=NormalOnlySplit(2),
            ).fit(X, y, section=section)  # fmt: skip
        assert search.best_score_ > 0.9
        assert search.best_estimator_[-1].sections_.tolist() == ["00", "01", "02"]


def test_a_score_of_no_net_is_told(embeddings):
    with pytest.raises(ValueError, match=r"'anomaly_score' parameter of CVAEDetector"):
        small(CVAEDetector, anomaly_score="elbo_center").fit(embeddings[0])
