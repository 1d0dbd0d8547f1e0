"""AEGAN-AD: its nets, its training step, its scores and its maps."""

import copy
import os
import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklasd import AEGANDetector, KNNDetector
from sklasd.backends._by_name import make_backends
from sklasd.features import SpectrogramScaler
from sklasd.losses import MeanSquaredError
from sklasd.nets._aegan import AEGAN, Discriminator, Generator
from sklasd.nets._layer_norm import LeakyLayerNorm
from sklasd.testing import make_sounds
from sklasd.training import AdversarialNet
from sklasd.training._window_net import window_net

WINDOW_SCORES = ("sample_l1", "sample_l2", "latent_l1", "latent_l2", "latent_cosine")
CLIP_SCORES = ("embedding_knn", "embedding_lof", "embedding_mahalanobis", "embedding_cosine")


def tiny(**params):
    settings = {
        "window_length": 32, "hop": 4, "width": 2, "latent_features": 8, "batch_size": 16,
        "max_epochs": 3, "lr": 1e-3, "threshold": "quantile", "calibration": None,
        "random_state": 0,
    }  # fmt: skip
    return AEGANDetector(**(settings | params))


@pytest.fixture(scope="module")
def sounds():
    return make_sounds(n_clips=12)


@pytest.fixture(scope="module")
def fitted(sounds):
    return tiny().fit(sounds.train)


def n_stored(cache, function):
    """Count the results of a function that a cache holds."""
    return len(list(cache.rglob(f"{function}/*/output.pkl")))


def count_norms(net):
    """Count the generator's layers of batch and of layer normalisation."""
    kinds = [type(m).__name__ for m in net.module_.generator.modules()]
    return kinds.count("BatchNorm2d"), kinds.count("LeakyLayerNorm")


def adam(net):
    """Return the decay rates of both optimisers."""
    optimizers = (net.optimizer_, net.critic_optimizer_)
    return {tuple(group["betas"]) for o in optimizers for group in o.param_groups}


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


# -- the nets ------------------------------------------------------------------------------------


