"""PANNs: official nets, files and front end; rows that depend on their clip alone."""

import pickle
import subprocess
import sys
from itertools import pairwise

import joblib
import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import GridSearchCV
from torch import nn
from torch.nn import functional

from sklasd import (
    Augmented,
    ClipError,
    KNNDetector,
    MahalanobisDetector,
    PANNsEmbedding,
    TorchEmbedding,
    make_pipeline,
    make_recipe,
)
from sklasd.base._unwrap import clip_format
from sklasd.clips._sound_file import ClipFormat
from sklasd.clips._waveforms import load_waveform
from sklasd.evaluation._scoring import evaluate_machine
from sklasd.features import _panns_weights
from sklasd.features._panns_weights import MODELS
from sklasd.nets._panns import Cnn6, Cnn10, Cnn14, ResNet38, draw_weights, freeze
from sklasd.nets._panns_blocks import fourier_kernels
from sklasd.nets._panns_pooling import PooledPANN, cut_segments

NETS = {"resnet38": ResNet38, "cnn14": Cnn14, "cnn14_16k": Cnn14, "cnn10": Cnn10, "cnn6": Cnn6}


# --- the nets anew, from nothing but the weights by their official names -------------------------


def official_log_mel(state, wave, hop=320):
    """Transform by the checkpoint's kernels, (n_samples,) to (1, 1, n_frames, 64)."""
    real, imaginary = (
        state[f"spectrogram_extractor.stft.conv_{part}.weight"].double()
        for part in ("real", "imag")
    )
    margin = real.shape[2] // 2
    x = functional.pad(torch.from_numpy(wave)[None, None].double(), (margin, margin), "reflect")
    power = (
        functional.conv1d(x, real, stride=hop) ** 2
        + functional.conv1d(x, imaginary, stride=hop) ** 2
    )
    mel = power.transpose(1, 2) @ state["logmel_extractor.melW"].double()
    return (10 * mel.clamp_min(1e-10).log10()).float()[None]


def official(state, wave, hop=320):
    """Return maps by name, the embedding and the logits of a waveform."""

    def norm(x, name):
        parts = (state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, *parts)

    def conv(x, name):
        weight = state[f"{name}.weight"]
        return functional.conv2d(x, weight, padding=weight.shape[2] // 2)

    def block(x, name):
        for i in "12" if f"{name}.conv2.weight" in state else "1":
            x = functional.relu(norm(conv(x, f"{name}.conv{i}"), f"{name}.bn{i}"))
        return x

    def residual(x, name):
        around = x
        if f"{name}.downsample.1.weight" in state:
            x = around = functional.avg_pool2d(x, 2)
            around = norm(conv(around, f"{name}.downsample.1"), f"{name}.downsample.2")
        x = functional.relu(norm(conv(x, f"{name}.conv1"), f"{name}.bn1"))
        return functional.relu(norm(conv(x, f"{name}.conv2"), f"{name}.bn2") + around)

    maps = {}
    x = official_log_mel(state, wave, hop)
    x = norm(x.transpose(1, 3), "bn0").transpose(1, 3)
    if "resnet.layer1.0.conv1.weight" in state:
        x = functional.avg_pool2d(block(x, "conv_block1"), 2)
        for layer, n_blocks in enumerate((3, 4, 6, 3), 1):
            for index in range(n_blocks):
                x = maps[f"layer{layer}.{index}"] = residual(x, f"resnet.layer{layer}.{index}")
        x = block(functional.avg_pool2d(x, 2), "conv_block_after1")
    else:
        n_blocks = sum(key.endswith("conv1.weight") for key in state)
        for i in range(1, n_blocks + 1):
            x = maps[f"conv_block{i}"] = block(x, f"conv_block{i}")
            x = functional.avg_pool2d(x, 1 if i == 6 else 2)
    x = x.mean(dim=3)
    x = x.amax(dim=2) + x.mean(dim=2)
    embedding = functional.relu(x @ state["fc1.weight"].T + state["fc1.bias"])
    return maps, embedding, embedding @ state["fc_audioset.weight"].T + state["fc_audioset.bias"]


def official_rows(state, wave, hop=320):
    with torch.inference_mode():
        maps, embedding, logits = official(state, wave, hop)
        blocks = torch.cat([found.mean(dim=(2, 3)) for found in maps.values()], dim=1)
    rows = {"blocks": blocks, "embedding": embedding, "logits": logits}
    return {layers: row[0].numpy() for layers, row in rows.items()}


# --- checkpoints with random weights -------------------------------------------------------------


def random_state_dict(model, seed=0):
    """Draw weights, statistics and all, in the official layout."""
    torch.manual_seed(seed)
    net = _panns_weights._with_front_end(
        draw_weights(NETS[model](MODELS[model].n_fft)), MODELS[model]
    )
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module is not net.bn0:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.1, 0.1)
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.state_dict()


@pytest.fixture(autouse=True)
def same_generator():
    """Put torch's generator back, which the drawing of weights moves."""
    before = torch.random.get_rng_state()
    yield
    torch.random.set_rng_state(before)


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    folder = tmp_path_factory.mktemp("panns")

    def write(content, name="net.pth", **kwargs):
        path = folder / name
        torch.save(content, path, **kwargs)
        return path

    yield write
    for path in folder.iterdir():
        path.unlink()  # pytest would keep hundreds of MB
    _panns_weights.load_net.cache_clear()


