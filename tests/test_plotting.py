"""What displays draw: the data on the axes, not only that they run."""

import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import sklearn.pipeline
import soundfile
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_curve
from sklearn.model_selection import GridSearchCV

from sklasd import (
    AEGANDetector,
    AudDSRDetector,
    Augmented,
    ClipStatistics,
    DiscreteAutoencoder,
    FusionDetector,
    GroupedDetector,
    KNNDetector,
    LogMel,
    MahalanobisDetector,
    OEAutoencoder,
    StatisticsDetector,
    STFTImage,
    make_pipeline,
)
from sklasd.datasets import make_machine_clips
from sklasd.inspection import anomaly_map, embed_clips, inspect_clips
from sklasd.metrics import auc_score, pauc_score
from sklasd.plotting import (
    AnomalyMapDisplay,
    EmbeddingDisplay,
    PartialROCDisplay,
    PValueDisplay,
    ScoreHistogramDisplay,
    ScoreOverTimeDisplay,
    SpectrogramDisplay,
    TrainingCurveDisplay,
)
from sklasd.plotting._matplotlib import BLUE, COLOURS, VERMILLION
from sklasd.plotting._overview import plot_overview

N_TRAIN = 24
OF_A_CLIP = [SpectrogramDisplay, AnomalyMapDisplay, ScoreOverTimeDisplay]
OF_SCORES = [ScoreHistogramDisplay, PValueDisplay, PartialROCDisplay]


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Short clips of a pump, and a table of files with them."""
    waves, table = make_machine_clips(
        "pump", n_train=N_TRAIN, n_test=6, n_anomalies=4, duration=1.0, severity=2.0,
        random_state=0,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("pump")
    paths = [str(folder / f"{i:02d}.wav") for i in range(len(waves))]
    for path, wave in zip(paths, waves, strict=True):
        soundfile.write(path, wave, 16000, subtype="FLOAT")
    return waves, table.assign(path=paths)


@pytest.fixture(scope="module")
def pipeline(clips):
    return make_pipeline(LogMel(n_mels=40), StatisticsDetector()).fit(clips[0][:N_TRAIN])


@pytest.fixture(scope="module")
def held_out(clips):
    return clips[1][N_TRAIN:].reset_index(drop=True)


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def rendered(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def image_of(mesh, shape):
    return np.asarray(mesh.get_array()).reshape(shape)


class TestAllDisplays:
    @pytest.mark.parametrize("display", OF_A_CLIP)
    def test_paths_arrays_and_tables_are_the_same_picture(self, clips, pipeline, display):
        waves, table = clips
        pictures = []
        for X in (waves, list(waves), list(table["path"]), table.drop(columns="regions")):
            axes = Figure(figsize=(3, 2)).subplots()
            drawn = display.from_estimator(pipeline, X, clip=-1, ax=axes)
            by_name = X is not waves and isinstance(X[0] if isinstance(X, list) else "", str)
            assert axes.get_title() == (
                f"{len(waves) - 1:02d}.wav" if by_name else f"clip {len(waves) - 1}"
            )
            axes.set_title("")
            pictures.append(rendered(axes.figure))
            assert drawn.ax_ is axes
            assert drawn.figure_ is axes.figure
        for picture in pictures[1:]:
            np.testing.assert_array_equal(picture, pictures[0])

    @pytest.mark.parametrize("display", OF_SCORES)
    def test_scores_of_arrays_and_tables_are_the_same_picture(self, clips, pipeline, display):
        waves, table = clips
        labels = table["label"].to_numpy()
        pictures = []
        for X, y in ((waves, labels), (list(table["path"]), list(labels)), (table, None)):
            axes = Figure(figsize=(3, 2)).subplots()
            display.from_estimator(pipeline, X, y, ax=axes)
            pictures.append(rendered(axes.figure))
        for picture in pictures[1:]:
            np.testing.assert_array_equal(picture, pictures[0])

    def test_without_axes_there_is_a_figure_of_pyplot(self):
        from matplotlib import pyplot

        before = pyplot.get_fignums()
        display = TrainingCurveDisplay.from_history([1.0, 0.5])
        assert len(pyplot.get_fignums()) == len(before) + 1
        pyplot.close(display.figure_)
        again = display.plot(Figure().subplots())
        assert again is display
        assert pyplot.get_fignums() == before

    def test_without_matplotlib_it_is_said_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(ImportError, match=r"pip install 'sklasd\[plot\]'"):
            TrainingCurveDisplay.from_history([1.0, 0.5])

    def test_lines_and_text_can_be_read_on_black(self, ax):
        with mpl.style.context("dark_background"):
            scores = ScoreHistogramDisplay.from_predictions([0.0, 1.0], threshold=0.5, ax=ax)
            curve = PartialROCDisplay.from_predictions([1, -1], [1.0, 0.0], ax=ax)
        assert to_hex(scores.threshold_.get_color()) == "#ffffff"
        assert to_hex(curve.chance_.get_color()) == "#ffffff"

    def test_colours_stand_out_from_white_and_black(self):
        def luminance(colour):
            rgb = np.array(mpl.colors.to_rgb(colour))
            linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
            return linear @ [0.2126, 0.7152, 0.0722]

        for colour in (BLUE, VERMILLION):  # WCAG's contrast of 3 : 1 for what is drawn
            assert 1.05 / (luminance(colour) + 0.05) > 3
            assert (luminance(colour) + 0.05) / 0.05 > 3
        assert len(set(COLOURS)) == len(COLOURS)


class TestSpectrogram:
    def test_it_is_the_front_ends(self, clips, ax):
        waves, _ = clips
        front_end = LogMel(n_mels=40)
        display = SpectrogramDisplay.from_estimator(front_end, waves, clip=3, ax=ax)
        expected = front_end.transform(waves[3:4])[0]
        np.testing.assert_array_equal(image_of(display.image_, (40, 32)), expected)
        assert ax.get_xlabel() == "time in s"
        assert ax.get_ylabel() == "frequency in Hz"
        assert display.colorbar_.ax.get_ylabel() == "level (dB)"
        assert ax.get_title() == "clip 3"
        low, high = display.image_.get_clim()
        assert (low, high) == tuple(np.quantile(expected, [0.02, 0.998]))

    def test_cells_lie_around_their_centres(self, clips, ax):
        front_end = LogMel(n_mels=40)
        display = SpectrogramDisplay.from_estimator(front_end, clips[0], ax=ax)
        edges = display.image_.get_coordinates()  # (n_bands + 1, n_frames + 1, 2)
        x, y = edges[0, :, 0], edges[:, 0, 1]
        np.testing.assert_allclose((x[1:] + x[:-1]) / 2, np.arange(32) * 0.032)
        frequencies = front_end.mel_frequencies
        np.testing.assert_allclose(y[1:-1], (frequencies[1:] + frequencies[:-1]) / 2)
        assert (y[:-1] < frequencies).all()
        assert (frequencies < y[1:]).all()
        assert ax.get_xlim() == pytest.approx((-0.016, 1.008))
        assert ax.get_ylim() == pytest.approx((y[0], y[-1]))

    def test_bands_are_equally_high_and_ticks_in_hz(self, clips, ax):
        display = SpectrogramDisplay.from_estimator(LogMel(n_mels=40), clips[0], ax=ax)
        edges = display.image_.get_coordinates()[:, 0]
        heights = np.diff(ax.transData.transform(edges)[:, 1])
        np.testing.assert_allclose(heights, heights[0], rtol=1e-6)
        assert [tick.get_text() for tick in ax.get_yticklabels()] == [
            "250",
            "500",
            "1000",
            "2000",
            "4000",
        ]
        np.testing.assert_array_equal(ax.get_yticks(), [250, 500, 1000, 2000, 4000])

    def test_an_image_has_a_linear_axis(self, clips, ax):
        image = STFTImage(win_length=1024, hop_length=512, height=64, width=50)
        display = SpectrogramDisplay.from_estimator(image, clips[0], ax=ax)
        coordinates = display.image_.get_coordinates()
        assert coordinates[0, 0, 1] == 0  # no negative frequencies
        np.testing.assert_allclose(np.diff(coordinates[1:, 0, 1]), 513 / 64 * 16000 / 1024)
        assert display.colorbar_.ax.get_ylabel() == "level (share of the range)"

    def test_regions_are_in_hz_and_seconds(self, held_out, pipeline, ax):
        faulty = int(np.flatnonzero(held_out["label"] == -1)[0])
        display = SpectrogramDisplay.from_estimator(pipeline, held_out, clip=faulty, ax=ax)
        boxes = [box.get_bbox().extents for box in display.regions_]
        expected = [(s, low, e, high) for s, e, low, high in held_out["regions"][faulty]]
        np.testing.assert_allclose(boxes, expected)
        given = SpectrogramDisplay.from_estimator(pipeline, held_out, regions=[(0, 1, 5, 9)], ax=ax)
        assert len(given.regions_) == 1

    def test_without_axes_bands_and_frames_are_counted(self, ax):
        display = SpectrogramDisplay.from_arrays([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], ax=ax)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("frame", "band")
        assert ax.get_xlim() == (-0.5, 1.5)
        assert ax.get_ylim() == (-0.5, 2.5)
        assert display.colorbar_.ax.get_ylabel() == "level"

    def test_how_is_handed_on(self, ax):
        display = SpectrogramDisplay(np.eye(3)).plot(ax, colorbar=False, cmap="gray", vmin=-1)
        assert display.colorbar_ is None
        assert display.image_.get_cmap().name == "gray"
        assert display.image_.get_clim()[0] == -1

    def test_a_position_that_is_not_there(self, clips, ax):
        with pytest.raises(ValueError, match="clip=99, but there are 34 clips"):
            SpectrogramDisplay.from_estimator(LogMel(), clips[0], clip=99, ax=ax)


class TestAnomalyMap:
    def test_map_over_spectrogram(self, clips, pipeline, ax):
        waves, _ = clips
        (seen,) = inspect_clips(pipeline, waves[-1:])
        display = AnomalyMapDisplay.from_estimator(pipeline, waves, clip=-1, ax=ax)
        np.testing.assert_array_equal(image_of(display.image_, (40, 32)), seen.anomaly_map)
        np.testing.assert_array_equal(image_of(display.background_, (40, 32)), seen.spectrogram)
        np.testing.assert_array_equal(
            display.image_.get_coordinates(), display.background_.get_coordinates()
        )
        assert display.colorbar_.ax.get_ylabel() == "anomaly (share of the distance)"
        assert display.image_.get_clim() == (0, np.quantile(seen.anomaly_map, 0.998))

    def test_what_is_low_does_not_hide_the_spectrogram(self, ax):
        where = np.array([[0.0, 1.0], [2.0, 10.0]])
        display = AnomalyMapDisplay(where, spectrogram=where).plot(ax, vmax=10.0)
        np.testing.assert_allclose(display.image_.get_alpha(), [[0, 1 / 3], [2 / 3, 1]])
        alone = AnomalyMapDisplay.from_arrays(where, ax=ax)
        assert alone.background_ is None
        assert alone.image_.get_alpha() is None

    def test_an_empty_map(self, ax):
        display = AnomalyMapDisplay.from_arrays(np.zeros((2, 3)), spectrogram=np.eye(3)[:2], ax=ax)
        assert display.image_.get_clim() == (0, 1)
        assert not np.any(display.image_.get_alpha())

    def test_it_works_around_pipelines(self, clips, pipeline):
        _, table = clips
        expected = AnomalyMapDisplay.from_estimator(
            pipeline, table, clip=-1, ax=Figure().subplots()
        )
        of_search = GridSearchCV(
            make_pipeline(LogMel(n_mels=40), StatisticsDetector()),
            {"statisticsdetector__contamination": [0.1]},
            cv=2,
            scoring=lambda estimator, X, y=None: 0.0,
        )
        around = [
            of_search,
            GroupedDetector(make_pipeline(LogMel(n_mels=40), StatisticsDetector())),
        ]
        for estimator in around:
            estimator.fit(table[:N_TRAIN])
            display = AnomalyMapDisplay.from_estimator(
                estimator, table, clip=-1, ax=Figure().subplots()
            )
            np.testing.assert_array_equal(display.anomaly_map, expected.anomaly_map)
            np.testing.assert_array_equal(display.frequencies, expected.frequencies)

    @pytest.mark.parametrize("display", [AnomalyMapDisplay, ScoreOverTimeDisplay])
    def test_a_detector_that_cannot_tell_where(self, clips, display, ax):
        near = make_pipeline(LogMel(n_mels=40), ClipStatistics(), KNNDetector())
        near.fit(clips[0][:N_TRAIN])
        with pytest.raises(ValueError, match="KNNDetector, which cannot tell where"):
            display.from_estimator(near, clips[0], ax=ax)


class TestScoreOverTime:
    @pytest.mark.parametrize("pooling", ["mean", "max"])
    def test_line(self, clips, pipeline, ax, pooling):
        (seen,) = inspect_clips(pipeline, clips[0][-1:])
        display = ScoreOverTimeDisplay.from_estimator(
            pipeline, clips[0], clip=-1, pooling=pooling, ax=ax
        )
        x, y = display.line_.get_data()
        np.testing.assert_array_equal(x, seen.times)
        np.testing.assert_array_equal(y, getattr(seen.anomaly_map, pooling)(axis=0))
        assert ax.get_xlabel() == "time in s"
        assert ax.get_ylabel() == f"{pooling} anomaly (share of the distance)"

    def test_true_faults_are_shaded(self, held_out, pipeline, ax):
        faulty = int(np.flatnonzero(held_out["label"] == -1)[-1])
        display = ScoreOverTimeDisplay.from_estimator(pipeline, held_out, clip=faulty, ax=ax)
        spans = [(span.get_x(), span.get_x() + span.get_width()) for span in display.spans_]
        np.testing.assert_allclose(spans, [r[:2] for r in held_out["regions"][faulty]])
        assert legend_of(ax) == ["true fault"]

    def test_wrong_pooling(self, ax):
        with pytest.raises(ValueError, match="pooling='sum'; pass one of mean, max"):
            ScoreOverTimeDisplay.from_arrays(np.eye(3), pooling="sum", ax=ax)


class TestScoreHistogram:
    SCORES = (-1.0, -1.5, -2.5, -9.5, -5.5)
    LABELS = (1, 1, 1, -1, -1)

    def test_bars_by_hand(self, ax):
        display = ScoreHistogramDisplay.from_predictions(
            self.SCORES, self.LABELS, threshold=-4.0, bins=[-10, -6, -2, 0], ax=ax
        )
        heights = {name: [bar.get_height() for bar in bars] for name, bars in display.bars_.items()}
        assert heights == {"normal": [0, 1, 2], "anomalous": [1, 1, 0]}
        assert [bar.get_x() for bar in display.bars_["normal"]] == [-10, -6, -2]
        assert [bar.get_width() for bar in display.bars_["normal"]] == [4, 4, 2]
        assert display.threshold_.get_xdata() == [-4.0, -4.0]
        assert legend_of(ax) == ["threshold -4", "normal (3)", "anomalous (2)"]
        assert ax.get_xlabel() == "score (higher is more normal)"
        assert ax.get_ylabel() == "clips"
        hatches = [display.bars_[name][0].get_hatch() for name in ("normal", "anomalous")]
        assert hatches == [None, "////"]  # in grey print, too

    def test_without_labels(self, ax):
        display = ScoreHistogramDisplay.from_predictions(self.SCORES, bins=4, ax=ax)
        assert list(display.bars_) == ["clips"]
        heights, edges = np.histogram(self.SCORES, 4)
        np.testing.assert_array_equal([bar.get_height() for bar in display.bars_["clips"]], heights)
        np.testing.assert_allclose([bar.get_x() for bar in display.bars_["clips"]], edges[:-1])
        assert display.threshold_ is None

    def test_the_threshold_is_the_detectors(self, clips, pipeline, ax):
        waves, table = clips
        display = ScoreHistogramDisplay.from_estimator(pipeline, waves, table["label"], ax=ax)
        np.testing.assert_array_equal(display.scores, pipeline.score_samples(waves))
        assert display.threshold_.get_xdata()[0] == pipeline[-1].offset_
        counts = {
            name: sum(bar.get_height() for bar in bars) for name, bars in display.bars_.items()
        }
        assert counts == {"normal": N_TRAIN + 6, "anomalous": 4}

    def test_of_groups_scores_are_relative_to_their_thresholds(self, clips, ax):
        _, table = clips
        table = table.assign(machine=np.where(np.arange(len(table)) % 2, "one", "other"))
        grouped = GroupedDetector(make_pipeline(LogMel(n_mels=40), StatisticsDetector()))
        grouped.fit(table[:N_TRAIN])
        display = ScoreHistogramDisplay.from_estimator(grouped, table, ax=ax)
        np.testing.assert_array_equal(display.scores, grouped.decision_function(table))
        assert display.threshold == 0
        assert ax.get_xlabel() == "score less threshold (higher is more normal)"

    def test_other_detectors(self, clips, ax):
        rows = clips[0][:, ::400].astype(float)
        forest = IsolationForest(random_state=0).fit(rows)
        display = ScoreHistogramDisplay.from_estimator(forest, rows, ax=ax)
        assert display.threshold == forest.offset_

    @pytest.mark.parametrize("scores", [[1.0, np.nan], [], [[1.0]]])
    def test_what_cannot_be_drawn(self, scores, ax):
        with pytest.raises(ValueError, match="Got y_score of shape"):
            ScoreHistogramDisplay.from_predictions(scores, ax=ax)

    def test_labels_that_nobody_knows(self, clips, pipeline, ax):
        unknown = clips[1].assign(label=np.nan)
        display = ScoreHistogramDisplay.from_estimator(pipeline, unknown, ax=ax)
        assert list(display.bars_) == ["clips"]

    @pytest.mark.parametrize("display", [ScoreHistogramDisplay, PartialROCDisplay, PValueDisplay])
    def test_labels_that_are_missing_are_named(self, held_out, pipeline, display, ax):
        some = held_out.assign(label=held_out["label"].where(held_out.index != 3))
        with pytest.raises(ValueError, match=r"1 of 10 clips without a label.* \[3\]; leave"):
            display.from_estimator(pipeline, some, ax=ax)

    def test_labels_are_checked(self, ax):
        with pytest.raises(ValueError, match="y_true"):
            ScoreHistogramDisplay.from_predictions([1.0, 2.0], [0, 1], ax=ax)
        with pytest.raises(ValueError, match="y_true"):
            ScoreHistogramDisplay.from_predictions([1.0, 2.0], [1], ax=ax)


class TestPValues:
    def test_curves_by_hand(self, ax):
        display = PValueDisplay.from_predictions([0.5, 0.1, 0.9, 0.2], [1, -1, 1, 1], ax=ax)
        x, y = display.lines_["normal"].get_data()
        np.testing.assert_allclose(x, [0, 0.2, 0.5, 0.9, 1])
        np.testing.assert_allclose(y, [0, 1 / 3, 2 / 3, 1, 1])
        assert display.lines_["normal"].get_drawstyle() == "steps-post"
        np.testing.assert_allclose(display.lines_["anomalous"].get_data(), [[0, 0.1, 1], [0, 1, 1]])
        assert display.lines_["anomalous"].get_linestyle() == "--"
        assert legend_of(ax) == ["uniform", "95 % of chance", "normal (3)", "anomalous (1)"]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("p-value", "share of clips up to it")

    @pytest.mark.parametrize(("n_calibration", "far"), [(None, 0.1358), (100, 0.1358 * 2**0.5)])
    def test_band(self, ax, n_calibration, far):
        display = PValueDisplay.from_predictions(
            np.arange(1, 101) / 101, n_calibration=n_calibration, ax=ax
        )
        corners = display.band_.get_paths()[0].vertices
        at_half = corners[np.isclose(corners[:, 0], 0.5)][:, 1]
        assert (at_half.min(), at_half.max()) == pytest.approx((0.5 - far, 0.5 + far))

    def test_the_band_holds_what_it_promises(self, rng):
        n, m = 60, 40
        calibration, new = rng.normal(size=(400, n)), rng.normal(size=(400, m))
        inside = 0
        for known, scores in zip(calibration, new, strict=True):
            p = (1 + (known[:, None] <= scores).sum(axis=0)) / (n + 1)
            grid = np.arange(1, n + 2) / (n + 1)
            share = (p[:, None] <= grid + 1e-12).mean(axis=0)
            inside += np.abs(share - grid).max() <= 1.358 * np.sqrt(1 / n + 1 / m)
        assert 0.93 < inside / 400 < 0.995

    def test_of_a_detector(self, clips, pipeline, ax):
        waves, _ = clips
        display = PValueDisplay.from_estimator(pipeline, waves[N_TRAIN:], ax=ax)
        features = pipeline[:-1].transform(waves[N_TRAIN:])
        np.testing.assert_array_equal(display.p_values, pipeline[-1].p_values(features))
        assert display.n_calibration == N_TRAIN
        assert list(display.lines_) == ["clips"]


class TestPartialROC:
    def test_curve_and_region(self, rng, ax):
        y_true = np.where(np.arange(200) % 4, 1, -1)
        y_score = rng.normal(size=200) + (y_true == 1)
        display = PartialROCDisplay.from_predictions(y_true, y_score, name="ours", ax=ax)
        fpr, tpr, _ = roc_curve(y_true == -1, -y_score, drop_intermediate=False)
        np.testing.assert_array_equal(display.line_.get_data(), [fpr, tpr])
        corners = display.region_.get_paths()[0].vertices
        assert corners[:, 0].max() == pytest.approx(0.1)
        # The shaded area, by the shoelace formula, is what pAUC is made of.
        x, y = corners.T
        area = abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
        chance = 0.1**2 / 2
        assert 0.5 * (1 + (area - chance) / (0.1 - chance)) == pytest.approx(display.pauc, abs=0.01)
        assert display.auc == auc_score(y_true, y_score)
        assert display.pauc == pauc_score(y_true, y_score)
        named = [f"pAUC {display.pauc:.3f}", f"ours: AUC {display.auc:.3f}", "chance"]
        assert legend_of(ax) == named

    def test_a_perfect_detector(self, ax):
        display = PartialROCDisplay.from_predictions([1, 1, -1], [2.0, 1.0, 0.0], ax=ax)
        assert (display.auc, display.pauc) == pytest.approx((1, 1))
        np.testing.assert_array_equal(display.line_.get_data(), [[0, 0, 0.5, 1], [0, 1, 1, 1]])

    def test_labels_are_needed(self, clips, pipeline, ax):
        with pytest.raises(ValueError, match=r"y=None.*a clip table with a column 'label'"):
            PartialROCDisplay.from_estimator(pipeline, clips[0], ax=ax)


def autoencoder(**params):
    return OEAutoencoder(
        calibration=None, threshold="quantile", random_state=0, verbose=0, **params
    )


@pytest.fixture(scope="module")
def gan():
    """Two epochs of a tiny one, and what it learnt from."""
    X = np.random.default_rng(0).normal(size=(12, 128, 32))
    detector = AEGANDetector(
        window_length=32, hop=32, width=2, latent_features=8, batch_size=6, max_epochs=2,
        calibration=None, random_state=0, verbose=0,
    )  # fmt: skip
    return detector.fit(X), X


class TestTrainingCurve:
    def test_of_a_net(self, clips, ax):
        net = make_pipeline(LogMel(n_mels=16), autoencoder(max_epochs=3)).fit(clips[0][:8])
        display = TrainingCurveDisplay.from_estimator(net, ax=ax)
        x, y = display.lines_["loss"].get_data()
        np.testing.assert_array_equal(x, [1, 2, 3])
        np.testing.assert_array_equal(y, net[-1].loss_curve_)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")

    def test_of_members(self, clips, ax):
        members = [("net", autoencoder(max_epochs=2)), ("plain", StatisticsDetector())]
        fusion = FusionDetector(members, cv=2)
        fitted = make_pipeline(LogMel(n_mels=16), fusion).fit(clips[0][:N_TRAIN])
        display = TrainingCurveDisplay.from_estimator(fitted, ax=ax)
        assert list(display.lines_) == ["net: loss"]

    def test_of_a_gan(self, gan, ax):
        display = TrainingCurveDisplay.from_estimator(gan[0], ax=ax)
        history = gan[0].history_
        assert legend_of(ax) == [name.replace("_", " ") for name in history]
        for line, curve in zip(display.lines_.values(), history.to_numpy().T, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), curve)
        styles = {line.get_linestyle() for line in display.lines_.values()}
        assert len(styles) == len(display.lines_) == 4

    def test_of_a_first_stage(self, ax):
        class Trained(DiscreteAutoencoder):
            loss_curve_ = np.array([2.0, 1.0])

        display = TrainingCurveDisplay.from_estimator(Trained(), ax=ax)
        np.testing.assert_array_equal(display.lines_["loss"].get_ydata(), [2.0, 1.0])

    def test_of_stages(self, ax):
        class Net:
            history = ({"train_loss": 3.0},)

        detector = AudDSRDetector()
        detector.nets_ = {"first": Net(), "second": Net()}
        display = TrainingCurveDisplay.from_estimator(detector, ax=ax)
        assert list(display.lines_) == ["loss of first", "loss of second"]
        assert display.lines_["loss of first"].get_marker() == "o"  # a single epoch

    def test_of_losses(self, ax):
        display = TrainingCurveDisplay.from_history({"a": [1, 2], "b": [3, 4]}, ax=ax)
        np.testing.assert_array_equal(display.lines_["b"].get_ydata(), [3, 4])

    def test_without_a_net(self, pipeline, ax):
        with pytest.raises(ValueError, match="StatisticsDetector, in which no net was trained"):
            TrainingCurveDisplay.from_estimator(pipeline, ax=ax)


class TestEmbedding:
    def test_pca_is_told_by_its_variance(self, ax):
        x = np.random.default_rng(0).normal(size=(50, 1)) * np.array([[3.0, 0.0, 0.0]])
        x[:, 1] = np.tile([1.0, -1.0], 25)
        display = EmbeddingDisplay.from_embeddings(x, method="pca", ax=ax)
        points = display.points_[None, None, None].get_offsets()
        # Up to sign and a small rotation, the first axis is the wide one.
        assert abs(np.corrcoef(points[:, 0], x[:, 0])[0, 1]) > 0.99
        assert ax.get_xlabel().startswith("component 1 (8")
        assert ax.get_xlabel().endswith(" % of variance)")
        assert ax.get_legend() is None

    def test_groups_lie_apart_by_tsne(self, rng, ax):
        x = np.concatenate([rng.normal(size=(20, 6)), rng.normal(size=(20, 6)) + 20])
        y = np.repeat([1, -1], 20)
        display = EmbeddingDisplay.from_embeddings(x, y, ax=ax)
        normal, anomalous = (
            display.points_[None, None, name].get_offsets() for name in ("normal", "anomalous")
        )
        assert len(normal) == len(anomalous) == 20
        apart = np.linalg.norm(normal.mean(axis=0) - anomalous.mean(axis=0))
        assert apart > 2 * max(normal.std(), anomalous.std(axis=0).max())
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("t-SNE 1", "t-SNE 2")
        again = EmbeddingDisplay.from_embeddings(x, y, ax=ax)
        np.testing.assert_array_equal(again.points, display.points)

    def test_marks(self, rng, ax):
        x = rng.normal(size=(12, 3))
        section = np.repeat(["00", "01"], 6)
        domain = np.tile(["source", "source", "target"], 4)
        y = np.tile([1, -1], 6)
        display = EmbeddingDisplay.from_embeddings(
            x, y, section=section, domain=domain, method="pca", ax=ax
        )
        assert sum(len(points.get_offsets()) for points in display.points_.values()) == 12
        of_kind = display.points_["01", "target", "anomalous"]
        rows = (section == "01") & (domain == "target") & (y == -1)
        np.testing.assert_array_equal(of_kind.get_offsets(), display.points[rows])
        assert len(of_kind.get_facecolors()) == 0  # hollow
        assert to_hex(of_kind.get_edgecolors()[0]) == COLOURS[1].lower()
        filled = display.points_["00", "source", "normal"]
        assert to_hex(filled.get_facecolors()[0]) == COLOURS[0].lower()
        assert legend_of(ax) == [
            "section 00", "section 01", "source", "target", "anomalous", "normal"
        ]  # fmt: skip
        assert sorted(text.get_text() for text in ax.texts) == ["00", "01"]

    def test_one_section_leaves_the_colours_to_the_labels(self, rng, ax):
        display = EmbeddingDisplay.from_embeddings(
            rng.normal(size=(4, 2)), [1, 1, -1, -1], section=["00"] * 4, method="pca", ax=ax
        )
        colours = {
            label: to_hex(display.points_["00", None, label].get_facecolors()[0])
            for label in ("normal", "anomalous")
        }
        assert colours == {"normal": BLUE.lower(), "anomalous": VERMILLION.lower()}
        assert legend_of(ax) == ["anomalous", "normal"]

    def test_of_a_table(self, clips, pipeline, ax):
        _, table = clips
        display = EmbeddingDisplay.from_estimator(pipeline, table, method="pca", ax=ax)
        rows = (
            pipeline[-1]
            .backend_[:-1]
            .transform(pipeline[-1].statistics_.transform(pipeline[:-1].transform(table)))
        )
        np.testing.assert_array_equal(embed_clips(pipeline, table), rows)
        kinds = {kind: len(points.get_offsets()) for kind, points in display.points_.items()}
        assert (
            kinds[table["section"][0], "source", "anomalous"]
            == ((table["label"] == -1) & (table["domain"] == "source")).sum()
        )
        assert sum(kinds.values()) == len(table)

    def test_embeddings_of_other_detectors(self, clips, rng):
        waves, _ = clips
        near = make_pipeline(LogMel(n_mels=8), ClipStatistics(), KNNDetector())
        augmented = Augmented(near, copies=1, random_state=0).fit(waves[:N_TRAIN])
        np.testing.assert_array_equal(
            embed_clips(augmented, waves[:2]), near[:-1].fit(waves[:2]).transform(waves[:2])
        )
        fusion = FusionDetector([("near", near)]).fit(waves[:N_TRAIN])
        with pytest.raises(ValueError, match="FusionDetector, whose detectors compare"):
            embed_clips(fusion, waves[:2])
        net = make_pipeline(LogMel(n_mels=8), autoencoder(max_epochs=1)).fit(waves[:4])
        with pytest.raises(ValueError, match="OEAutoencoder, which compares no vectors"):
            embed_clips(net, waves[:2])

    def test_embeddings_of_a_backend_without_scaler(self, clips):
        waves, _ = clips
        backend = sklearn.pipeline.make_pipeline(MahalanobisDetector())
        plain = make_pipeline(LogMel(n_mels=8), StatisticsDetector(backend=backend))
        plain.fit(waves[:N_TRAIN])
        rows = plain[-1].statistics_.transform(plain[:-1].transform(waves[:2]))
        np.testing.assert_array_equal(embed_clips(plain, waves[:2]), rows)
        assert anomaly_map(plain, waves[:2]).shape == (2, 8, 32)

    def test_lists_of_spectrograms_are_no_rows(self, clips):
        net = make_pipeline(LogMel(n_mels=8), autoencoder(max_epochs=1)).fit(clips[0][:4])
        ragged = [clips[0][0], clips[0][1][:8000]]
        for waves in (ragged, [clips[0][0], clips[0][1]]):
            with pytest.raises(ValueError, match="OEAutoencoder, which compares no vectors"):
                embed_clips(net, waves)

    def test_what_is_missing_in_a_table(self, rng, ax):
        table = {"section": ["00", None, np.nan, "01"], "domain": [pd.NA, "source", "target", None]}
        display = EmbeddingDisplay.from_embeddings(
            rng.normal(size=(4, 3)), **table, method="pca", ax=ax
        )
        assert set(display.kinds) == {
            ("00", None, None), (None, "source", None), (None, "target", None), ("01", None, None),
        }  # fmt: skip
        assert set(legend_of(ax)) == {"section 00", "section 01", "source", "target"}

    def test_embeddings_of_a_critic(self, gan):
        detector, X = gan
        np.testing.assert_allclose(embed_clips(detector, X), detector.embeddings_, rtol=1e-6)

    def test_what_fills_no_plane(self, ax):
        for x in (np.zeros((2, 5)), np.zeros((5, 1))):
            with pytest.raises(ValueError, match="which do not fill a plane"):
                EmbeddingDisplay.from_embeddings(x, ax=ax)
        with pytest.raises(ValueError, match=r"method='umap'; pass .tsne. or .pca."):
            EmbeddingDisplay.from_embeddings(np.zeros((5, 2)), method="umap", ax=ax)


def test_overview(pipeline, held_out):
    scored = held_out.assign(score=pipeline.score_samples(held_out))
    figure = plot_overview({"pump": (pipeline, scored)})
    titles = [axes.get_title() for axes in figure.axes[:4]]
    worst = scored.loc[scored["score"].idxmin(), "path"].rsplit("/", 1)[-1]
    assert titles == ["pump: ROC", "Scores", f"Worst clip: {worst}", "Its anomaly map"]
    auc = auc_score(scored["label"], scored["score"])
    assert f"AUC {auc:.3f}" in legend_of(figure.axes[0])
