"""Reports: they say what the model says; Chromium opens, sorts, filters and plays them."""

import base64
import copy
import dataclasses
import io
import json
import os
import re
import shutil
import sys
from html.parser import HTMLParser
from importlib.resources import files
from unittest.mock import Mock

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
from jinja2 import UndefinedError
from PIL import Image
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import OneClassSVM

from sklasd import (
    ClipStatistics,
    FusionDetector,
    GroupedDetector,
    KNNDetector,
    LogMel,
    OEAutoencoder,
    StatisticsDetector,
    cli,
    make_pipeline,
    make_recipe,
)
from sklasd.cli._demo import run_demo
from sklasd.datasets import make_machine_clips
from sklasd.inspection import inspect_clips
from sklasd.persistence import load_model
from sklasd.report import _charts, _clip_media, _write_report, write_report
from sklasd.report._charts import chart_p_values, chart_roc, chart_scores
from sklasd.report._clip_media import make_media
from sklasd.report._columns import COLUMNS, Column
from sklasd.report._machine_part import describe_machine
from sklasd.report._picture import encode_picture, frame_faults
from sklasd.report._scored_fleet import read_clips, score_fleet
from sklasd.report._sound import encode_sound
from sklasd.report._svg import draw_svg

RECIPE = "statistics-mahalanobis"
EVIL = '<script>document.title = "taken"</script> & "Söhne"'
CHROMIUM = {name: shutil.which(name) for name in ("chromium", "chromedriver")}


def make_clips(machine, **kwargs):
    counts = {"n_train": 20, "n_test": 6, "n_anomalies": 6, "duration": 1.5, "random_state": 0}
    waves, table = make_machine_clips(machine, **(counts | kwargs))
    return table.assign(path=list(waves)) if "root" not in kwargs else table


def split(table):
    is_train = table["split"] == "train"
    return table[is_train], table[~is_train]


class FirstIsNaN(StatisticsDetector):
    """A detector that has no score of the first clip."""

    def score_samples(self, X, *, section=None):
        scores = super().score_samples(X, section=section)
        return np.append(np.nan, scores[1:])


class Page(HTMLParser):
    """What a browser would make of a report, as far as it is tested without one."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.words, self.size = [], [], path.stat().st_size
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def clips(self):
        return [row for row in self.all("tr") if "data-decision" in row]


@pytest.fixture(scope="module")
def fan():
    """A fitted pipeline, and its 12 test clips as arrays."""
    train, test = split(make_clips("fan", n_train=40))
    return make_recipe(RECIPE).fit(train), test.reset_index(drop=True)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Models of two machines, one with a name that bites, and their clips as files."""
    root = tmp_path_factory.mktemp("fleet")
    models, tables = {}, []
    for name, kind in ((EVIL, "fan"), ("valve", "valve")):
        table = make_clips(kind, root=root).assign(machine=name)
        train, test = split(table)
        models[name] = make_recipe(RECIPE).fit(train)
        tables.append(test)
    clips = pd.concat(tables, ignore_index=True)
    for row in (0, 13):  # on disk, a name can be anything but a slash
        bites = os.path.join(os.path.dirname(clips.loc[row, "path"]), "<script>alert(1).wav")
        clips.loc[row, "path"] = shutil.move(clips.loc[row, "path"], bites)
    clips["domain"] = np.where(np.arange(len(clips)) % 3, "source", "target")
    return models, clips


@pytest.fixture(scope="module")
def report(fleet, tmp_path_factory):
    return write_report(
        *fleet, tmp_path_factory.mktemp("report") / "it.html", max_clips_with_media=9
    )


