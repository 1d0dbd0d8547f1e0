"""Model files: their record, and what becomes of damaged and foreign ones."""

import json
import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

import sklasd
from sklasd import GroupedDetector, LogMel, StatisticsDetector, make_pipeline
from sklasd.datasets import load_clips, make_machine_clips
from sklasd.persistence import load_model, read_record, save_model


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("machines")
    for machine in ("fan", "pump"):
        make_machine_clips(
            machine, n_train=10, n_test=3, n_anomalies=2, duration=1.0, root=root, random_state=0
        )
    return load_clips(root)


@pytest.fixture(scope="module")
def model(clips):
    return make_pipeline(LogMel(n_mels=16), StatisticsDetector()).fit(clips)


@pytest.fixture
def saved(model, clips, tmp_path):
    save_model(model, tmp_path / "m.joblib", clips=clips)
    return tmp_path / "m.joblib"


class TestRecord:
    def test_tells_what_the_model_was_made_of(self, saved, model, clips):
        record = read_record(saved)
        assert record["versions"]["sklasd"] == sklasd.__version__
        assert record["pipeline"] == {
            "logmel": "LogMel(n_mels=16)", "statisticsdetector": "StatisticsDetector()",
        }  # fmt: skip
        training = record["training"]
        assert (training["n_clips"], training["durations"]) == (len(clips), [1.0, 1.0])
        assert (training["sample_rates"], training["channels"]) == ([16000], [1])
        assert training["level"] == round(model[-1].decision_.conditions.level, 2)
        assert record["saved"].endswith("+00:00")

    def test_is_kept_per_machine(self, clips, tmp_path):
        few = clips.drop(index=clips.index[clips["machine"] == "pump"][:3])
        fleet = GroupedDetector(make_pipeline(LogMel(n_mels=16), StatisticsDetector())).fit(few)
        save_model(fleet, tmp_path / "fleet.joblib", clips=few)
        training = read_record(tmp_path / "fleet.joblib")["training"]
        assert {name: own["n_clips"] for name, own in training.items()} == {"fan": 15, "pump": 12}
        assert training["fan"]["level"] != training["pump"]["level"]

    @pytest.mark.parametrize("section", ["00", 0])
    def test_of_several_columns(self, clips, tmp_path, section):
        table = clips.assign(section=section)
        estimator = make_pipeline(LogMel(n_mels=16), StatisticsDetector())
        fleet = GroupedDetector(estimator, by=["machine", "section"]).fit(table)
        save_model(fleet, tmp_path / "fleet.joblib", clips=table)
        training = read_record(tmp_path / "fleet.joblib")["training"]
        assert training[f"pump, {section}"]["n_clips"] == 15

    def test_without_clips(self, model, tmp_path):
        save_model(model, tmp_path / "m.joblib")
        assert set(read_record(tmp_path / "m.joblib")["training"]) == {"level", "scatter"}

    def test_runs_nothing_of_the_file(self, saved, monkeypatch):
        monkeypatch.setattr(joblib, "load", lambda *_: pytest.fail("unpickled"))
        assert read_record(saved)["checksum"]

    def test_of_a_plain_joblib_file(self, model, tmp_path):
        joblib.dump(model, tmp_path / "m.joblib")
        with pytest.raises(ValueError, match="has no record"):
            read_record(tmp_path / "m.joblib")


