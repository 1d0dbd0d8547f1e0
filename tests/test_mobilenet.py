"""MobileNetV2: its layout, pretrained weights, images of spectrograms, and what is scored."""

import functools

import librosa
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit
from sklearn.preprocessing import FunctionTransformer

from sklasd import (
    ClipError,
    FusionDetector,
    LogMel,
    OEAutoencoder,
    OEMobileNetDetector,
    SectionMobileNetDetector,
    STFTImage,
    make_pipeline,
    make_recipe,
)
from sklasd.base import mean_confidence
from sklasd.nets._mobilenet_v2 import InvertedResidual, MobileNetV2, SpectrogramMobileNet
from sklasd.scores import class_log_odds
from sklasd.testing import detector_checks, make_sounds
from sklasd.training import Spectrograms, cut_windows
from sklasd.training._loader import BalancedLoader
from sklasd.training._weights import load_weights


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


# torchvision's features.1 to features.17: channels in, within, out; side of the output for 224.
BLOCKS = [
    (32, 32, 16, 112),
    (16, 96, 24, 56), (24, 144, 24, 56),
    (24, 144, 32, 28), (32, 192, 32, 28), (32, 192, 32, 28),
    (32, 192, 64, 14), (64, 384, 64, 14), (64, 384, 64, 14), (64, 384, 64, 14),
    (64, 384, 96, 14), (96, 576, 96, 14), (96, 576, 96, 14),
    (96, 576, 160, 7), (160, 960, 160, 7), (160, 960, 160, 7),
    (160, 960, 320, 7),
]  # fmt: skip


def torchvision_weights():
    """List names and shapes of all convolutions and layers, in order."""
    yield "features.0.0.weight", (32, 3, 3, 3)
    for i, (n_in, hidden, n_out, _) in enumerate(BLOCKS, start=1):
        wide = int(i > 1)  # the first block does not widen
        if wide:
            yield f"features.{i}.conv.0.0.weight", (hidden, n_in, 1, 1)
        yield f"features.{i}.conv.{wide}.0.weight", (hidden, 1, 3, 3)
        yield f"features.{i}.conv.{wide + 1}.weight", (n_out, hidden, 1, 1)
    yield "features.18.0.weight", (1280, 320, 1, 1)
    yield "classifier.1.weight", (1000, 1280)
    yield "classifier.1.bias", (1000,)