class TestWhatItSays:
    def test_decisions_scores_and_order(self, fan, tmp_path):
        pipeline, clips = fan
        page = Page(write_report(pipeline, clips, tmp_path / "r.html", max_clips_with_media=2))
        (machine,) = score_fleet(pipeline, clips)
        np.testing.assert_array_equal(machine.clips["score"], pipeline.score_samples(clips))
        np.testing.assert_array_equal(machine.clips["decision"], pipeline.predict(clips))
        worst_first = machine.clips.sort_values("score")
        names = {1: "normal", -1: "anomalous"}
        assert [row["data-decision"] for row in page.clips()] == [
            names[d] for d in worst_first["decision"]
        ]
        assert len([d for d in page.all("details") if d.get("class") == "clip"]) == 2
        scored = machine.clips.assign(score=7.0)  # by something else
        (again,) = score_fleet(pipeline, read_clips(scored))
        np.testing.assert_array_equal(again.clips["score"], machine.clips["score"])

    def test_figures(self, fan, tmp_path):
        pipeline, clips = fan
        text = Page(write_report(pipeline, clips, tmp_path / "r.html")).text
        scores, flagged = pipeline.score_samples(clips), pipeline.predict(clips) == -1
        label = clips["label"].to_numpy()
        assert f"AUC {roc_auc_score(label, scores):.3f}" in text
        assert f"{flagged.sum()} of 12 clips are called anomalous" in text
        assert f"{flagged[label == 1].sum()} of 6 normal clips" in text
        assert f"{flagged[label == -1].sum()} of 6 faults" in text
        assert f"Threshold {pipeline[-1].offset_:.4g}" in text
        assert "10 % asked for" in text.replace("\xa0", " ")
        assert "Seeds of fan none" in text
        assert "logmel__n_fft 2048 1024" in text

    def test_distance_is_zero_at_the_median_and_one_at_the_threshold(self, fan):
        pipeline, clips = fan
        detector = pipeline[-1]
        (machine,) = score_fleet(pipeline, clips)
        median = np.median(detector.calibration_scores_)
        shares = (median - machine.clips["score"]) / (median - detector.offset_)
        np.testing.assert_allclose(machine.clips["distance"], shares)
        np.testing.assert_array_equal(machine.clips["decision"] == -1, shares > 1)

    def test_p_values_are_the_detector_s(self, fan):
        pipeline, clips = fan
        (machine,) = score_fleet(pipeline, clips)
        expected = pipeline[-1].p_values(pipeline[:-1].transform(clips))
        np.testing.assert_array_equal(machine.clips["p_value"], expected)

    def test_without_labels(self, fan, tmp_path):
        pipeline, clips = fan
        page = Page(write_report(pipeline, list(clips["path"]), tmp_path / "r.html"))
        assert "AUC" not in page.text
        assert "False alarms" not in page.text
        assert "p-values" in page.text
        assert {row["data-outcome"] for row in page.clips()} == {""}

    def test_without_calibration_there_are_no_p_values(self, tmp_path):
        train, test = split(make_clips("fan"))
        pipeline = make_recipe(RECIPE, statisticsdetector__calibration=None).fit(train)
        text = Page(write_report(pipeline, test, tmp_path / "r.html", max_clips_with_media=0)).text
        assert "have a p-value" not in text
        assert "% asked for" not in text
        assert "set by 20 normal clips of the training" in text

    def test_a_net_has_a_training_curve(self, tmp_path):
        train, test = split(make_clips("fan"))
        net = OEAutoencoder(
            threshold="quantile", max_epochs=3, calibration=None, random_state=7, verbose=0
        )
        pipeline = make_pipeline(LogMel(n_mels=32), net).fit(train)
        text = Page(write_report(pipeline, test, tmp_path / "r.html", max_clips_with_media=1)).text
        losses = net.loss_curve_
        assert f"From {losses[0]:.4g} to {losses[-1]:.4g} in 3 epochs" in text
        assert "oeautoencoder__random_state=7" in text

    def test_each_net_of_a_fusion_has_a_training_curve(self):
        train, test = split(make_clips("fan"))
        nets = [
            (name, OEAutoencoder(max_epochs=n, calibration=None, hidden_layer_sizes=(4,),
                                 random_state=0, verbose=0))
            for name, n in (("short", 2), ("long", 3))
        ]  # fmt: skip
        fusion = FusionDetector([*nets, ("plain", StatisticsDetector())], cv=2)
        pipeline = make_pipeline(LogMel(n_mels=32), fusion).fit(train)
        (machine,) = score_fleet(pipeline, test)
        charts = [c for c in describe_machine(machine).charts if c.title.startswith("Training")]
        assert [chart.title for chart in charts] == [
            "Training, short: loss",
            "Training, long: loss",
        ]
        assert [re.findall(r"in (\d) epochs", chart.says) for chart in charts] == [["2"], ["3"]]

    def test_sections_and_domains_are_told_apart(self, fan, tmp_path):
        pipeline, clips = fan
        clips = clips.assign(domain=["source", "target"] * 6)
        text = Page(write_report(pipeline, clips, tmp_path / "r.html", max_clips_with_media=0)).text
        of_target = (pipeline.predict(clips[1::2]) == -1).sum()
        assert f"target 6 {of_target}" in text

    def test_parts_that_are_not_known_are_listed(self, fan, tmp_path):
        pipeline, clips = fan
        clips = clips.assign(domain=["source", "target", None] * 4)
        text = Page(write_report(pipeline, clips, tmp_path / "r.html", max_clips_with_media=0)).text
        of_unknown = (pipeline.predict(clips[2::3]) == -1).sum()
        assert f"unknown 4 {of_unknown}" in text

    @pytest.mark.parametrize("is_labelled", [True, False])
    def test_a_score_that_is_no_number_is_an_anomaly(self, is_labelled, tmp_path):
        train, test = split(make_clips("fan"))
        clips = test.reset_index(drop=True)
        clips = clips if is_labelled else clips.drop(columns="label")
        pipeline = make_pipeline(LogMel(n_mels=32), FirstIsNaN()).fit(train)
        (machine,) = score_fleet(pipeline, clips)
        assert machine.clips["score"].isna().tolist() == [True] + [False] * 11
        assert machine.clips.loc[0, ["decision", "distance"]].tolist() == [-1, np.inf]
        path = write_report(pipeline, clips, tmp_path / "r.html", max_clips_with_media=1)
        page = Page(path)
        n_flagged = (machine.clips["decision"] == -1).sum()
        assert f"{n_flagged} of 12 clips are called anomalous" in page.text
        assert "1 not drawn: the score is not a finite number." in page.text
        assert page.clips()[0]["data-text"] == "clip 0"
        assert 'data-value="Infinity"' in page.source
        if is_labelled:  # as the least normal one; it is normal, so that it is a false alarm
            lowest = machine.clips["score"].fillna(machine.clips["score"].min() - 1)
            assert f"AUC {roc_auc_score(clips['label'], lowest):.3f}" in page.text

    def test_a_threshold_at_the_typical_clip(self, fan):
        pipeline, clips = fan
        pipeline = copy.deepcopy(pipeline)
        detector = pipeline[-1]
        for shift in (0.0, 0.1):  # as contamination=0.5 does, or more
            offset = np.median(detector.calibration_scores_) + shift
            detector.decision_ = dataclasses.replace(detector.decision_, offset=offset)
            (machine,) = score_fleet(pipeline, clips)
            distance = machine.clips["distance"]
            assert distance.abs().max() < 1e3
            np.testing.assert_array_equal(machine.clips["decision"] == -1, distance > 1)

    def test_labels_of_another_kind_are_refused(self, fan, tmp_path):
        pipeline, clips = fan
        dcase = clips.assign(label=np.where(clips["label"] == 1, 0, 1))
        with pytest.raises(ValueError, match=r"labels \[0, 1\], but \+1 \(normal\)"):
            write_report(pipeline, dcase, tmp_path / "r.html")
        some = clips.assign(label=clips["label"].where(clips.index > 2))
        write_report(pipeline, some, tmp_path / "r.html", max_clips_with_media=0)

    def test_arrays_are_named_by_their_position_in_what_was_passed(self, fan, tmp_path):
        pipeline, clips = fan
        train, _ = split(make_clips("fan", n_train=2))
        table = pd.concat([train, clips.assign(machine=["a", "b"] * 6)])
        models = {"a": pipeline, "b": pipeline}
        page = Page(write_report(models, table, tmp_path / "r.html", max_clips_with_media=3))
        names = {row["data-text"] for row in page.clips()}
        assert names == {f"clip {position}" for position in range(2, 14)}

    def test_record_and_title(self, fan, tmp_path):
        page = Page(write_report(*fan, tmp_path / "r.html", title="<b>", record={"by": "Ann <i>"},
                                 max_clips_with_media=0))  # fmt: skip
        assert "by Ann <i>" in page.text
        assert not page.all("b") or "<b>" in page.text
        assert not page.all("i")