@pytest.fixture(scope="module")
def cnn6(write):
    """Return state dict and file of a small net."""
    state = random_state_dict("cnn6")
    return state, write({"model": state, "iteration": 7}, "cnn6.pth")


@pytest.fixture(scope="module")
def resnet38(write):
    """Return state dict and file of the large net, made once."""
    state = random_state_dict("resnet38")
    return state, write({"model": state}, "resnet38.pth")


@pytest.fixture
def noise(rng):
    """One second of noise."""
    return (0.1 * rng.standard_normal(32000)).astype(np.float32)


@pytest.fixture
def embed(cnn6):
    """Return a fitted small transformer."""
    return PANNsEmbedding("cnn6", cnn6[1]).fit(None)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


class TestNets:
    def test_resnet38_has_the_official_weights(self):
        with torch.device("meta"):
            net = ResNet38()
        state = {key: tuple(value.shape) for key, value in net.state_dict().items()}
        assert len(state) == 246
        table = {  # prefix: (entries, elements)
            "spectrogram_extractor.stft.conv_": (2, 1_050_624),
            "logmel_extractor.melW": (1, 32_832),
            "bn0.": (5, 257), "conv_block1.": (12, 37_954), "conv_block_after1.": (12, 47_202_306),
            "fc1.": (2, 4_196_352), "fc_audioset.": (2, 1_079_823),
            **{f"resnet.layer1.{i}.": (12, 74_242) for i in range(3)},
            "resnet.layer2.0.": (18, 230_915),
            **{f"resnet.layer2.{i}.": (12, 295_938) for i in range(1, 4)},
            "resnet.layer3.0.": (18, 920_579),
            **{f"resnet.layer3.{i}.": (12, 1_181_698) for i in range(1, 6)},
            "resnet.layer4.0.": (18, 3_676_163),
            **{f"resnet.layer4.{i}.": (12, 4_722_690) for i in range(1, 3)},
        }  # fmt: skip
        for prefix, (entries, elements) in table.items():
            shapes = [shape for key, shape in state.items() if key.startswith(prefix)]
            assert (len(shapes), sum(int(np.prod(s)) for s in shapes)) == (entries, elements), (
                prefix
            )
        assert sum(entries for entries, _ in table.values()) == 246
        expected = {
            "spectrogram_extractor.stft.conv_real.weight": (513, 1, 1024),
            "logmel_extractor.melW": (513, 64),
            "bn0.running_mean": (64,),
            "bn0.num_batches_tracked": (),
            "conv_block1.conv1.weight": (64, 1, 3, 3),
            "resnet.layer2.0.conv1.weight": (128, 64, 3, 3),
            "resnet.layer2.0.downsample.1.weight": (128, 64, 1, 1),
            "resnet.layer2.0.downsample.2.running_var": (128,),
            "conv_block_after1.conv2.weight": (2048, 2048, 3, 3),
            "fc_audioset.bias": (527,),
        }
        assert {key: state[key] for key in expected} == expected

    @pytest.mark.parametrize(
        ("net", "n_parameters", "n_embedding"),
        [
            (ResNet38, 74_866_703, 2048),
            (Cnn14, 81_837_071, 2048),
            (Cnn10, 6_302_735, 512),
            (Cnn6, 5_920_911, 512),
        ],
    )
    def test_numbers_of_parameters(self, net, n_parameters, n_embedding):
        with torch.device("meta"):
            made = net()
        assert sum(p.numel() for p in made.parameters()) == n_parameters
        assert made.fc1.out_features == n_embedding
        frozen = sum(p.numel() for p in made.parameters() if not p.requires_grad)
        assert frozen == 1_050_624 + 32_832

    def test_maps_of_ten_seconds(self):
        with torch.device("meta"):
            net = ResNet38().eval()
            maps = dict(net.blocks(net.normalise(torch.empty(1, 1001, 64))))
            top = net.top(maps["layer4.2"])
        shapes = {name: tuple(found.shape[1:]) for name, found in maps.items()}
        assert list(shapes) == [
            f"layer{i}.{k}" for i, n in ((1, 3), (2, 4), (3, 6), (4, 3)) for k in range(n)
        ]
        by_layer = {"1": (64, 500, 32), "2": (128, 250, 16), "3": (256, 125, 8), "4": (512, 62, 4)}
        assert all(shape == by_layer[name[5]] for name, shape in shapes.items())
        assert top.shape[1:] == (2048, 31, 2)

    def test_kernels_are_the_transform(self, rng):
        frame = rng.standard_normal(512)
        expected = np.fft.rfft(frame * np.hanning(513)[:-1])
        real, imaginary = (kernels.double().numpy() @ frame for kernels in fourier_kernels(512))
        np.testing.assert_allclose(real + 1j * imaginary, expected, atol=1e-5)

    @pytest.mark.parametrize("n_frames", [16, 100, 159, 160, 161, 1000, 1001, 4097])
    def test_segments_count_every_frame_once(self, n_frames):
        segments = list(cut_segments(n_frames, 160, 32))
        edges = [(s.first, n_frames if s.last is None else s.last) for s in segments]
        assert edges[0][0] == 0
        assert edges[-1][1] == n_frames
        assert all(a[1] == b[0] for a, b in pairwise(edges))
        assert all(s.start % 32 == 0 and s.stop - s.start <= 2 * 160 for s in segments)

    @pytest.mark.parametrize("layers", ["blocks", "embedding"])
    @pytest.mark.parametrize(("net", "n_frames"), [(Cnn6, 503), (Cnn10, 421)])
    def test_segments_change_nothing(self, net, n_frames, layers):
        self.check_segments(net(), n_frames, layers)

    @pytest.mark.parametrize(("net", "n_frames"), [(Cnn14, 600), (ResNet38, 1300)])
    def test_segments_change_nothing_of_large_nets(self, net, n_frames):
        self.check_segments(net(), n_frames, "embedding")  # to which all maps contribute

    def check_segments(self, net, n_frames, layers):
        torch.manual_seed(0)
        freeze(draw_weights(net))
        assert len(list(cut_segments(n_frames, 96, net.context))) > 1
        x = 20 * torch.randn(1, n_frames, 64) - 40
        with torch.inference_mode():
            whole, pieces = (PooledPANN(net, layers, n)(x) for n in (n_frames, 96))
        close(pieces, whole)


