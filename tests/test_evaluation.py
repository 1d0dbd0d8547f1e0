"""Pipelines x machines x seeds from Python: the same scores as by hand, however they are made."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline as sklearn_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklasd import (
    ClipStatistics,
    FusionDetector,
    GroupedDetector,
    LogMel,
    OEAutoencoder,
    StatisticsDetector,
    make_pipeline,
)
from sklasd.datasets import make_machine_clips
from sklasd.evaluation import Evaluation, evaluate
from sklasd.evaluation._scoring import add_scores, measure_levels
from sklasd.metrics import evaluation_table, simulated_outlier_scorer
from sklasd.model_selection import NormalOnlySplit
from sklasd.utils._threads import limit_threads

MACHINES = ["fan", "pump", "valve"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for machine in MACHINES:
        make_machine_clips(
            machine, n_train=12, n_test=4, n_anomalies=4, duration=1.0, severity=2.0, root=root,
            random_state=0,
        )  # fmt: skip
    return root


@pytest.fixture(scope="module")
def clips(root):
    from sklasd.datasets import load_dcase

    return load_dcase(root)


def by_statistics(statistics="quantiles", **params):
    detector = StatisticsDetector(statistics, threshold="quantile", contamination=0.2, **params)
    return make_pipeline(LogMel(n_mels=16), detector)


def by_net():
    detector = OEAutoencoder(
        hidden_layer_sizes=(8,), max_epochs=2, threshold="quantile", contamination=0.2,
        calibration=2, verbose=0,
    )  # fmt: skip
    return make_pipeline(LogMel(n_mels=16), detector)


def stop_at(clips, machine, unless):
    """Pass clips on, but stop as Ctrl-C does where they are a machine's."""
    if (clips["machine"] == machine).any() and not os.path.exists(unless):
        raise KeyboardInterrupt
    return clips


def stopping(machine, unless):
    stop = FunctionTransformer(stop_at, kw_args={"machine": machine, "unless": str(unless)})
    return make_pipeline(stop, *[step for _, step in by_statistics().steps])


def same(a, b):
    pd.testing.assert_frame_equal(a, b, check_exact=True)


@pytest.fixture(scope="module")
def statistics(clips):
    return evaluate(by_statistics(), clips)


class TestScores:
    def test_those_of_fitting_by_hand(self, clips):
        scores = evaluate(by_net(), clips, machines=["pump"], seeds=[3, 1]).scores
        for seed in (3, 1):
            of_seed = scores[scores["seed"] == seed]
            pipeline = by_net().set_params(oeautoencoder__random_state=seed)
            own = clips[clips["machine"] == "pump"]
            test = own[own["split"] == "test"]
            with limit_threads(1):
                pipeline.fit(own[own["split"] == "train"])
                np.testing.assert_array_equal(of_seed["score"], pipeline.score_samples(test))
            np.testing.assert_array_equal(of_seed["decision"], pipeline.predict(test))
            p = pipeline[-1].p_values(pipeline[0].transform(test))
            np.testing.assert_array_equal(of_seed["p_value"], p)
            np.testing.assert_array_equal(of_seed["level"], measure_levels(pipeline[0], test))
            assert of_seed["path"].tolist() == test["path"].tolist()
        assert scores["seed"].tolist() == [3] * 8 + [1] * 8
        assert scores["pipeline"].unique().tolist() == ["OEAutoencoder"]

    def test_the_given_pipeline_stays_unfitted_and_unseeded(self, clips):
        pipeline = by_net()
        evaluate(pipeline, clips, machines=["fan"])
        assert pipeline[-1].random_state is None
        assert not hasattr(pipeline[-1], "offset_")

    def test_a_seed_of_its_own_is_kept(self, clips):
        pipeline = by_net().set_params(oeautoencoder__random_state=5)
        scores = evaluate(pipeline, clips, machines=["fan"], seeds=(0, 1)).scores
        one, other = (each["score"].to_numpy() for _, each in scores.groupby("seed"))
        np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize("make", [by_statistics, by_net])
    def test_workers_do_not_matter(self, clips, make):
        same(
            evaluate(make(), clips, seeds=(0, 1), n_jobs=2, n_threads=1).scores,
            evaluate(make(), clips, seeds=(0, 1), n_threads=1).scores,
        )

    def test_a_folder_of_recordings(self, root, statistics):
        same(evaluate(by_statistics(), root).scores, statistics.scores)

    def test_arrays_in_a_table(self, clips, statistics, tmp_path):
        import soundfile

        waves = [soundfile.read(path, dtype="float32")[0] for path in clips["path"]]
        table = clips.assign(path=pd.Series(waves, index=clips.index, dtype=object))
        for _ in range(2):  # the second time from the folder
            scores = evaluate(by_statistics(), table, folder=tmp_path).scores
            same(scores.drop(columns="path"), statistics.scores.drop(columns="path"))
        waves[0] = waves[0] / 2
        with pytest.raises(FileExistsError, match="another clips"):
            evaluate(by_statistics(), table.assign(path=waves), folder=tmp_path)

    def test_without_labels(self, clips):
        unlabelled = clips.assign(label=clips["label"].where(clips["split"] == "train"))
        evaluation = evaluate(by_statistics(), unlabelled, labelled=False)
        assert len(evaluation.scores) == 24
        with pytest.raises(ValueError, match="Got 24 of 24 scored clips without a label"):
            _ = evaluation.table