class TestNet:
    def test_names_and_shapes_are_torchvisions(self):
        state = MobileNetV2().state_dict()
        assert len(state) == 314
        layers = {name: tuple(x.shape) for name, x in state.items() if x.ndim in {2, 4}}
        expected = dict(torchvision_weights())
        assert layers == {name: s for name, s in expected.items() if name != "classifier.1.bias"}
        norms = {name.removesuffix("running_var") for name in state if name.endswith("running_var")}
        kinds = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        others = {norm + kind for norm in norms for kind in kinds}
        assert set(state) == set(expected) | others
        assert len(norms) == 52
        assert "features.1.conv.2." in norms
        assert "features.2.conv.0.1." in norms
        assert "features.18.1." in norms

    def test_parameter_counts(self):
        net = MobileNetV2(n_classes=2)
        assert n_parameters(net.features) == 2_223_872
        assert n_parameters(net) == 2_226_434
        assert n_parameters(MobileNetV2()) == 3_504_872

    @pytest.mark.parametrize(("width", "count"), [(0.35, 410_208), (0.5, 706_224)])
    def test_narrow_ones_have_the_size_of_kerass(self, width, count):
        state = MobileNetV2(width_multiplier=width).features.state_dict()  # Keras counts statistics
        assert sum(x.numel() for name, x in state.items() if "num_batches" not in name) == count

    def test_every_layers_output(self):
        x = torch.zeros(1, 3, 224, 224)
        shapes = []
        with torch.inference_mode():
            for layer in MobileNetV2().eval().features:
                x = layer(x)
                shapes.append(tuple(x.shape[1:]))
        blocks = [(n_out, side, side) for _, _, n_out, side in BLOCKS]
        assert shapes == [(32, 112, 112), *blocks, (1280, 7, 7)]

    def test_an_image_of_320(self):
        with torch.inference_mode():
            out = MobileNetV2().eval().features(torch.zeros(1, 3, 320, 320))
        assert out.shape == (1, 1280, 10, 10)

    def test_inverted_residual_by_hand(self):
        block = InvertedResidual(1, 1, stride=1, expansion=2).eval()
        centre = torch.zeros(3, 3)
        centre[1, 1] = 1
        with torch.no_grad():
            block.conv[0][0].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
            block.conv[1][0].weight.copy_(torch.stack([centre, torch.ones(3, 3)])[:, None])
            block.conv[2].weight.copy_(torch.tensor([1.0, 0.5]).view(1, 2, 1, 1))
            x = torch.tensor([[1.0, 0, 0], [0, -2, 0], [0, 0, 9]])
            # First channel: what is above 0, up to 6; second: the sum of what is below, 2.
            expected = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 6]]) + 0.5 * 2 + x
            torch.testing.assert_close(block(x[None, None])[0, 0], expected, rtol=1e-4, atol=1e-4)

    def test_only_blocks_that_keep_the_shape_are_residual(self):
        residual = [block.is_residual for block in MobileNetV2().features[1:-1]]
        assert residual == [n_in == n_out for n_in, _, n_out, _ in BLOCKS]

    def test_one_channel_becomes_three_normalised_ones(self):
        net = SpectrogramMobileNet(width_multiplier=0.1).eval()
        x = torch.rand(2, 40, 50)
        mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
        images = (x[:, None].repeat(1, 3, 1, 1) - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        torch.testing.assert_close(net(x), net.net(images))
        plain = SpectrogramMobileNet(width_multiplier=0.1, normalise=False).eval()
        torch.testing.assert_close(plain(x), plain.net(x[:, None].repeat(1, 3, 1, 1)))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A file as of an ImageNet net, and the net."""
    net = MobileNetV2(width_multiplier=0.1).eval()
    for name, x in net.named_buffers():
        if name.endswith("running_mean"):
            x.uniform_(-1, 1)
    path = tmp_path_factory.mktemp("weights") / "mobilenet.pth"
    torch.save(net.state_dict(), path)
    return path, net


class TestWeights:
    def test_round_trip(self, pretrained):
        path, net = pretrained
        ours = SpectrogramMobileNet(n_classes=2, width_multiplier=0.1).eval()
        state = load_weights(path, ours.net.state_dict(), head="classifier.")
        ours.set_initial_state(**{name: torch.as_tensor(x) for name, x in state.items()})
        x = torch.randn(2, 3, 64, 64)
        torch.testing.assert_close(ours.net.features(x), net.features(x))
        assert ours(torch.rand(2, 64, 64)).shape == (2, 2)

    def test_a_fit_starts_from_them(self, pretrained, images):
        path, net = pretrained
        X, exposed = images
        detector = small_oe(weights=path, lr=1e-9, max_epochs=1).fit(X, exposed=exposed)
        trained = dict(detector.net_.module_.net.features.named_parameters())
        for name, x in net.features.named_parameters():
            torch.testing.assert_close(trained[name], x, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("far", [-80.0, 255.0])
    def test_floats_are_from_0_to_1(self, pretrained, images, far):
        X, exposed = images
        wrong = np.where(np.arange(18)[:, None, None] == 7, far * X / X.max(), X)
        detector = small_oe(weights=pretrained[0]).fit(X, exposed=exposed)
        words = r"from 0 to 1, but clip 7 has values from -?\d.* to -?\d.*; pass images"
        with pytest.raises(ValueError, match=words):
            detector.score_samples(wrong)
        with pytest.raises(ValueError, match=words):
            clone(detector).fit(wrong, exposed=exposed)
        small_oe().fit(wrong, exposed=exposed)  # random weights take what they learn from

    def test_the_global_generator_is_left_alone(self, pretrained, images):
        X, exposed = images
        before = torch.get_rng_state()
        small_oe(weights=pretrained[0]).fit(X, exposed=exposed)
        assert torch.equal(before, torch.get_rng_state())

    def test_the_file_is_read_once_for_all_folds(self, pretrained, images, tmp_path, monkeypatch):
        X, exposed = images
        path = tmp_path / "copy.pth"
        path.write_bytes(pretrained[0].read_bytes())
        read, load = [], torch.load
        monkeypatch.setattr("torch.load", lambda *a, **k: read.append(a) or load(*a, **k))
        detector = small_oe(weights=path, calibration=2, contamination=0.3)
        detector.fit(X, exposed=exposed)
        assert len(read) == 1
        torch.save({}, path)  # another file by the same name
        with pytest.raises(ValueError, match="those of another net"):
            detector.fit(X, exposed=exposed)

    def test_counters_may_be_missing(self, pretrained, tmp_path):
        _, net = pretrained
        state = {k: x for k, x in net.state_dict().items() if "num_batches" not in k}
        torch.save(state, tmp_path / "old.pth")
        assert len(load_weights(tmp_path / "old.pth", net.state_dict(), head="classifier.")) == 312

    def test_another_net_is_refused(self, pretrained, tmp_path):
        _, net = pretrained
        state = net.state_dict()
        state["features.0.0.weight"] = torch.zeros(4, 1, 3, 3)
        for name in [name for name in state if name.startswith("features.18")]:
            state["renamed." + name] = state.pop(name)
        path = tmp_path / "other.pth"
        torch.save(state, path)
        words = (
            r"other.pth', which are those of another net: 5 missing \(features.18.0.weight, "
            r"features.18.1.weight, features.18.1.bias and 2 more\); 6 unexpected \(renamed.*and 3 "
            r"more\); 1 of another shape \(features.0.0.weight \(4, 1, 3, 3\) instead of "
            r"\(8, 3, 3, 3\)\). Pass a state dict with the 312 names"
        )
        with pytest.raises(ValueError, match=words):
            load_weights(path, net.state_dict(), head="classifier.")

    def test_of_another_width_is_refused_before_training(self, pretrained, images):
        X, exposed = images
        detector = small_oe(weights=str(pretrained[0]), width_multiplier=0.5)
        with pytest.raises(ValueError, match=r"of another shape \(features.0.0.weight \(8, 3, 3"):
            detector.fit(X, exposed=exposed)
        assert not hasattr(detector, "nets_")

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "where there is no file"),
            (b"not a checkpoint", "is no file of tensors"),
            (b"hello world", "is no file of tensors"),  # torch.load: KeyError
            (b"RIFF\x24\x00\x00\x00WAVEfmt ", "is no file of tensors"),  # IndexError
            ([torch.zeros(2)], "holds no state dict, but a list"),
            ({"model": {"a": torch.zeros(2)}}, r"but a dict of \['model'\].*by itself"),
            ({1: torch.zeros(2)}, r"but a dict of \[1\]"),
            (functools.partial(print), "is no file of tensors"),  # code is never run
        ],
    )
    def test_other_files_are_refused(self, tmp_path, content, words):
        path = tmp_path / "file.pth"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            torch.save(content, path)
        with pytest.raises(ValueError, match=words):
            load_weights(path, {}, head="classifier.")

    def test_a_path_from_home(self, pretrained, monkeypatch):
        path, net = pretrained
        monkeypatch.setenv("HOME", str(path.parent))
        assert load_weights("~/mobilenet.pth", net.state_dict(), head="classifier.")

    def test_without_a_file_it_says_so_once(self, images):
        X, exposed = images
        with pytest.warns(UserWarning, match=r"weights=None.*from random weights") as told:
            small_oe(weights=None, calibration=2, contamination=0.3).fit(X, exposed=exposed)
        assert len(told) == 1
        small_oe(weights="random").fit(X, exposed=exposed)  # warnings are errors


@pytest.fixture
def wave(rng):
    """A second and a half of tones and noise."""
    t = np.arange(24000) / 16000
    tones = np.sin(2 * np.pi * 440 * t) + 0.1 * np.sin(2 * np.pi * 3000 * t**2)
    return (0.3 * tones + 0.01 * rng.standard_normal(24000)).astype(np.float32)


def reference(wave, size=(320, 320), win_length=4096, top_db=80.0):
    """librosa's decibels, and Pillow's bilinear filter."""
    hop = win_length // 2
    S = np.abs(librosa.stft(wave, n_fft=win_length, hop_length=hop, pad_mode="constant"))
    x = librosa.amplitude_to_db(S, ref=np.max, top_db=top_db)
    x = (x - x.min()) / (x.max() - x.min())
    return np.asarray(Image.fromarray(x.astype(np.float32)).resize(size[::-1], Image.BILINEAR))


class TestSTFTImage:
    @pytest.mark.parametrize("size", [(320, 320), (64, 100), (2049, 7)])
    @pytest.mark.parametrize("top_db", [80.0, 30.0])
    def test_parity_with_librosa_and_pillow(self, wave, size, top_db):
        ours = STFTImage(height=size[0], width=size[1], top_db=top_db).transform([wave])
        assert ours.shape == (1, *size)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours[0], reference(wave, size, top_db=top_db), atol=1e-4)

    def test_one_size_for_clips_of_any_length(self, wave):
        images = STFTImage(height=64, width=48).transform([wave, wave[:9000], wave[:20000]])
        assert images.shape == (3, 64, 48)
        assert 0 <= images.min() < images.max() <= 1

    def test_ten_seconds_have_79_frames(self, rng):
        clip = rng.standard_normal(160_000).astype(np.float32)
        plain = STFTImage(height=2049, width=79, top_db=None).transform([clip])[0]
        assert plain.min() == 0
        assert plain.max() == 1  # not resized: the whole range is there

    def test_low_frequencies_come_first(self):
        t = np.arange(16000) / 16000
        image = STFTImage(height=80, width=8).transform([np.sin(2 * np.pi * 1000 * t)])[0]
        assert image.mean(axis=1).argmax() == 80 * 1000 // 8000

    def test_bytes_are_the_same_rounded(self, wave):
        floats, levels = (STFTImage(dtype=t).transform([wave, -wave]) for t in ("float32", "uint8"))
        assert levels.dtype == np.uint8
        np.testing.assert_array_equal(levels, np.round(255 * floats))

    def test_level_does_not_matter(self, wave):
        one, other = STFTImage().transform([wave, 0.1 * wave])
        np.testing.assert_allclose(one, other, atol=1e-3)

    def test_silence_is_an_image_of_zeros(self, wave):
        with pytest.warns(UserWarning, match="1 of 2 clips are silent"):
            images = STFTImage(height=32, width=32).transform([wave, np.zeros(9000)])
        assert not images[1].any()
        assert images[0].any()

    def test_threads_and_files_change_nothing(self, write_clip):
        paths = [write_clip(f"{i}.wav", seconds=0.5) for i in range(5)]
        one = STFTImage(height=32, width=32).transform(paths)
        two = STFTImage(height=32, width=32, n_jobs=2).fit(paths).transform(
            pd.DataFrame({"path": paths})
        )  # fmt: skip
        np.testing.assert_array_equal(one, two)

    def test_it_lies_in_memory_as_detectors_take_it(self, wave):
        images = STFTImage(dtype="uint8").transform([wave] * 3)
        assert np.shares_memory(Spectrograms.stack(images).frames, images)

    def test_what_cannot_be_is_refused(self, wave):
        with pytest.raises(ClipError, match=r"clip 1 has only 4000 samples.*fewer than the 4096"):
            STFTImage().transform([wave, wave[:4000]])
        assert STFTImage(duration=0.5).transform([wave[:4000]]).shape == (1, 320, 320)
        with pytest.raises(ValueError, match="'dtype'"):
            STFTImage(dtype="float64").fit([wave])
        with pytest.raises(ValueError, match="STFTImage gives arrays of three axes"):
            STFTImage().set_output(transform="pandas")


class TestBalancedLoader:
    def test_exactly_one_half_each(self):
        X = np.zeros((30, 2, 3), dtype=np.float32)
        X[:, 0, 0] = np.arange(30)  # each clip tells its number
        labels = (np.arange(30) < 25).astype(int)  # 25 own, 5 others
        windows = cut_windows(Spectrograms.stack(X), 3, 3).with_targets(labels)
        loader = BalancedLoader(windows, 9, shuffle=True)
        torch.manual_seed(0)
        batches = [(x[:, 0, 0].int().numpy(), y.numpy()) for x, y in loader]
        assert len(batches) == len(loader) == 7
        assert [len(y) for _, y in batches] == [8] * 6 + [2]
        assert all(y.sum() == len(y) / 2 for _, y in batches)
        drawn = np.concatenate([x for x, _ in batches])
        counts = np.bincount(drawn, minlength=30)
        np.testing.assert_array_equal(counts[:25], 1)  # a pass over the own ones
        np.testing.assert_array_equal(counts[25:], 5)  # the others went round five times
        again = [x[:, 0, 0].int().numpy() for x, _ in loader]
        assert not np.array_equal(again[0], batches[0][0])

    @pytest.mark.parametrize("n_iterations", [None, 5])
    @pytest.mark.parametrize("target", [0, 1])
    def test_both_targets_are_needed(self, target, n_iterations):
        windows = cut_windows(Spectrograms.stack(np.zeros((4, 2, 3), dtype=np.float32)), 3, 3)
        with pytest.raises(
            ValueError, match=f"Got 4 windows to balance, none of target {1 - target}; pass"
        ):
            BalancedLoader(windows.with_targets([target] * 4), 4, n_iterations=n_iterations)

    def test_targets_are_needed(self):
        windows = cut_windows(Spectrograms.stack(np.zeros((4, 2, 3), dtype=np.float32)), 3, 3)
        with pytest.raises(
            ValueError, match="Got 4 windows to balance, none of target 0 or 1; pass"
        ):
            BalancedLoader(windows, 4)

    def test_one_window_has_no_halves(self):
        windows = cut_windows(Spectrograms.stack(np.zeros((2, 2, 3), dtype=np.float32)), 3, 3)
        with pytest.raises(ValueError, match=r"Got batch_size=1; .* at least 2"):
            BalancedLoader(windows.with_targets([0, 1]), 1)

    def test_statistics_are_those_of_balanced_batches(self):
        rng = np.random.default_rng(0)
        own, other = rng.uniform(size=(2, 32, 32)).astype(np.float32)
        X = np.stack([own] * 4 + [other] * 12)
        detector = small_oe(max_epochs=1).fit(X, exposed=np.arange(16) >= 4)
        net = detector.net_.module_
        with torch.no_grad():
            images = (torch.from_numpy(X[[0, -1]])[:, None] - net.mean) / net.deviation
            conv, norm = net.net.features[0][:2]
            mean = conv(images).mean(dim=(0, 2, 3))  # one of each
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-5)


class TestScores:
    def test_log_odds_by_hand(self):
        logits = torch.tensor([[1.0, 2.0, -1.0], [0.0, 10.0, 0.0]])
        p = np.exp(logits.double().numpy())
        p /= p.sum(axis=1, keepdims=True)
        expected = np.log(p) - np.log1p(-p)
        np.testing.assert_allclose(class_log_odds(logits), expected, rtol=1e-9)

    def test_clamped_as_in_the_baseline(self):
        sure = class_log_odds(torch.tensor([[100.0, 0.0]]))[0]
        limit = np.log(1 - 2.2e-16) - np.log(2.2e-16)
        np.testing.assert_allclose(sure, [limit, -limit], rtol=1e-12)

    def test_mean_confidence_is_the_reports_rule(self, rng):
        scores = rng.normal(3, 2, 50)
        threshold = 0.96 * expit(scores).mean()
        assert expit(mean_confidence(scores)) == pytest.approx(threshold)
        assert mean_confidence(scores, alpha=0.1) == pytest.approx(logit(threshold / 0.96 * 0.9))

    def test_it_asks_for_log_odds(self):
        with pytest.raises(
            ValueError, match=r"scores of OEAutoencoder are not log-odds.*take a cla"
        ):
            OEAutoencoder(threshold="mean_confidence").check_params()


def small_oe(**params):
    settings = {
        "weights": "random", "width_multiplier": 0.1, "window_length": 32, "hop": 32, "lr": 3e-3,
        "batch_size": 8, "max_epochs": 1, "threshold": "quantile", "calibration": None,
        "random_state": 0, "verbose": 0,
    }  # fmt: skip
    return OEMobileNetDetector(**settings | params)


def small_section(**params):
    settings = {
        "width_multiplier": 0.1, "window_length": 16, "hop": 8, "scoring_hop": 8, "lr": 1e-2,
        "batch_size": 16, "max_epochs": 1, "threshold": "quantile", "calibration": None,
        "random_state": 0, "verbose": 0,
    }  # fmt: skip
    return SectionMobileNetDetector(**settings | params)


@pytest.fixture(scope="module")
def images():
    """Images of noise, and with a tone, of another machine."""
    X = np.random.default_rng(0).uniform(size=(18, 32, 32)).astype(np.float32)
    exposed = np.arange(18) % 3 == 0
    X[exposed, 10:14] += 1
    return X, exposed


def sections(n):
    return {"section": (np.arange(n) + 1) // 2 % 2}


def exposed(n):
    return {"exposed": np.arange(n) % 3 == 1}


@pytest.fixture
def shallow(monkeypatch):
    """Leave two of seven stages: the contract does not depend on the depth, but its cost does."""
    monkeypatch.setattr("sklasd.nets._mobilenet_v2._STAGES", ((1, 16, 1, 2), (6, 24, 1, 2)))
    monkeypatch.setattr("sklasd.nets._mobilenet_v2._LAST", 32)


QUICK = {"max_epochs": 3, "lr": 1e-2, "batch_size": 16, "window_length": 16, "hop": 8}
THOROUGH = {"check_training_learns", "check_new_normal_clips"}
LEFT_OUT = {
    ("OEMobileNetDetector", "check_planted_fault_is_found"),  # asks for the whole depth: see below
    # What tells no section apart is not heard: bursts are none of a section's.
    ("SectionMobileNetDetector", "check_planted_fault_is_found"),
    ("SectionMobileNetDetector", "check_new_normal_clips"),
}
CONTRACT = [
    pytest.param(detector, metadata, name, id=f"{type(detector).__name__}-{name}", marks=marks)
    for detector, metadata in ((small_oe(**QUICK), exposed), (small_section(**QUICK), sections))
    for name, _ in detector_checks(detector, fit_metadata=metadata)
    for marks in [[pytest.mark.slow] if name == "check_as_sklearn" else []]
    if (type(detector).__name__, name) not in LEFT_OUT
]


@pytest.mark.parametrize(("detector", "metadata", "name"), CONTRACT)
def test_contract(shallow, monkeypatch, detector, metadata, name):
    if metadata is sections:
        monkeypatch.setattr("sklasd.testing._run.make_sounds", sounds_of_sections)
    detector = clone(detector).set_params(max_epochs=12 if name in THOROUGH else 3)
    dict(detector_checks(detector, fit_metadata=metadata))[name]()


def sounds_of_sections(*args):
    """Give the suite's sounds a tone by their section, of which a classifier can learn."""
    sounds = make_sounds(*args)
    for X in (sounds.train, sounds.test):
        section = sections(len(X))["section"]
        X[section == 0, 5:8] += 12
        X[section == 1, 20:23] += 12
    return sounds


class TestOEDetector:
    def test_planted_fault_is_found(self):
        sounds = make_sounds()
        others = exposed(24)["exposed"]
        bursts = sounds.burst[sounds.label == -1][others]
        sounds.train[others] += 15 * bursts  # another machine's clips have bursts
        detector = small_oe(
            width_multiplier=0.25, window_length=16, hop=4, batch_size=32, max_epochs=10
        ).fit(sounds.train, exposed=others)
        assert detector.loss_curve_[-1] < 0.8 * detector.loss_curve_[0]
        assert roc_auc_score(sounds.label, detector.score_samples(sounds.test)) > 0.9

    def test_score_is_the_difference_of_logits(self, images):
        X, others = images
        detector = small_oe().fit(X, exposed=others)
        with torch.inference_mode():
            logits = detector.net_.module_(torch.from_numpy(X)).numpy()
        expected = logits[:, 1] - logits[:, 0]
        np.testing.assert_allclose(detector.score_samples(X), expected, rtol=1e-4, atol=1e-4)

    def test_windows_are_pooled(self, images):
        X, others = images
        detector = small_oe(pooling="max").fit(X, exposed=others)
        wide = np.concatenate([X[:1], X[1:2]], axis=2)
        alone = detector.score_samples(X[:2])
        assert detector.score_samples(wide) == alone.min()

    def test_exposed_clips_set_no_threshold(self, images):
        X, others = images
        detector = small_oe(calibration=3, contamination=0.3).fit(X, exposed=others)
        assert len(detector.calibration_scores_) == (~others).sum()
        uncalibrated = small_oe().fit(X, exposed=others)
        scores = uncalibrated.score_samples(X[~others])
        assert uncalibrated.offset_ == np.percentile(scores, 10)

    def test_mean_confidence(self, images):
        X, others = images
        detector = small_oe(threshold="mean_confidence").fit(X, exposed=others)
        confidence = expit(detector.calibration_scores_)
        assert expit(detector.offset_) == pytest.approx(0.96 * confidence.mean())
        rule = functools.partial(mean_confidence, alpha=0.1)
        other = clone(detector).set_params(threshold=rule).fit(X, exposed=others)
        assert expit(other.offset_) == pytest.approx(0.9 * confidence.mean())

    def test_bytes_stay_bytes(self, images):
        X, others = images
        levels = np.round(X / X.max() * 255).astype(np.uint8)
        detector = small_oe().fit(levels, exposed=others)
        assert detector._prepare(levels, reset=False).frames.dtype == np.uint8
        scores = detector.score_samples(levels)
        np.testing.assert_array_equal(scores, detector.score_samples(levels / np.float32(255)))
        ragged = [levels[0], np.tile(levels[1], (1, 2))]
        assert detector.score_samples(ragged)[0] == scores[0]

    def test_bytes_reach_it_in_a_fusion(self, images):
        X, others = images
        levels = np.round(X / X.max() * 255).astype(np.uint8)
        fusion = FusionDetector([("net", small_oe())], fusion="zscore", cv=2)
        fusion.fit(levels, exposed=others)
        alone = small_oe().fit(levels, exposed=others)
        scores = fusion.score_table(levels)["net"]
        np.testing.assert_array_equal(scores, alone.score_samples(levels))

    def test_without_exposed_clips_it_is_refused(self, images):
        X, _ = images
        with pytest.raises(ValueError, match=r"no exposed clip among 18 samples.*pass exposed="):
            small_oe().fit(X)
        with pytest.raises(ValueError, match="no normal clip"):
            small_oe().fit(X, exposed=np.ones(18, dtype=bool))

    def test_recalibration_needs_no_file(self, pretrained, images, tmp_path):
        X, others = images
        copy = tmp_path / "weights.pth"
        copy.write_bytes(pretrained[0].read_bytes())
        detector = small_oe(weights=copy).fit(X, exposed=others)
        copy.unlink()
        assert np.isfinite(detector.recalibrate(X[~others]).offset_)


@pytest.fixture(scope="module")
def fitted():
    sounds = sounds_of_sections()
    detector = small_section(hop=4, scoring_hop=4, batch_size=32, max_epochs=8)
    return detector.fit(sounds.train, **sections(24)), sounds


class TestSectionDetector:
    def test_the_net_is_the_baselines(self):
        sounds = sounds_of_sections()
        detector = SectionMobileNetDetector(
            window_length=16, calibration=None, threshold="quantile", max_epochs=1, random_state=0
        ).fit(sounds.train[:4], **sections(4))
        n_features = n_parameters(MobileNetV2(width_multiplier=0.5).features)
        assert n_parameters(detector.net_.module_) == n_features + 2 * (1280 + 1)
        assert detector.net_.module_.net.classifier[0].p == 0

    def test_scores_by_hand(self, fitted):
        detector, sounds = fitted
        X = sounds.test[:3]
        starts = range(0, 25, 4)
        with torch.inference_mode():
            logits = torch.stack([
                detector.net_.module_(torch.from_numpy(X[:, :, s : s + 16])) for s in starts
            ]).double()  # fmt: skip
        p = logits.softmax(dim=2).numpy().clip(1e-12, 1 - 1e-12)
        official = (np.log(1 - p) - np.log(p)).mean(axis=0)  # (n_clips, n_sections)
        scores = detector.score_samples(X, section=[0, 1, 0])
        np.testing.assert_allclose(scores, -official[range(3), [0, 1, 0]], rtol=1e-3, atol=1e-3)
        likeliest = detector.score_samples(X)
        np.testing.assert_allclose(likeliest, -official.min(axis=1), rtol=1e-3, atol=1e-3)

    def test_a_clip_of_no_known_section_is_scored_by_the_likeliest(self, fitted):
        detector, sounds = fitted
        X = sounds.test[:4]
        own, likeliest = detector.score_samples(X, section=[1, 1, 0, 0]), detector.score_samples(X)
        some = detector.score_samples(X, section=np.array([1, None, np.nan, 0], dtype=object))
        np.testing.assert_array_equal(some, [own[0], *likeliest[1:3], own[3]])
        assert (likeliest >= own).all()

    def test_a_fault_of_the_sections_tone_is_found(self, fitted):
        detector, sounds = fitted
        X, own = sounds.test[:24], sections(24)["section"]
        faulty = X.copy()
        faulty[own == 0, 5:8] -= 12  # the tone is gone
        faulty[own == 0, 20:23] += 12  # another one sounds
        scores = [detector.score_samples(x[own == 0], section=own[own == 0]) for x in (X, faulty)]
        assert scores[0].mean() > scores[1].mean() + 1
        label = np.repeat([1, -1], (own == 0).sum())
        assert roc_auc_score(label, np.concatenate(scores)) > 0.9

    def test_every_decision_takes_sections(self, fitted):
        detector, sounds = fitted
        X, own = sounds.test[:24], sections(24)
        other = {"section": 1 - own["section"]}
        assert (detector.score_samples(X, **own) > detector.score_samples(X, **other)).mean() > 0.9
        scores = detector.score_samples(X, **other)
        np.testing.assert_array_equal(
            detector.decision_function(X, **other), scores - detector.offset_
        )
        np.testing.assert_array_equal(detector.predict(X, **other), detector.decide(scores))
        again = clone(detector).fit(sounds.train, **sections(24)).recalibrate(X, **own)
        np.testing.assert_array_equal(again.calibration_scores_, detector.score_samples(X, **own))
        expected = np.mean(np.append(again.calibration_scores_ <= scores[0], True))
        assert again.p_values(X[:1], section=other["section"][:1]) == pytest.approx(expected)

    def test_a_pipeline_reads_them_from_the_table(self, fitted):
        detector, sounds = fitted
        table = pd.DataFrame({"row": np.arange(24), "section": 1 - sections(24)["section"]})
        rows = FunctionTransformer(lambda clips: sounds.test[clips["row"]])
        pipeline = make_pipeline(rows, detector)
        X, told = sounds.test[:24], {"section": table["section"]}
        for ask in ("score_samples", "decision_function", "predict"):
            expected = getattr(detector, ask)(X, **told)
            np.testing.assert_array_equal(getattr(pipeline, ask)(table), expected)
        likeliest = pipeline.score_samples(table.drop(columns="section"))
        np.testing.assert_array_equal(likeliest, detector.score_samples(X))
        assert not hasattr(make_pipeline(rows), "score_samples")

    def test_what_sections_say_is_asked_once(self, fitted, monkeypatch):
        (detector, sounds), asked = fitted, []
        for name in ("_join", "_measure"):
            method = getattr(detector, name)
            monkeypatch.setattr(
                detector, name, lambda *a, f=method, n=name: asked.append(n) or f(*a), raising=False
            )
        detector.score_samples(sounds.test[:2], section=[0, 1])
        assert asked == ["_measure", "_join"]
        for ask in (detector.score_samples, detector.score_table, detector.recalibrate):
            with pytest.raises(ValueError, match=r"sections 02, but fit got"):
                ask(sounds.test[:2], section=["02", "1"])
        assert len(asked) == 2  # before the nets have their say

    def test_what_cannot_be_learnt_is_refused(self, fitted):
        detector, sounds = fitted
        X = sounds.train
        with pytest.raises(ValueError, match=r"no section for 24 samples.*pass section="):
            small_section().fit(X)
        with pytest.raises(ValueError, match=r"single section '00' for 24 samples.*OEMobileNetDet"):
            small_section().fit(X, section=["00"] * 24)
        with pytest.raises(ValueError, match=r"sections 02, but fit got 0, 1"):
            detector.score_samples(X, section=["02"] * 24)
        own = sections(24)["section"]
        alone = r"single section '0' for"  # is left for training
        with pytest.raises(ValueError, match=alone):
            small_section(calibration=PredefinedSplit(np.where(own == 1, 0, -1))).fit(
                X, section=own
            )

    def test_a_fold_may_lack_one_section(self, shallow):
        X, own = sounds_of_sections().train, np.arange(24) % 3
        split = PredefinedSplit(np.where(own == 1, 0, -1))
        detector = small_section(calibration=split, contamination=0.2).fit(X, section=own)
        assert len(detector.calibration_scores_) == 8


def test_recipes_are_the_defaults():
    front_end, detector = make_recipe("oe-mobilenet")
    assert (repr(front_end), repr(detector)) == (repr(STFTImage()), repr(OEMobileNetDetector()))
    front_end, detector = make_recipe("mobilenet-sections")
    assert (repr(front_end), repr(detector)) == (repr(LogMel()), repr(SectionMobileNetDetector()))


def test_a_whole_pipeline(rng):
    waves = 0.01 * rng.standard_normal((12, 9000))
    others = np.arange(12) % 2 == 1
    waves[others] += 0.1 * np.sin(0.8 * np.arange(9000))
    pipeline = make_recipe(
        "oe-mobilenet", stftimage__height=32, stftimage__width=32, stftimage__dtype="uint8",
    )  # fmt: skip
    pipeline[-1].set_params(**small_oe(max_epochs=8).get_params())
    pipeline.fit(waves, oemobilenetdetector__exposed=others)
    scores = pipeline.score_samples(waves)
    assert scores[~others].mean() > scores[others].mean()
    again = clone(pipeline).fit(waves, oemobilenetdetector__exposed=others)
    np.testing.assert_array_equal(again.score_samples(waves), scores)