class TestColumns:
    """The report shows a column that is declared, and nothing else needs to be changed."""

    @pytest.fixture
    def more(self, fan, tmp_path, monkeypatch):
        peak = Column("peak", "Peak level", lambda row: row.clip["peak"], ".1f", falls=True)
        mood = Column("mood", "Mood", lambda row: row.clip["mood"], look="tag",
                      style=lambda row: "wrong", is_filter=True)  # fmt: skip
        columns = (*COLUMNS, peak, mood)
        monkeypatch.setattr(_write_report, "COLUMNS", columns)
        clips = fan[1].assign(peak=np.arange(12.0), mood=["calm", "loud", None] * 4)
        return write_report(fan[0], clips, tmp_path / "r.html", max_clips_with_media=1)

    def test_in_the_page(self, more):
        page = Page(more)
        assert "Peak level" in page.text
        assert sorted(row["data-mood"] for row in page.clips())[:5] == ["", "", "", "", "calm"]
        assert {"class": "tag wrong"} in page.all("span")

    def test_in_chromium(self, more, browse):
        driver = browse(more)
        number, button = heads(driver)["Peak"]
        driver.execute_script("arguments[0].scrollIntoView()", button)
        button.click()
        assert [float(value) for value in column(driver, number)] == list(range(11, -1, -1))
        selects = driver.find_elements("css selector", "select[data-field=mood] option")
        assert [option.get_attribute("textContent") for option in selects] == [
            "all", "calm", "loud"
        ]  # fmt: skip
        check_quiet(driver)

    def test_a_look_that_the_template_lacks(self, fan, tmp_path, monkeypatch):
        columns = (*COLUMNS, Column("x", "X", lambda row: "x", look="star"))
        monkeypatch.setattr(_write_report, "COLUMNS", columns)
        with pytest.raises(UndefinedError, match="star"):
            write_report(*fan, tmp_path / "r.html", max_clips_with_media=0)

    def test_columns_that_tell_nothing_are_left_out(self, fan, tmp_path):
        page = Page(write_report(fan[0], list(fan[1]["path"]), tmp_path / "r.html"))
        labels = {cell.get("data-label") for cell in page.all("td")} - {None}
        assert labels == {"Rank", "Clip", "Score", "Distance", "p-value", "Decision"}