class TestEstimators:
    def test_a_bare_fusion(self, clips):
        members = [("a", by_statistics()), ("b", by_statistics("shape"))]
        fusion = FusionDetector(members, threshold="quantile", contamination=0.2)
        scores = evaluate(fusion, clips, machines=["fan"]).scores
        own = clips[clips["machine"] == "fan"]
        fusion.fit(own[own["split"] == "train"])
        np.testing.assert_array_equal(scores["score"], fusion.score_samples(scores))
        np.testing.assert_array_equal(scores["decision"], fusion.predict(scores))
        np.testing.assert_array_equal(scores["level"], measure_levels(LogMel(), scores))

    def test_a_search(self, clips):
        search = GridSearchCV(
            by_statistics(),
            {"statisticsdetector__statistics": ["quantiles", "shape"]},
            scoring=simulated_outlier_scorer(random_state=0),
            cv=NormalOnlySplit(2, anomalies="none"),
        )
        scores = evaluate(search, clips, machines=["fan"]).scores
        assert scores["pipeline"].unique() == "GridSearchCV"
        both = [
            evaluate(by_statistics(name), clips, machines=["fan"]).scores["score"]
            for name in ("quantiles", "shape")
        ]
        assert any(scores["score"].equals(each) for each in both)
        assert scores["p_value"].between(1 / 13, 1).all()

    def test_a_model_for_each_group(self, clips, statistics):
        scores = evaluate(GroupedDetector(by_statistics(), by="section"), clips).scores
        same(
            scores.drop(columns="pipeline"),
            statistics.scores.drop(columns="pipeline"),
        )

    def test_each_clip_is_decided_on_by_its_own_group(self, clips):
        train, test = (clips[clips["split"] == split] for split in ("train", "test"))
        grouped = GroupedDetector(by_statistics())
        noting = FunctionTransformer(lambda table: table.assign(note="seen"))
        nested = GroupedDetector(GroupedDetector(by_statistics(), by="section"))
        search = GridSearchCV(
            make_pipeline(grouped), {"groupeddetector__by": ["machine"]}, cv=2,
            scoring=lambda estimator, X, y=None: 0.0,
        )  # fmt: skip
        offsets = {name: each[-1].offset_ for name, each in grouped.fit(train).estimators_.items()}
        assert len(set(offsets.values())) == len(MACHINES)
        expected = add_scores(grouped, test)
        np.testing.assert_array_equal(expected["threshold"], test["machine"].map(offsets))
        for around in (
            make_pipeline(grouped), make_pipeline(noting, grouped), nested, search,
        ):  # fmt: skip
            same(add_scores(around.fit(train), test), expected)

    def test_others_than_ours(self, clips):
        forest = sklearn_pipeline(LogMel(n_mels=16), ClipStatistics(), IsolationForest())
        evaluation = evaluate({"forest": forest}, clips, machines=["fan"], seeds=(0, 1))
        assert evaluation.scores["p_value"].isna().all()
        assert set(evaluation.scores["decision"]) <= {-1, 1}
        assert evaluation.table["f1"].notna().any()
        again = evaluate({"forest": forest}, clips, machines=["fan"], seeds=(1,)).scores
        of_seed = evaluation.scores[evaluation.scores["seed"] == 1]
        np.testing.assert_array_equal(of_seed["score"], again["score"])