class TestNets:
    @pytest.mark.parametrize(
        ("params", "count"),
        [
            ({}, (10_781_696, 5_390_848)),
            ({"first_norm": False}, (10_519_552, 5_390_848)),
            ({"norm": "batch"}, (9_769_856, 4_884_928)),
        ],
    )
    def test_size_of_the_generator(self, params, count):
        generator = Generator(**params)
        assert (n_parameters(generator), n_parameters(generator.decoder)) == count

    def test_size_of_the_discriminator(self):
        assert n_parameters(Discriminator()) == 3_303_425

    def test_shapes_of_the_papers_layers(self):
        shapes = []
        generator = Generator().eval()
        for layer in generator.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.register_forward_hook(lambda *args: shapes.append(tuple(args[2].shape[1:])))
        with torch.inference_mode():
            rebuilt = generator(torch.randn(1, 1, 128, 128))
        down = [(32, 64, 64), (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
        assert shapes == [*down, (256, 1, 1), *reversed(down), (1, 128, 128)]
        assert rebuilt.abs().max() <= 1
        assert Discriminator().embed(torch.zeros(2, 1, 128, 128)).shape == (2, 512)

    @pytest.mark.parametrize("shape", [(32, 32), (64, 128), (256, 64)])
    def test_other_windows(self, shape):
        net = AEGAN(shape, width=1, latent_features=3)
        x = torch.randn(2, *shape)
        assert net(x).shape == x.shape
        assert net.generator.encoder(net.scale(x)).shape == (2, 3, 1, 1)
        assert net.discriminator.embed(net.scale(x)).shape == (2, min(shape) // 8)

    def test_no_convolution_has_a_bias(self):
        kinds = nn.Conv2d | nn.ConvTranspose2d
        convolutions = [m for m in AEGAN().modules() if isinstance(m, kinds)]
        assert len(convolutions) == 6 + 6 + 5
        assert all(m.bias is None for m in convolutions)

    def test_first_weights(self):
        torch.manual_seed(0)
        net = AEGAN(norm="batch")
        weights = dict(net.named_parameters())
        for name in ("generator.encoder.6", "generator.decoder.3", "discriminator.embed.1"):
            weight = weights[f"{name}.weight"]
            assert weight.mean().item() == pytest.approx(0, abs=1e-3)
            assert weight.std().item() == pytest.approx(0.02, rel=0.05)
        norm = next(m for m in net.modules() if isinstance(m, nn.BatchNorm2d))
        assert 0 < norm.weight.std() < 0.05
        assert norm.weight.mean().item() == pytest.approx(1, abs=0.02)
        assert (norm.bias == 0).all()
        norm = next(m for m in net.discriminator.modules() if isinstance(m, LeakyLayerNorm))
        assert (norm.weight == 1).all()

    def test_batch_norm_is_the_generators_alone(self):
        net = AEGAN(norm="batch", first_norm=False)
        kinds = [type(m).__name__ for m in net.generator.modules()]
        assert (kinds.count("BatchNorm2d"), kinds.count("LeakyLayerNorm")) == (9, 0)
        kinds = [type(m).__name__ for m in net.discriminator.modules()]
        assert (kinds.count("BatchNorm2d"), kinds.count("LeakyLayerNorm")) == (0, 5)


class TestLayerNorm:
    @pytest.mark.parametrize("slope", [1.0, 0.2, 0.0])
    def test_both_derivatives_are_torchs(self, slope):
        torch.manual_seed(0)
        ours = LeakyLayerNorm(3, 4, 5, slope).double()
        for parameter in ours.parameters():
            nn.init.normal_(parameter)
        x = torch.randn(6, 3, 4, 5, dtype=torch.double, requires_grad=True)

        def theirs(x):
            weight, bias = (p.permute(2, 0, 1) for p in (ours.weight, ours.bias))
            y = nn.functional.layer_norm(x, weight.shape, weight, bias)
            return torch.maximum(y, slope * y)

        results = []
        for norm in (ours, theirs):
            y = norm(x)  # single precision on the way
            (slope_of_cube,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
            second = torch.autograd.grad(slope_of_cube.square().sum(), [x, ours.weight, ours.bias])
            results.append([y, slope_of_cube, *second])
        for a, b in zip(*results, strict=True):
            torch.testing.assert_close(a, b)

    def test_other_second_derivatives_are_refused(self):
        norm = LeakyLayerNorm(2, 3, 3)
        y = norm(torch.randn(2, 2, 3, 3, requires_grad=True))
        (by_weight,) = torch.autograd.grad(y.square().sum(), norm.weight, create_graph=True)
        with pytest.raises(NotImplementedError, match="gradient by x"):
            by_weight.sum().backward()


# -- the step ------------------------------------------------------------------------------------


def make_net(*, lr=1e-3, **params):
    torch.manual_seed(0)
    net = window_net(
        AEGAN, net=AdversarialNet, criterion=MeanSquaredError, lr=lr,
        module__shape=(32, 32), module__width=4, module__latent_features=8,
        optimizer__betas=(0.5, 0.999), **params,
    ).initialize()  # fmt: skip
    net.module_.train()
    net.history.new_epoch()
    net.history.new_batch()
    return net


def weights(module):
    return [p.detach().clone() for p in module.parameters()]


def changed(module, before):
    return [not torch.equal(a, b) for a, b in zip(module.parameters(), before, strict=True)]


def plain_copy(net):
    """Rebuild generator and discriminator of torch's own layers, with the same weights."""

    def norm(layer):
        if not isinstance(layer, LeakyLayerNorm):
            return [layer]
        copy = nn.LayerNorm(layer.weight.permute(2, 0, 1).shape)
        copy.weight.data = layer.weight.detach().permute(2, 0, 1).clone()
        copy.bias.data = layer.bias.detach().permute(2, 0, 1).clone()
        return [copy, nn.LeakyReLU(layer.slope)]

    def plain(layers):
        return nn.Sequential(*(new for layer in layers for new in norm(layer)))

    g, d = net.module_.generator, net.module_.discriminator
    depthwise = nn.Conv2d(d.norm.weight.numel(), d.norm.weight.numel(), 4,
                          groups=d.norm.weight.numel(), bias=False)  # fmt: skip
    depthwise.weight.data = d.embed[-1].weight.detach()[:, None].clone()
    embed = nn.Sequential(plain(d.embed[0]), depthwise, nn.Flatten())
    generator = nn.Sequential(plain(g.encoder), plain(g.decoder))
    return generator, nn.Sequential(embed, d.norm, d.head)


def straightforward_step(generator, critic, optimizers, x, deviation):
    """AEGAN-AD's step with nothing shared: the reconstruction is computed twice."""
    rebuilt = generator(x).detach()
    u = torch.rand(len(x), 1, 1, 1)
    between = (u * x + (1 - u) * rebuilt).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    loss = -critic(x).mean() + critic(rebuilt).mean() + 10 * penalty
    optimizers[1].zero_grad()
    loss.backward()
    optimizers[1].step()
    rebuilt = generator(x)
    real, fake = critic[0](x), critic[0](rebuilt)
    matching = ((fake.mean(0) - real.mean(0)) ** 2).mean()
    if deviation:
        matching = matching + ((fake.std(0, correction=0) - real.std(0, correction=0)) ** 2).mean()
    generator_loss = ((rebuilt - x) ** 2).mean() + 0.1 * matching
    optimizers[0].zero_grad()
    generator_loss.backward()
    optimizers[0].step()
    return generator_loss.item(), loss.item(), penalty.item()


class TestStep:
    @pytest.mark.parametrize("norm", ["layer", "batch"])
    @pytest.mark.parametrize("deviation", [False, True])
    def test_is_the_straightforward_one(self, norm, deviation):
        net = make_net(matching="mean_std" if deviation else "mean", module__norm=norm)
        with torch.no_grad():  # else the means of the embeddings are too small to matter
            net.module_.discriminator.embed[-1].weight.mul_(100)
        generator, critic = plain_copy(copy.deepcopy(net))
        adam = {"lr": 1e-3, "betas": (0.5, 0.999)}
        optimizers = [torch.optim.Adam(m.parameters(), **adam) for m in (generator, critic)]
        for step in range(2):
            x = torch.rand(8, 32, 32) * 2 - 1
            torch.manual_seed(step)
            ours = net.train_step((x, x))["loss"].item()
            torch.manual_seed(step)
            expected = straightforward_step(generator, critic, optimizers, x[:, None], deviation)
            recorded = net.history[-1, "batches", -1]
            values = (ours, recorded["critic_loss"], recorded["gradient_penalty"])
            np.testing.assert_allclose(values, expected, rtol=2e-3)

    def test_each_half_moves_its_own_weights(self):
        net = make_net()
        generator, critic = net.module_.generator, net.module_.discriminator
        x = net.module_.scale(torch.rand(8, 32, 32) * 2 - 1)
        rebuilt = generator(x)
        before = weights(generator), weights(critic)
        net._train_critic(x, rebuilt.detach())
        assert not any(changed(generator, before[0]))
        assert all(p.grad is None for p in generator.parameters())
        assert all(
            moved == p.requires_grad
            for moved, p in zip(changed(critic, before[1]), critic.parameters(), strict=True)
        )
        before = weights(generator), weights(critic)
        gradients = [None if p.grad is None else p.grad.clone() for p in critic.parameters()]
        net._train_generator(x, rebuilt)
        assert all(changed(generator, before[0]))
        assert not any(changed(critic, before[1]))
        for p, gradient in zip(critic.parameters(), gradients, strict=True):
            assert p.grad is gradient is None or torch.equal(p.grad, gradient)

    def test_rebuilds_once(self):
        net = make_net()
        calls = []
        net.module_.generator.register_forward_hook(lambda *args: calls.append(1))
        x = torch.rand(4, 32, 32)
        net.train_step((x, x))
        assert len(calls) == 1

    def test_n_critic(self):
        net = make_net(n_critic=3)
        generator, x = net.module_.generator, torch.rand(4, 32, 32)
        moved = []
        for _ in range(7):
            before = weights(generator)
            net.train_step((x, x))
            moved.append(any(changed(generator, before)))
        assert moved == [True, False, False, True, False, False, True]

    def test_weights_of_the_terms(self):
        x = torch.rand(8, 32, 32) * 2 - 1
        plain, penalised = make_net(penalty_weight=0.0), make_net(penalty_weight=5.0)
        records = []
        for net in (plain, penalised):
            torch.manual_seed(1)
            net.train_step((x, x))
            records.append(net.history[-1, "batches", -1])
        assert records[0]["critic_loss"] == pytest.approx(-records[0]["critic_margin"])
        for record, weight in zip(records, (0, 5), strict=True):
            assert record["critic_loss"] == pytest.approx(
                weight * record["gradient_penalty"] - record["critic_margin"]
            )

    def test_matching_guides_the_generator(self):
        x = torch.rand(8, 32, 32) * 2 - 1
        moved = []
        for weight in (0.0, 1e4):
            net = make_net(matching_weight=weight)
            torch.manual_seed(1)
            net.train_step((x, x))
            moved.append(torch.cat([w.flatten() for w in weights(net.module_.generator)]))
        assert not torch.allclose(*moved, atol=1e-4)


# -- the detector --------------------------------------------------------------------------------


def windows_of(clip, hop):
    starts = list(range(0, clip.shape[1] - 31, hop))
    if starts[-1] != clip.shape[1] - 32:
        starts.append(clip.shape[1] - 32)
    return torch.from_numpy(np.stack([clip[:, s : s + 32] for s in starts]))


def describe(detector, clip):
    """Return the five scores of each window, and the clip's embedding, in double precision."""
    net = detector.net_.module_.eval()
    scaling = net.scaling
    with torch.inference_mode():
        x = ((windows_of(clip, 4) - scaling.centre) / scaling.scale)[:, None]
        z = net.generator.encoder(x)
        r = net.generator.decoder(z)
        z, z_of_r = z.flatten(1).double(), net.generator.encoder(r).flatten(1).double()
        embedding = net.discriminator.embed(x).double().mean(0).numpy()
    d, dz = (r - x).double().flatten(1), z_of_r - z
    cosine = (z * z_of_r).sum(1) / (z.norm(dim=1) * z_of_r.norm(dim=1))
    values = (d.abs().sum(1), d.square().sum(1), dz.abs().sum(1), dz.square().sum(1), 1 - cosine)
    scores = dict(zip(WINDOW_SCORES, [v.numpy() for v in values], strict=True))
    return scores, embedding


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


class TestScores:
    def test_all_nineteen_by_hand(self, fitted, sounds):
        table = fitted.score_table(sounds.test)
        assert table.shape == (24, 19)
        described = [describe(fitted, clip) for clip in sounds.test]
        for name in WINDOW_SCORES:
            for pooling in ("mean", "max", "min"):
                expected = [-getattr(np, pooling)(scores[name]) for scores, _ in described]
                np.testing.assert_allclose(
                    table[f"{name}_{pooling}"], expected, rtol=1e-4, atol=1e-6
                )
        e = np.stack([embedding for _, embedding in described])
        known = np.stack([describe(fitted, clip)[1] for clip in sounds.train])
        np.testing.assert_allclose(fitted.embeddings_, known, rtol=1e-4)
        cosines = np.sort(1 - unit(e) @ unit(known).T, axis=1)
        expected = {
            "embedding_knn": -cosines[:, :2].sum(1),
            "embedding_cosine": unit(e) @ unit(known.mean(0)) - 1,
            "embedding_lof": LocalOutlierFactor(n_neighbors=4, metric="cosine", novelty=True)
            .fit(known)
            .score_samples(e),
        }
        covariance = LedoitWolf().fit(known).covariance_  # 12 clips, 8 features
        deviation = e - known.mean(0)
        squared = (deviation @ np.linalg.inv(covariance) * deviation).sum(1)
        expected["embedding_mahalanobis"] = -np.sqrt(squared)
        for name, value in expected.items():
            np.testing.assert_allclose(table[name], value, rtol=1e-3, atol=1e-8, err_msg=name)

    def test_mahalanobis_of_the_sample_covariance(self, rng):
        X, new = rng.normal(size=(100, 4)) * [1, 2, 3, 4], rng.normal(size=(5, 4))
        deviation = new - X.mean(0)
        squared = (deviation @ np.linalg.inv(np.cov(X.T)) * deviation).sum(1)
        backend = make_backends(100, None)["embedding_mahalanobis"].fit(X)
        assert backend.shrinkage_ == 0
        np.testing.assert_allclose(backend.score_samples(new), -np.sqrt(squared), rtol=1e-5)

    @pytest.mark.parametrize("name", [*WINDOW_SCORES, *CLIP_SCORES])
    def test_each_is_the_score_when_chosen(self, sounds, name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            detector = tiny(anomaly_score=name, max_epochs=1).fit(sounds.train)
        table = detector.score_table(sounds.test)
        column = name if name in CLIP_SCORES else f"{name}_mean"
        np.testing.assert_array_equal(detector.score_samples(sounds.test), table[column])
        np.testing.assert_array_equal(detector.score_samples(sounds.test[:1]), table[column][:1])

    def test_fewer_clips_than_features_are_shrunk(self, sounds):
        detector = tiny(width=4, anomaly_score="embedding_mahalanobis").fit(sounds.train)
        assert 0 < detector.backends_["embedding_mahalanobis"].shrinkage_ <= 1
        assert np.isfinite(detector.score_samples(sounds.test)).all()

    def test_many_more_clips_than_features_are_not(self):
        X = make_sounds(n_clips=41).train
        detector = tiny(anomaly_score="embedding_mahalanobis", max_epochs=1).fit(X)
        assert detector.backends_["embedding_mahalanobis"].shrinkage_ == 0

    def test_an_estimator_of_ones_own(self, sounds):
        forest = IsolationForest(n_estimators=10)
        own = {"anomaly_score": "embedding_backend", "backend": forest, "max_epochs": 1}
        detector, again = (tiny(**own).fit(sounds.train) for _ in range(2))
        scores = detector.score_samples(sounds.test)
        np.testing.assert_array_equal(again.score_samples(sounds.test), scores)
        assert not hasattr(forest, "estimators_")
        table = detector.score_table(sounds.test)
        assert table.shape == (24, 20)
        np.testing.assert_array_equal(table["embedding_backend"], scores)
        embeddings = np.stack([describe(detector, clip)[1] for clip in sounds.test])
        backend = detector.backends_["embedding_backend"]
        np.testing.assert_allclose(scores, backend.score_samples(embeddings), rtol=1e-6)

    def test_an_estimator_that_came_too_late(self, sounds):
        detector = tiny(max_epochs=1).fit(sounds.train)
        detector.set_params(anomaly_score="embedding_backend")
        for late in (IsolationForest(n_estimators=5), IsolationForest(n_estimators=6)):
            detector.set_params(backend=late)
            with pytest.raises(ValueError, match="fit the detector again"):
                detector.score_samples(sounds.test)
            detector.fit(sounds.train).score_samples(sounds.test)

    def test_a_back_end_survives_pickling(self, sounds):
        forest = IsolationForest(n_estimators=5, random_state=np.random.RandomState(0))
        detector = tiny(anomaly_score="embedding_backend", backend=forest, max_epochs=1)
        detector.fit(sounds.train)
        again = pickle.loads(pickle.dumps(detector))
        np.testing.assert_array_equal(again.predict(sounds.test), detector.predict(sounds.test))

    def test_a_detector_as_back_end_sets_no_threshold_of_its_own(self, sounds):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            detector = tiny(backend=KNNDetector(), calibration=2, contamination=0.3, max_epochs=1)
            detector.fit(sounds.train)

    def test_what_cannot_be_stored_is_told_before_training(self, sounds):
        detector = tiny(backend=KNNDetector(threshold=lambda scores: 0.0))
        with pytest.raises(pickle.PicklingError):
            detector.fit(sounds.train)
        assert not hasattr(detector, "nets_")

    def test_a_score_by_an_estimator_needs_one(self, sounds):
        with pytest.raises(ValueError, match="but backend=None; pass an estimator"):
            tiny(anomaly_score="embedding_backend").fit(sounds.train)

    def test_a_pipeline_and_a_search_over_estimators(self, sounds, tmp_path):
        X = np.concatenate([sounds.train, sounds.test])
        y = np.concatenate([np.ones(12), sounds.label])
        scaled = make_pipeline(StandardScaler(), LocalOutlierFactor(4, novelty=True))
        search = GridSearchCV(
            tiny(memory=str(tmp_path), max_epochs=1, anomaly_score="embedding_backend"),
            {"backend": [scaled, IsolationForest(n_estimators=10), KNNDetector()]},
            scoring="roc_auc", cv=PredefinedSplit(np.repeat([-1, 0], [12, 24])), refit=False,
        ).fit(X, y)  # fmt: skip
        assert len(set(search.cv_results_["mean_test_score"])) == 3
        assert n_stored(tmp_path, "train_net") == 1
        assert n_stored(tmp_path, "_learn_rest") == 3  # embeddings and what is fitted to them

    def test_what_is_no_estimator_is_told_before_training(self, sounds):
        detector = tiny(backend=IsolationForest)
        with pytest.raises(TypeError, match="an instance of scikit-learn estimator"):
            detector.fit(sounds.train)
        assert not hasattr(detector, "net_")

    def test_an_estimator_without_scores_is_refused(self, sounds):
        with pytest.raises(ValueError, match="'fit' and 'score_samples'"):
            tiny(backend=LocalOutlierFactor()).fit(sounds.train)

    def test_too_few_clips_for_embeddings(self, sounds):
        words = r"Got 2 samples of normal clips, too few for .*'embedding_lof'"
        with pytest.raises(ValueError, match=words):
            tiny(anomaly_score="embedding_lof").fit(sounds.train[:2])
        detector = tiny(max_epochs=1, anomaly_score="sample_l2").fit(sounds.train[:2])
        table = detector.score_table(sounds.test)
        assert table.shape == (24, 15)

    @pytest.mark.parametrize("n_clips", [30, pytest.param(60, marks=pytest.mark.slow)])
    def test_threshold_of_held_out_embeddings(self, n_clips, tmp_path):
        X = make_sounds(n_clips=n_clips, random_state=1).train
        fresh = make_sounds(n_clips=200, random_state=2).train
        backend = IsolationForest(n_estimators=20)
        for name in (*CLIP_SCORES, "embedding_backend"):
            alarms = []
            for seed in range(3):  # the nets of few steps differ: asked is the mean
                detector = tiny(
                    anomaly_score=name, backend=backend, calibration="auto", contamination=0.2,
                    hop=8, max_epochs=10, random_state=seed, memory=str(tmp_path),
                )  # fmt: skip
                alarms.append(np.mean(detector.fit(X).predict(fresh) == -1))
            assert 0.05 < np.mean(alarms) < 0.4, name

    def test_scoring_hop(self, fitted, sounds):
        described = [describe(fitted, clip)[0]["sample_l1"] for clip in sounds.test]
        detector = tiny(scoring_hop=8).fit(sounds.train)  # the same net; windows at 0 and 8
        expected = [-values[[0, 2]].mean() for values in described]
        scores = detector.score_table(sounds.test)["sample_l1_mean"]
        np.testing.assert_allclose(scores, expected, rtol=1e-4)

    @pytest.mark.parametrize(("hop", "n_windows"), [(1, 9), (3, 4), (8, 2)])
    def test_hop_is_a_stride(self, sounds, hop, n_windows):
        # Windows of 32 in 40 frames; steps of 12 windows, of 12 clips.
        detector = tiny(hop=hop, batch_size=12, max_epochs=1).fit(sounds.train)
        assert detector.net_.n_steps_ == n_windows

    def test_a_hop_beyond_the_window_is_refused(self, sounds):
        with pytest.raises(ValueError, match="hop of 33 frames for windows of 32"):
            tiny(scoring_hop=33).fit(sounds.train)


class TestMap:
    def test_by_hand(self, fitted, sounds):
        net = fitted.net_.module_.eval()
        clip = sounds.test[-1]
        with torch.inference_mode():
            rebuilt = net(windows_of(clip, 4)).numpy()
        total, count = np.zeros_like(clip), np.zeros(clip.shape[1])
        for start, window in zip((0, 4, 8), rebuilt, strict=True):
            total[:, start : start + 32] += window
            count[start : start + 32] += 1
        whole = total / count
        mean = sounds.train.mean(axis=0)
        np.testing.assert_allclose(fitted.mean_spectrogram_, mean, rtol=1e-5)
        expected = {"mean": np.abs(whole - mean), "input": np.abs(whole - clip)}
        for reference, value in expected.items():
            maps = fitted.anomaly_map(clip[None], reference=reference)
            assert maps.dtype == np.float32
            np.testing.assert_allclose(maps[0], value, atol=1e-3)

    def test_clips_longer_than_the_training_ones(self, fitted, sounds):
        longer = np.concatenate([sounds.test[0], sounds.test[1]], axis=1)
        (whole,) = fitted.anomaly_map([longer], reference="mean")
        assert whole.shape == longer.shape
        assert np.isfinite(whole).all()

    def test_mean_of_clips_of_different_length(self, sounds):
        X = [clip[:, : 33 + i] for i, clip in enumerate(sounds.train[:4])]
        detector = tiny(max_epochs=1).fit(X)
        assert detector.mean_spectrogram_.shape == (32, 36)
        np.testing.assert_allclose(
            detector.mean_spectrogram_[:, 33],
            np.mean([x[:, 33] for x in X[1:]], axis=0), rtol=1e-5,
        )  # fmt: skip

    def test_unknown_reference(self, fitted, sounds):
        with pytest.raises(ValueError, match="reference='median'; pass"):
            fitted.anomaly_map(sounds.test, reference="median")


class TestTraining:
    def test_history(self, fitted):
        history = fitted.history_
        assert list(history) == [
            "generator_loss", "critic_loss", "gradient_penalty", "critic_margin",
        ]  # fmt: skip
        assert len(history) == 3
        assert np.isfinite(history).all(axis=None)
        np.testing.assert_array_equal(history["generator_loss"], fitted.loss_curve_)
        np.testing.assert_allclose(
            history["critic_loss"], 10 * history["gradient_penalty"] - history["critic_margin"],
            rtol=1e-4,
        )  # fmt: skip

    def test_what_is_not_a_number_stops_it(self, sounds):
        with pytest.raises(
            FloatingPointError,
            match=r"The (critic|train) loss is (nan|-?inf) in step \d of epoch 1 of 3 .*lower lr",
        ):
            tiny(lr=1e30).fit(sounds.train)

    def test_a_smaller_last_batch_is_left_out(self, sounds):
        # 12 clips x 3 windows: with 20 a batch there is one step, with 12 there are three
        for batch_size, n_steps in ((20, 1), (12, 3), (500, 1)):
            detector = tiny(batch_size=batch_size, max_epochs=2).fit(sounds.train)
            assert detector.net_.n_steps_ == 2 * n_steps

    def test_scaling_is_learnt_from_normal_clips(self, sounds):
        X = np.concatenate([sounds.train, sounds.test + 30])
        y = np.repeat([1, -1], [12, 24])
        for scaler in (None, SpectrogramScaler(feature_range=(-0.5, 0.5), per="band")):
            scaling = tiny(max_epochs=1, scaler=scaler).fit(X, y).net_.module_.scaling
            expected = scaler or SpectrogramScaler(feature_range=(-1, 1))
            expected = SpectrogramScaler(**expected.get_params()).fit(sounds.train)
            np.testing.assert_allclose(scaling.centre[:, 0], expected.centre_, rtol=1e-6)
            np.testing.assert_allclose(scaling.scale[:, 0], expected.scale_, rtol=1e-6)

    @pytest.mark.parametrize(
        ("params", "acts"),
        [
            ({"norm": "batch"}, lambda net: count_norms(net) == (6, 0)),
            ({"norm": "batch", "first_norm": False}, lambda net: count_norms(net) == (5, 0)),
            ({}, lambda net: count_norms(net) == (0, 6)),
            ({"first_norm": False}, lambda net: count_norms(net) == (0, 5)),
            ({"n_critic": 2}, lambda net: net.n_critic == 2),
            ({"matching": "mean_std"}, lambda net: net.matching == "mean_std"),
            ({"betas": (0.0, 0.999)}, lambda net: adam(net) == {(0.0, 0.999)}),
            ({"precision": "bf16"}, lambda net: net._autocast().fast_dtype == torch.bfloat16),
            ({"matching_weight": 5.0}, lambda net: net.matching_weight == 5),
            ({"penalty_weight": 1.0}, lambda net: net.penalty_weight == 1),
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else "acts",
    )
    def test_each_setting_acts_on_the_net_and_its_scores(self, fitted, sounds, params, acts):
        detector = tiny(**params).fit(sounds.train)
        assert acts(detector.net_)
        scores = detector.score_samples(sounds.test)
        assert np.isfinite(scores).all()
        is_same = np.array_equal(scores, fitted.score_samples(sounds.test))
        assert is_same == (not params)

    @pytest.mark.parametrize(
        ("params", "words"),
        [
            ({"window_length": 24}, "window_length=24, .* power of two, at least 32"),
            ({"betas": (0.5, 1.0)}, r"betas=\(0.5, 1.0\); pass two numbers"),
            ({"betas": (0.5,)}, "pass two numbers"),
            ({"betas": ("a", 0.9)}, "pass two numbers"),
            ({"precision": "16"}, "'precision'"),
        ],
    )
    def test_bad_parameters(self, sounds, params, words):
        with pytest.raises(ValueError, match=words):
            tiny(**params).fit(sounds.train)

    def test_bad_bands(self):
        with pytest.raises(ValueError, match=r"n_mels=40, .* power of two"):
            tiny().fit(np.random.default_rng(0).normal(size=(3, 40, 40)))

    def test_grid_search_trains_once_per_fold(self, sounds, tmp_path):
        X = np.concatenate([sounds.train, sounds.test])
        y = np.concatenate([np.ones(12), sounds.label])
        grid = {
            "anomaly_score": ["latent_l1", "sample_l2", "embedding_knn"],
            "pooling": ["mean", "max"],
            "scoring_hop": [4, 8],
        }
        cv = PredefinedSplit(np.repeat([-1, 0], [12, 24]))
        search = GridSearchCV(tiny(memory=str(tmp_path)), grid, scoring="roc_auc", cv=cv).fit(X, y)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert n_stored(tmp_path, "train_net") == 1 + 1  # the fold, and the refit


def test_defaults_are_the_papers_and_the_codes():
    expected = {
        "window_length": 128, "hop": 1, "scoring_hop": None, "width": 32, "latent_features": 256,
        "norm": "layer", "first_norm": True, "matching": "mean", "matching_weight": 0.1,
        "penalty_weight": 10.0, "n_critic": 1, "lr": 2e-4, "betas": (0.5, 0.999),
        "batch_size": 512, "max_epochs": 60, "precision": "32", "pooling": "mean",
    }  # fmt: skip
    assert expected.items() <= AEGANDetector().get_params().items()


@pytest.mark.slow
def test_bf16_ranks_as_another_seed_does():
    X = make_sounds(n_clips=40)
    tables = [
        tiny(width=8, max_epochs=20, **params).fit(X.train).score_table(X.test)
        for params in ({}, {"precision": "bf16"}, *({"random_state": seed} for seed in (1, 2, 3)))
    ]
    for name in ("sample_l2_mean", "embedding_knn", "embedding_mahalanobis"):
        half, *seeds = (spearmanr(tables[0][name], table[name]).statistic for table in tables[1:])
        assert half > np.median(seeds) - 0.02, name


@pytest.mark.gpu
@pytest.mark.parametrize("params", [{}, {"norm": "batch"}, {"precision": "bf16"}], ids=str)
def test_gpu_and_cpu_agree(sounds, tmp_path, params):
    on_gpu = tiny(device="cuda", **params).fit(sounds.train)
    table = on_gpu.score_table(sounds.test)
    assert tiny(device="cuda", **params).fit(sounds.train).offset_ == on_gpu.offset_
    joblib.dump((on_gpu.set_params(device="auto"), sounds.test), tmp_path / "model.joblib")
    code = (
        "import joblib\n"
        "detector, X = joblib.load('model.joblib')\n"
        "detector.score_table(X).to_csv('table.csv', index=False, float_format='%.17g')\n"
    )
    env = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=True)
    on_cpu = pd.read_csv(tmp_path / "table.csv")
    np.testing.assert_allclose(on_cpu, table, rtol=1e-3, atol=1e-5)