class TestFleets:
    def test_each_machine_by_its_own_model(self, fleet):
        models, clips = fleet
        for machine in score_fleet(models, clips):
            own = clips[clips["machine"] == machine.name]
            np.testing.assert_array_equal(
                machine.clips["score"], models[machine.name].score_samples(own)
            )

    def test_grouped_detector(self, fleet):
        models, clips = fleet
        quantile = make_recipe(RECIPE, statisticsdetector__threshold="quantile")
        quantile.set_params(statisticsdetector__contamination=0.2)
        grouped = GroupedDetector(quantile).fit(clips[clips["label"] == 1])
        machines = score_fleet(grouped, clips)
        assert [machine.name for machine in machines] == list(models)
        scores = pd.concat([machine.clips["score"] for machine in machines])
        np.testing.assert_array_equal(scores, grouped.score_samples(clips))

    @pytest.mark.parametrize("around", ["pipeline", "search", "steps before", "models"])
    def test_groups_inside_keep_their_thresholds(self, fleet, around, tmp_path):
        _, clips = fleet
        normal = clips[clips["label"] == 1].drop(columns="split", errors="ignore")
        quantile = make_recipe(RECIPE, statisticsdetector__threshold="quantile")
        grouped = GroupedDetector(quantile.set_params(statisticsdetector__contamination=0.2))
        model = {
            "pipeline": make_pipeline(grouped),
            "search": GridSearchCV(grouped, {"by": ["machine"]}, cv=2, scoring=lambda *_: 0.0),
            "steps before": make_pipeline(FunctionTransformer(), grouped),
            "models": clone(grouped).set_params(by="domain"),
        }[around].fit(normal)
        expected = dict(iter(clips.groupby("machine", sort=False)))
        model = dict.fromkeys(expected, model) if around == "models" else model
        machines = score_fleet(model, clips)
        for machine in machines:
            of_all = model[EVIL] if around == "models" else model
            np.testing.assert_array_equal(machine.clips["decision"], of_all.predict(machine.clips))
        names = [machine.name for machine in machines]
        of_models = [f"{name} {domain}" for name in expected for domain in ("target", "source")]
        assert names == (of_models if around == "models" else list(expected))
        assert write_report(model, clips, tmp_path / "r.html", max_clips_with_media=1).exists()

    def test_unknown_machines(self, fleet, tmp_path):
        models, clips = fleet
        with pytest.raises(
            ValueError, match=r"Got clips of machine='valve'.* models of machine='<script>"
        ):
            write_report({EVIL: models[EVIL]}, clips, tmp_path / "r.html")
        with pytest.raises(ValueError, match="without a column 'machine'"):
            write_report(models, clips.drop(columns="machine"), tmp_path / "r.html")
        assert not list(tmp_path.iterdir())

    def test_foreign_detectors(self, rng, tmp_path):
        clips = rng.normal(size=(4, 8000))
        pipeline = make_pipeline(LogMel(), ClipStatistics(), OneClassSVM()).fit(clips)
        with pytest.raises(TypeError, match="Got a OneClassSVM"):
            write_report(pipeline, clips, tmp_path / "r.html")


class TestSafety:
    def test_names_stay_text(self, report):
        page = Page(report)
        assert len(page.all("script")) == 1
        assert EVIL in page.source.replace("&lt;", "<").replace("&gt;", ">").replace(
            "&#34;", '"'
        ).replace("&amp;", "&")
        assert "<script>alert(1).wav" in page.text
        assert {row["data-machine"] for row in page.clips()} == {EVIL, "valve"}

    def test_nothing_is_linked(self, report):
        for _, attrs in Page(report).tags:
            for key in ("src", "href"):
                assert attrs.get(key, "#").startswith(("#", "data:"))

    def test_every_picture_and_player_is_labelled(self, report):
        page = Page(report)
        assert page.all("img")
        assert page.all("audio")
        assert all(image["alt"] for image in page.all("img"))
        assert all(audio["aria-label"] for audio in page.all("audio"))
        charts = [svg for svg in page.all("svg") if "role" in svg]
        assert charts
        assert all(chart["aria-label"] for chart in charts)

    def test_never_overwrites(self, fan, tmp_path):
        path = tmp_path / "r.html"
        path.write_text("precious")
        with pytest.raises(FileExistsError, match="pass --force"):
            write_report(*fan, path)
        assert path.read_text() == "precious"
        write_report(*fan, path, force=True, max_clips_with_media=0)
        assert path.stat().st_size > 10_000

    def test_broken_clips_are_named(self, fleet, tmp_path, write_clip):
        models, clips = fleet
        bad = write_clip("empty.wav")
        open(bad, "wb").close()
        clips = clips[clips["machine"] == "valve"]
        more = pd.concat([clips, pd.DataFrame({"path": [bad], "machine": "valve"})])
        page = Page(write_report(models, more, tmp_path / "r.html", max_clips_with_media=0))
        assert len(page.clips()) == len(clips)
        assert "empty.wav is an empty file; leave it out" in page.text

    def test_names_that_are_no_utf8(self, fan, tmp_path):
        pipeline, clips = fan
        path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
        with open(path, "wb") as file:
            soundfile.write(file, clips["path"].iloc[0], 16000, format="WAV")
        clips = pd.DataFrame({"path": [path]})
        page = Page(write_report(pipeline, clips, tmp_path / "r.html", title="\udce9"))
        assert "caf\\udce9.wav" in page.text

    def test_what_is_missing_is_named(self, fan, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "jinja2", None)
        with pytest.raises(ImportError, match=r"jinja2.*pip install 'sklasd\[report\]'"):
            write_report(*fan, tmp_path / "r.html")

    def test_what_the_page_is_made_of_is_packaged(self):
        for name in ("template.html", "style.css", "script.js"):
            assert files("sklasd.report").joinpath(name).is_file()

    def test_no_clips(self, fan, tmp_path):
        with pytest.raises(ValueError, match="Got 0 clips"):
            write_report(fan[0], [], tmp_path / "r.html")