class TestTable:
    def test_that_of_the_scores(self, statistics):
        scores = statistics.scores
        table = statistics.table
        for name, values in {
            "StatisticsDetector": scores["score"],
            "RMS level": -scores["level"],
        }.items():
            expected = evaluation_table(
                scores["label"], values, machine=scores["machine"], section=scores["section"],
                year=2020,
            )  # fmt: skip
            of_name = table[table["detector"] == name].reset_index(drop=True)
            for column in ("auc", "pauc", "official", "auc_low"):
                np.testing.assert_array_equal(of_name[column], expected[column])

    def test_several_pipelines_share_the_meter(self, clips):
        pipelines = {"usual": by_statistics(), "by shape": by_statistics("shape")}
        rows = evaluate(pipelines, clips, machines=["fan"]).summary()
        assert rows["detector"].tolist() == ["usual", "by shape", "RMS level"] * 2
        one = evaluate({"by shape": pipelines["by shape"]}, clips, machines=["fan"]).summary()
        wanted = rows[rows["detector"] != "usual"].reset_index(drop=True)
        same(wanted, one.reset_index(drop=True)[list(wanted)])

    def test_seeds_are_averaged(self, clips):
        several = evaluate(by_net(), clips, seeds=(0, 1)).table
        single = [evaluate(by_net(), clips, seeds=[seed]).table["auc"] for seed in (0, 1)]
        np.testing.assert_allclose(several["auc"], np.mean(single, axis=0))
        assert "auc_std" in several

    def test_several_years_are_refused(self, statistics):
        scores = statistics.scores
        assert (scores["year"] == 2020).all()
        domain = np.where(np.arange(len(scores)) % 4 < 2, "source", "target")
        scores = scores.assign(year=np.where(scores["machine"] == "fan", 2023, 2020), domain=domain)
        with pytest.raises(ValueError, match=r"years \[2023, 2020\].*its own rule.*== 2023"):
            _ = Evaluation(scores).table
        assert "domain" not in Evaluation(scores[scores["year"] == 2020]).table
        assert "auc_target" in Evaluation(scores[scores["year"] == 2023]).table
        unknown = scores.assign(year=scores["year"].where(scores["machine"] == "fan"))
        with pytest.raises(ValueError, match=r"years \[2023\.0, nan\]"):
            _ = Evaluation(unknown).table

    def test_words(self, statistics):
        assert (
            repr(statistics) == "<Evaluation of 1 pipeline(s), 3 machine(s), 1 seed(s): 24 scores>"
        )
        assert isinstance(Evaluation(statistics.scores).table, pd.DataFrame)


class TestFolder:
    def test_what_is_there_is_not_made_again(self, clips, tmp_path):
        pipelines = {"a/b": by_statistics(), "..": by_statistics("shape")}
        first = evaluate(pipelines, clips, folder=tmp_path / "results").scores
        assert [p.name for p in tmp_path.iterdir()] == ["results"]
        file = next((tmp_path / "results").rglob("*b/scores_pump_seed_0.csv"))
        pd.read_csv(file).assign(score=7.0).to_csv(file, index=False)
        again = evaluate(pipelines, clips, folder=tmp_path / "results").scores
        is_changed = (again["pipeline"] == "a/b") & (again["machine"] == "pump")
        assert (again.loc[is_changed, "score"] == 7).all()
        same(again[~is_changed], first[~is_changed])

    def test_it_grows(self, clips, tmp_path, monkeypatch):
        from sklasd.evaluation import _runs

        compute, computed = _runs.EvaluationRun.compute, []

        def counted(run):
            computed.append((run.pipeline, run.machine, run.seed))
            return compute(run)

        monkeypatch.setattr(_runs.EvaluationRun, "compute", counted)
        a, both = {"a": by_statistics()}, {"a": by_statistics(), "b": by_statistics("shape")}
        evaluate(a, clips, machines=["fan"], folder=tmp_path)
        evaluate(a, clips, machines=["fan", "pump"], seeds=(0, 1), folder=tmp_path)
        evaluate(both, clips, machines=["fan"], folder=tmp_path)
        assert computed == [
            ("a", "fan", 0), ("a", "fan", 1), ("a", "pump", 0), ("a", "pump", 1), ("b", "fan", 0)
        ]  # fmt: skip

    def test_other_settings_are_refused(self, clips, tmp_path):
        def call(pipeline=None, table=clips, **params):
            named = {"a": pipeline or by_statistics()}
            evaluate(named, table, machines=["fan"], folder=tmp_path, **params)

        call()
        call()
        with pytest.raises(FileExistsError, match="another settings; name another folder"):
            call(by_statistics(calibration=None))
        with pytest.raises(FileExistsError, match="another clips"):
            call(table=clips[1:])
        with pytest.raises(FileExistsError, match="another n_threads"):
            call(n_threads=2)

    @pytest.mark.parametrize("n_jobs", [None, 2])
    def test_interrupted(self, clips, statistics, tmp_path, n_jobs):
        pipelines = {"StatisticsDetector": stopping("pump", tmp_path / "go")}
        folder = tmp_path / "results"
        with pytest.raises(KeyboardInterrupt):
            evaluate(pipelines, clips, folder=folder, n_jobs=n_jobs)
        stored = {path.name for path in folder.rglob("*") if path.is_file()}
        whole = {"settings.json", "scores_fan_seed_0.csv"}
        if n_jobs is None:
            assert stored == whole
        else:  # what else was being worked on may be lost
            assert stored <= whole | {"scores_valve_seed_0.csv"}
        (tmp_path / "go").touch()
        same(evaluate(pipelines, clips, folder=folder, n_jobs=n_jobs).scores, statistics.scores)

    @pytest.mark.slow
    @pytest.mark.slow
    @pytest.mark.skipif(sys.platform == "win32", reason="signals of process groups")
    def test_ctrl_c_with_workers(self, root, tmp_path):
        """As from a terminal: the signal goes to the workers, too."""
        words = [
            sys.executable, "-m", "sklasd", "evaluate", root, "--jobs", "2", "-o", tmp_path,
            "--recipe", "dcase-autoencoder", "--set", "oeautoencoder__max_epochs=20",
            "--threads", "1", "--seeds", ",".join(map(str, range(300))),
        ]  # fmt: skip
        # A shell's background jobs ignore SIGINT, and what they start would, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            words, start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            deadline = time.monotonic() + 240
            while not list(tmp_path.rglob("scores_*.csv")) and time.monotonic() < deadline:
                time.sleep(0.1)
            os.killpg(process.pid, signal.SIGINT)
            _, errors = process.communicate(timeout=120)
        finally:
            process.kill()
        assert process.returncode == 130, errors
        assert "Interrupted: what was finished is kept, and nothing else." in errors
        assert "Traceback" not in errors
        files = list(tmp_path.rglob("scores_*.csv"))
        assert files
        assert all(len(pd.read_csv(file)) == 8 for file in files)
        assert not list(tmp_path.rglob(".*"))