class TestFrontEnd:
    @pytest.mark.parametrize("model", ["resnet38", "cnn14_16k"])
    @pytest.mark.parametrize("floor", [1e-5, 0.1])
    def test_parity_with_librosa(self, rng, model, floor):
        of = MODELS[model]
        t = np.arange(of.sample_rate) / of.sample_rate
        wave = 0.3 * np.sin(2 * np.pi * 440 * t) + floor * rng.standard_normal(len(t))
        wave = wave.astype(np.float32)
        power = librosa.feature.melspectrogram(
            y=wave, sr=of.sample_rate, n_fft=of.n_fft, hop_length=of.hop_length, n_mels=64,
            fmin=50, fmax=of.fmax, pad_mode="reflect",
        )  # fmt: skip
        expected = librosa.power_to_db(power, top_db=None)
        embedding = PANNsEmbedding(model)
        embedding.mel_filters_ = of.mel_filters
        ours = embedding._input().front_end(wave)
        assert ours.shape == (101, 64)
        assert np.abs(ours.T - expected).max() < 1e-3

    def test_parity_with_the_kernels_of_the_checkpoint(self, cnn6, embed, noise):
        expected = official_log_mel(cnn6[0], noise)[0, 0]
        assert np.abs(embed._input().front_end(noise) - expected.numpy()).max() < 1e-3

    def test_filters_are_those_of_the_checkpoint(self, cnn6, write, noise):
        state = cnn6[0] | {"logmel_extractor.melW": 2 * cnn6[0]["logmel_extractor.melW"]}
        embedding = PANNsEmbedding("cnn6", write({"model": state})).fit(None)
        close(embedding.transform([noise])[0], official_rows(state, noise)["blocks"])
        assert embedding.mel_filters_.shape == (64, 513)

    def test_another_transform_is_refused(self, cnn6, write):
        key = "spectrogram_extractor.stft.conv_imag.weight"
        path = write({"model": cnn6[0] | {key: -cnn6[0][key]}})
        with pytest.raises(
            ValueError, match=r"another transform .* \(conv_imag.weight is off by 2\)"
        ):
            PANNsEmbedding("cnn6", path).fit(None)

    def test_a_checkpoint_without_front_end_gets_the_official_one(self, cnn6, write, embed, noise):
        state = {k: v for k, v in cnn6[0].items() if "extractor" not in k}
        stripped = PANNsEmbedding("cnn6", write({"model": state})).fit(None)
        np.testing.assert_array_equal(stripped.transform([noise]), embed.transform([noise]))


