"""The command line, as a user types it."""

import json
import re
import shutil
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile

from sklasd import __version__, cli, list_recipes, make_recipe
from sklasd.datasets import load_clips, load_dcase, make_machine_clips
from sklasd.persistence import load_model, read_record, save_model

QUICK = [
    "--recipe", "dcase-autoencoder", "--set", "oeautoencoder__max_epochs=2",
    "--set", "logmel__n_mels=32",
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two machines with 8 normal clips for training, and 4 + 4 for testing."""
    root = tmp_path_factory.mktemp("data")
    for machine in ("fan", "pump"):
        make_machine_clips(
            machine, n_train=8, n_test=4, n_anomalies=4, duration=1.0, severity=3.0, root=root,
            random_state=0,
        )  # fmt: skip
    return root


@pytest.fixture
def sklasd(monkeypatch, capsys, recwarn):
    """Return a function that runs a command line: status, output, errors."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["sklasd", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.run()
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return run


@pytest.fixture
def model(data, tmp_path, sklasd):
    path = tmp_path / "model.joblib"
    status, out, err = sklasd("fit", data / "fan", "-o", path, *QUICK)
    assert status == 0, err
    assert "Training dcase-autoencoder on 8 clips" in out
    return path


class TestFit:
    def test_settings_and_seed_are_used(self, model):
        pipeline = joblib.load(model)
        assert pipeline[0].n_mels == 32
        assert pipeline[1].max_epochs == 2
        assert pipeline[1].random_state == 0

    def test_the_default_is_that_of_make_recipe(self, data, tmp_path, sklasd):
        status, _, err = sklasd("fit", data / "fan", "-o", tmp_path / "model.joblib")
        assert status == 0, err
        fitted, fresh = joblib.load(tmp_path / "model.joblib"), make_recipe()
        assert list(fitted.named_steps) == list(fresh.named_steps)
        assert repr(fitted[-1]) == repr(fresh[-1])

    def test_every_part_that_draws_is_seeded(self, data, tmp_path, sklasd):
        path = tmp_path / "model.joblib"
        words = ("--recipe", "twfr-gmm", "--seed", 3)
        status, _, err = sklasd("fit", data / "fan", "-o", path, *words)
        assert status == 0, err
        assert joblib.load(path)[-1].backend.random_state == 3

    def test_never_overwrites(self, model, data, sklasd):
        before = model.read_bytes()
        status, _, err = sklasd("fit", data / "fan", "-o", model, *QUICK)
        assert status == 2
        assert "exists; pass --force" in err
        assert model.read_bytes() == before
        assert sklasd("fit", data / "fan", "-o", model, *QUICK, "--force", "--seed", 1)[0] == 0
        assert joblib.load(model)[1].random_state == 1
        assert list(model.parent.iterdir()) == [model]

    def test_takes_any_folder(self, tmp_path, sklasd, rng):
        for i in range(3):
            soundfile.write(tmp_path / f"monday {i}.flac", rng.normal(size=8000) / 10, 16000)
        status, out, _ = sklasd("fit", tmp_path, "-o", tmp_path / "m.joblib", *QUICK)
        assert status == 0
        assert "on 3 clips" in out

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["nowhere", "-o", "m.joblib"], "there is no folder"),
            ([".", "-o", "m.joblib", "--recipe", "best"], "recipe 'best'; there are"),
            ([".", "-o", "m.joblib", "--set", "lr=1"], "no parameter 'lr'; it has"),
            ([".", "-o", "m.joblib", "--set", "lr"], "write it as STEP__PARAM=VALUE"),
            ([".", "-o", "gone/m.joblib"], "There is no folder"),
            ([".", "-o", "."], "is a folder; name a file in it"),
            ([".", "-o", "m.joblib"], "no sound file"),
        ],
    )
    def test_wrong_words(self, tmp_path, monkeypatch, sklasd, words, message):
        monkeypatch.chdir(tmp_path)
        status, _, err = sklasd("fit", *words)
        assert status == 2
        assert message in err
        assert "Traceback" not in err
        assert not list(tmp_path.iterdir())

    def test_scores_of_before_are_not_taken_for_new_ones(self, model, data, sklasd, tmp_path):
        first, again = tmp_path / "first.csv", tmp_path / "again.csv"
        assert sklasd("score", model, data / "fan" / "test", "--csv", first)[0] == 0
        table = pd.read_csv(first)
        table.assign(score=7.0, decision="normal", reason="none").to_csv(first, index=False)
        for skip in ([], ["--on-error", "skip"]):
            status, _, err = sklasd("score", model, first, "--csv", again, "--force", *skip)
            assert status == 0, err
            scored = pd.read_csv(again)
            np.testing.assert_array_equal(scored["score"], table["score"])
            np.testing.assert_array_equal(scored["decision"], table["decision"])

    def test_a_score_that_is_no_number_is_an_anomaly(self, data, sklasd, tmp_path, monkeypatch):
        from sklasd import StatisticsDetector

        words = ("--recipe", "statistics-mahalanobis")
        status, _, err = sklasd("fit", data / "fan", "-o", tmp_path / "m.joblib", *words)
        assert status == 0, err
        score = StatisticsDetector._score_samples

        def lose_one(self, *args, **kwargs):
            scores = score(self, *args, **kwargs)
            scores[0] = np.nan
            return scores

        monkeypatch.setattr(StatisticsDetector, "_score_samples", lose_one)
        for skip in ([], ["--on-error", "skip"]):
            csv = tmp_path / f"{len(skip)}.csv"
            words = ("score", tmp_path / "m.joblib", data / "fan" / "test", "--csv", csv)
            assert sklasd(*words, *skip)[0] == 0
            lost = pd.read_csv(csv).query("score != score")
            assert lost["decision"].tolist() == ["anomalous"]

    def test_lines_for_machines(self, model, data, sklasd):
        status, out, _ = sklasd("score", model, data / "fan" / "test", "--json")
        assert status == 0
        lines = [json.loads(line) for line in out.splitlines()]
        assert len(lines) == 8
        assert {"path", "score", "p_value", "threshold", "decision"} <= set(lines[0])
        assert lines[0]["score"] < lines[-1]["score"]

    def test_a_device_that_is_not_there(self, model, data, sklasd):
        status, _, err = sklasd("score", model, data / "fan" / "test", "--device", "cpus")
        assert status == 2
        assert "cpus" in err
        assert sklasd("score", model, data / "fan" / "test", "--device", "cpu")[0] == 0