class TestErrors:
    @pytest.mark.parametrize(
        ("pipelines", "message"),
        [
            ("statistic", "Got the recipe 'statistic'; there are statistics, "),
            (["statistics"] * 2, "name 'statistics', but each pipeline needs a name of its own"),
            ({"RMS level": "statistics"}, "name 'RMS level'"),
            ({}, "Got no pipeline"),
            ({"a": 3}, "Got 3 as the pipeline 'a'"),
            (by_net().set_params(oeautoencoder__max_epochs=-1), "max_epochs"),
        ],
    )  # fmt: skip
    def test_of_pipelines(self, clips, pipelines, message):
        with pytest.raises(ValueError, match=message):
            evaluate(pipelines, clips)

    @pytest.mark.parametrize("machines", [["fan", "pumpe"], "fan", []])
    def test_of_machines(self, clips, machines):
        with pytest.raises(ValueError, match=r"Got machines=.*are \['fan', 'pump', 'valve'\]"):
            evaluate("statistics", clips, machines=machines)

    def test_of_tables(self, clips):
        with pytest.raises(ValueError, match="without a column 'machine'; add it"):
            evaluate("statistics", clips.drop(columns="machine"))
        with pytest.raises(ValueError, match="Got machines=None"):
            evaluate("statistics", clips[clips["split"] == "train"])

    @pytest.mark.parametrize("seeds", [(), (0, 0), (1.5,), (-1,)])
    def test_of_seeds(self, clips, seeds):
        with pytest.raises(ValueError, match="different whole numbers"):
            evaluate("statistics", clips, seeds=seeds)

    def test_machines_left_out_are_named(self, clips):
        table = clips[(clips["machine"] != "pump") | (clips["split"] == "train")]
        with pytest.warns(UserWarning, match=r"machines \['pump'\] are left out, as they lack"):
            evaluation = evaluate("statistics-mahalanobis", table)
        assert evaluation.scores["machine"].unique().tolist() == ["fan", "valve"]

    @pytest.mark.parametrize("n_jobs", [None, 2])
    def test_what_goes_wrong_is_named(self, clips, n_jobs):
        table = clips.assign(path=clips["path"].where(clips["machine"] != "pump", "gone.wav"))
        with pytest.raises(ValueError, match=r"gone\.wav") as error:
            evaluate(by_statistics(), table, machines=["pump"], seeds=[2], n_jobs=n_jobs)
        assert "This was StatisticsDetector, machine 'pump', seed 2." in error.value.__notes__

    def test_lambdas_in_a_folder(self, clips, tmp_path):
        pipeline = make_pipeline(FunctionTransformer(lambda X: X), *by_statistics())
        with pytest.raises(ValueError, match="define its functions in a module"):
            evaluate(pipeline, clips, folder=tmp_path)