class TestPicturesAndSounds:
    def test_size_is_bounded(self, fan, tmp_path):
        pipeline, clips = fan
        sizes = [
            Page(write_report(pipeline, clips, tmp_path / f"{n}.html", max_clips_with_media=n)).size
            for n in (0, 4)
        ]
        assert sizes[0] < 100_000
        assert sizes[1] < sizes[0] + 4 * 100_000

    def test_of_long_clips_the_most_anomalous_part(self, monkeypatch):
        monkeypatch.setattr(_clip_media, "_LONGEST", 1.0)
        train, _ = split(make_clips("fan"))
        pipeline = make_recipe(RECIPE).fit(train)
        wave = np.tile(train["path"].iloc[0], 3)
        second = slice(3 * 16000, 4 * 16000)
        wave[second] += 0.5 * np.sin(0.9 * np.arange(16000))
        (media,) = make_media(pipeline, pd.DataFrame({"path": [wave]}))
        assert media.is_excerpt
        assert media.seconds == pytest.approx(1.0, abs=0.05)
        assert media.first == pytest.approx(3.0, abs=0.2)
        heard, rate = decode(media.sound)
        assert len(heard) / rate == pytest.approx(1.0, abs=0.1)

    def test_faults_are_framed_and_brighter(self, fan):
        pipeline, clips = fan
        (media,) = make_media(pipeline, clips[clips["fault"] == "rubbing"][:1])
        assert media.faults
        assert "in the white frames it is" in media.says
        assert media.anomaly is not None

    def test_detectors_that_cannot_tell_where(self, fan, tmp_path):
        train, test = split(make_clips("fan"))
        pipeline = make_pipeline(LogMel(), ClipStatistics(), KNNDetector()).fit(train)
        page = Page(write_report(pipeline, test, tmp_path / "r.html", max_clips_with_media=2))
        assert len(page.all("img")) == 2
        assert len(page.all("audio")) == 2

    @pytest.mark.parametrize("rate", [8000, 16000, 25600, 48000, 96000])
    def test_sounds_can_be_decoded(self, rate):
        wave = 0.01 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
        sound = encode_sound(wave, rate)
        heard, decoded_rate = decode(sound)
        assert len(heard) / decoded_rate == pytest.approx(1.0, abs=0.1)
        assert np.abs(heard).max() == pytest.approx(0.7, abs=0.1)
        assert sound.gain == pytest.approx(20 * np.log10(0.7 / 0.01), abs=0.1)
        spectrum = np.abs(np.fft.rfft(heard))
        assert spectrum.argmax() * decoded_rate / len(heard) == pytest.approx(440, abs=2)

    def test_silence(self):
        assert encode_sound(np.zeros(8000), 8000).gain == 0

    def test_pictures(self):
        values = np.zeros((8, 2000))
        values[0] = 1  # the lowest band
        image = Image.open(io.BytesIO(base64.b64decode(encode_picture(values, "magma")[22:])))
        assert image.size == (500, 8)
        colours = np.asarray(image.convert("RGB")).sum(axis=2)
        assert (colours[-1] > colours[0]).all()

    def test_frames_of_faults(self):
        frequencies = np.arange(10) * 100.0 + 50
        (box,) = frame_faults([(1.0, 2.0, 250.0, 450.0)], frequencies, 0.0, 4.0)
        assert box.percent == pytest.approx([25, 25, 25, 20])
        assert not frame_faults([(5.0, 6.0, 250.0, 450.0)], frequencies, 0.0, 4.0)
        beyond = [(1.0, 2.0, 1001.0, 4000.0), (1.0, 2.0, -9.0, 0.0)]
        assert not frame_faults(beyond, frequencies, 0.0, 4.0)
        (box,) = frame_faults([(1.0, 2.0, 0.0, 4000.0)], frequencies, 0.0, 4.0)
        assert box.percent == pytest.approx([25, 25, 0, 100])
        (box,) = frame_faults([(1.0, 2.0, 975.0, 4000.0)], frequencies, 0.0, 4.0)
        assert box.percent == pytest.approx([25, 25, 97.5, 2.5])

    def test_pictures_lie_where_their_columns_are(self, fan):
        pipeline, clips = fan
        (media,) = make_media(pipeline, clips[:1])
        step = 512 / 16000
        n_frames = 1 + 24000 // 512
        assert media.first == 0
        assert media.left * media.seconds == pytest.approx(-step / 2)
        assert media.width * media.seconds == pytest.approx(n_frames * step)

    def test_a_map_with_nothing_in_it(self, fan):
        pipeline, clips = fan
        (clip,) = inspect_clips(pipeline, clips[:1])
        empty = dataclasses.replace(clip, anomaly_map=np.zeros_like(clip.anomaly_map))
        media = _clip_media._make(empty, [], "")
        assert media.says == "the map marks nothing in this part"

    def test_why_there_is_no_map(self, monkeypatch):
        clips = make_clips("fan")["path"]
        front_ends = {"one": LogMel(n_mels=32), "two": LogMel(n_mels=32, fmax=4000.0)}
        members = [(k, make_pipeline(v, StatisticsDetector())) for k, v in front_ends.items()]
        end = KNNDetector(threshold="quantile")
        near = make_pipeline(LogMel(n_mels=32), ClipStatistics(), end)
        some = pd.DataFrame({"path": clips[-1:]})
        (media,) = make_media(FusionDetector(members).fit(clips[:20]), some)
        assert media.says.startswith("no anomaly map: The maps of the members 'one' and 'two' have")
        (media,) = make_media(near.fit(list(clips[:20])), some)
        assert media.says.startswith("no anomaly map: the detector cannot tell where")
        message = "something else"
        monkeypatch.setattr(_clip_media, "inspect_clips", Mock(side_effect=ValueError(message)))
        with pytest.raises(ValueError, match=message):
            make_media(near, some)