def test_devices_reach_every_part():
    from sklasd import FusionDetector, KNNDetector, OEAutoencoder
    from sklasd.cli._pipelines import set_device

    nets = [(name, OEAutoencoder(max_epochs=1, device="cuda:7")) for name in "ab"]
    model = FusionDetector(nets)
    set_device(model, "cpu")
    fitted = model.fit(np.random.default_rng(0).normal(size=(12, 8, 20)))
    assert {each.device for each in fitted.named_estimators_.values()} == {"cpu"}
    for each in fitted.named_estimators_.values():
        each.device = "cuda:7"
    set_device(fitted, "cpu")
    assert {each.device for each in fitted.named_estimators_.values()} == {"cpu"}
    with pytest.raises(ValueError, match="nothing in the model takes one"):
        set_device(KNNDetector(), "cpu")


class TestFleet:
    """One file with a model for each machine."""

    @pytest.fixture(scope="class")
    @staticmethod
    def fleet(data, tmp_path_factory):
        path = tmp_path_factory.mktemp("fleet") / "fleet.joblib"
        words = ["fit", str(data), "-o", str(path), "--recipe", "statistics-mahalanobis"]
        done = subprocess.run(
            [sys.executable, "-m", "sklasd", *words], check=True, capture_output=True, text=True
        )
        return path, done.stdout

    def test_each_machine_has_its_own(self, fleet, data, sklasd, tmp_path):
        path, out = fleet
        assert "a model for each of 2 machines, fan, pump" in out
        model = load_model(path)
        assert list(model.estimators_) == ["fan", "pump"]
        single = tmp_path / "pump.joblib"
        words = ("--recipe", "statistics-mahalanobis")
        assert sklasd("fit", data / "pump", "-o", single, *words)[0] == 0
        clips = load_clips(data / "pump" / "test")
        np.testing.assert_array_equal(
            model.estimators_["pump"].score_samples(clips), load_model(single).score_samples(clips)
        )

    def test_the_record_is_kept_per_machine(self, fleet, sklasd):
        status, out, _ = sklasd("info", fleet[0], "--json")
        assert status == 0
        fan, pump = json.loads(out)["groups"]
        assert (fan["name"], pump["name"]) == ("fan", "pump")
        assert fan["n_clips"] == pump["n_clips"]
        assert fan["level"] != pump["level"]

    def test_pooled_on_purpose(self, data, sklasd, tmp_path):
        words = ("--recipe", "statistics-mahalanobis", "--pool")
        status, out, _ = sklasd("fit", data, "-o", tmp_path / "m.joblib", *words)
        assert status == 0
        assert "of 2 machines, fan, pump, as one" in out
        assert not hasattr(load_model(tmp_path / "m.joblib"), "estimators_")

    def test_scores_by_machine(self, fleet, data, sklasd, tmp_path):
        csv = tmp_path / "a.csv"
        status, out, err = sklasd("score", fleet[0], data, "--csv", csv)
        assert status == 0, err
        assert "they score below their machine's threshold" in err
        scored = pd.read_csv(csv)
        assert "machine" in out.splitlines()[0]
        for name, own in scored.groupby("machine"):
            pipeline = load_model(fleet[0]).estimators_[name]
            np.testing.assert_array_equal(pipeline.score_samples(own), own["score"])
            assert (own["threshold"] == pipeline[-1].offset_).all()
        assert scored["threshold"].nunique() == 2

    def test_an_error_names_the_machine(self, data, sklasd, tmp_path):
        clips = load_clips(data)
        lost = tmp_path / "lost.wav"
        paths = [
            "path,machine",
            *(f"{c.path},{c.machine}" for c in clips.itertuples()),
            f"{lost},pump",
        ]
        (tmp_path / "clips.csv").write_text("\n".join(paths) + "\n")
        lost.write_bytes(b"no sound" * 100)
        words = ("-o", tmp_path / "m.joblib", "--recipe", "statistics-mahalanobis")
        status, _, err = sklasd("fit", tmp_path / "clips.csv", *words)
        assert status == 2
        assert "lost.wav" in err
        assert "machine='pump'" in err

    def test_tells_machines_by_folders_or_by_word(self, fleet, data, sklasd, tmp_path):
        clip = next((data / "pump" / "test").iterdir())
        assert sklasd("score", fleet[0], clip)[0] == 0  # by the folder around it
        lone = tmp_path / "new.wav"
        lone.write_bytes(clip.read_bytes())
        status, _, err = sklasd("score", fleet[0], lone)
        assert status == 2
        assert "put them in folders named fan, pump, or name their machine by --machine" in err
        status, out, _ = sklasd("score", fleet[0], lone, "--machine", "pump", "--json")
        assert (status, json.loads(out)["machine"]) == (0, "pump")
        status, _, err = sklasd("score", fleet[0], lone, "--machine", "press")
        assert (status, "the model has fan, pump" in err) == (2, True)

    def test_one_machine_has_no_names(self, model, data, sklasd):
        status, _, err = sklasd("score", model, data / "fan" / "test", "--machine", "fan")
        assert (status, "has no machines by name" in err) == (2, True)

    def test_recalibrates_by_a_folder_with_sections(self, fleet, data, sklasd, tmp_path):
        output = tmp_path / "new.joblib"
        status, out, err = sklasd("recalibrate", fleet[0], data, "-o", output)
        assert status == 0, err
        assert "Threshold of fan" in out
        assert "by 4 clips" in out  # the normal ones that are not for training
        record = read_record(output)
        assert record["groups"][0]["n_clips"] == 8
        assert record["recalibrated"][0]["n_clips"] == 4
        status, _, err = sklasd("recalibrate", fleet[0], data / "fan" / "train", "-o", output)
        assert (status, "pass --force" in err) == (2, True)
        words = ("recalibrate", fleet[0], data, "-o", tmp_path / "x.joblib", "--machine", "press")
        assert sklasd(*words)[0] == 2

    def test_recalibration_refuses_training_clips(self, fleet, data, sklasd, tmp_path):
        lone = tmp_path / "data"
        (lone / "fan").mkdir(parents=True)
        (lone / "fan" / "train").symlink_to(data / "fan" / "train")
        words = ("recalibrate", fleet[0], lone, "-o", tmp_path / "new.joblib")
        status, _, err = sklasd(*words)
        assert (status, "There is no new normal clip" in err) == (2, True)

    def test_a_machine_that_is_told_is_never_another(self, fleet, data, sklasd, tmp_path):
        clip = next((data / "fan" / "test").iterdir())
        (tmp_path / "clips.csv").write_text(f"path,machine\n{clip},valve\n")
        status, _, err = sklasd("score", fleet[0], tmp_path / "clips.csv")
        assert (status, "Got clips of valve, but the model has fan, pump" in err) == (2, True)
        words = ("score", fleet[0], tmp_path / "clips.csv", "--machine", "fan")
        assert sklasd(*words)[0] == 0

    def test_the_threshold_of_one_machine_is_its_own(self, fleet, data, sklasd):
        status, _, err = sklasd("score", fleet[0], data / "pump" / "test")
        assert status == 0
        offset = load_model(fleet[0]).estimators_["pump"][-1].offset_
        assert f"they score below {offset:.4f}" in err

    def test_files_are_told_apart_as_folders_are(self, data, sklasd, tmp_path):
        files = sorted(data.glob("*/train/*.wav"))
        words = ("-o", tmp_path / "m.joblib", "--recipe", "statistics-mahalanobis")
        status, out, err = sklasd("fit", *files, *words)
        assert status == 0, err
        assert "on 16 clips: a model for each of 2 machines, fan, pump" in out
        lone = tmp_path / "lone.wav"
        lone.write_bytes(files[0].read_bytes())
        words = ("-o", tmp_path / "n.joblib", "--recipe", "statistics-mahalanobis")
        status, out, err = sklasd("fit", data, lone, *words)
        assert status == 2
        assert f"1 clips without a machine, such as {lone}" in err
        assert "Training" not in out

    def test_recalibrates_one_of_them(self, fleet, data, sklasd, tmp_path):
        new = [*(data / "fan" / "test").glob("normal*")]
        status, out, err = sklasd("recalibrate", fleet[0], *new, "-o", tmp_path / "new.joblib")
        assert status == 0, err
        assert "Threshold of fan" in out
        assert "pump" not in out
        before, after = load_model(fleet[0]), load_model(tmp_path / "new.joblib")
        assert before.estimators_["fan"][-1].offset_ != after.estimators_["fan"][-1].offset_
        assert before.estimators_["pump"][-1].offset_ == after.estimators_["pump"][-1].offset_