class TestRows:
    @pytest.mark.parametrize("layers", ["blocks", "embedding", "logits"])
    def test_cnn6_is_the_official_net(self, cnn6, noise, layers):
        embedding = PANNsEmbedding("cnn6", cnn6[1], layers).fit(None)
        waves = [noise, noise[:5000], noise[:20001], noise[100:5100]]
        rows = embedding.transform(waves)
        assert rows.dtype == np.float32
        for row, wave in zip(rows, waves, strict=True):
            close(row, official_rows(cnn6[0], wave)[layers])
            np.testing.assert_array_equal(row, embedding.transform([wave])[0])
        assert len(set(embedding.get_feature_names_out())) == rows.shape[1]

    @pytest.mark.parametrize("layers", ["blocks", "embedding", "logits"])
    def test_resnet38_is_the_official_net(self, resnet38, noise, layers):
        rows = PANNsEmbedding(weights=resnet38[1], layers=layers).fit_transform(
            [noise, noise[:9920]]
        )
        assert rows.shape == (2, {"blocks": 3776, "embedding": 2048, "logits": 527}[layers])
        for row, wave in zip(rows, (noise, noise[:9920]), strict=True):
            expected = official_rows(resnet38[0], wave)[layers]
            np.testing.assert_allclose(row, expected, rtol=0, atol=1e-6 * max(10, expected.max()))

    @pytest.mark.parametrize("model", ["cnn10", "cnn14_16k"])
    def test_others_are_the_official_nets(self, write, noise, model):
        state = random_state_dict(model)
        of = MODELS[model]
        path = write({"model": state}, f"{model}.pth")
        for layers in ("blocks", "embedding"):
            (row,) = PANNsEmbedding(model, path, layers).fit_transform([noise[:16000]])
            close(row, official_rows(state, noise[:16000], of.hop_length)[layers])

    def test_names_tell_block_and_channel(self):
        names = PANNsEmbedding().get_feature_names_out()
        assert len(names) == 3776
        assert [names[0], names[-1]] == ["layer1.0_0", "layer4.2_511"]
        assert PANNsEmbedding(layers="logits").get_feature_names_out()[-1] == "class_526"
        assert PANNsEmbedding("cnn14").get_feature_names_out().size == 4032

    def test_a_row_depends_on_its_clip_alone(self, embed, rng):
        lengths = [32000, 9000, 32000, 16000, 9000, 40000, 9000, 32000, 16000, 9000, 9000]
        waves = [0.1 * rng.standard_normal(n) for n in lengths]
        together = embed.transform(waves)
        for threads in (1, 2):
            clone_ = clone(embed).set_params(n_jobs=threads).fit(None)
            np.testing.assert_array_equal(clone_.transform(waves), together)
        for wave, row in zip(waves, together, strict=True):
            np.testing.assert_array_equal(embed.transform([wave])[0], row)

    def test_every_form_of_clips_gives_the_same(self, embed, write_clip):
        paths = [write_clip(f"{i}.wav", sample_rate=32000) for i in range(2)]
        waves = np.stack([soundfile.read(path, dtype="float32")[0] for path in paths])
        expected = embed.transform(paths)
        for X in (pd.DataFrame({"path": paths}), waves, list(waves)):
            np.testing.assert_array_equal(embed.transform(X), expected)
        resampled = embed.transform([write_clip("16k.wav", sample_rate=16000, channels=2)])
        assert resampled.shape == (1, 960)

    def test_as_a_transformer(self, embed, noise):
        before = embed.transform([noise])
        np.testing.assert_array_equal(embed.fit(None, [1, -1]).transform([noise]), before)
        frame = clone(embed).set_output(transform="pandas").fit_transform([noise])
        assert list(frame.columns) == list(embed.get_feature_names_out())
        assert list(frame.columns[-2:]) == ["conv_block4_510", "conv_block4_511"]
        assert clone(embed).get_params() == embed.get_params()

    def test_bf16_is_near(self, cnn6, embed, noise):
        exact = embed.transform([noise])
        near = PANNsEmbedding("cnn6", cnn6[1], precision="bf16").fit_transform([noise])
        assert 0 < np.abs(near - exact).max() < 0.02 * exact.max()

    def test_long_clips_pass_in_segments(self, cnn6, embed, rng, monkeypatch):
        wave = 0.1 * rng.standard_normal(5 * 32000)
        seen = []
        blocks = Cnn6.blocks

        def spy(net, x):
            seen.append(x.shape[2])
            return blocks(net, x)

        monkeypatch.setattr(Cnn6, "blocks", spy)
        pieces = clone(embed).set_params(segment_duration=1.0).fit(None).transform([wave])
        assert max(seen) <= 2 * 100
        assert len(seen) > 5
        close(pieces, embed.transform([wave]))
        assert seen[-1] == 501

    def test_global_generators_are_left_alone(self, cnn6, noise):
        before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        with pytest.warns(UserWarning, match="learnt nothing"):
            PANNsEmbedding("cnn6", "random", random_state=0).fit_transform([noise])
        _panns_weights.load_net.cache_clear()
        PANNsEmbedding("cnn6", cnn6[1]).fit_transform([noise])
        assert torch.equal(torch.random.get_rng_state(), before[0])
        np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


class TestShortClips:
    @pytest.mark.parametrize(("model", "shortest"), [("resnet38", 9920), ("cnn14_16k", 4960)])
    def test_shortest(self, model, shortest):
        assert MODELS[model].min_samples == shortest

    def test_too_short_clips_are_named_all_at_once(self, embed, noise, write_clip):
        path = write_clip("short.wav", seconds=0.1, sample_rate=32000)
        with pytest.raises(ClipError, match="pass pad_short=True") as caught:
            embed.transform([noise, noise[:4799], path])
        assert set(caught.value.clips) == {1, 2}
        assert "short.wav') has only 3200 samples at 32000 Hz" in caught.value.clips[2]
        assert "fewer than the 4800 (0.15 s) that model='cnn6' takes" in caught.value.clips[1]
        assert embed.transform([noise[:4800]]).shape == (1, 960)

    def test_padding_appends_silence(self, embed, noise):
        padded = clone(embed).set_params(pad_short=True).fit(None).transform([noise[:100]])
        by_hand = np.pad(noise[:100], (0, 4700))
        np.testing.assert_array_equal(padded, embed.transform([by_hand]))


