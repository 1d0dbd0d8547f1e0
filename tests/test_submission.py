"""Result files: named as each year asks, read back bit for bit, checked, and scored from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sklasd.datasets import load_dcase, make_machine_clips
from sklasd.metrics import dcase_score, evaluation_table
from sklasd.submission import read_submission, score_submission, write_submission

YEARS = range(2020, 2027)
MACHINES = ("ToyDrone", "fan")


def sections(year):
    return {2020: ("01", "03"), 2021: ("03", "04"), 2022: ("03", "04")}.get(year, ("00",))


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def make_evaluation(root, year):
    """Make empty clips with anonymous names, and the ground truth in the form of the year."""
    answers = root / "truth" / "eval_data_list.csv"
    lines = []
    for machine in MACHINES:
        lines.append(machine)
        for section in sections(year):
            clips = [(d, i) for d in ("source", "target") for i in range(8)]
            labels, domains = [], []
            for number, (domain, index) in enumerate(clips):
                if year == 2020:
                    name = f"id_{section}_{number:08d}.wav"
                    full = f"{'anomaly' if index % 2 else 'normal'}_{name}"
                    lines.append(f"{name},{full},{index % 2}")
                elif year == 2021:
                    name = f"section_{section}_{domain}_test_{index:04d}.wav"
                else:
                    name = f"section_{section}_{number:04d}.wav"
                folder = f"{domain}_test" if year == 2021 else "test"
                clip = root / f"dcase{year}t2" / machine / folder / name
                clip.parent.mkdir(parents=True, exist_ok=True)
                clip.touch()
                labels.append((domain, f"{name},{index % 2}"))
                domains.append(f"{name},{int(domain == 'target')}")
            stem = f"ground_truth_{machine}_section_{section}"
            if year == 2021:
                for domain in ("source", "target"):
                    rows = [row for d, row in labels if d == domain]
                    write(root / f"truth/{stem}_{domain}_test.csv", *rows)
            elif year > 2021:
                write(root / f"truth/ground_truth_data/{stem}_test.csv", *(r for _, r in labels))
                write(root / f"truth/ground_truth_domain/{stem}_test.csv", *domains)
    if year == 2020:
        write(answers, *lines)
    return root / f"dcase{year}t2", root / "truth"


def official(clips, score, year):
    return dcase_score(
        clips["label"].astype(int), score, machine=clips["machine"], section=clips["section"],
        domain=clips.get("domain"), year=year,
    )  # fmt: skip


def table(year=2023, n_clips=4):
    """Make a clip table of two machines, without files."""
    names = [f"section_00_{i:04d}.wav" for i in range(n_clips)]
    return pd.DataFrame(
        {
            "path": names * 2,
            "machine": np.repeat(["fan", "pump"], n_clips),
            "section": "00",
            "domain": ["source", "target"] * n_clips,
            "label": np.tile([1, 1, -1, -1], n_clips // 2),
            "year": year,
        }
    )


@pytest.fixture
def written(tmp_path):
    clips = table()
    folder = tmp_path / "out"
    write_submission(folder, clips, np.arange(8.0), np.repeat([1, -1], 4))
    return clips, folder


# --- every year ----------------------------------------------------------------------------------


@pytest.mark.parametrize("year", YEARS)
def test_anonymous_evaluation_data(tmp_path, rng, year):
    root, truth = make_evaluation(tmp_path, year)
    clips = load_dcase(root, year, split="test").sample(frac=1, random_state=0)
    score = rng.standard_normal(len(clips)) * 10.0 ** rng.integers(-300, 300, len(clips))
    decision = np.where(rng.random(len(clips)) < 0.5, -1, 1)
    files = write_submission(tmp_path / "out", clips, score, decision)
    assert sorted(files) == sorted((tmp_path / "out").iterdir())

    read = read_submission(tmp_path / "out", clips)
    keys = ["machine", "section", "name"]
    mine = clips.assign(name=clips["path"].map(lambda p: Path(p).name), mine=score, said=decision)
    both = mine[[*keys, "mine", "said"]].merge(read, on=keys, validate="one_to_one")
    assert len(both) == len(clips)
    assert both["mine"].to_numpy().tobytes() == both["score"].to_numpy().tobytes()
    assert ("domain" in read) == (year == 2021)
    assert ("decision" in read) == (year != 2020)
    if year != 2020:
        assert (both["said"] == both["decision"]).all()

    labelled = load_dcase(root, year, split="test", ground_truth=truth)
    aligned = labelled.merge(mine[["path", "mine", "said"]], on="path", validate="one_to_one")
    expected = official(aligned, aligned["mine"], year)
    found = score_submission(tmp_path / "out", root, year, truth, n_bootstrap=0)
    assert found["official"].iloc[-1] == pytest.approx(expected, rel=0, abs=1e-12)
    wanted = evaluation_table(
        aligned["label"].astype(int), aligned["mine"], machine=aligned["machine"],
        y_pred=None if year == 2020 else aligned["said"], section=aligned["section"],
        domain=aligned.get("domain"), year=year, n_bootstrap=0,
    )  # fmt: skip
    pd.testing.assert_frame_equal(found, wanted)


@pytest.mark.parametrize(
    ("year", "suffixes"),
    [
        (2020, ["id_01", "id_03"]),
        (2021, [f"section_{s}_{d}_test" for s in ("03", "04") for d in ("source", "target")]),
        (2022, ["section_03_test", "section_04_test"]),
        (2026, ["section_00_test"]),
    ],
)
def test_names(tmp_path, year, suffixes):
    root, _ = make_evaluation(tmp_path, year)
    clips = load_dcase(root, year)
    decision = np.ones(len(clips), dtype=int)
    files = write_submission(tmp_path / "out", clips, decision, decision)
    kinds = ["anomaly_score", "decision_result"][: 1 if year == 2020 else 2]
    assert [path.name for path in files] == [
        f"{kind}_{machine}_{suffix}.csv"
        for machine in MACHINES
        for suffix in suffixes
        for kind in kinds
    ]


def test_synthetic_recordings(tmp_path, rng):
    make_machine_clips(
        "fan", n_train=0, n_test=4, n_anomalies=4, target_share=0.5, duration=1.0,
        root=tmp_path / "data", year=2024, random_state=0,
    )  # fmt: skip
    clips = load_dcase(tmp_path / "data", 2024)
    score = rng.standard_normal(len(clips)).astype(np.float32)
    write_submission(tmp_path / "out", clips, score)
    found = score_submission(tmp_path / "out", tmp_path / "data", 2024, n_bootstrap=0)
    assert found["official"].iloc[-1] == pytest.approx(official(clips, score, 2024), abs=1e-12)


def test_truth_that_contradicts_itself_is_scored_by_its_tables(tmp_path, rng):
    """As of 2022: what came later under full names leads to another score."""
    root, truth = make_evaluation(tmp_path, 2022)
    clips = load_dcase(root, 2022, ground_truth=truth)
    lines = []
    for machine in MACHINES:
        lines.append(machine)
        for row in clips[clips["machine"] == machine].itertuples():
            swapped = row.domain, "normal" if row.label == -1 else "anomaly"
            name = Path(row.path).name
            lines.append(f"{name},section_{row.section}_{'_test_'.join(swapped)}_{name[-8:]}")
    write(tmp_path / "eval_data_list_2022.csv", *lines)
    truths = [truth / "ground_truth_data", truth / "ground_truth_domain"]
    score = rng.standard_normal(len(clips))
    write_submission(tmp_path / "out", clips, score)

    def found(data, *given):
        table = score_submission(tmp_path / "out", data, 2022, *given, n_bootstrap=0)
        return table["official"].iloc[-1]

    with pytest.warns(UserWarning, match=r"labels of 32 of 32 clips, domains of 0\), fan"):
        by_tables = found(root, [*truths, tmp_path / "eval_data_list_2022.csv"])
    assert by_tables == found(root, truths) == pytest.approx(official(clips, score, 2022))
    with pytest.warns(UserWarning, match="contradicts itself"):
        renamed = load_dcase(
            root, 2022, ground_truth=[truth, tmp_path / "eval_data_list_2022.csv"],
            ground_truth_by="names",
        )  # fmt: skip
    by_names = found(root, tmp_path / "eval_data_list_2022.csv")
    assert by_names == found(renamed) != by_tables


# --- what is in the files ------------------------------------------------------------------------


def test_content(tmp_path):
    clips = pd.DataFrame({"path": ["x/b.flac", "x/a.WAV"], "machine": "fan", "section": 0})
    files = write_submission(tmp_path, clips, [0.1, -1e-17], [-1, 1], year=2022)
    assert [path.read_bytes() for path in files] == [
        b"a.wav,1e-17\nb.wav,-0.1\n",
        b"a.wav,0\nb.wav,1\n",
    ]


def test_existing_files_are_kept(written):
    clips, folder = written
    before = {path: path.read_bytes() for path in folder.iterdir()}
    last = max(before)
    for path in set(before) - {last}:
        path.unlink()
    with pytest.raises(FileExistsError, match=last.name):
        write_submission(folder, clips, np.zeros(8), np.ones(8, dtype=int))
    assert {path: path.read_bytes() for path in folder.iterdir()} == {last: before[last]}
    write_submission(folder, clips, np.zeros(8), np.ones(8, dtype=int), force=True)
    assert read_submission(folder, clips)["score"].eq(0).all()


def test_decisions_of_an_earlier_run_do_not_stay(written):
    clips, folder = written
    with pytest.raises(FileExistsError, match="decision_result_fan"):
        write_submission(folder, clips, np.zeros(8), force=True)


@pytest.mark.parametrize(
    ("change", "kwargs", "match"),
    [
        ({}, {"score": [0, np.nan] + [0] * 5 + [np.inf]}, r"2 clips.*fan/00/.*0001.wav, pump"),
        ({}, {"score": np.zeros(7)}, r"score of shape \(7,\), but there are 8 clips"),
        ({}, {"decision": [1]}, r"decision of shape \(1,\)"),
        ({}, {"decision": [0, 1] * 4}, r"decision with the labels \[0, 1\]"),
        ({}, {"year": 2019}, "year=2019"),
        ({"year": [2022] * 4 + [2023] * 4}, {}, r"years \[2022, 2023\]"),
        ({"year": [2022] * 4 + [2023] * 4}, {"year": 2023}, r"years \[2022, 2023\]"),
        ({"year": None}, {}, r"year=None.*pass year"),
        ({"machine": None, "section": None}, {}, r"\['machine', 'section'\] are needed"),
        ({"domain": None}, {"year": 2021}, r"\['domain'\] are needed"),
        ({"domain": ["source", None] * 4}, {"year": 2021}, r"4 clips that lack one of.*fan/00/\?/"),
        ({"domain": "Source"}, {"year": 2021}, "neither 'source' nor 'target'"),
        ({"section": "left"}, {}, "not of two digits"),
        ({"machine": "a,b"}, {}, "comma"),
        ({"machine": "fan"}, {}, "8 clips that occur more than once"),
    ],
)
def test_what_cannot_be_written(tmp_path, change, kwargs, match):
    clips = table().assign(**change)
    clips = clips.drop(columns=[name for name, value in change.items() if value is None])
    with pytest.raises(ValueError, match=match):
        write_submission(tmp_path / "out", clips, **{"score": np.zeros(8), **kwargs})
    assert not (tmp_path / "out").exists()


def test_writing_needs_a_table(tmp_path):
    with pytest.raises(TypeError, match="type list"):
        write_submission(tmp_path, ["a.wav"], [0.0])


# --- broken files --------------------------------------------------------------------------------

FAN, DECIDED = "anomaly_score_fan_section_00_test.csv", "decision_result_fan_section_00_test.csv"


@pytest.mark.parametrize(
    ("name", "old", "new", "match"),
    [
        (FAN, "0001.wav,-1.0", "0001.wav,high", r"line 2 \('section_00_0001.wav,high'\)"),
        (FAN, "0001.wav,", "0001.wav;", "expected <name>.wav,<number>: line 2"),
        (FAN, "section_00_0000", "file,score\nsection_00_0000", r"line 1 \('file,score'\)"),
        (FAN, "section_00_0000", "test/section_00_0000", "line 1"),
        (FAN, "section_00_0000.wav,-0.0\nsection_00_0001.wav,-1.0", "\n", "Without score"),
        (FAN, "-1.0", "nan", f"{FAN}, NaN or infinity: section_00_0001.wav"),
        (FAN, "-1.0", "-inf", f"{FAN}, NaN or infinity: section_00_0001.wav"),
        (FAN, "0001", "0000", f"more than once: fan/section_00_0000.wav in {FAN}."),
        (FAN, "section_00_0001.wav,-1.0\n", "", r"Without score \(1\): fan/00/section_00_0001"),
        (DECIDED, "section_00_0001.wav,0\n", "", r"Without decision \(1\): fan/00/section_00_0001"),
        (DECIDED, "0001.wav,0", "0001.wav,2", "0 or <name>.wav,1: line 2"),
    ],
)  # fmt: skip
def test_broken_file(written, name, old, new, match):
    _, folder = written
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=match):
        read_submission(folder)


def test_all_broken_files_are_named_at_once(written):
    _, folder = written
    for machine in ("fan", "pump"):
        (folder / f"anomaly_score_{machine}_section_00_test.csv").write_text("a.wav,nan\nb\n")
    (folder / "decision_result_fan_section_00_test.csv").write_text("")
    with pytest.raises(ValueError, match=r"(?s)fan.*line 2.*fan.*NaN.*pump.*NaN.*fan.* is empty"):
        read_submission(folder)


def test_missing_and_unknown_clips_are_named_in_one_error(written):
    clips, folder = written
    asked = clips.replace({"path": {"section_00_0001.wav": "section_00_0007.wav"}})
    both = r"(?s)Unknown clips \(2\): {0}1.wav, {1}1.wav.*Missing clips \(2\): {0}7.wav, {1}7.wav"
    with pytest.raises(
        ValueError, match=both.format("fan/00/section_00_000", "pump/00/section_00_000")
    ):
        read_submission(folder, asked)
    with pytest.raises(ValueError, match=both.format("section_00_000", "section_00_000")):
        read_submission(folder, asked["path"].tolist())
    assert len(read_submission(folder, clips["path"].str.replace(".wav", ".flac"))) == 8


def test_a_clip_in_the_file_of_the_other_domain(tmp_path):
    clips = table(year=2021)
    write_submission(tmp_path, clips, np.zeros(8))
    with pytest.raises(ValueError, match=r"Unknown clips.*fan/00/source/section_00_0000"):
        read_submission(tmp_path, clips.assign(domain=clips["domain"].to_numpy()[::-1]))


def test_a_clip_in_two_files(tmp_path):
    for section in ("00", "01"):
        write(tmp_path / f"anomaly_score_fan_section_{section}_test.csv", "a.wav,1")
    with pytest.raises(ValueError, match=r"a.wav in anomaly_score_fan_section_00_test.csv and "):
        read_submission(tmp_path)


def test_files_of_the_baseline(tmp_path):
    end = "DCASE2023T2fan_section_00_test_seed13711_id(0_)_Eval.csv"
    write(tmp_path / f"anomaly_score_{end}", "a.wav,1.5", "b.wav,2")
    write(tmp_path / f"decision_result_{end}", "b.wav,1", "a.wav,0")
    write(tmp_path / "result_fan.csv", "not ours")
    read = read_submission(tmp_path)
    assert read.to_dict("list") == {
        "machine": ["fan"] * 2, "section": ["00"] * 2, "name": ["a.wav", "b.wav"],
        "score": [-1.5, -2.0], "decision": [1, -1],
    }  # fmt: skip
    write(tmp_path / f"anomaly_score_{end.replace('13711', '2')}", "a.wav,1")
    with pytest.raises(ValueError, match=r"fan/a.wav in .*seed13711.* and .*seed2"):
        read_submission(tmp_path)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("anomaly_score_fan.csv", "no year's files have: anomaly_score_fan.csv"),
        ("anomaly_score_fan_id_00.csv", "different years"),
        ("anomaly_score_fan_section_00_source_test.csv", "different years"),
    ],
)
def test_other_names(written, name, match):
    _, folder = written
    write(folder / name, "c.wav,1")
    with pytest.raises(ValueError, match=match):
        read_submission(folder)


def test_no_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_submission(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"no anomaly_score_\*.csv"):
        read_submission(tmp_path)


# --- scores --------------------------------------------------------------------------------------


def test_scoring_with_a_clip_table(written):
    clips, folder = written
    train = clips.assign(split="train", path="train_" + clips["path"], label=1)
    both = pd.concat([train, clips.assign(split="test")]).assign(section=0)
    found = score_submission(folder, both, n_bootstrap=0)
    assert found["official"].iloc[-1] == pytest.approx(
        official(clips, np.arange(8.0), 2023), abs=1e-12
    )
    assert found.loc[found["row"] == "section", "recall"].tolist() == [0, 1]
    assert "official_low" in score_submission(folder, clips, n_bootstrap=10)


@pytest.mark.parametrize(
    ("change", "kwargs", "match"),
    [
        ({"label": [None, *[1] * 7]}, {}, "1 clips that have no label.*fan/00/section_00_0000"),
        ({"label": None}, {}, "8 clips that have no label"),
        ({"domain": None}, {}, "domain"),
        ({"year": 2021}, {}, "without a domain in their names"),
        ({"year": [2022] * 4 + [2023] * 4}, {"year": 2023}, r"years \[2022, 2023\]"),
        ({}, {"ground_truth": "x.csv"}, "ground_truth with a clip table"),
        ({"path": [f"section_00_{i:04d}.wav" for i in range(8)]}, {}, "Missing clips"),
    ],
)
def test_what_cannot_be_scored(written, change, kwargs, match):
    clips, folder = written
    clips = clips.assign(**change)
    clips = clips.drop(columns=[name for name, value in change.items() if value is None])
    with pytest.raises(ValueError, match=match):
        score_submission(folder, clips, n_bootstrap=0, **kwargs)