class TestMap:
    def test_picture_and_sound(self, model, data, sklasd, tmp_path):
        clip = next((data / "fan" / "test").glob("anomaly*"))
        picture, sound = tmp_path / "a.png", tmp_path / "a.wav"
        status, out, err = sklasd("map", model, clip, "-o", picture, "--sound", sound)
        assert status == 0, err
        assert f"Saved {picture} and {sound}" in out
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert soundfile.info(sound).frames == soundfile.info(clip).frames
        status, _, err = sklasd("map", model, clip, "-o", picture)
        assert (status, "pass --force" in err) == (2, True)
        score = joblib.load(model).score_samples([clip])[0]
        assert f"score {score:.4f}" in out

    def test_endings_are_told_before_any_work(self, model, data, sklasd, tmp_path):
        clip = next((data / "fan" / "test").glob("anomaly*"))
        for words in (["-o", "a.txt"], ["-o", "a.png", "--sound", "a.xyz"]):
            words = [w if w.startswith("-") else tmp_path / w for w in words]
            status, _, err = sklasd("map", model, clip, *words)
            assert (status, "name a file ending in" in err) == (2, True)
        assert not list(tmp_path.glob("a.*"))

    def test_of_several_clips(self, model, data, sklasd, tmp_path):
        status, _, err = sklasd("map", model, data / "fan" / "test", "-o", tmp_path / "a.png")
        assert (status, "with 8 clips; name one of them" in err) == (2, True)
        assert not list(tmp_path.glob("*.png"))

    def test_of_a_fleet(self, data, sklasd, tmp_path):
        fleet = tmp_path / "fleet.joblib"
        assert sklasd("fit", data, "-o", fleet, "--recipe", "statistics-mahalanobis")[0] == 0
        clip = next((data / "pump" / "test").iterdir())
        assert sklasd("map", fleet, clip, "-o", tmp_path / "a.png")[0] == 0

    def test_a_detector_that_cannot_tell_where(self, data, sklasd, tmp_path):
        from sklasd import ClipStatistics, KNNDetector, LogMel, make_pipeline

        path = tmp_path / "m.joblib"
        blind = make_pipeline(LogMel(n_mels=8), ClipStatistics(), KNNDetector())
        save_model(blind.fit(load_clips(data / "fan" / "train")), path)
        clip = next((data / "fan" / "test").iterdir())
        status, _, err = sklasd("map", path, clip, "-o", tmp_path / "a.png")
        assert status == 2
        assert "Got the detector KNNDetector, which cannot tell where" in err