@pytest.fixture
def drawn(monkeypatch):
    """Return the displays that charts are made of, in the order of drawing."""
    displays = []

    def draw(display, label):
        displays.append(display)
        return draw_svg(display, label)

    monkeypatch.setattr(_charts, "draw_svg", draw)
    return displays


def heights_of(display, name):
    return np.array([bar.get_height() for bar in display.bars_[name]])


class TestCharts:
    def test_scores(self, drawn):
        scores = np.r_[np.linspace(-1, 0, 20), -3.0, -0.5]
        labels = np.repeat([1, -1], [20, 2])
        chart = chart_scores(scores, labels, -2.0, 2.0)
        assert chart.says == "Below the threshold -2: 0 of 20 normal; 1 of 2 faulty."
        assert heights_of(drawn[0], "normal").sum() == 20
        faulty = heights_of(drawn[0], "anomalous")
        assert (faulty[0], faulty.sum()) == (1, 2)
        assert drawn[0].threshold_.get_xdata() == [-2.0, -2.0]

    def test_scores_without_labels(self, drawn):
        chart = chart_scores(np.linspace(-12, -10.1, 50), np.zeros(50, dtype=int), 0.0, 1.0)
        assert chart.says == "Below the threshold 0: 50 of 50 unknown."
        assert heights_of(drawn[0], "clips").sum() == 50

    @pytest.mark.parametrize("width", [0.0, -1.0])
    def test_nothing_is_far_off_where_there_is_no_width(self, width, drawn):
        chart = chart_scores(np.array([-1e6, -1.0, 0.0, 1.0]), np.zeros(4, dtype=int), 0.5, width)
        assert "first bar" not in chart.says
        assert np.count_nonzero(heights_of(drawn[0], "clips")) == 2

    def test_scores_that_are_not_finite(self, drawn):
        scores = np.array([np.nan, 1.0, np.inf, np.nan, -np.inf])
        chart = chart_scores(scores, np.repeat([1, -1], [3, 2]), 0.0, 1.0)
        assert chart.says == (
            "Below the threshold 0: 1 of 3 normal; 2 of 2 faulty. "
            "4 not drawn: the score is not a finite number."
        )
        assert list(drawn[0].bars_) == ["normal"]
        assert heights_of(drawn[0], "normal").sum() == 1

    def test_scores_far_off_share_the_first_bar(self, drawn):
        chart = chart_scores(np.array([-1e6, 0.0, 1.0]), np.zeros(3, dtype=int), 0.0, 1.0)
        assert "The first bar includes scores below -4." in chart.says
        assert drawn[0].bars_["clips"][0].get_x() == -4
        assert heights_of(drawn[0], "clips")[0] == 1

    def test_scores_that_are_all_the_same(self, drawn):
        chart_scores(np.ones(3), np.zeros(3, dtype=int), 1.0, 0.0)
        assert heights_of(drawn[0], "clips").sum() == 3

    def test_roc(self, drawn):
        labels = np.repeat([-1, 1], 20)
        scores = np.r_[np.zeros(10), np.full(10, 5.0), np.linspace(1, 4, 20)]
        chart = chart_roc(scores, labels)
        assert "50\xa0% of the faults" in chart.says
        assert f"AUC {drawn[0].auc:.3f}" in chart.svg  # numbers in text are not rounded

    @pytest.mark.parametrize(("n", "n_small"), [(9, 1), (19, 2), (29, 3), (39, 4), (14, 1), (5, 0)])
    def test_p_values_of_few_calibration_scores(self, n, n_small, drawn):
        p_values = np.arange(1, n + 2) / (n + 1)  # one of each that there can be
        chart = chart_p_values(p_values, np.ones(n + 1, dtype=int), n)
        assert chart.says == (
            f"{n_small} of {n + 1} normal clips have a p-value of at most 0.1; {n_small} are "
            "expected."
        )
        x, y = drawn[0].lines_["normal"].get_data()
        np.testing.assert_allclose(x, y, atol=1.1 / (n + 1))  # along the diagonal

    def test_p_values_of_calibrated_clips_are_as_expected(self, rng):
        for n in (9, 15, 19, 39):
            known, new = rng.normal(size=(2000, n)), rng.normal(size=2000)
            p_values = (1 + (known <= new[:, None]).sum(axis=1)) / (n + 1)
            says = chart_p_values(p_values, np.ones(2000, dtype=int), n).says
            found, expected = map(float, re.match(r"(\d+) of .*; (\S+) are", says).groups())
            assert abs(found - expected) < 4 * np.sqrt(2000 * 0.1 * 0.9)

    def test_p_values_without_normal_clips(self, drawn):
        chart = chart_p_values(np.full(10, 0.05), np.zeros(10, dtype=int), 99)
        assert chart.says == (
            "10 of 10 clips have a p-value of at most 0.1; 1 are expected if all are normal."
        )
        assert list(drawn[0].lines_) == ["clips"]

    def test_svg_follows_the_page(self):
        labels = np.array([1, -1, 0])
        svg = chart_scores(np.arange(3.0), labels, 0.5, 1.0).svg
        variables = set(re.findall(r"var\(--(\w+)\)", svg))
        assert variables == {"normal", "anomalous", "unknown", "quiet", "line"}
        style = files("sklasd.report").joinpath("style.css").read_text()
        assert all(style.count(f"--{name}: #") == 2 for name in variables)  # light and dark
        assert not re.findall("#[0-9a-f]{6}", svg)
        assert len(svg) < 20_000