class TestFiles:
    def test_a_missing_file_says_which_was_expected(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SKLASD_DATA", str(tmp_path))
        words = (
            r"no file .*panns.ResNet38_mAP=0\.434\.pth; expected is 'ResNet38_mAP=0\.434\.pth' of "
            r"Zenodo's record 3987831 .*CC BY 4\.0.*fetch_panns\('resnet38'\).*weights=PATH"
        )
        with pytest.raises(FileNotFoundError, match=words):
            PANNsEmbedding().fit(None)
        with pytest.raises(FileNotFoundError, match=r"elsewhere\.pth; expected is 'Cnn6"):
            PANNsEmbedding("cnn6", tmp_path / "elsewhere.pth").fit(None)

    def test_the_downloaded_file_is_the_default(self, cnn6, tmp_path, monkeypatch):
        monkeypatch.setenv("SKLASD_DATA", str(tmp_path))
        (tmp_path / "panns").mkdir()
        (tmp_path / "panns" / "Cnn6_mAP=0.343.pth").symlink_to(cnn6[1])
        assert PANNsEmbedding("cnn6").fit(None).weights_.path.endswith("Cnn6_mAP=0.343.pth")

    @pytest.mark.parametrize("share", [0, 0.3, 0.9])
    @pytest.mark.parametrize("in_zip", [True, False])
    def test_a_truncated_file(self, cnn6, write, share, in_zip):
        path = write({"model": cnn6[0]}, _use_new_zipfile_serialization=in_zip)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(OSError, match=r"truncated or no checkpoint \(\d+ bytes\); expected is"):
            PANNsEmbedding("cnn6", path).fit(None)

    @pytest.mark.parametrize(
        "content",
        [b"<html>Please log in</html>", b"hello world", b"RIFF\x24\x00\x00\x00WAVEfmt "],
    )
    @pytest.mark.parametrize("trust_pickle", [False, True])
    def test_a_page_in_place_of_a_file(self, tmp_path, content, trust_pickle):
        path = tmp_path / "net.pth"
        path.write_bytes(content)
        words = rf"truncated or no checkpoint \({len(content)} bytes\)"
        with pytest.raises(OSError, match=words):
            PANNsEmbedding("cnn6", path, trust_pickle=trust_pickle).fit(None)

    def test_the_file_of_another_model(self, cnn6):
        with pytest.raises(ValueError, match=r"does not fit model='cnn10'") as caught:
            PANNsEmbedding("cnn10", cnn6[1]).fit(None)
        told = str(caught.value)
        assert "20 missing (conv_block1.conv2.weight, " in told
        assert "conv_block1.conv1.weight (64, 1, 5, 5) instead of (64, 1, 3, 3)" in told
        with pytest.raises(
            ValueError, match=r"\d+ unexpected \(conv_block2.conv1.weight.* and \d+ more\)"
        ):
            PANNsEmbedding("resnet38", cnn6[1]).fit(None)

    def test_weights_of_another_sample_rate(self, cnn6, write):
        path = write({"model": cnn6[0] | {"logmel_extractor.melW": torch.zeros(257, 64)}})
        with pytest.raises(ValueError, match=r"melW \(257, 64\) instead of \(513, 64\)"):
            PANNsEmbedding("cnn6", path).fit(None)

    def test_weights_by_number(self, write):
        with pytest.raises(ValueError, match=r"1 unexpected \(1\)"):
            PANNsEmbedding("cnn6", write({"model": {1: torch.zeros(2)}})).fit(None)

    def test_bare_weights(self, cnn6, write):
        with pytest.raises(ValueError, match="no weights under 'model', but "):
            PANNsEmbedding("cnn6", write(cnn6[0])).fit(None)

    def test_pickled_objects_need_trust(self, cnn6, write, embed, noise):
        path = write({"model": cnn6[0], "sampler": np.random.RandomState(0)})
        with pytest.raises(ValueError, match=r"pickled objects .* \(\S+\.\S+\).*trust_pickle=True"):
            PANNsEmbedding("cnn6", path).fit(None)
        trusting = PANNsEmbedding("cnn6", path, trust_pickle=True).fit(None)
        np.testing.assert_array_equal(trusting.transform([noise]), embed.transform([noise]))

    def test_random_weights_are_asked_for(self, noise):
        with pytest.raises(ValueError, match="another net each time; pass random_state=0"):
            PANNsEmbedding("cnn6", "random").fit(None)
        rows = []
        for seed in (0, 0, 1):
            embedding = PANNsEmbedding("cnn6", "random", random_state=seed)
            with pytest.warns(UserWarning, match=r'drawn at random \(weights="random"\)'):
                rows.append(embedding.fit_transform([noise]))
            again = pickle.loads(pickle.dumps(embedding))
            np.testing.assert_array_equal(again.transform([noise]), rows[-1])
        np.testing.assert_array_equal(rows[0], rows[1])
        assert np.abs(rows[0] - rows[2]).max() > 0.01
        assert (rows[0] > 0).mean() > 0.9  # all layers are alive

    @pytest.mark.parametrize(
        ("params", "words"),
        [
            ({"model": "resnet"}, "model"),
            ({"layers": "layer1"}, "layers"),
            ({"segment_duration": 0}, "segment_duration"),
            ({"device": "gpu0"}, 'device=.gpu0.; pass "auto"'),
            ({"weights": 3}, "weights"),
        ],
    )
    def test_bad_parameters_are_told_by_fit(self, params, words):
        with pytest.raises(ValueError, match=words):
            PANNsEmbedding(**params).fit(None)


IN_A_NEW_PROCESS = """
import sys, joblib, numpy as np
embedding = joblib.load(sys.argv[1])
np.save(sys.argv[2], embedding.transform(np.load(sys.argv[3])))
"""


class TestPickles:
    def test_by_path_and_hash(self, tmp_path, cnn6, noise):
        path = tmp_path / "cnn6.pth"
        path.write_bytes(cnn6[1].read_bytes())
        embedding = PANNsEmbedding("cnn6", path).fit(None)
        expected = embedding.transform([noise])
        assert len(pickle.dumps(embedding)) < 300_000
        names = [str(tmp_path / name) for name in ("model.joblib", "out.npy", "in.npy")]
        joblib.dump(embedding, names[0])
        np.save(names[2], noise[None])
        subprocess.run([sys.executable, "-c", IN_A_NEW_PROCESS, *names], check=True)
        np.testing.assert_array_equal(np.load(names[1]), expected)

        pickled = pickle.dumps(embedding)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        _panns_weights.load_net.cache_clear()  # as in a new process
        with pytest.raises(ValueError, match="is not the file that PANNsEmbedding was fitted with"):
            pickle.loads(pickled).transform([noise])
        path.unlink()
        with pytest.raises(FileNotFoundError, match=r"no file .*cnn6\.pth"):
            pickle.loads(pickled).transform([noise])
        again = pickle.loads(pickled).set_params(weights=cnn6[1]).fit(None)
        np.testing.assert_array_equal(again.transform([noise]), expected)

    def test_embedded(self, tmp_path, cnn6, noise):
        path = tmp_path / "cnn6.pth"
        path.write_bytes(cnn6[1].read_bytes())
        embedding = PANNsEmbedding("cnn6", path, embed_weights=True).fit(None)
        expected = embedding.transform([noise])
        path.unlink()
        n_weights = sum(value.numel() for value in cnn6[0].values())
        again = pickle.loads(pickle.dumps(embedding))
        assert len(pickle.dumps(again)) < 4.2 * n_weights
        _panns_weights.load_net.cache_clear()  # as in a new process
        np.testing.assert_array_equal(again.transform([noise]), expected)
        with pytest.raises(FileNotFoundError):  # the other precision is only in the file
            again.set_params(precision="bf16").transform([noise])

    def test_fits_of_one_file_share_the_net(self, cnn6, embed):
        nets = [
            each._net("cpu").net
            for each in (embed, clone(embed).set_params(layers="logits").fit(0))
        ]
        assert nets[0] is nets[1]


@pytest.fixture
def runs(monkeypatch):
    """Return a list of the batches that the net has seen."""
    seen = []
    forward = PooledPANN.forward

    def spy(self, x):
        seen.append(tuple(x.shape))
        return forward(self, x)

    monkeypatch.setattr(PooledPANN, "forward", spy)
    return seen


class TestCache:
    def test_a_clip_passes_once(self, tmp_path, embed, runs, rng):
        waves = 0.1 * rng.standard_normal((3, 5 * 32000))
        cached = clone(embed).set_params(memory=str(tmp_path)).fit(None)
        expected = embed.transform(waves)
        assert len(runs) == 3
        np.testing.assert_array_equal(cached.transform(waves[:2]), expected[:2])
        assert len(runs) == 5
        np.testing.assert_array_equal(cached.transform(waves[::-1]), expected[::-1])
        assert len(runs) == 6
        np.testing.assert_array_equal(
            clone(cached).set_params(n_jobs=2).fit(None).transform(waves), expected
        )
        assert len(runs) == 6

    def test_a_damaged_row_is_computed_again(self, tmp_path, embed, runs, noise):
        cached = clone(embed).set_params(memory=str(tmp_path)).fit(None)
        expected = cached.transform([noise])
        (path,) = tmp_path.rglob("output.pkl")
        path.write_bytes(path.read_bytes()[:20])
        np.testing.assert_array_equal(cached.transform([noise]), expected)
        assert len(runs) == 2
        np.testing.assert_array_equal(cached.transform([noise]), expected)
        assert len(runs) == 2

    def test_other_layers_and_weights_are_other_rows(self, tmp_path, embed, runs, write, noise):
        cached = clone(embed).set_params(memory=str(tmp_path))
        first = cached.fit(None).transform([noise])
        others = write({"model": random_state_dict("cnn6", seed=1)}, "others.pth")
        assert np.abs(cached.set_params(weights=others).fit_transform([noise]) - first).max() > 0.01
        assert cached.set_params(layers="logits").fit_transform([noise]).shape == (1, 527)
        assert len(runs) == 3

    def test_a_search_computes_embeddings_once(self, tmp_path, embed, runs, rng):
        waves = 0.1 * rng.standard_normal((30, 5000))
        embedding = clone(embed).set_params(memory=str(tmp_path))
        search = GridSearchCV(
            make_pipeline(embedding, KNNDetector(threshold="quantile")),
            {"knndetector__n_neighbors": [1, 2, 3]},
            scoring=lambda model, X, y=None: float(model.score_samples(X).mean()),
            cv=3,
        )
        search.fit(waves)
        # The first fold's training clips and its test clips: all that there are.
        assert len(runs) == 2

    def test_batches_are_of_equal_clips_and_full(self, embed, runs, rng):
        embed.transform([0.1 * rng.standard_normal(n) for n in (32000, 16000, 32000, 16000)])
        assert sorted(runs) == [(3, 101, 64), (7, 51, 64)]


class Tiny(nn.Module):
    """Two layers of which the means are known."""

    def __init__(self):
        super().__init__()
        self.frames = nn.Conv1d(1, 4, 100, stride=50)
        self.out = nn.Linear(4, 3)

    def forward(self, x):  # (batch, n_samples)
        return self.out(self.frames(x[:, None]).transpose(1, 2))  # (batch, n_frames, 3)


class TestTorchEmbedding:
    @pytest.fixture
    def module(self):
        torch.manual_seed(0)
        return Tiny().eval()

    def test_means_over_time(self, module, rng):
        waves = [rng.standard_normal(n).astype(np.float32) for n in (16000, 500, 16000, 700)]
        embedding = TorchEmbedding(module, 16000).fit(None)
        rows = embedding.transform(waves)
        assert rows.shape == (4, 3)
        with torch.inference_mode():
            for row, wave in zip(rows, waves, strict=True):
                close(row, module(torch.from_numpy(wave)[None])[0].mean(dim=0))
                np.testing.assert_array_equal(embedding.transform([wave])[0], row)
        frame = embedding.set_output(transform="pandas").transform(waves)
        assert list(frame.columns) == [f"torchembedding{i}" for i in range(3)]

    def test_layers(self, module, rng):
        wave = rng.standard_normal((1, 1600)).astype(np.float32)
        by_map = TorchEmbedding(module, layers=["frames"], feature_axis=1).fit_transform(wave)
        with torch.inference_mode():
            expected = module.frames(torch.from_numpy(wave)[:, None]).mean(dim=2)
        close(by_map, expected)
        assert not module.frames._forward_hooks
        with pytest.raises(ValueError, match=r"layers=\['front'\]; pass names .*'frames', 'out'"):
            TorchEmbedding(module, layers=["front"]).fit(None)

    def test_one_name_is_no_list(self, module):
        with pytest.raises(ValueError, match=r"layers='out'; pass layers=\['out'\]"):
            TorchEmbedding(module, layers="out").fit(None)

    def test_a_layer_that_runs_twice_is_refused(self):
        class Twice(nn.Module):
            def __init__(self):
                super().__init__()
                self.relu, self.once = nn.ReLU(), nn.Identity()

            def forward(self, x):
                return self.relu(self.once(self.relu(x)))

        module = Twice().eval()
        with pytest.raises(ValueError, match=r"runs 'relu' more than once.* pass layers that"):
            TorchEmbedding(module, layers=["once", "relu"]).fit(None)
        assert not module.relu._forward_hooks
        wave = np.linspace(-1, 1, 16000)[None]
        rows = TorchEmbedding(module, layers=["once", "once"]).fit_transform(wave)
        assert rows.shape == (1, 32000)  # a name that is given twice is another matter

    @pytest.mark.parametrize(
        ("segment_duration", "min_samples", "enough"), [(1e-6, 1, "0.002"), (0.198, 100, "0.2")]
    )
    def test_segments_that_are_too_short(self, module, segment_duration, min_samples, enough):
        params = {"sample_rate": 1000, "min_samples": min_samples}
        words = rf"segment_duration={segment_duration}.*segment_duration={enough} or more"
        with pytest.raises(ValueError, match=words):
            TorchEmbedding(module, segment_duration=segment_duration, **params).fit(None)

    @pytest.mark.parametrize("n_samples", [199, 200, 399, 401])
    def test_the_shortest_segments(self, n_samples, rng):
        lengths = []

        class Lengths(nn.Module):
            def forward(self, x):
                lengths.append(x.shape[1])
                return x[..., None]

        embedding = TorchEmbedding(
            Lengths().eval(), 1000, min_samples=100, segment_duration=0.199, device="cpu"
        )
        embedding.fit_transform(rng.standard_normal((1, n_samples)))
        assert min(lengths) >= 100
        assert max(lengths[1:]) <= 199

    def test_segments_are_averaged_by_length(self, module, rng):
        wave = rng.standard_normal((1, 2501)).astype(np.float32)
        row = TorchEmbedding(module, 1000, segment_duration=1.0).fit_transform(wave)[0]
        parts = np.split(wave, [834, 1668], axis=1)
        whole = TorchEmbedding(module, 1000).fit(None)
        rows = np.concatenate([whole.transform(part) for part in parts])
        close(row, np.average(rows, axis=0, weights=[834, 834, 833]))

    def test_short_clips(self, module):
        embedding = TorchEmbedding(module, min_samples=100).fit(None)
        with pytest.raises(ClipError, match=r"only 50 samples .* the 100 .* that Tiny takes"):
            embedding.transform([np.linspace(0, 1, 50)])
        assert embedding.set_params(pad_short=True).transform([np.linspace(0, 1, 50)]).shape == (
            1,
            3,
        )

    def test_the_module_stays_as_it_is(self, module, rng):
        embedding = TorchEmbedding(module).fit(None)
        before = {key: value.clone() for key, value in module.state_dict().items()}
        embedding.transform(rng.standard_normal((2, 1000)))
        assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
        assert embedding.module is module
        again = pickle.loads(pickle.dumps(clone(embedding).fit(None)))
        waves = rng.standard_normal((2, 1000))
        np.testing.assert_array_equal(again.transform(waves), embedding.transform(waves))

    def test_a_module_that_still_learns_is_refused(self):
        with pytest.raises(ValueError, match=r"in training mode; call module.eval\(\) first"):
            TorchEmbedding(Tiny()).fit(None)

    def test_an_output_of_no_use_is_told(self):
        class Scalar(nn.Module):
            def forward(self, x):
                return x.mean()

        with pytest.raises(ValueError, match=r"output of shape \(\) from the module; .* Wrap"):
            TorchEmbedding(Scalar().eval()).fit(None)

    def test_the_cache_knows_the_weights(self, module, tmp_path, rng):
        waves = rng.standard_normal((2, 1000))
        embedding = TorchEmbedding(module, memory=str(tmp_path)).fit(None)
        calls = []
        module.register_forward_hook(lambda *_: calls.append(1))
        first = embedding.transform(waves)
        np.testing.assert_array_equal(embedding.transform(waves), first)
        assert len(calls) == 1
        with torch.no_grad():
            module.out.weight += 1
        assert np.abs(embedding.transform(waves) - first).max() > 0.1


class TestPipelines:
    @pytest.fixture
    def clips(self, rng):
        """Return normal clips, and some with a whistle."""
        t = np.arange(16000) / 32000
        hum = np.sin(2 * np.pi * 120 * t) + 0.1 * rng.standard_normal((30, 16000))
        whistle = hum[20:] + 0.5 * np.sin(2 * np.pi * 4000 * t)
        return 0.1 * hum[:20], 0.1 * hum[20:], 0.1 * whistle

    @pytest.mark.parametrize(
        "detector",
        [KNNDetector(), MahalanobisDetector(), IsolationForest(random_state=0)],
        ids=repr,
    )
    def test_a_fault_is_found(self, embed, clips, detector):
        train, normal, faulty = clips
        pipeline = make_pipeline(clone(embed), detector).fit(train)
        assert pipeline.score_samples(faulty).max() < pipeline.score_samples(normal).min()
        assert (pipeline.predict(faulty) == -1).all()

    @pytest.mark.filterwarnings("ignore:The weights are drawn at random")
    def test_a_machine_is_evaluated(self, write_clip):
        names = [f"{name}.wav" for name in ("a", "b", "c", "d", "e")]
        table = pd.DataFrame(
            {
                "path": [write_clip(name, seconds=1.0) for name in names],
                "split": ["train"] * 3 + ["test"] * 2,
                "label": [1, 1, 1, 1, -1],
            }
        )
        embedding = PANNsEmbedding("cnn6", "random", random_state=0)
        detector = KNNDetector(threshold="quantile", calibration=None)
        scored = evaluate_machine(make_pipeline(embedding, detector), table)
        assert np.isfinite(scored["score"]).all()
        waves = [load_waveform(path, ClipFormat(32000))[0] for path in table["path"][3:]]
        levels = [10 * np.log10(np.mean(np.square(wave, dtype=float))) for wave in waves]
        np.testing.assert_allclose(scored["level"], levels)

    @pytest.mark.filterwarnings("ignore:The weights are drawn at random")
    def test_copies_are_made_at_the_rate_of_the_net(self, rng):
        front_ends = {
            32000: PANNsEmbedding("cnn6", "random", random_state=0),
            16000: PANNsEmbedding("cnn14_16k", channel=1),
            8000: TorchEmbedding(Tiny().eval(), 8000),
        }
        for rate, front_end in front_ends.items():
            form = clip_format(make_pipeline(front_end, KNNDetector()))
            assert form == ClipFormat(rate, front_end.channel)
        pipeline = make_pipeline(
            front_ends[32000], KNNDetector(threshold="quantile", calibration=None)
        )
        augmented = Augmented(pipeline, copies=1, pitch_shift=None, time_stretch=None, gain=(-6, 6))
        augmented.fit(rng.standard_normal((3, 16000)))
        assert augmented.n_copies_ == 3
        with pytest.raises(ValueError, match="'model' parameter of PANNsEmbedding"):
            Augmented(make_pipeline(PANNsEmbedding("cnn7"), KNNDetector())).fit(["no-such.wav"])

    @pytest.mark.parametrize("name", ["panns-knn", "panns-mahalanobis"])
    def test_recipes(self, cnn6, clips, name):
        params = {"pannsembedding__model": "cnn6", "pannsembedding__weights": str(cnn6[1])}
        pipeline = make_recipe(name, **params).fit(clips[0])
        assert (pipeline.predict(clips[2]) == -1).all()
        assert repr(make_recipe(name)[0]) == repr(PANNsEmbedding())


@pytest.mark.gpu
def test_gpu_agrees(cnn6, noise):
    waves = [noise, noise[:9000], noise]
    rows = [PANNsEmbedding("cnn6", cnn6[1], device=d).fit_transform(waves) for d in ("cpu", "cuda")]
    close(rows[1], rows[0])