class TestRecordings:
    """`fit` and `score` take files, folders and manifests alike."""

    def test_are_the_same_clips(self, data, sklasd, tmp_path):
        train = data / "fan" / "train"
        files = sorted(train.iterdir())
        (tmp_path / "clips.csv").write_text("\n".join(["path", *map(str, files)]) + "\n")
        scores = []
        for i, given in enumerate(([train], files, [tmp_path / "clips.csv"], [train, files[0]])):
            model = tmp_path / f"{i}.joblib"
            words = ("--recipe", "statistics-mahalanobis", "-o", model)
            status, out, err = sklasd("fit", *given, *words)
            assert status == 0, err
            assert f"on {len(files)} clips ..." in out
            status, out, _ = sklasd("score", model, *given, "--json")
            assert status == 0
            scores.append([json.loads(line)["score"] for line in out.splitlines()])
        assert scores[0] == scores[1] == scores[2] == scores[3]

    def test_an_unwritable_output_is_told_before_training(self, data, sklasd):
        status, out, err = sklasd("fit", data / "fan", "-o", "/proc/m.joblib")
        assert status == 2
        assert "/proc/m.joblib cannot be written" in err
        assert "Training" not in out
        for option in ("-o", "--submission", "--csv"):
            status, out, err = sklasd("evaluate", data, option, "/proc/nowhere")
            assert status == 2, option
            assert "/proc/nowhere" in err
            assert "scored" not in out + err

    def test_info_of_a_manifest_with_columns_of_its_own(self, data, sklasd, tmp_path):
        clip = next((data / "fan" / "train").iterdir())
        (tmp_path / "clips.csv").write_text(f"path,channels,duration\n{clip},7,7\n")
        status, out, err = sklasd("info", tmp_path / "clips.csv")
        assert status == 0, err
        assert out.splitlines()[1].split()[-4:] == ["1.0", "1.0", "16000", "1"]