class TestCommandLine:
    def test_a_model_and_a_folder(self, fleet, tmp_path, monkeypatch, capsys):
        models, clips = fleet
        joblib.dump(models["valve"], tmp_path / "valve.joblib")
        (tmp_path / "new").mkdir()
        for path in clips["path"][-6:]:
            shutil.copy(path, tmp_path / "new")
        words = [
            tmp_path / "valve.joblib",
            tmp_path / "new",
            "-o",
            tmp_path / "r.html",
            "--shown",
            1,
        ]
        monkeypatch.setattr(sys, "argv", ["sklasd", "report", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 0, capsys.readouterr().err
        assert "Wrote" in capsys.readouterr().out
        assert len(Page(tmp_path / "r.html").clips()) == 6


@pytest.fixture
def browse():
    """Return a function that opens a file in Chromium, at some width, dark or light."""
    if not all(CHROMIUM.values()):
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is not installed, and this is CI: see .ci/run")
        pytest.skip("chromium and chromedriver are not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    drivers = []

    def open_page(path, *, width=1280, dark=False):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM["chromium"]
        for switch in (
            "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--mute-audio",
            "--autoplay-policy=no-user-gesture-required",
        ):  # fmt: skip
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options, Service(CHROMIUM["chromedriver"]))
        drivers.append(driver)
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        if dark:
            wish = [{"name": "prefers-color-scheme", "value": "dark"}]
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wish})
        driver.get(path.as_uri())
        return driver

    yield open_page
    for driver in drivers:
        driver.quit()


def check_quiet(driver):
    """Nothing was complained about, and nothing was asked for but the file itself."""
    assert driver.get_log("browser") == []
    events = [json.loads(e["message"])["message"] for e in driver.get_log("performance")]
    urls = [
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    ]
    assert any(url.startswith("file://") for url in urls)
    assert all(url.startswith(("file://", "data:")) for url in urls), urls


def check_plays(driver):
    """Both players of the first clip play, and the second stops the first."""
    from selenium.webdriver.support.ui import WebDriverWait

    players = driver.find_elements("css selector", "details.clip[open] audio")[:2]
    assert len(players) == 2
    for player in players:
        driver.execute_script("arguments[0].play()", player)
        WebDriverWait(driver, 20).until(
            lambda d, it=player: d.execute_script("return arguments[0].currentTime", it) > 0.1
        )
    assert driver.execute_script("return arguments[0].paused", players[0])
    assert driver.find_elements("css selector", ".cursor:not([hidden])")


def visible(driver, what="#table tbody tr"):
    script = "return [...document.querySelectorAll(arguments[0])].filter(e => !e.hidden)"
    return driver.execute_script(script, what)


def column(driver, number):
    script = (
        "return [...document.querySelectorAll('#table tbody tr')].filter(e => !e.hidden)"
        ".map(r => r.cells[arguments[0]].dataset.value ?? r.cells[arguments[0]].textContent.trim())"
    )
    return driver.execute_script(script, number)


def heads(driver):
    buttons = driver.find_elements("css selector", "#table th button")
    return {button.text.split(" ")[0]: (i, button) for i, button in enumerate(buttons)}


