"""AudDSR: codes, simulated anomalies, parameter counts, and what stays frozen."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from torch.nn.functional import mse_loss

from sklasd import AudDSRDetector, ClipError, DiscreteAutoencoder, StatisticsDetector, make_recipe
from sklasd.losses import FocalLoss, RestorationLoss
from sklasd.model_selection import NormalOnlySplit
from sklasd.nets._dsr import DSR
from sklasd.nets._vector_quantizer import VectorQuantizer, effective_size
from sklasd.nets._vqvae2 import VQVAE2
from sklasd.simulation import band_masks, corrupt_codes, perlin_masks, perlin_noise
from sklasd.testing import detector_checks, make_sounds


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


class TestQuantizer:
    def test_exact_inputs_are_themselves(self):
        quantizer = VectorQuantizer(32, 5).eval()
        codes = torch.randint(32, (2, 3, 4))
        result = quantizer(quantizer.look_up(codes))
        assert torch.equal(result.codes, codes)
        torch.testing.assert_close(result.vectors, quantizer.look_up(codes))
        assert result.loss == 0

    def test_gradient_passes_straight_through(self):
        z = torch.randn(2, 5, 3, 4, requires_grad=True)
        weight = torch.randn(2, 5, 3, 4)
        (VectorQuantizer(8, 5).eval()(z).vectors * weight).sum().backward()
        torch.testing.assert_close(z.grad, weight)

    def test_commitment_by_hand(self):
        quantizer = VectorQuantizer(8, 5, commitment=0.25).eval()
        z = torch.randn(2, 5, 3, 4)
        result = quantizer(z)
        torch.testing.assert_close(result.loss, 0.25 * mse_loss(z, quantizer.look_up(result.codes)))

    def test_moving_average_by_hand(self):
        quantizer = VectorQuantizer(3, 1, decay=0.9)
        quantizer.codebook = torch.tensor([[0.0], [10.0], [99.0]])
        quantizer.count = torch.tensor([2.0, 1.0, 0.0])
        quantizer.total = torch.tensor([[0.0], [10.0], [0.0]])
        quantizer(torch.tensor([1.0, 2.0, 12.0]).view(1, 1, 1, 3))
        count = torch.tensor([0.9 * 2 + 0.1 * 2, 0.9 + 0.1, 0.0])
        total = torch.tensor([0.1 * 3, 0.9 * 10 + 0.1 * 12, 0.0])
        torch.testing.assert_close(quantizer.count, count)
        smooth = (count + 1e-5) / (3.0 + 3e-5) * 3.0
        torch.testing.assert_close(quantizer.codebook[:2, 0], (total / smooth)[:2])
        assert quantizer.codebook[2] == 99  # nothing ever fell to it

    def test_codebook_by_gradient(self):
        quantizer = VectorQuantizer(4, 2, update="gradient")
        z = torch.randn(1, 2, 1, 6)
        result = quantizer(z)
        result.loss.backward()
        rows = z.movedim(1, -1).reshape(-1, 2)
        expected = torch.zeros(4, 2)
        for row, code in zip(rows, result.codes.ravel(), strict=True):
            expected[code] += 2 * (quantizer.codebook[code].detach() - row) / rows.numel()
        torch.testing.assert_close(quantizer.codebook.grad, expected)

    def test_dead_codes_are_revived(self):
        torch.manual_seed(0)
        z = torch.randn(4, 3, 8, 8)
        used = {}
        for restart in (0.0, 0.05):
            quantizer = VectorQuantizer(32, 3, restart_below=restart)
            quantizer.codebook += 50 * torch.arange(32)[:, None]  # all but one far off
            for _ in range(5):
                quantizer(z)
            used[restart] = len(quantizer.eval()(z).codes.unique())
        assert used[0.0] <= 2
        assert used[0.05] > 16

    def test_many_vectors_are_compared_in_parts(self, monkeypatch):
        flat, quantizer = torch.randn(50, 3), VectorQuantizer(8, 3)
        whole = quantizer.nearest(flat)
        monkeypatch.setattr("sklasd.nets._vector_quantizer._AT_ONCE", 7)
        assert torch.equal(quantizer.nearest(flat), whole)

    def test_nothing_moves_in_evaluation(self):
        quantizer = VectorQuantizer(8, 3, restart_below=0.5).eval()
        before = {name: x.clone() for name, x in quantizer.state_dict().items()}
        quantizer(torch.randn(2, 3, 4, 4))
        assert all(torch.equal(before[k], v) for k, v in quantizer.state_dict().items())

    def test_effective_size(self):
        assert effective_size(torch.tensor([0, 7, 0])) == 1
        assert effective_size(torch.ones(50)) == pytest.approx(50)


class TestNets:
    def test_parameter_counts_are_those_of_dsr(self):
        first = VQVAE2()
        assert n_parameters(first.encode_fine) == 443_712  # 445,760 for three channels
        assert n_parameters(first.encode_coarse) == 573_696
        assert n_parameters(first.to_coarse) == 16_512
        assert n_parameters(first.up) == 262_272
        assert n_parameters(first.to_fine) == 32_896
        assert n_parameters(first.decoder) == 591_041
        second = DSR()
        assert n_parameters(second.restrict_coarse) == n_parameters(second.restrict_fine)
        assert n_parameters(second.restrict_fine) == 7_818_240
        assert n_parameters(second.object_decoder) == 9_416_321
        assert n_parameters(second.detect) == 5_608_386

    @pytest.mark.parametrize("shape", [(128, 313), (32, 40), (40, 61)])
    def test_any_size_is_padded_and_cut_back(self, shape):
        net = DSR(n_features=4, codebook_size=8, width=2).eval()
        assert net.segment(torch.randn(2, *shape)).shape == (2, *shape)

    def test_training_leaves_the_first_stage_alone(self):
        net = DSR(n_features=4, codebook_size=8, width=2).train()
        before = {name: x.clone() for name, x in net.autoencoder.state_dict().items()}
        optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=0.1)
        for _ in range(2):
            loss = RestorationLoss()(net(torch.randn(4, 32, 32)), torch.zeros(4))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert all(torch.equal(before[k], v) for k, v in net.autoencoder.state_dict().items())

    def test_half_of_a_batch_is_corrupted_and_clean_codes_are_the_targets(self):
        torch.manual_seed(0)
        net = DSR(n_features=4, codebook_size=8, width=2, band_share=1.0).train()
        x = torch.randn(8, 32, 64)
        output = net(x)
        assert output.mask.any(dim=(1, 2)).sum() == 4
        coarse, fine = net.autoencoder.encode(output.x)
        torch.testing.assert_close(output.targets[0], coarse.vectors)
        torch.testing.assert_close(output.targets[1], fine.vectors)
        assert not net.eval()(x).mask.any()


class TestLosses:
    def test_focal_against_its_formula(self):
        logits = torch.randn(2, 2, 3, 4)
        mask = torch.rand(2, 3, 4) > 0.5
        p = torch.sigmoid(logits[:, 1] - logits[:, 0])
        p = torch.where(mask, p, 1 - p)
        expected = (-((1 - p) ** 2) * p.log()).mean()
        torch.testing.assert_close(FocalLoss()(logits, mask), expected, atol=1e-4, rtol=1e-3)

    def test_exposed_windows_are_anomalous_everywhere_and_not_restored(self):
        net = DSR(n_features=4, codebook_size=8, width=2).eval()
        output = net(torch.randn(2, 32, 64))
        exposed = torch.tensor([True, True])
        everywhere = torch.ones(2, 32, 64, dtype=torch.bool)
        expected = FocalLoss()(output.logits, everywhere)
        torch.testing.assert_close(RestorationLoss()(output, exposed), expected)


class TestMasks:
    @pytest.mark.parametrize("shape", [(128, 313), (64, 64), (40, 61)])
    def test_perlin_noise_of_any_shape(self, shape):
        noise = perlin_noise(50, shape)
        assert noise.shape == (50, *shape)
        assert noise.abs().max() <= 1
        assert noise.diff(dim=2).abs().mean() < noise.std()  # smooth
        share = perlin_masks(300, shape).float().mean()
        assert 0.02 < share < 0.10  # DSR's are 5.7 % on average

    def test_bands_over_segments(self):
        masks = band_masks(200, (128, 313), bands=(4, 16), n_segments=(1, 3), frames=(10, 40))
        rows, columns = masks.any(dim=2), masks.any(dim=1)
        assert torch.equal(masks, rows[:, :, None] & columns[:, None, :])
        for side, least, most in ((rows, 4, 16), (columns, 10, 120)):
            assert (side.sum(dim=1) >= least).all()
            assert (side.sum(dim=1) <= most).all()
        edges = torch.nn.functional.pad(rows.int(), (1, 1)).diff(dim=1).abs().sum(dim=1)
        assert (edges == 2).all()  # one band
        n_runs = torch.nn.functional.pad(columns.int(), (1, 1)).diff(dim=1).abs().sum(dim=1) // 2
        assert n_runs.max() == 3

    def test_seeds(self):
        for draw in (perlin_masks, band_masks):
            one, again, other = (
                draw(5, (64, 80), generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1)
            )
            assert torch.equal(one, again)
            assert not torch.equal(one, other)

    def test_only_masked_codes_change(self):
        torch.manual_seed(0)
        codebook = torch.randn(40, 3)
        vectors = codebook[torch.randint(40, (2, 6, 7))].movedim(-1, 1)
        mask = torch.rand(2, 6, 7) > 0.5
        changed = corrupt_codes(vectors, mask, codebook)
        same = (changed == vectors).all(dim=1)
        assert same[~mask].all()
        assert same[mask].float().mean() < 0.3  # a code may draw itself
        rows = changed.movedim(1, -1)[mask]
        assert (torch.cdist(rows, codebook).amin(dim=1) < 1e-3).all()

    def test_replacement_by_rank_of_nearness(self):
        codebook = torch.arange(100.0)[:, None]
        vectors = torch.zeros(1, 1, 20, 20)
        mask = torch.ones(1, 20, 20, dtype=torch.bool)
        changed = corrupt_codes(vectors, mask, codebook, farthest=torch.full((1, 20, 20), 0.3))
        assert changed.min() >= 5
        assert changed.max() < 30


@pytest.fixture(scope="module")
def sounds():
    """Tones over noise: 30 clips of one machine, 20 of another."""
    rng = np.random.default_rng(0)

    def clips(n, band):
        X = rng.normal(-50, 2, (n, 32, 64))
        X[:, band : band + 3] += 15 + rng.normal(0, 1, (n, 1, 1))
        return X.astype(np.float32)

    return clips(30, 8), clips(20, 20)


SMALL = {
    "n_features": 8, "codebook_size": 16, "batch_size": 16, "max_iterations": 200, "lr": 3e-3,
    "decay": 0.9, "window_length": 32, "hop": 16, "random_state": 0, "verbose": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def first(sounds):
    return DiscreteAutoencoder(**SMALL).fit(np.concatenate(sounds))


class TestDiscreteAutoencoder:
    def test_codes_and_back(self, first, sounds):
        X = sounds[0]
        codes = first.transform(X)
        assert codes[0].coarse.shape == (4, 8)
        assert codes[0].fine.shape == (8, 16)
        rebuilt = first.inverse_transform(codes)
        error = np.square(rebuilt - X).mean(axis=(1, 2))
        np.testing.assert_allclose(first.reconstruction_error(X), error, rtol=1e-5)
        assert error.mean() < 0.5 * X.var()
        assert first.loss_curve_.shape == (2,)

    def test_clips_of_any_length(self, first, sounds):
        ragged = [sounds[0][0], sounds[0][1][:, :37]]
        assert [c.shape for c in first.inverse_transform(first.transform(ragged))] == [
            (32, 64), (32, 37)
        ]  # fmt: skip

    def test_perplexity_is_that_of_the_codes(self, sounds):
        X = sounds[0][:, :, :32]  # one window each
        net = DiscreteAutoencoder(**SMALL).fit(X)
        for level, known in zip(("coarse", "fine"), net.perplexity_, strict=True):
            codes = np.concatenate([getattr(c, level).ravel() for c in net.transform(X)])
            counts = torch.as_tensor(np.bincount(codes, minlength=16))
            assert effective_size(counts) == pytest.approx(known, rel=1e-4)

    def test_collapse_is_told(self, sounds):
        still = np.full((8, 32, 64), -50.0, dtype=np.float32)
        still[:, 3] += np.linspace(0, 0.1, 64, dtype=np.float32)
        with pytest.warns(UserWarning, match="codebook has collapsed.*restart_below"):
            DiscreteAutoencoder(**SMALL | {"max_iterations": 3, "codebook_size": 64}).fit(still)

    def test_cache(self, first, sounds, tmp_path):
        X = sounds[0]
        one = DiscreteAutoencoder(**SMALL, memory=str(tmp_path)).fit(X)
        two = clone(one).fit(X)
        assert len(list(tmp_path.rglob("output.pkl"))) == 1
        np.testing.assert_array_equal(one.reconstruction_error(X), two.reconstruction_error(X))

    def test_bad_input(self, first, sounds):
        with pytest.raises(ValueError, match="smaller than a code of 8 x 8"):
            DiscreteAutoencoder(**SMALL).fit(sounds[0][:, :, :5])
        with pytest.raises(ValueError, match="fitted on 32"):
            first.transform(sounds[0][:, :20])
        with pytest.raises(ValueError, match="codebook_size"):
            DiscreteAutoencoder(codebook_size=1).fit(sounds[0])


def small(first, **params):
    settings = {
        "detection_width": 4, "batch_size": 8, "lr": 3e-3, "max_iterations": 40,
        "bands": (4, 16), "calibration": None, "random_state": 0, "verbose": 0,
    }  # fmt: skip
    return AudDSRDetector(first, **settings | params)


@pytest.fixture(scope="module")
def bursts(tmp_path_factory):
    """Sounds with bursts, a first stage that has learnt them all, and a folder for second ones."""
    sounds = make_sounds()
    X = np.concatenate([sounds.train, sounds.test])
    wider = {"n_features": 16, "codebook_size": 64, "max_iterations": 400}
    stage = DiscreteAutoencoder(**SMALL | wider).fit(X)
    return sounds, FrozenEstimator(stage), str(tmp_path_factory.mktemp("second"))


# Simulated faults of about the size of the bursts, and what few iterations need.
LEARNT = {
    "detection_width": 8, "lr": 1e-3, "batch_size": 16, "max_iterations": 500, "mask_weight": 3.0,
    "bands": (3, 8), "segment_frames": (4, 12), "n_segments": (1, 3), "perlin_octaves": (2, 4),
}  # fmt: skip
# What single checks need in the place of two epochs.
AS_ASKED = {
    "check_planted_fault_is_found": LEARNT,
    "check_new_normal_clips": {"max_iterations": 150, "mask_weight": 1.0, "detection_width": 8},
}
SLOW = {*AS_ASKED, "check_as_sklearn"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name, _ in detector_checks(AudDSRDetector())
    ],
)
def test_contract(bursts, name):
    _, stage, cache = bursts
    params = AS_ASKED.get(name, {"max_iterations": 10_000, "max_epochs": 2})
    if name == "check_as_sklearn":  # the hash of a fitted net is not that of its copy
        tiny = {"n_features": 4, "codebook_size": 4, "max_iterations": 5, "batch_size": 4}
        stage = DiscreteAutoencoder(**SMALL | tiny)
        params = params | {"detection_width": 2, "window_length": 32, "batch_size": 16}
    if name == "check_planted_fault_is_found":
        params = params | {"memory": cache}
    dict(detector_checks(small(stage, **params)))[name]()


@pytest.mark.slow
def test_a_planted_fault_is_localised(bursts):
    sounds, stage, cache = bursts
    detector = small(stage, **LEARNT, memory=cache).fit(sounds.train)
    assert roc_auc_score(sounds.label, detector.score_samples(sounds.test)) >= 0.95
    faulty = sounds.label == -1
    pairs = zip(detector.anomaly_map(sounds.test)[faulty], sounds.burst[faulty], strict=True)
    ratios = [where[burst].mean() / where[~burst].mean() for where, burst in pairs]
    assert np.mean(np.array(ratios) >= 2) >= 0.8


class TestDetector:
    def test_training_moves_all_weights_and_lowers_the_loss(self, first, sounds):
        one, more = (
            small(FrozenEstimator(first), max_epochs=n, batch_size=16).fit(sounds[0])
            for n in (1, 8)
        )
        after = dict(more.net_.module_.named_parameters())
        for name, weight in one.net_.module_.named_parameters():
            if weight.requires_grad and weight.ndim > 1:
                assert not torch.equal(weight, after[name]), name
        assert more.loss_curve_[-1] < more.loss_curve_[0]

    @pytest.mark.parametrize("n_mels", [20, 40])
    def test_any_number_of_bands(self, n_mels):
        X = np.random.default_rng(0).normal(-40, 5, (12, n_mels, 50)).astype(np.float32)
        settings = SMALL | {"max_iterations": 3, "codebook_size": 4}
        stage = DiscreteAutoencoder(**settings).fit(X)
        assert stage.inverse_transform(stage.transform(X)).shape == X.shape
        detector = small(FrozenEstimator(stage), max_iterations=2, threshold="quantile").fit(X)
        assert detector.anomaly_map(X).shape == X.shape

    def test_every_frame_is_scored_whatever_the_hop(self, first, sounds):
        detector = small(FrozenEstimator(first), max_iterations=2, hop=100).fit(sounds[0])
        assert detector._window() == (64, 64)
        assert detector.fit(sounds[0][:, :, :48])._window() == (48, 48)
        detector.set_params(hop=60).fit(sounds[0])  # of the window of now, not of the last fit
        assert detector._window() == (64, 60)
        with pytest.raises(ValueError, match="hop of 60 frames for windows of 50"):
            detector.set_params(window_length=50).fit(sounds[0])

    def test_what_is_frozen_is_a_discrete_autoencoder(self, sounds):
        other = StatisticsDetector("mean").fit(sounds[0])
        with pytest.raises(
            ValueError, match="StatisticsDetector; freeze a fitted DiscreteAutoencoder"
        ):
            small(FrozenEstimator(other)).fit(sounds[0])

    def test_both_stages_are_trained_as_thoroughly_on_folds(self, sounds):
        stage = DiscreteAutoencoder(**SMALL | {"max_iterations": 3}, max_epochs=6)
        detector = small(stage, max_epochs=2)
        detector._match_training_effort(0.5)
        assert (detector.max_epochs, detector.autoencoder.max_epochs) == (4, 12)
        assert stage.max_epochs == 6
        counted = small(DiscreteAutoencoder(**SMALL))
        counted._match_training_effort(0.5)  # iterations are as many whatever they are drawn from
        assert (counted.max_iterations, counted.autoencoder.max_iterations) == (40, 200)

    def test_a_frozen_stage_is_used_by_all_and_trained_by_none(self, first, sounds, monkeypatch):
        monkeypatch.setattr(DiscreteAutoencoder, "_fit_clips", None)  # calling it would fail
        frozen = FrozenEstimator(first)
        detector = small(frozen, calibration=2, max_iterations=3).fit(sounds[0])
        assert detector.autoencoder_ is first
        assert clone(detector).autoencoder.estimator is first
        assert list(detector.nets_) == ["dsr"]
        clips, y = np.concatenate(sounds), np.repeat([1, -1], [30, 20])
        search = GridSearchCV(
            small(frozen, max_iterations=3), {"band_share": [0.0, 1.0]}, scoring="roc_auc",
            cv=NormalOnlySplit(2),
        ).fit(clips, y)  # fmt: skip
        assert search.best_estimator_.autoencoder_ is first

    def test_nested_search(self, sounds):
        # Three steps may score all clips the same, which a gamma distribution cannot be fitted to.
        detector = small(DiscreteAutoencoder(**SMALL), max_iterations=3, threshold="quantile")
        clips, y = np.concatenate(sounds), np.repeat([1, -1], [30, 20])
        search = GridSearchCV(
            detector, {"autoencoder__codebook_size": [8, 16]}, scoring="roc_auc",
            cv=NormalOnlySplit(2),
        ).fit(clips, y)  # fmt: skip
        chosen = search.best_params_["autoencoder__codebook_size"]
        assert (
            len(search.best_estimator_.autoencoder_.net_.module_.quantize_fine.codebook) == chosen
        )

    def test_both_stages_by_name(self, sounds):
        detector = small(DiscreteAutoencoder(**SMALL), max_iterations=3).fit(sounds[0])
        assert list(detector.nets_) == ["autoencoder", "dsr"]
        state = detector.net_.module_.autoencoder.state_dict()
        for name, x in detector.autoencoder_.net_.module_.state_dict().items():
            assert torch.equal(x, state[name])

    def test_exposed_clips_are_told_apart(self, first, sounds):
        own, others = sounds
        X = np.concatenate([own[:20], others[:15]])
        exposed = np.arange(35) >= 20
        detector = small(FrozenEstimator(first), max_iterations=80).fit(X, exposed=exposed)
        scores = detector.score_samples(np.concatenate([own[20:], others[15:]]))
        assert roc_auc_score(np.repeat([1, -1], [10, 5]), scores) > 0.9

    def test_exposed_clips_may_be_asked_for(self, first, sounds):
        with pytest.raises(ValueError, match=r"needs_exposed=True, but none of 30 samples"):
            small(FrozenEstimator(first), needs_exposed=True).fit(sounds[0])

    def test_clips_of_any_length_and_windows(self, first, sounds):
        ragged = [x[:, : 40 + i] for i, x in enumerate(sounds[0][:20])]
        detector = small(FrozenEstimator(first), max_iterations=3).fit(ragged)
        assert detector._window() == (40, 40)
        with pytest.raises(ClipError, match="window_length=41, but clip 0 has only 38 frames"):
            clone(detector).fit([ragged[0][:, :38], *ragged[1:]], [-1] + [1] * 19)
        long = np.tile(sounds[0][:2], (1, 1, 3))
        assert detector.anomaly_map(long).shape == (2, 32, 192)
        with pytest.warns(UserWarning, match="The clips have 192 frames"):
            assert detector.score_table(long).shape == (2, 6)

    def test_nothing_is_computed_twice_to_score(self, monkeypatch):
        net, calls = DSR(n_features=8, codebook_size=16, width=4).eval(), []
        x, refine = torch.randn(1, 32, 64), net.autoencoder.refine
        before = net.segment(x)
        monkeypatch.setattr(
            net.autoencoder, "refine", lambda *args: calls.append(args) or refine(*args)
        )
        assert torch.equal(net.segment(x), before)
        assert len(calls) == 1

    def test_maps_are_probabilities(self, first, sounds):
        detector = small(FrozenEstimator(first), max_iterations=3).fit(sounds[0])
        where = detector.anomaly_map(sounds[1])
        assert ((where >= 0) & (where <= 1)).all()
        mean = where.mean(axis=(1, 2), dtype=float)
        np.testing.assert_allclose(-detector.score_samples(sounds[1]), mean, rtol=1e-5)

    @pytest.mark.parametrize(
        ("params", "words"),
        [
            ({"bands": (8, 4)}, r"bands=\(8, 4\); pass two whole numbers, at least 1, the lower"),
            ({"n_segments": (0, 3)}, "n_segments"),
            ({"strength": (0.5, 2)}, "strength"),
            ({"replacement": "any"}, "replacement"),
            ({"anomaly_score": "map"}, "anomaly_score"),
        ],
    )
    def test_bad_parameters(self, first, sounds, params, words):
        with pytest.raises(ValueError, match=words):
            small(FrozenEstimator(first), **params).fit(sounds[0])

    def test_recipes(self):
        logmel, detector = make_recipe("auddsr")
        assert repr(detector) == repr(AudDSRDetector())
        assert logmel.n_fft == 1024
        assert make_recipe("auddsr-annot")[-1].needs_exposed