class TestRecalibrate:
    def test_sets_the_threshold_by_new_clips(self, model, data, sklasd, tmp_path):
        new = [*(data / "fan" / "test").glob("normal*")]
        output = tmp_path / "new.joblib"
        status, out, err = sklasd("recalibrate", model, *new, "-o", output)
        assert status == 0, err
        assert f"by 4 clips, where it was {joblib.load(model)[-1].offset_:.4f}" in out
        detector = joblib.load(output)[-1]
        expected = joblib.load(model).score_samples([str(path) for path in new])
        np.testing.assert_array_equal(np.sort(detector.calibration_scores_), np.sort(expected))

    def test_never_overwrites(self, model, data, sklasd):
        before = model.read_bytes()
        assert sklasd("recalibrate", model, data / "fan" / "test", "-o", model)[0] == 2
        assert model.read_bytes() == before


class TestWords:
    def test_recipes(self, sklasd):
        status, out, _ = sklasd("recipes")
        assert (status, out.split()) == (0, list_recipes())

    def test_version(self, sklasd):
        assert sklasd("--version")[:2] == (0, f"sklasd {__version__}\n")

    def test_interrupted_while_importing(self, sklasd, monkeypatch):
        def stop(*args):
            raise KeyboardInterrupt

        monkeypatch.setattr("sklasd.cli._app.run", stop)
        status, out, err = sklasd("recipes")
        assert (status, out) == (130, "")
        assert err.startswith("Interrupted")


class TestScore:
    def test_worst_first(self, model, data, sklasd, tmp_path):
        table = tmp_path / "scores.csv"
        status, out, err = sklasd("score", model, data / "fan" / "test", "--csv", table)
        assert status == 0
        scores = pd.read_csv(table)
        assert list(scores)[:5] == ["path", "score", "p_value", "threshold", "decision"]
        assert len(scores) == 8
        assert scores["score"].is_monotonic_increasing
        pipeline = joblib.load(model)
        np.testing.assert_array_equal(pipeline.score_samples(scores), scores["score"])
        expected = np.where(pipeline.predict(scores) == -1, "anomalous", "normal")
        np.testing.assert_array_equal(scores["decision"], expected)
        assert (scores["threshold"] == pipeline[-1].offset_).all()
        np.testing.assert_array_equal(
            scores["p_value"], pipeline[-1].p_values(pipeline[:-1].transform(scores))
        )
        assert "of 8 clips are anomalous" in err
        assert out.count("\n") == 9

    def test_single_files_and_status(self, model, data, sklasd):
        clips = sorted((data / "fan" / "test").glob("anomaly*"))
        pipeline = joblib.load(model)
        decisions = pipeline.predict(clips)
        status, _, _ = sklasd("score", model, *clips)
        assert status == 0
        for decision, clip in zip(decisions, clips, strict=True):
            status, _, _ = sklasd("score", model, clip, "--fail-on-anomaly")
            assert status == (decision == -1)

    def test_bad_files(self, model, data, sklasd, tmp_path):
        (tmp_path / "text.joblib").write_text("no model")
        joblib.dump([1, 2], tmp_path / "list.joblib")
        clip = next((data / "fan" / "test").iterdir())
        for path, message in {
            "gone.joblib": "There is no model",
            "text.joblib": "cannot be loaded: it is no model file",
            "list.joblib": "holds a list, which is no detector",
        }.items():
            status, _, err = sklasd("score", tmp_path / path, clip)
            assert (status, message in err) == (2, True), err
        status, _, err = sklasd("score", model, clip, "gone.wav", "lost.wav")
        assert status == 2
        assert "gone.wav') does not exist" in err
        assert "lost.wav') does not exist" in err


class TestBadRecordings:
    @pytest.fixture
    def folder(self, data, tmp_path):
        """Two clips that can be scored, and four that cannot."""
        folder = tmp_path / "new"
        folder.mkdir()
        for i, clip in enumerate(sorted((data / "fan" / "test").iterdir())[:2]):
            (folder / f"whole{i}.wav").write_bytes(clip.read_bytes())
        (folder / "empty.wav").touch()
        (folder / "text.wav").write_text("this is no sound " * 100)
        soundfile.write(folder / "short.wav", np.full(100, 0.1), 16000)
        soundfile.write(folder / "few frames.wav", np.sin(np.arange(1500)), 16000)
        return folder

    def test_info_shows_the_rest(self, folder, sklasd):
        status, out, _ = sklasd("info", folder)
        assert status == 0
        row = next(line.split() for line in out.splitlines() if "16000" in line)
        assert row == ["new", "0", "0", "4", "0.0", "1.0", "16000", "1"]
        assert "2 of 6 clips cannot be read" in out
        for words in ("empty.wav') is an empty file", "text.wav') cannot be read as audio"):
            assert words in out
        for name in ("whole0.wav", "whole1.wav", "short.wav", "few frames.wav"):
            (folder / name).unlink()
        status, out, _ = sklasd("info", folder)
        assert status == 0
        assert "2 of 2 clips cannot be read" in out

    def test_score_stops(self, model, folder, sklasd, tmp_path):
        status, out, err = sklasd("score", model, folder, "--csv", tmp_path / "a.csv")
        assert (status, out) == (2, "")
        assert "3 of 6 clips cannot be used" in err
        assert "--on-error skip" in err
        assert not (tmp_path / "a.csv").exists()

    def test_score_skips(self, model, folder, sklasd, tmp_path):
        table = tmp_path / "a.csv"
        words = ("score", model, folder, "--csv", table, "--on-error", "skip")
        status, out, err = sklasd(*words)
        assert status == 3, err
        assert out.count("\n") == 3
        assert "4 of 6 clips were skipped" in err
        for name in ("empty", "text", "short", "few frames"):
            assert f"{name}.wav" in err
        scored = pd.read_csv(table)
        assert list(scored) == ["path", "score", "p_value", "threshold", "decision", "reason"]
        is_good = scored["path"].str.contains("whole")
        good = scored[is_good]
        np.testing.assert_array_equal(joblib.load(model).score_samples(good), good["score"])
        assert good["reason"].isna().all()
        bad = scored[~is_good].set_index("path")
        assert (bad["decision"] == "skipped").all()
        assert bad["score"].isna().all()
        assert bad.loc[str(folder / "empty.wav"), "reason"].startswith("is an empty file")
        assert "only 3 frames" in bad.loc[str(folder / "few frames.wav"), "reason"]

    def test_statuses(self, model, folder, sklasd, rng):
        skip = ("--on-error", "skip")
        assert sklasd("score", model, folder / "whole0.wav", *skip)[0] == 0
        soundfile.write(folder / "loud.wav", rng.uniform(-1, 1, size=16000), 16000)
        words = ("score", model, folder / "loud.wav", folder / "empty.wav", *skip)
        assert sklasd(*words, "--fail-on-anomaly")[0] == 1
        status, _, err = sklasd("score", model, folder / "empty.wav", folder / "text.wav", *skip)
        assert status == 2
        assert "2 of 2 clips cannot be used" in err