class TestInChromium:
    def test_opens_quietly_and_plays(self, report, browse):
        driver = browse(report)
        assert driver.title.startswith("Report on <script>")
        check_plays(driver)
        check_quiet(driver)

    def test_sorts_by_mouse_and_keys(self, report, browse):
        from selenium.webdriver.common.keys import Keys

        driver = browse(report)
        number, button = heads(driver)["Score"]
        driver.execute_script("arguments[0].scrollIntoView()", button)
        button.click()
        scores = [float(value) for value in column(driver, number)]
        assert scores == sorted(scores)
        assert button.find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
        button.send_keys(Keys.ENTER)
        assert [float(value) for value in column(driver, number)] == sorted(scores, reverse=True)
        button.send_keys(Keys.TAB)  # the next heading is reached by keys
        focused = driver.switch_to.active_element
        assert focused.tag_name == "button"
        focused.send_keys(Keys.SPACE)
        assert focused.find_element("xpath", "..").get_attribute("aria-sort") == "descending"
        assert len(driver.find_elements("css selector", "#table th[aria-sort]")) == 1

    def test_what_is_not_known_comes_last(self, fleet, browse, tmp_path):
        models, clips = fleet
        is_normal = (clips["machine"] == "valve") & (clips["label"] == 1)
        plain = make_recipe(
            RECIPE, statisticsdetector__calibration=None, statisticsdetector__threshold="quantile"
        )
        models = models | {"valve": plain.fit(clips[is_normal])}  # without p-values
        path = write_report(models, clips, tmp_path / "r.html", max_clips_with_media=0)
        driver = browse(path)
        number, button = heads(driver)["p-value"]
        driver.execute_script("arguments[0].scrollIntoView()", button)
        known = None
        for direction in ("ascending", "descending"):
            button.click()
            assert button.find_element("xpath", "..").get_attribute("aria-sort") == direction
            values = np.array(column(driver, number), dtype=float)
            assert np.isnan(values[12:]).all()
            known = values[:12] if known is None else known
            assert values[:12].tolist() == sorted(known, reverse=direction == "descending")

    def test_filters(self, report, browse):
        from selenium.webdriver.support.ui import Select

        driver = browse(report)
        assert len(visible(driver)) == 24
        selects = {
            e.get_attribute("data-field"): Select(e)
            for e in driver.find_elements("css selector", "select[data-field]")
        }
        assert set(selects) == {"machine", "domain", "decision", "outcome"}  # one section only
        selects["machine"].select_by_visible_text(EVIL)
        assert len(visible(driver)) == 12
        selects["decision"].select_by_visible_text("anomalous")
        rows = visible(driver)
        assert 0 < len(rows) < 12
        assert {row.get_attribute("data-decision") for row in rows} == {"anomalous"}
        status = driver.find_element("css selector", "[role=status]")
        assert status.text.startswith(f"{len(rows)} of 24 clips")
        cards = visible(driver, "details.clip")
        assert {card.get_attribute("data-machine") for card in cards} <= {EVIL}
        driver.find_element("css selector", ".filters button").click()
        assert len(visible(driver)) == 24
        driver.find_element("css selector", "input[type=search]").send_keys("<SCRIPT>")
        assert len(visible(driver)) == 2
        driver.find_element("css selector", "input[type=search]").send_keys("nowhere")
        assert driver.find_element("css selector", ".none").is_displayed()
        check_quiet(driver)

    def test_a_link_in_the_table_opens_its_clip(self, report, browse):
        driver = browse(report)
        card = driver.find_element("id", "clip-7")
        assert card.get_attribute("open") is None
        link = driver.find_element("css selector", '#table a[href="#clip-7"]')
        driver.execute_script("arguments[0].scrollIntoView()", link)
        link.send_keys("\n")
        assert card.get_attribute("open") is not None
        assert driver.switch_to.active_element.tag_name == "summary"

    @pytest.mark.parametrize("dark", [False, True])
    def test_fits_a_phone(self, report, browse, dark):
        driver = browse(report, width=390, dark=dark)
        driver.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        small = driver.execute_script(
            "return [...document.querySelectorAll('select, input, button')]"
            ".filter(e => e.offsetParent && e.offsetHeight < 24).length"
        )
        assert small == 0
        assert driver.find_element("css selector", "select[data-sort]").is_displayed()

    def test_another_script_may_not_run(self, report, browse):
        driver = browse(report)
        driver.execute_script(
            "const s = document.createElement('script'); s.textContent = "
            "'document.title = `taken`'; document.body.append(s)"
        )
        assert driver.title != "taken"


def decode(sound):
    return soundfile.read(io.BytesIO(base64.b64decode(sound.source.split(",")[1])))


@pytest.mark.slow
def test_demo(tmp_path, capsys, browse):
    output = tmp_path / "demo"
    run_demo(output)
    machines = ("fan", "gearbox", "pump", "slider")
    assert {path.name for path in output.iterdir()} == {
        ".sklasd-demo", "data", "evaluation.csv", "machines.joblib", "overview.png", "report.html",
    }  # fmt: skip
    assert tuple(load_model(output / "machines.joblib").estimators_) == machines
    table = pd.read_csv(output / "evaluation.csv")
    official = table[table["row"] == "official"].set_index("detector")["auc"]
    assert official["statistics"] >= 0.93
    assert official["RMS level"] < 0.7
    assert (output / "overview.png").stat().st_size > 50_000
    out = capsys.readouterr().out
    assert str(output / "report.html") in out
    with pytest.raises(FileExistsError, match="pass --force"):
        run_demo(output)
    assert (output / "report.html").stat().st_size < 10e6
    driver = browse(output / "report.html")
    check_plays(driver)
    assert len(visible(driver)) == 4 * 40
    assert driver.find_elements("css selector", ".fault")
    check_quiet(driver)