class TestRoundTrip:
    def test_scores_are_equal_in_a_fresh_process(self, saved, model, clips, tmp_path):
        clips.to_csv(tmp_path / "clips.csv", index=False)
        code = (
            "import sys, pandas as pd; from sklasd.persistence import load_model;"
            "clips = pd.read_csv(sys.argv[2]);"
            "print(load_model(sys.argv[1]).score_samples(clips).tolist())"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, saved, tmp_path / "clips.csv"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert json.loads(done.stdout) == model.score_samples(clips).tolist()

    def test_joblib_reads_it_too(self, saved, model, clips):
        again = joblib.load(saved)
        assert np.array_equal(again.score_samples(clips), model.score_samples(clips))

    @pytest.mark.parametrize("compress", [0, 3])
    def test_reads_what_joblib_wrote(self, model, clips, tmp_path, compress):
        joblib.dump(model, tmp_path / "m.joblib", compress=compress)
        again = load_model(tmp_path / "m.joblib")
        assert np.array_equal(again.score_samples(clips), model.score_samples(clips))

    def test_nothing_is_overwritten_by_accident(self, saved, model):
        with pytest.raises(FileExistsError, match="force=True"):
            save_model(model, saved)
        save_model(model, saved, force=True)
        assert [path.name for path in saved.parent.iterdir()] == ["m.joblib"]

    def test_of_an_unfitted_model(self, tmp_path):
        with pytest.raises(NotFittedError):
            save_model(make_pipeline(LogMel(), StatisticsDetector()), tmp_path / "m.joblib")


class TestDamage:
    def test_every_flipped_bit_is_told(self, saved):
        whole = saved.read_bytes()
        some = np.random.default_rng(0).integers(0, len(whole), 60)
        for place in [0, *some.tolist(), *range(len(whole) - 50, len(whole))]:
            damaged = bytearray(whole)
            damaged[place] ^= 4
            saved.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"m\.joblib (is damaged|cannot be loaded)"):
                load_model(saved)

    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
    def test_a_truncated_file_is_told(self, saved, share):
        whole = saved.read_bytes()
        saved.write_bytes(whole[: int(share * len(whole))])
        reason = "cut off or damaged|is damaged" if share else "it is empty"
        with pytest.raises(ValueError, match=reason):
            load_model(saved)

    def test_a_foreign_file_is_told(self, clips, tmp_path):
        with pytest.raises(ValueError, match="it is no model file"):
            load_model(clips["path"].iloc[0])
        (tmp_path / "notes.txt").write_text("no model")
        with pytest.raises(ValueError, match="it is no model file"):
            load_model(tmp_path / "notes.txt")

    def test_a_pickle_of_something_else_is_told(self, tmp_path):
        (tmp_path / "m.joblib").write_bytes(pickle.dumps({"a": 1}))
        with pytest.raises(ValueError, match="holds a dict, which is no detector"):
            load_model(tmp_path / "m.joblib")

    def test_no_file_is_told(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="There is no model"):
            load_model(tmp_path / "m.joblib")


class TestVersions:
    def test_the_same_are_silent(self, saved):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load_model(saved)

    def test_another_one_is_one_line(self, model, tmp_path, monkeypatch):
        monkeypatch.setattr(sklasd, "__version__", "0.0.7")
        monkeypatch.setattr("sklearn.base.__version__", "1.2.3")
        save_model(model, tmp_path / "m.joblib")
        monkeypatch.undo()
        with pytest.warns(UserWarning, match=r"written with sklasd 0\.0\.7") as caught:
            load_model(tmp_path / "m.joblib")
        assert len(caught) == 1
        assert "\n" not in str(caught[0].message)

    def test_of_a_plain_joblib_file(self, model, tmp_path, monkeypatch):
        monkeypatch.setattr("sklearn.base.__version__", "1.2.3")
        joblib.dump(model, tmp_path / "m.joblib")
        monkeypatch.undo()
        with pytest.warns(UserWarning, match=r"scikit-learn 1\.2\.3") as caught:
            load_model(tmp_path / "m.joblib")
        assert len(caught) == 1


def test_clips_of_a_table_without_headers(model, tmp_path):
    waves = pd.Series(list(np.random.default_rng(0).normal(size=(3, 16000))))
    save_model(model, tmp_path / "m.joblib", clips=pd.DataFrame({"path": waves}))
    training = read_record(tmp_path / "m.joblib")["training"]
    assert set(training) == {"n_clips", "level", "scatter"}