class TestEvaluate:
    def test_table(self, data, sklasd, tmp_path):
        status, out, err = sklasd("evaluate", data, *QUICK, "--csv", tmp_path / "table.csv")
        assert status == 0, err
        table = pd.read_csv(tmp_path / "table.csv")
        sections = table[table["row"] == "section"]
        assert sections["machine"].tolist() == ["fan", "fan", "pump", "pump"]
        assert sections["detector"].tolist() == ["dcase-autoencoder", "RMS level"] * 2
        assert table[["auc", "pauc"]].notna().all(axis=None)
        assert "RMS level" in out

    def test_lines_for_machines(self, data, sklasd, tmp_path):
        root = tmp_path / "data"
        root.mkdir()
        for name in ("fan", "pump"):
            (root / name).symlink_to(data / name)
        shutil.copytree(data / "pump" / "test", root / "valve" / "test")
        words = ("--recipe", "statistics-mahalanobis", "--json")
        status, out, err = sklasd("evaluate", root, *words)
        assert status == 0, err
        lines = [json.loads(line) for line in out.splitlines()]  # and nothing else
        assert "valve: left out" in err
        assert [line["machine"] for line in lines] == ["fan"] * 2 + ["pump"] * 2 + ["official"] * 2
        assert all(0 <= line["auc"] <= 1 for line in lines)

    def test_a_machine_without_training_clips_is_told(self, data, sklasd, tmp_path):
        root = tmp_path / "data"
        root.mkdir()
        (root / "fan").symlink_to(data / "fan")
        (root / "pump" / "test").mkdir(parents=True)
        for clip in (data / "pump" / "test").iterdir():
            (root / "pump" / "test" / clip.name).symlink_to(clip)
        status, out, _ = sklasd("evaluate", root, *QUICK)
        assert status == 0
        assert "pump: left out, as it lacks clips to train on" in out
        status, _, err = sklasd("evaluate", root / "pump", *QUICK)
        assert status == 2
        assert "No machine in" in err

    def test_seeds(self, data, sklasd, tmp_path):
        folder = tmp_path / "results"
        words = ["evaluate", data / "fan", *QUICK, "-o", folder, "--seeds", "0,1"]
        status, out, err = sklasd(*words)
        assert status == 0, err
        table = pd.read_csv(folder / "evaluation.csv")
        assert {"auc", "auc_std", "pauc_std", "official_std"} <= set(table)
        single = []
        for seed in (0, 1):
            sklasd("evaluate", data / "fan", *QUICK, "--seeds", seed, "--csv", tmp_path / f"{seed}")
            single.append(pd.read_csv(tmp_path / str(seed))["auc"])
        np.testing.assert_allclose(table["auc"], np.mean(single, axis=0))
        np.testing.assert_allclose(table["auc_std"], np.std(single, axis=0, ddof=1), atol=1e-12)
        assert (folder / "evaluation.txt").read_text() in out
        again = tmp_path / "again.csv"
        sklasd("evaluate", data / "fan", *QUICK, "--seeds", "0", "--seeds", "1", "--csv", again)
        pd.testing.assert_frame_equal(pd.read_csv(again), table)

    def test_resumes_without_repeating(self, data, sklasd, tmp_path, monkeypatch):
        from sklasd.evaluation import _runs

        folder = tmp_path / "results"
        compute, computed = _runs.evaluate_machine, []

        def interrupted(pipeline, clips, **kwargs):
            computed.append(clips["machine"].iloc[0])
            if len(computed) == 2:
                raise KeyboardInterrupt
            return compute(pipeline, clips, **kwargs)

        monkeypatch.setattr(_runs, "evaluate_machine", interrupted)
        words = ["evaluate", data, *QUICK, "-o", folder]
        status, _, err = sklasd(*words)
        assert status == 130
        assert err.endswith("Interrupted: what was finished is kept, and nothing else.\n")
        assert "Traceback" not in err
        status, resumed, _ = sklasd(*words)
        assert status == 0
        assert computed == ["fan", "pump", "pump"]
        status, again, _ = sklasd(*words)
        assert (status, again) == (0, resumed)
        assert computed == ["fan", "pump", "pump"]
        monkeypatch.undo()
        assert not list(folder.rglob(".*"))

    def test_other_settings_need_another_folder(self, data, sklasd, tmp_path):
        sklasd("evaluate", data / "fan", *QUICK, "-o", tmp_path / "results")
        status, _, err = sklasd("evaluate", data / "fan", *QUICK[:-2], "-o", tmp_path / "results")
        assert status == 2
        assert "another settings; name another folder" in err
        late = data / "fan" / "test" / "normal_id_00_99999999.wav"
        late.write_bytes(next((data / "fan" / "test").glob("normal*")).read_bytes())
        try:
            status, _, err = sklasd("evaluate", data / "fan", *QUICK, "-o", tmp_path / "results")
        finally:
            late.unlink()
        assert status == 2
        assert "another clips; name another folder" in err

    def test_a_folder_without_labels_is_told(self, sklasd, tmp_path, rng):
        for i in range(3):
            soundfile.write(tmp_path / f"{i}.wav", rng.normal(size=8000) / 10, 16000)
        status, _, err = sklasd("evaluate", tmp_path)
        assert status == 2
        assert "No machine in" in err

    @pytest.mark.parametrize("seeds", ["x", "1.5", "0,0", ","])
    def test_bad_seeds(self, data, sklasd, seeds):
        status, _, err = sklasd("evaluate", data, "--seeds", seeds)
        assert status == 2
        assert "write different whole numbers: --seeds 0,1,2" in err

    @pytest.mark.parametrize("words", [["data", "--seeds", 0, 1, 2], ["--seeds", 0, 1, "data"]])
    def test_seeds_are_one_word(self, sklasd, words):
        status, _, err = sklasd("evaluate", *words)
        assert status == 2
        assert "write these as one word: --seeds 0,1,2" in err

    def test_a_folder_behind_the_seeds_is_no_seed(self, data, sklasd, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "2023").symlink_to(data)
        words = ("--recipe", "statistics-mahalanobis", "--seeds", "0", "2023")
        status, out, err = sklasd("evaluate", *words)
        assert status == 0, err
        assert "pump" in out

    def test_years_are_told_before_training(self, data, sklasd, tmp_path):
        clips = load_dcase(data)
        clips.loc[clips["machine"] == "pump", "year"] = 2023
        clips.to_csv(tmp_path / "clips.csv", index=False)
        for words in ([], ["--submission", tmp_path / "files"]):
            status, _, err = sklasd("evaluate", tmp_path / "clips.csv", *words)
            assert status == 2
            assert "Got clips of the years [2020, 2023], but each year has its own rule" in err

    def test_submission(self, sklasd, tmp_path):
        from sklasd.submission import read_submission, score_submission

        make_machine_clips(
            "fan", n_train=8, n_test=6, n_anomalies=6, duration=1.0, target_share=0.5, year=2023,
            root=tmp_path / "data", random_state=0,
        )  # fmt: skip
        out = tmp_path / "submission"
        words = ["evaluate", tmp_path / "data", *QUICK, "--submission", out]
        status, text, err = sklasd(*words, "--csv", tmp_path / "table.csv")
        assert status == 0, err
        assert "Wrote 2 files" in text
        assert sorted(p.name for p in out.iterdir()) == [
            "anomaly_score_fan_section_00_test.csv",
            "decision_result_fan_section_00_test.csv",
        ]
        assert len(read_submission(out)) == 12
        again = score_submission(out, tmp_path / "data", year=2023, n_bootstrap=0)
        table = pd.read_csv(tmp_path / "table.csv")
        ours = table[(table["row"] == "official") & (table["detector"] != "RMS level")]
        assert again["official"].iloc[-1] == pytest.approx(ours["official"].item(), abs=1e-12)
        status, _, err = sklasd(*words)
        assert status == 2
        assert "exists; pass --force" in err
        status, _, err = sklasd(*words, "--seeds", "0,1")
        assert status == 2
        assert "a submission is of one seed" in err

    def test_submission_of_one_domain(self, sklasd, tmp_path):
        """There is nothing of the target domain, which the official score needs."""
        make_machine_clips(
            "fan", n_train=8, n_test=2, n_anomalies=2, duration=1.0, year=2023,
            root=tmp_path / "data", random_state=0,
        )  # fmt: skip
        words = ["evaluate", tmp_path / "data", "--recipe", "statistics-mahalanobis"]
        files = ["-o", tmp_path / "results", "--submission", tmp_path / "submission"]
        status, out, err = sklasd(*words, *files)
        assert status == 0, err
        assert "Wrote 2 files" in out
        assert "The official score of 2023 cannot be computed: Got machine 'fan'" in out
        assert "0 normal target" in out
        assert not (tmp_path / "results" / "evaluation.csv").exists()
        # Without a submission the score is all that was asked for.
        status, _, err = sklasd(*words)
        assert status == 2
        assert "0 normal target" in err


