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
from sklearn.model_selection import GridSearchCV

import sklasd
from sklasd import (
    Augmented,
    GroupedDetector,
    LogMel,
    StatisticsDetector,
    make_pipeline,
    persistence,
)
from sklasd.datasets import load_clips, make_machine_clips
from sklasd.model_selection import NormalOnlySplit
from sklasd.persistence import load_model, read_record, save_model

STATISTICS = make_pipeline(
    LogMel(n_mels=16), StatisticsDetector(threshold="quantile", contamination=0.2)
)


def groups_of(model, folder, clips=None):
    save_model(model, folder / "m.joblib", clips=clips, force=True)
    return read_record(folder / "m.joblib")["groups"]


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
        (own,) = record["groups"]
        assert (own["n_clips"], own["durations"]) == (len(clips), [1.0, 1.0])
        assert (own["sample_rates"], own["channels"]) == ([16000], [1])
        assert own["level"] == round(model[-1].decision_.conditions.level, 2)
        assert "name" not in own
        assert record["saved"].endswith("+00:00")

    def test_is_kept_per_machine(self, clips, tmp_path):
        few = clips.drop(index=clips.index[clips["machine"] == "pump"][:3])
        fan, pump = groups_of(GroupedDetector(STATISTICS).fit(few), tmp_path, few)
        assert (fan["name"], fan["n_clips"], pump["name"], pump["n_clips"]) == (
            "fan", 15, "pump", 12,
        )  # fmt: skip
        assert fan["level"] != pump["level"]

    @pytest.mark.parametrize("section", ["00", 0])
    @pytest.mark.parametrize("by", [["machine", "section"], ("machine", "section")])
    def test_of_several_columns(self, clips, tmp_path, section, by):
        table = clips.assign(section=section)
        groups = groups_of(GroupedDetector(STATISTICS, by=by).fit(table), tmp_path, table)
        assert [(own["name"], own["n_clips"]) for own in groups] == [
            (f"fan, {section}", 15), (f"pump, {section}", 15),
        ]  # fmt: skip

    @pytest.mark.parametrize("by", [["machine"], ("machine",)])
    def test_of_one_column_in_a_list(self, clips, tmp_path, by):
        groups = groups_of(GroupedDetector(STATISTICS, by=by).fit(clips), tmp_path, clips)
        assert [(own["name"], own["n_clips"]) for own in groups] == [("fan", 15), ("pump", 15)]

    def test_of_groups_in_groups(self, clips, tmp_path):
        table = clips.assign(section="00")
        fleet = GroupedDetector(GroupedDetector(STATISTICS, by="section")).fit(table)
        groups = groups_of(fleet, tmp_path, table)
        assert [(own["name"], own["n_clips"]) for own in groups] == [
            ("fan, 00", 15), ("pump, 00", 15),
        ]  # fmt: skip

    def test_of_a_machine_with_the_name_of_a_fact(self, clips, tmp_path):
        table = clips.replace({"machine": {"fan": "level", "pump": "n_clips"}})
        groups = groups_of(GroupedDetector(STATISTICS).fit(table), tmp_path, table)
        assert [own["name"] for own in groups] == ["level", "n_clips"]
        assert all(own["n_clips"] == 15 for own in groups)

    @pytest.mark.parametrize("as_given", [list, lambda paths: pd.DataFrame({"path": paths})])
    def test_groups_need_the_clip_table(self, clips, tmp_path, as_given):
        fleet = GroupedDetector(STATISTICS).fit(clips)
        with pytest.raises(ValueError, match=r"clips without 'machine', .* pass the clip table"):
            save_model(fleet, tmp_path / "m.joblib", clips=as_given(clips["path"]))
        assert not list(tmp_path.iterdir())

    def test_of_estimators_around_a_detector(self, model, clips, tmp_path):
        search = GridSearchCV(
            STATISTICS, {"logmel__n_mels": [16]}, scoring="roc_auc",
            cv=NormalOnlySplit(2),
        ).fit(clips, clips["label"])  # fmt: skip
        fitted = clips[clips["label"] == 1]
        for around in (search, Augmented(STATISTICS, random_state=0).fit(fitted)):
            (own,) = groups_of(around, tmp_path, fitted)
            assert {"n_clips", "level", "scatter"} <= set(own)

    def test_without_clips(self, model, tmp_path):
        (own,) = groups_of(model, tmp_path)
        assert set(own) == {"level", "scatter"}

    @pytest.mark.parametrize(
        ("training", "groups"),
        [
            ({"n_clips": 3, "level": -15.0}, [{"n_clips": 3, "level": -15.0}]),
            ({}, [{}]),
            (
                {"level": {"n_clips": 3}, "pump": {}},
                [{"name": "level", "n_clips": 3}, {"name": "pump"}],
            ),
        ],
    )
    def test_of_an_older_file(self, model, tmp_path, monkeypatch, training, groups):
        old = {"training": training, "recalibrated": training}
        with monkeypatch.context() as before:
            before.setattr(persistence, "_make_record", lambda model, clips: dict(old))
            save_model(model, tmp_path / "old.joblib")
        record = read_record(tmp_path / "old.joblib")
        assert record["groups"] == record["recalibrated"] == groups
        assert "training" not in record

    def test_after_recalibration(self, model, clips, tmp_path):
        groups = groups_of(model, tmp_path, clips)
        before = read_record(tmp_path / "m.joblib")
        save_model(model, tmp_path / "m.joblib", clips=clips[:9], recalibrated=before, force=True)
        record = read_record(tmp_path / "m.joblib")
        assert record["groups"] == groups
        assert [own["n_clips"] for own in record["recalibrated"]] == [9]

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
    (own,) = read_record(tmp_path / "m.joblib")["groups"]
    assert set(own) == {"n_clips", "level", "scatter"}
