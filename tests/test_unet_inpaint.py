"""UNetInpaintDetector against the report's table and its scores worked out by hand."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit

from sklasd import LogMel
from sklasd.datasets import load_dcase, make_machine_clips
from sklasd.detectors import _unet_inpaint
from sklasd.detectors._unet_inpaint import UNetInpaintDetector
from sklasd.evaluation._parts import held_out_clips, training_clips
from sklasd.features._scaler import SpectrogramScaler
from sklasd.nets._unet import InpaintingUNet, UNet
from sklasd.testing import make_sounds

REPORT = LogMel(n_fft=400, hop_length=256, n_mels=64)


def small(**params):
    settings = {
        "window_length": 16, "hop": 16, "patch_size": 4, "n_masked": 0.75, "n_masks": 8,
        "width": 2, "batch_size": 16, "max_epochs": 3, "lr": 1e-2, "threshold": "quantile",
        "calibration": None,
        "random_state": 0,
    }  # fmt: skip
    return UNetInpaintDetector(**(settings | params))


@pytest.fixture(scope="module")
def sounds():
    return make_sounds(n_mels=16, n_frames=40, n_clips=8)


@pytest.fixture(scope="module")
def fitted(sounds):
    return small().fit(sounds.train)


class TestNet:
    def test_the_tables_sizes(self):
        net = UNet().eval()
        assert sum(p.numel() for p in net.parameters()) == 17_303_681
        shapes = []
        for stage in (net.enter, *net.down, *net.up, net.leave):
            stage.register_forward_hook(lambda *args: shapes.append(tuple(args[2].shape[1:])))
        with torch.inference_mode():
            net(torch.zeros(1, 1, 64, 64))
        assert shapes == [
            (64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8), (512, 4, 4),
            (256, 8, 8), (128, 16, 16), (64, 32, 32), (64, 64, 64), (1, 64, 64),
        ]  # fmt: skip

    def test_ends_in_two_leaky_convolutions(self):
        kinds = [type(m).__name__ for m in UNet(2).leave]
        assert kinds == ["Conv2d", "LeakyReLU", "Conv2d", "LeakyReLU"]

    def test_a_fresh_mask_for_each_window_and_step(self):
        net = InpaintingUNet(width=1)
        x = torch.randn(4, 64, 64)
        masks = torch.cat([net(x).mask, net(x).mask])
        assert (masks.sum(dim=(1, 2)) == 48 * 64).all()
        assert len(masks.flatten(1).unique(dim=0)) == 8

    def test_what_is_hidden_is_not_seen(self):
        torch.manual_seed(0)
        net = InpaintingUNet(width=4).eval()
        x = torch.randn(2, 64, 64)
        painted, mask = net(x)
        other = torch.where(mask, torch.randn_like(x), x)
        assert torch.equal(net(other, mask).painted, painted)
        assert not torch.equal(net(other + 1, mask).painted, painted)

    def test_works_on_scaled_input_in_units_of_the_input(self):
        torch.manual_seed(0)
        plain = InpaintingUNet(width=1).eval()
        scaled = InpaintingUNet(width=1, n_mels=64)
        scaled.set_initial_state(torch.full((64,), -40.0), torch.full((64,), 4.0))
        scaled.unet.load_state_dict(plain.unet.state_dict())
        x = torch.randn(2, 64, 64)
        painted, mask = plain(x)
        torch.testing.assert_close(scaled.eval()(4 * x - 40, mask).painted, 4 * painted - 40)


def by_hand(detector, x):
    """Return the three scores of windows (batch, n_mels, n_frames), and the map, mask by mask."""
    masks = detector._masks(x.shape[1], detector.n_masks, detector.mask_seed_)
    x = torch.from_numpy(x)
    net = detector.net_.module_.eval()
    with torch.inference_mode():
        painted = [net(x, mask.expand(x.shape)).painted.double() for mask in masks]
    hidden = torch.full((len(masks), *x.shape), torch.nan, dtype=torch.float64)
    for k, mask in enumerate(masks):
        hidden[k][:, mask] = painted[k][:, mask]
    square = (hidden.nanmean(dim=0) - x).square()
    return {
        "masked": square.mean(dim=(1, 2)),
        "mean_of_masks": (hidden - x).square().flatten(2).nanmean(dim=2).mean(dim=0),
        "full": (torch.stack(painted).mean(dim=0) - x).square().mean(dim=(1, 2)),
    }, square.numpy()


class TestScores:
    def test_by_hand(self, fitted, sounds):
        X = sounds.test
        starts = (0, 16, 24)  # the last one ends with the clip
        values = [by_hand(fitted, X[:, :, start : start + 16])[0] for start in starts]
        table = fitted.score_table(X)
        for name in ("masked", "mean_of_masks", "full"):
            windows = torch.stack([v[name] for v in values]).numpy()
            for pooling in ("mean", "max", "min"):
                expected = -getattr(np, pooling)(windows, axis=0)
                np.testing.assert_allclose(table[f"{name}_{pooling}"], expected, rtol=1e-4)

    def test_map_by_hand(self, fitted, sounds):
        total, count = np.zeros_like(sounds.test, dtype=float), np.zeros(40)
        for start in (0, 16, 24):
            total[:, :, start : start + 16] += by_hand(
                fitted, sounds.test[:, :, start : start + 16]
            )[1]
            count[start : start + 16] += 1
        expected = total / count / fitted.residual_power_[:, None]
        np.testing.assert_allclose(fitted.anomaly_map(sounds.test), expected, rtol=1e-3, atol=1e-5)

    def test_chunks_change_nothing(self, fitted, sounds, monkeypatch):
        table = fitted.score_table(sounds.test)
        largest = []
        fitted.net_.module_.unet.register_forward_pre_hook(
            lambda _, args: largest.append(len(args[0]))
        )
        for n_at_once in (1, 2, 7):
            n_bytes = n_at_once * 24 * 2 * 16 * 16
            monkeypatch.setattr(_unet_inpaint, "_CPU_BYTES", n_bytes)
            np.testing.assert_allclose(fitted.score_table(sounds.test), table, rtol=1e-4)
            assert max(largest) <= n_at_once
            largest.clear()
        fitted.net_.module_.unet._forward_pre_hooks.clear()

    def test_no_frame_goes_unscored(self, fitted, sounds):
        for frame in (0, 20, 39):
            changed = sounds.test[:1].copy()
            changed[:, :, frame] += 30
            assert fitted.score_samples(changed)[0] < fitted.score_samples(sounds.test[:1])[0] - 1

    def test_same_twice_and_alone(self, fitted, sounds):
        scores = fitted.score_samples(sounds.test)
        np.testing.assert_array_equal(fitted.score_samples(sounds.test), scores)
        np.testing.assert_array_equal(fitted.score_samples(sounds.test[3:4]), scores[3:4])


def test_few_hidden_patches(sounds):
    detector = small(patch_size=2, n_masked=1, n_masks=64, max_epochs=1).fit(sounds.train)
    assert np.isfinite(detector.anomaly_map(sounds.test)).all()
    assert np.isfinite(detector.score_table(sounds.test)).all(axis=None)


def test_scaling_is_learnt_from_normal_clips(sounds):
    X = np.concatenate([sounds.train, sounds.test + 30])
    y = np.repeat([1, -1], [8, 16])
    for scaler in (None, SpectrogramScaler(method="standard", per="band")):
        net = small(max_epochs=1, scaler=scaler).fit(X, y).net_.module_
        expected = clone(scaler or SpectrogramScaler()).fit(sounds.train)
        np.testing.assert_allclose(net.scaling.centre[:, 0], expected.centre_, rtol=1e-5)
        np.testing.assert_allclose(net.scaling.scale[:, 0], expected.scale_, rtol=1e-5)


@pytest.mark.parametrize("loss", ["masked", "full"])
def test_loss_is_of_what_it_says(sounds, loss):
    net = small(loss=loss).fit(sounds.train).net_
    x = torch.from_numpy(sounds.test[:8, :, :16].copy())
    with torch.inference_mode():
        inpainting = net.module_(x)
        error = (inpainting.painted - x).square()
    counted = inpainting.mask if loss == "masked" else torch.ones_like(inpainting.mask)
    torch.testing.assert_close(net.criterion_(inpainting, x), error[counted].mean())
    # It is what the curve shows, too: without training the first epoch would repeat itself.
    curve = small(loss=loss, max_epochs=15).fit(sounds.train).loss_curve_
    assert curve[-1] < 0.9 * curve[0]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"patch_size": 5}, "patch_size=5"),
        ({"n_masked": 16}, "n_masked=16 of 16 patches"),
        ({"n_masked": 2, "n_masks": 7}, "n_masks=7, .* at least 8"),
        ({"window_length": 24}, "window_length=24, .* multiple of 16"),
    ],
)
def test_impossible_windows_are_refused(sounds, params, words):
    with pytest.raises(ValueError, match=words):
        small(**params).fit(sounds.train)


def test_impossible_bands_are_refused(sounds):
    with pytest.raises(ValueError, match="n_mels=12"):
        small().fit(sounds.train[:, :12])


def test_defaults_are_the_reports():
    expected = {"window_length": 64, "patch_size": 8, "n_masked": 48, "n_masks": 256, "width": 64}
    expected |= {"lr": 1e-4, "batch_size": 64, "max_epochs": 100, "anomaly_score": "masked"}
    assert expected.items() <= UNetInpaintDetector().get_params().items()


def test_grid_search(sounds, tmp_path):
    X = np.concatenate([sounds.train, sounds.test])
    y = np.concatenate([np.ones(len(sounds.train)), sounds.label])
    grid = {"patch_size": [4, 8], "n_masked": [0.25, 0.75], "n_masks": [4, 8]}
    cv = PredefinedSplit(np.repeat([-1, 0], [len(sounds.train), len(sounds.test)]))
    search = GridSearchCV(
        small(max_epochs=1, memory=str(tmp_path)), grid, scoring="roc_auc", cv=cv
    ).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(list(tmp_path.rglob("train_net/*/output.pkl"))) == 4 + 1  # n_masks costs no training


def inside_of(regions, mel_frequencies, n_frames):
    """Tell the pixels of the spectrogram that lie in boxes."""
    times = np.arange(n_frames) * 256 / 16000
    inside = np.zeros((len(mel_frequencies), n_frames), dtype=bool)
    for first, last, low, high in regions:
        bands = (mel_frequencies >= low) & (mel_frequencies <= high)
        inside |= bands[:, None] & ((times >= first) & (times <= last))
    return inside


@pytest.mark.slow
def test_the_map_shows_where_the_fault_is():
    clips, table = make_machine_clips(
        "fan", n_train=40, n_test=0, n_anomalies=20, faults=["rubbing"], severity=3.0,
        duration=3.0, random_state=0,
    )  # fmt: skip
    X, train = REPORT.fit_transform(clips), (table["split"] == "train").to_numpy()
    detector = UNetInpaintDetector(
        width=8, n_masks=8, lr=1e-3, batch_size=16, max_epochs=10, calibration=None, random_state=0
    ).fit(X[train])
    found = []
    for image, boxes in zip(detector.anomaly_map(X[~train]), table["regions"][~train], strict=True):
        inside = inside_of(boxes, REPORT.mel_frequencies, image.shape[1])
        found.append(image[inside].mean() >= 2 * image[~inside].mean())
    assert np.mean(found) >= 0.8


@pytest.mark.slow
def test_real_fans(real_data):
    table = load_dcase(real_data, machines=["fanstate"])
    train, held_out = training_clips(table), held_out_clips(table).iloc[::2]
    detector = UNetInpaintDetector(
        width=4, n_masks=8, lr=1e-3, batch_size=16, max_epochs=15, calibration=None, random_state=0
    ).fit(REPORT.transform(train))
    scores = detector.score_samples(REPORT.transform(held_out))
    assert roc_auc_score(held_out["label"], scores) >= 0.95