class TestInfo:
    def test_counts_and_formats(self, data, sklasd):
        status, out, _ = sklasd("info", data)
        assert status == 0
        row = next(line.split() for line in out.splitlines() if "pump" in line and "test" in line)
        assert row == ["2020", "pump", "00", "test", "4", "4", "0", "1.0", "1.0", "16000", "1"]

    def test_ground_truth_in_several_files(self, tmp_path, sklasd):
        words = ["info", tmp_path / "data"]
        for machine in ("Vacuum", "ToyDrone"):
            for i in range(2):
                clip = tmp_path / f"data/{machine}/test/section_00_000{i}.wav"
                clip.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(clip, np.full(800, 0.1), 8000)
            truth = tmp_path / f"ground_truth_{machine}_section_00_test.csv"
            truth.write_text("section_00_0000.wav,0\nsection_00_0001.wav,1\n")
            words += ["--ground-truth", truth]
        status, out, err = sklasd(*words)
        assert status == 0, err
        lines = [line.split() for line in out.splitlines() if " test " in line]
        # The last columns are those of normal, anomalous and unlabelled clips.
        assert [[line[1], *line[4:7]] for line in lines] == [
            ["ToyDrone", "1", "1", "0"], ["Vacuum", "1", "1", "0"]
        ]  # fmt: skip

    def test_oddities(self, tmp_path, sklasd, rng):
        for i in range(30):
            seconds = 2 if i == 7 else 1
            soundfile.write(tmp_path / f"{i:02}.wav", rng.normal(size=seconds * 8000) / 10, 8000)
        status, out, _ = sklasd("info", tmp_path)
        assert status == 0
        assert "1 of 30 clips have an unusual duration, such as 2 s" in out
        assert "07.wav" in out
        assert "sample_rate, such" not in out


class TestReport:
    def test_of_a_folder_of_models(self, data, sklasd, tmp_path):
        folder = tmp_path / "models"
        folder.mkdir()
        status, _, err = sklasd("report", folder, data, "-o", tmp_path / "r.html")
        assert (status, "There is no model in" in err) == (2, True)
        for name in ("fan", "pump"):
            words = ("-o", folder / f"{name}.joblib", "--recipe", "statistics-mahalanobis")
            assert sklasd("fit", data / name, *words)[0] == 0
        words = (data, "-o", tmp_path / "r.html", "--shown", 1)
        status, out, err = sklasd("report", folder, *words)
        assert status == 0, err
        assert "Wrote" in out
        page = (tmp_path / "r.html").read_text()
        assert len(re.findall(r"<tr[^>]* data-decision=", page)) == 8 + 8
        assert "fan" in page
        status, _, err = sklasd("report", folder, *words, "--machine", "valve", "--force")
        assert (status, "the model has fan, pump" in err) == (2, True)

    def test_the_record_of_a_machine_called_level(self, data, sklasd, tmp_path):
        for name, other in {"fan": "level", "pump": "n_clips"}.items():
            (tmp_path / "data").mkdir(exist_ok=True)
            (tmp_path / "data" / other).symlink_to(data / name)
        words = ("-o", tmp_path / "m.joblib", "--recipe", "statistics-mahalanobis")
        assert sklasd("fit", tmp_path / "data", *words)[0] == 0
        words = ("-o", tmp_path / "r.html", "--shown", 0)
        status, _, err = sklasd("report", tmp_path / "m.joblib", tmp_path / "data", *words)
        assert status == 0, err
        page = (tmp_path / "r.html").read_text()
        assert "Trained on level" in page
        assert "Trained on n_clips" in page
        assert "{'" not in page


def test_fetch_refuses_what_is_not_published(sklasd):
    status, _, err = sklasd("fetch", 1999)
    assert status == 2
    assert "year=1999; expected one of [2020" in err


def test_help_names_every_command():
    command = [sys.executable, "-m", "sklasd", "--help"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert all(
        name in out for name in ("demo", "fit", "score", "evaluate", "report", "info", "fetch")
    )


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_demo_never_removes_what_is_not_its_own(tmp_path, sklasd, force):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious.csv").write_text("1")
    status, _, err = sklasd("demo", "-o", tmp_path, *force)
    assert status == 2
    assert "is no report of ours" in err
    assert (tmp_path / "data" / "precious.csv").read_text() == "1"
