"""Names and folders of DCASE data become clip tables: every year, variant and erratum."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from sklasd.datasets._dcase import load_dcase
from sklasd.datasets._dcase_names import parse_clip_name, shown_attributes
from sklasd.datasets._files import read_headers

DEV_2022 = ("bearing", "fan", "gearbox", "slider", "valve", "ToyCar", "ToyTrain")


def touch(root, *names):
    """Make empty files: nothing but names is read."""
    for name in names:
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def write(root, name, *lines):
    path = Path(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rows(table, *columns):
    return list(table[list(columns)].itertuples(index=False, name=None))


# --- one name ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        # 2020
        ("normal_id_00_00000000", ("00", None, None, 1, None)),
        ("anomaly_id_06_00000123", ("06", None, None, -1, None)),
        ("id_05_00000042", ("05", None, "test", None, None)),
        # 2021
        (
            "section_00_source_train_normal_0000_strength_1_ambient",
            ("00", "source", "train", 1, "strength_1_ambient"),
        ),
        ("section_02_target_test_anomaly_0181", ("02", "target", "test", -1, None)),
        ("section_03_source_test_0000", ("03", "source", "test", None, None)),
        # 2022 on
        (
            "section_01_target_test_anomaly_0012_m-n_W_f-n_A",
            ("01", "target", "test", -1, "m-n_W_f-n_A"),
        ),
        ("section_03_0000", ("03", None, "test", None, None)),
        ("section_03_test_0000", ("03", None, "test", None, None)),
        (
            "section_00_source_train_normal_0010_vel_1.5",
            ("00", "source", "train", 1, "vel_1.5"),
        ),
        (
            "section_02_source_test_normal_0003_v1pat_04_v2pat_05",
            ("02", "source", "test", 1, "v1pat_04_v2pat_05"),
        ),
        (
            "section_00_source_train_normal_0001_spd1000_BckgA",
            ("00", "source", "train", 1, "spd1000_BckgA"),
        ),
        ("section_00_target_test_normal_0199_", ("00", "target", "test", 1, "")),
        ("section_00_source_train_normal_0007_noAttribute", ("00", "source", "train", 1, "")),
        # 2025 on: an attribute may be called noise, which makes no supplemental clip
        (
            "section_00_source_train_normal_0007_car_A2_mic_1_noise_1",
            ("00", "source", "train", 1, "car_A2_mic_1_noise_1"),
        ),
        (
            "section_00_source_supplemental_machine_0000",
            ("00", "source", "supplemental", 1, "machine"),
        ),
        (
            "section_00_noise_supplemental_normal_0000",
            ("00", None, "supplemental", 1, "noise"),
        ),
        (
            "section_00_machine_source_0000_noAttribute",
            ("00", "source", "supplemental", 1, "machine"),
        ),
        ("section_00_machine_0001_", ("00", None, "supplemental", 1, "machine")),
        (
            "section_00_machine_0001_car_B1_noise_2",
            ("00", None, "supplemental", 1, "machine_car_B1_noise_2"),
        ),
    ],
)
def test_names(stem, expected):
    name = parse_clip_name(stem)
    attributes = name.attributes and shown_attributes(name.attributes)
    assert (*name[1:5], attributes) == expected


@pytest.mark.parametrize(
    "stem", ["00000000", "section_0_source_train", "normal_00000001", "fan", "id_1_00000000", ""]
)
def test_names_that_fit_nothing(stem):
    assert parse_clip_name(stem) is None
    assert parse_clip_name(stem, supplemental=True) is None


def test_order_of_words_does_not_matter_in_a_supplemental_folder():
    name = parse_clip_name("section_00_target_machine_clean_0099", supplemental=True)
    assert name[1:] == ("00", "target", "supplemental", 1, "machine")


# --- each year -----------------------------------------------------------------------------------


def test_2020(tmp_path):
    touch(
        tmp_path,
        "dev_data/fan/test/anomaly_id_00_00000000.wav",
        "dev_data/fan/test/normal_id_02_00000000.wav",
        "dev_data/fan/train/normal_id_00_00000000.wav",
        "dev_data/ToyConveyor/train/normal_id_01_00000000.wav",
    )
    table = load_dcase(tmp_path)
    assert list(table.columns) == ["path", "machine", "section", "split", "label", "year"]
    assert rows(table, "machine", "section", "split", "label", "year") == [
        ("ToyConveyor", "01", "train", 1, 2020),
        ("fan", "00", "train", 1, 2020),
        ("fan", "00", "test", -1, 2020),
        ("fan", "02", "test", 1, 2020),
    ]
    assert table["label"].dtype == "int64"
    assert table["year"].dtype == "int64"
    assert isinstance(table.index, pd.RangeIndex)
    assert table["path"][0] == str(
        tmp_path / "dev_data/ToyConveyor/train/normal_id_01_00000000.wav"
    )


def test_2021_development(tmp_path):
    touch(
        tmp_path,
        "fan/train/section_00_source_train_normal_0000_strength_1_ambient.wav",
        "fan/train/section_01_target_train_normal_0002_strength_2_ambient.wav",
        "fan/source_test/section_00_source_test_normal_0000.wav",
        "fan/target_test/section_00_target_test_anomaly_0000.wav",
    )
    table = load_dcase(tmp_path)
    assert rows(table, "section", "domain", "split", "label", "attributes") == [
        ("00", "source", "train", 1, "strength_1_ambient"),
        ("01", "target", "train", 1, "strength_2_ambient"),
        ("00", "source", "test", 1, ""),
        ("00", "target", "test", -1, ""),
    ]
    assert set(table["year"]) == {2021}


def test_2021_evaluation(tmp_path):
    touch(
        tmp_path,
        "fan/source_test/section_03_source_test_0000.wav",
        "fan/target_test/section_03_target_test_0000.wav",
    )
    table = load_dcase(tmp_path)
    assert "label" not in table
    assert rows(table, "section", "domain", "year") == [
        ("03", "source", 2021),
        ("03", "target", 2021),
    ]


def test_2022_development_and_evaluation(tmp_path):
    touch(
        tmp_path,
        "dev_data/bearing/train/section_00_source_train_normal_0000_vel_6_loc_A.wav",
        "dev_data/bearing/test/section_01_target_test_anomaly_0049_vel_8_loc_E.wav",
        "dev_data/bearing/attributes_00.csv",
        "eval_data/bearing/train/section_03_source_train_normal_0000_vel_12_loc_B.wav",
        "eval_data/bearing/test/section_03_0000.wav",
        "eval_data/bearing/test/section_03_test_0001.wav",
    )
    table = load_dcase(tmp_path)
    assert rows(table, "section", "split", "attributes") == [
        ("00", "train", "vel_6_loc_A"),
        ("03", "train", "vel_12_loc_B"),
        ("01", "test", "vel_8_loc_E"),
        ("03", "test", ""),
        ("03", "test", ""),
    ]
    assert set(table["year"]) == {2022}
    assert table["label"].dtype == "Int64"
    assert table["label"].tolist() == [1, 1, -1, pd.NA, pd.NA]
    assert table["domain"].isna().tolist() == [False, False, False, True, True]


TREES = {
    # Machine types of which only one year is known.
    2023: ["Vacuum/train/section_00_source_train_normal_0000_.wav"],
    2024: ["RoboticArm/train/section_00_source_train_normal_0000_bckg_2.wav"],
    2025: [
        "AutoTrash/train/section_00_source_train_normal_0000_noAttribute.wav",
        "AutoTrash/supplemental/section_00_machine_0001_.wav",
    ],
    2026: ["ToyCarEmu/train/section_00_source_train_normal_0000_car_A1.wav"],
}
HIDING = {
    2023: (),
    2024: ("gearbox", "slider", "ToyTrain"),
    2025: ("bearing", "slider", "ToyTrain"),
}


def development_set(hiding):
    for machine in DEV_2022:
        hidden = "noAttribute" if machine in hiding else "vel_1"
        yield f"{machine}/train/section_00_source_train_normal_0000_{hidden}.wav"
        yield f"{machine}/test/section_00_target_test_anomaly_0000_{hidden}.wav"


@pytest.mark.parametrize("year", TREES)
def test_year_told_by_machine_types(tmp_path, year):
    table = load_dcase(touch(tmp_path, *TREES[year]))
    assert set(table["year"]) == {year}


@pytest.mark.parametrize("year", HIDING)
def test_year_told_by_hidden_attributes(tmp_path, year):
    touch(tmp_path, *development_set(HIDING[year]))
    if year == 2025:
        touch(tmp_path, "fan/supplemental/section_00_noise_supplemental_normal_0000.wav")
    assert set(load_dcase(tmp_path)["year"]) == {year}


@pytest.mark.parametrize(("number", "domain", "year"), [(999, "source", 2021), (9, "target", 2022)])
def test_year_of_training_clips_told_by_their_number(tmp_path, number, domain, year):
    """Of fan, the names of 2021 and 2022 are the same."""
    touch(tmp_path, f"fan/train/section_03_{domain}_train_normal_{number:04d}_m-n_W.wav")
    assert load_dcase(tmp_path)["year"].tolist() == [year]


@pytest.mark.parametrize(("n_channels", "year"), [(1, 2025), (2, 2026)])
def test_year_told_by_channels(tmp_path, n_channels, year):
    """Of ToyCar, the names of 2025 and 2026 are the same."""
    names = [
        "ToyCar/train/section_00_source_train_normal_0000_car_A1.wav",
        "ToyCar/supplemental/section_00_machine_0000_.wav",
    ]
    touch(tmp_path, *names)
    soundfile.write(tmp_path / names[0], np.zeros((16, n_channels)), 16000)
    soundfile.write(tmp_path / names[1], np.zeros((16, n_channels)), 16000)
    assert set(load_dcase(tmp_path)["year"]) == {year}


def test_year_left_open_is_the_earliest(tmp_path):
    touch(tmp_path, "fan/train/section_00_source_train_normal_0000_m-n_W.wav")
    assert load_dcase(tmp_path)["year"].tolist() == [2023]


def test_year_stated_above_the_root_decides_what_is_left_open(tmp_path):
    root = tmp_path / "dcase2024t2" / "dev_data" / "raw"
    touch(root, "fan/train/section_00_source_train_normal_0000_m-n_W.wav")
    touch(root, "fan/test/section_00_source_test_normal_0000_m-n_W.wav")
    assert load_dcase(root)["year"].tolist() == [2024, 2024]
    # What the names rule out, it does not.
    root = tmp_path / "dcase2024t2" / "fans"
    touch(root, "fan/source_test/section_03_source_test_0000.wav")
    assert load_dcase(root)["year"].tolist() == [2021]


def test_several_years_in_one_root(tmp_path):
    name = "fan/train/section_00_source_train_normal_0000_m-n_W.wav"
    touch(tmp_path, f"dcase2022/{name}", f"2024/{name}", "old/fan/train/normal_id_00_00000000.wav")
    assert load_dcase(tmp_path)["year"].tolist() == [2020, 2024, 2022]
    assert load_dcase(tmp_path, year=2022)["path"].tolist() == [f"{tmp_path}/dcase2022/{name}"]
    with pytest.raises(ValueError, match=r"year=\[2025\].*\[2020, 2022, 2024\]"):
        load_dcase(tmp_path, year=2025)


def test_year_given(tmp_path):
    touch(tmp_path, "fan/train/section_00_source_train_normal_0000_m-n_W.wav")
    assert load_dcase(tmp_path, year=2025)["year"].tolist() == [2025]
    with pytest.raises(ValueError, match=r"year=\[2020\].*\[2023\]"):
        load_dcase(tmp_path, year=2020)
    with pytest.raises(ValueError, match="year=1999; expected one of"):
        load_dcase(tmp_path, year=1999)


# --- folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "dev_fan", "dev_fan/fan", "dev_fan/fan/test"])
def test_root_at_any_level(tmp_path, below):
    touch(tmp_path, "dev_fan/fan/test/section_00_source_test_normal_0000_m-n_W.wav")
    table = load_dcase(tmp_path / below)
    assert rows(table, "machine", "split") == [("fan", "test")]
    assert table["path"][0].startswith(str(tmp_path))


def test_root_relative_and_from_home(tmp_path, monkeypatch):
    touch(tmp_path, "fan/test/anomaly_id_00_00000000.wav")
    monkeypatch.chdir(tmp_path / "fan")
    monkeypatch.setenv("HOME", str(tmp_path))
    for root in (".", "~", "../fan/test"):
        assert rows(load_dcase(root), "machine", "split") == [("fan", "test")]


@pytest.mark.parametrize("folder", ["fan/train/id_00", "train/fan", "fan/Train"])
def test_folders_in_other_orders(tmp_path, folder):
    touch(tmp_path, f"{folder}/normal_id_00_00000000.wav")
    assert rows(load_dcase(tmp_path), "machine", "split") == [("fan", "train")]


def test_several_zip_files_unpacked(tmp_path):
    touch(
        tmp_path,
        "15097779/dev_bearing/bearing/train/section_00_source_train_normal_0000_noAttribute.wav",
        "dev_ToyCar_r2/ToyCar/train/section_00_source_train_normal_0000_car_A1.wav",
        "eval_data_ToyPet_train/ToyPet/supplemental/section_00_noise_0001.wav",
    )
    table = load_dcase(tmp_path)
    assert rows(table, "machine", "split", "attributes", "year") == [
        ("ToyCar", "train", "car_A1", 2025),
        ("ToyPet", "supplemental", "noise", 2025),
        ("bearing", "train", "", 2025),
    ]
    assert table["domain"].isna().tolist() == [False, True, False]
    assert table["label"].dtype == "int64"


def test_suffixes(tmp_path):
    names = [f"normal_id_00_0000000{i}" for i in range(4)]
    suffixes = (".WAV", ".flac", ".Ogg", ".mp3")
    touch(tmp_path, *(f"fan/train/{n}{s}" for n, s in zip(names, suffixes, strict=True)))
    assert [Path(path).suffix for path in load_dcase(tmp_path)["path"]] == list(suffixes)


def test_sorted_whatever_the_file_system_says(tmp_path, monkeypatch):
    touch(tmp_path, *(f"b/test/id_0{i}_00000000.wav" for i in (3, 1, 2)))
    touch(tmp_path, "b/train/normal_id_09_00000000.wav", "a/test/id_07_00000000.wav")
    table = load_dcase(tmp_path)
    assert table["section"].tolist() == ["07", "09", "01", "02", "03"]
    assert table["machine"].tolist() == ["a", "b", "b", "b", "b"]


def test_companions_are_no_clips(tmp_path):
    touch(
        tmp_path,
        "fan/train/normal_id_00_00000000.wav",
        "fan/train/.DS_Store",
        "fan/train/._normal_id_00_00000000.wav",
        "fan/.hidden/song.wav",
        "__MACOSX/fan/train/song.wav",
        "fan/README.md",
        "fan/LICENSE",
        "fan/lockfile",
        "fan/attributes_00.csv",
        "dev_data_fan.zip",
    )
    assert len(load_dcase(tmp_path)) == 1


def test_misfits_are_listed_in_one_warning(tmp_path):
    misfits = [
        "fan/train/holiday.wav",
        "fan/train/section_00_source_train_normal_0001.m4a",
        "fan/train/normal_id_00_00000002.wav.part",
        "fan/normal_id_00_00000003.wav",  # neither train nor test
        "pump/supplemental/rain.flac",
    ]
    touch(tmp_path, "fan/train/normal_id_00_00000000.wav", *misfits)
    with pytest.warns(UserWarning, match="5 of 6 sound files fit no DCASE name") as caught:
        assert len(load_dcase(tmp_path)) == 1
    assert len(caught) == 1
    assert all(str(tmp_path / name) in str(caught[0].message) for name in misfits)
    assert caught[0].filename == __file__


def test_a_warning_stays_readable(tmp_path):
    touch(tmp_path, "fan/train/normal_id_00_00000000.wav")
    touch(tmp_path, *(f"fan/train/song_{number}.wav" for number in range(150)))
    with pytest.warns(UserWarning, match=r"150 of 151 .* and 50 more"):
        load_dcase(tmp_path)


def test_links(tmp_path):
    data = touch(tmp_path / "data", "train/normal_id_00_00000000.wav", "one.wav")
    root = touch(tmp_path / "root", "fan/test/anomaly_id_00_00000000.wav")
    try:
        os.symlink(data / "train", root / "fan" / "train")
        os.symlink(root, root / "fan" / "loop")
        os.symlink(data / "nowhere", root / "fan" / "test" / "normal_id_00_00000001.wav")
        os.symlink(data / "one.wav", root / "fan" / "test" / "normal_id_00_00000000.wav")
    except OSError as error:  # Windows without the right to make links
        pytest.skip(f"links cannot be made here: {error}")
    with (
        pytest.warns(UserWarning, match="1 of 4 sound files"),
        pytest.warns(UserWarning, match=r"1 links lead back up.*fan.loop\.$"),
    ):
        table = load_dcase(root)
    assert rows(table, "split", "label") == [("train", 1), ("test", -1), ("test", 1)]
    assert all(path.startswith(str(root)) for path in table["path"])


def test_copies_made_by_the_baseline(tmp_path):
    touch(
        tmp_path,
        "fan/train/section_00_source_train_normal_0000_m-n_W.wav",
        "fan/source_test/section_00_source_test_normal_0000.wav",
        "fan/test/section_00_source_test_normal_0000.wav",
        "pump/source_test/section_03_source_test_0000.wav",
        "pump/test/section_03_source_test_0000.wav",
        "pump/test_rename/section_03_source_test_anomaly_0000.wav",
    )
    with pytest.warns(UserWarning, match="copies") as caught:
        table = load_dcase(tmp_path)
    assert len(caught) == 1
    assert rows(table, "machine", "split", "label", "year") == [
        ("fan", "train", 1, 2021),
        ("fan", "test", 1, 2021),
        ("pump", "test", -1, 2021),
    ]


def test_duplicates_are_an_error(tmp_path):
    name = "ToyCar/train/section_00_source_train_normal_0000_car_A1"
    touch(tmp_path, f"dev_ToyCar/{name}.wav", f"dev_ToyCar_r2/{name}.flac")
    with pytest.raises(ValueError, match=r"2 files are clips found more than once.*_r2"):
        load_dcase(tmp_path)


# --- selecting -----------------------------------------------------------------------------------


@pytest.fixture
def two_machines(tmp_path):
    return touch(
        tmp_path,
        "fan/train/normal_id_00_00000000.wav",
        "fan/test/anomaly_id_00_00000000.wav",
        "pump/train/normal_id_00_00000000.wav",
    )


@pytest.mark.parametrize("machines", ["fan", ["fan"], ("fan",), np.array(["fan"])])
def test_machines(two_machines, machines):
    table = load_dcase(two_machines, machines=machines)
    assert table["machine"].tolist() == ["fan", "fan"]
    assert table.index.tolist() == [0, 1]


def test_split(two_machines):
    assert load_dcase(two_machines, split="train")["machine"].tolist() == ["fan", "pump"]
    assert len(load_dcase(two_machines, split=["train", "test"])) == 3
    assert rows(load_dcase(two_machines, machines="fan", split="test"), "label") == [(-1,)]


def test_unknown_choices_name_the_known_ones(two_machines):
    with pytest.raises(ValueError, match=r"machines='fna'.*\['fan', 'pump'\]"):
        load_dcase(two_machines, machines="fna")
    with pytest.raises(ValueError, match=r"machines=\['fan', 'Fan'\]"):
        load_dcase(two_machines, machines=["fan", "Fan"])
    with pytest.raises(ValueError, match=r"machines=\[\]"):
        load_dcase(two_machines, machines=[])
    with pytest.raises(ValueError, match=r"split='validation'.*\['test', 'train'\]"):
        load_dcase(two_machines, split="validation")
    with pytest.raises(ValueError, match=r"split='test'.*\['train'\]"):
        load_dcase(two_machines, machines="pump", split="test")


# --- errors --------------------------------------------------------------------------------------


def test_missing_root(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*check the spelling"):
        load_dcase(tmp_path / "nowhere")


def test_file_as_root(tmp_path):
    with pytest.raises(NotADirectoryError, match=r"dev_data_fan\.zip.*Unpack"):
        load_dcase(touch(tmp_path, "dev_data_fan.zip") / "dev_data_fan.zip")


def test_empty_root(tmp_path):
    with pytest.raises(ValueError, match=r"no sound file.*<machine>/train"):
        load_dcase(tmp_path)


def test_nothing_but_misfits(tmp_path):
    with pytest.raises(ValueError, match=r"None of the 1 sound files.*load_clips.*song\.wav"):
        load_dcase(touch(tmp_path, "song.wav"))


# --- attribute tables ----------------------------------------------------------------------------


def test_attribute_tables_in_three_shapes(tmp_path):
    touch(
        tmp_path,
        "fan/train/section_00_source_train_normal_0000_.wav",
        "fan/train/section_00_source_train_normal_0001_m-n_X.wav",
        "ToyCar/train/section_00_source_train_normal_0000.wav",
        "ToyCar/train/section_00_source_train_normal_0001.wav",
        "bearing/train/section_00_source_train_normal_0000_.wav",
        "bearing/train/section_00_source_train_normal_0001_.wav",
        "slider/train/section_00_source_train_normal_0000_noAttribute.wav",
    )
    write(
        tmp_path,
        "fan/attributes_00.csv",
        "file_name,d1p,d1v,d2p,d2v",
        "fan/train/section_00_source_train_normal_0000_.wav,m-n,W,f-n,1.5",
        "fan/train/section_00_source_train_normal_0001_m-n_X.wav,m-n,other,,",
    )
    write(
        tmp_path,
        "ToyCar/attributes_00.csv",
        "file_name,d1p,d1v",
        "section_00_source_train_normal_0001_car_A1,car,A1",
    )
    write(
        tmp_path,
        "bearing/attributes_00.csv",
        "file_name",
        "section_00_source_train_normal_0000_",
        "section_00_source_train_normal_0001_,vel,1.5",
    )
    table = load_dcase(tmp_path, year=2025)
    assert rows(table, "machine", "attributes") == [
        ("ToyCar", ""),
        ("ToyCar", "car_A1"),
        ("bearing", ""),
        ("bearing", "vel_1.5"),
        ("fan", "m-n_W_f-n_1.5"),
        ("fan", "m-n_X"),
        ("slider", ""),
    ]


def test_broken_attribute_table(tmp_path):
    touch(tmp_path, "fan/train/section_00_source_train_normal_0000_.wav")
    (tmp_path / "fan/attributes_00.csv").write_bytes(b'\x00\xff\xfe "\n"unbalanced, \xf0\n')
    with pytest.warns(UserWarning, match=r"attributes_00\.csv.*names no clip"):
        assert load_dcase(tmp_path)["attributes"].tolist() == [""]


def test_attribute_table_is_left_alone_where_names_tell(tmp_path):
    touch(tmp_path, "fan/train/section_00_source_train_normal_0000_m-n_W.wav")
    write(tmp_path, "fan/attributes_00.csv", "broken")
    assert load_dcase(tmp_path)["attributes"].tolist() == ["m-n_W"]


# --- ground truth --------------------------------------------------------------------------------


@pytest.fixture
def evaluation(tmp_path):
    return touch(
        tmp_path / "data",
        "ToyDrone/train/section_00_source_train_normal_0000_car_A1.wav",
        *(f"ToyDrone/test/section_00_000{number}.wav" for number in range(3)),
        "Vacuum/test/section_00_0000.wav",
    )


TRUTH = [
    ("ToyDrone", 1, "source", "car_A1"),
    ("ToyDrone", -1, "target", "car_B1_spd_2"),
    ("ToyDrone", 1, "source", ""),
    ("Vacuum", -1, "source", "rank_1.5"),
]


def check_truth(root, truth):
    table = load_dcase(root, split="test", ground_truth=truth)
    assert rows(table, "machine", "label", "domain", "attributes") == TRUTH
    assert table["label"].dtype == "int64"


def test_truth_in_the_baseline_list(tmp_path, evaluation):
    lines = [
        "ToyDrone",
        "section_00_0000.wav,section_00_source_test_normal_0000_car_A1.wav",
        "section_00_0001.wav,section_00_target_test_anomaly_0012_car_B1_spd_2.wav",
        "section_00_0002.wav,section_00_source_test_normal_0003_noAttribute.wav",
        "Vacuum",
        "section_00_0000.wav,section_00_source_test_anomaly_0000_rank_1.5.wav",
        "Unheard",
        "section_00_0000.wav,section_00_source_test_normal_0000_.wav",
    ]
    check_truth(evaluation, write(tmp_path, "eval_data_list_2023.csv", *lines))
    # Anonymous names come back in other years, and so do machines.
    write(tmp_path, "lists/eval_data_list_2023.csv", *lines)
    flipped = [line.replace("anomaly", "normal") for line in lines]
    write(tmp_path, "lists/eval_data_list_2026.csv", *flipped)
    check_truth(evaluation, tmp_path / "lists")
    write(tmp_path, "lists/eval_data_list.csv", *flipped)
    with pytest.raises(ValueError, match=r"contradicts itself on 'section_00_0001'"):
        load_dcase(evaluation, ground_truth=tmp_path / "lists")


@pytest.mark.parametrize("prefix", ["", "ToyDrone/test/"])
def test_truth_in_the_evaluators_folders(tmp_path, evaluation, prefix):
    repo = tmp_path / "evaluator"
    name = "ground_truth_{}_section_00_test.csv"
    toy, vacuum = name.format("ToyDrone"), name.format("Vacuum")
    anonymous = [f"{prefix}section_00_000{number}.wav" for number in range(3)]
    write(repo, f"ground_truth_data/{toy}", *(f"{anonymous[i]},{int(i == 1)}" for i in range(3)))
    write(repo, f"ground_truth_domain/{toy}", *(f"{anonymous[i]},{int(i == 1)}" for i in range(3)))
    write(
        repo,
        f"ground_truth_attributes/{toy}",
        f"{anonymous[0]},section_00_source_test_normal_0000_car_A1",
        f"{anonymous[1]},section_00_target_test_anomaly_0012_noAttribute,"
        "section_00_target_test_anomaly_0012_car_B1_spd_2.wav",
        f"{anonymous[2]},section_00_source_test_normal_0003_noAttribute",
    )
    write(
        repo,
        "ground_truth_attributes/Vacuum/attributes_00.csv",
        "file_name,d1p,d1v,file_name_with_attributes",
        "Vacuum/test/section_00_0000.wav,rank,1,"
        "Vacuum/test/section_00_source_test_anomaly_0000_rank_1.5.wav",
    )
    write(repo, f"ground_truth_data/{vacuum}", "section_00_0000.wav,1")
    write(repo, "teams/a/anomaly_score_Vacuum_section_00_test.csv", "section_00_0000.wav,0")
    check_truth(evaluation, repo)


def test_truth_of_2020(tmp_path):
    root = touch(tmp_path / "data", "fan/test/id_01_00000000.wav", "fan/test/id_01_00000001.wav")
    lines = [
        "fan",
        "id_01_00000000.wav,anomaly_id_01_00000005.wav,1",
        "id_01_00000001.wav,normal_id_01_00000000.wav,0",
    ]
    table = load_dcase(root, ground_truth=write(tmp_path, "eval_data_list.csv", *lines))
    assert list(table.columns) == ["path", "machine", "section", "split", "label", "year"]
    assert table["label"].tolist() == [-1, 1]
    wrong = write(tmp_path, "wrong.csv", "fan", "id_01_00000000.wav,anomaly_id_01_00000005.wav,0")
    with pytest.raises(ValueError, match="contradicts itself"):
        load_dcase(root, ground_truth=wrong)


def test_truth_of_2021(tmp_path):
    root = touch(
        tmp_path / "data",
        "fan/source_test/section_03_source_test_0000.wav",
        "fan/target_test/section_03_target_test_0000.wav",
    )
    repo = tmp_path / "ground_truth_data"
    for domain, label in (("source", 0), ("target", 1)):
        name = f"section_03_{domain}_test"
        write(repo, f"ground_truth_fan_{name}.csv", f"{name}_0000.wav,{label}")
    table = load_dcase(root, ground_truth=repo)
    assert rows(table, "domain", "label") == [("source", 1), ("target", -1)]


def test_truth_of_hidden_attributes(tmp_path):
    root = touch(tmp_path / "data", *development_set(HIDING[2024]))
    full = "section_00_source_train_normal_0000_volt_1.0"
    write(
        tmp_path,
        "truth/dcase2024t2/dev_data/gearbox/attributes_00_train_correspondence.csv",
        "source_file_name,target_file_name",
        f"{full}.wav,section_00_source_train_normal_0000_noAttribute.wav",
    )
    write(tmp_path, "truth/dcase2025t2/gearbox/attributes_00.csv", full.replace("volt", "other"))
    table = load_dcase(root, machines=["gearbox", "slider"], ground_truth=tmp_path / "truth")
    assert table["attributes"].tolist() == ["volt_1.0", "", "", ""]


def test_correspondence_is_keyed_on_the_released_name(tmp_path):
    """The released name is the second, and its number another than that of the full name."""
    released = [f"section_00_source_test_normal_000{i}" for i in range(3)]
    root = touch(tmp_path / "data", *(f"ToyTrain/test/{n}_noAttribute.wav" for n in released))
    full = [f"section_00_source_test_normal_000{i}_car_{i}_spd_1.5" for i in (2, 0, 7)]
    write(
        tmp_path,
        "dcase2025t2/ToyTrain/attributes_00_test_correspondence.csv",
        "source_file_name,target_file_name",
        *(f"{full[i]}.wav,{released[i]}_noAttribute.wav" for i in range(3)),
    )
    table = load_dcase(root, 2025, ground_truth=tmp_path)
    assert table["attributes"].tolist() == ["car_2_spd_1.5", "car_0_spd_1.5", "car_7_spd_1.5"]


def test_truth_of_some_clips_only(tmp_path, evaluation):
    truth = write(tmp_path, "ground_truth_Vacuum_section_00_test.csv", "section_00_0000.wav,0")
    table = load_dcase(evaluation, ground_truth=truth)
    assert table["label"].tolist() == [1, pd.NA, pd.NA, pd.NA, 1]


def test_truth_that_does_not_fit(tmp_path, evaluation):
    truth = write(tmp_path, "truth.csv", "fan", "id_01_00000001.wav,normal_id_01_00000000.wav,0")
    with pytest.raises(ValueError, match=r"no label for any of the 4 clips.*2023"):
        load_dcase(evaluation, ground_truth=truth)
    assert len(load_dcase(evaluation, split="train", ground_truth=truth)) == 1
    with pytest.raises(FileNotFoundError, match="ground_truth="):
        load_dcase(evaluation, ground_truth=tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match=r"without a ground truth of \[2023\].*eval_data_list"):
        load_dcase(evaluation, ground_truth=evaluation)


@pytest.fixture
def disputed(tmp_path):
    """Make an evaluator as that of 2022: on ToyCar, tables and full names disagree; on fan, not."""
    root, repo = tmp_path / "data", tmp_path / "evaluator"
    table = "ground_truth_{}_section_03_test.csv"
    lines = []
    for machine, names in (
        # Every label differs from that of the tables; of the domains, two agree by chance.
        ("ToyCar", ("target_test_anomaly", "target_test_normal") * 2),
        ("fan", [f"{d}_test_{c}" for d in ("source", "target") for c in ("normal", "anomaly")]),
    ):
        clips = [f"section_03_000{i}.wav" for i in range(4)]
        full = [f"section_03_{name}_000{i}_spd_{i}.wav" for i, name in enumerate(names)]
        touch(root, *(f"{machine}/test/{clip}" for clip in clips))
        name = table.format(machine)
        write(
            repo, f"ground_truth_data/{name}", *(f"{clip},{i % 2}" for i, clip in enumerate(clips))
        )
        write(repo, f"ground_truth_domain/{name}", *(f"{c},{i // 2}" for i, c in enumerate(clips)))
        write(
            repo,
            f"ground_truth_attributes/{machine}/attributes_03.csv",
            "file_name,d1p,d1v,file_name_with_attributes",
            *(f"{machine}/test/{clips[i]},spd,{i},{machine}/test/{full[i]}" for i in range(4)),
        )
        lines += [machine, *map(",".join, zip(clips, full, strict=True))]
    write(tmp_path, "eval_data_list_2022.csv", *lines)
    return root, repo


BY_TABLES = [
    (1, "source", ""), (-1, "source", ""), (1, "target", ""), (-1, "target", "")
]  # fmt: skip
BY_NAMES = [
    (-1, "target", "spd_0"), (1, "target", "spd_1"), (-1, "target", "spd_2"), (1, "target", "spd_3")
]  # fmt: skip


def read_disputed(root, truth, **kwargs):
    table = load_dcase(root, 2022, ground_truth=truth, **kwargs)
    return [rows(part, "label", "domain", "attributes") for _, part in table.groupby("machine")]


def test_truth_that_contradicts_itself(disputed):
    root, repo = disputed
    with pytest.warns(UserWarning, match="truth contradicts itself on ToyCar") as caught:
        toy, fan = read_disputed(root, repo)
    assert toy == BY_TABLES
    assert fan == [
        (1, "source", "spd_0"), (-1, "source", "spd_1"), (1, "target", "spd_2"),
        (-1, "target", "spd_3"),
    ]  # fmt: skip
    assert len(caught) == 1
    assert caught[0].filename == __file__
    message = str(caught[0].message)
    assert "labels of 4 of 4 clips, domains of 2" in message
    assert f"{repo}/ground_truth_data/ground_truth_ToyCar_section_03_test.csv" in message
    assert f"{repo}/ground_truth_attributes/ToyCar/attributes_03.csv" in message
    assert "ground_truth_by='names'" in message


def test_truth_by_names(disputed):
    root, repo = disputed
    with pytest.warns(UserWarning, match="contradicts itself on ToyCar"):
        toy, fan = read_disputed(root, repo, ground_truth_by="names")
    assert toy == BY_NAMES
    assert [row[0] for row in fan] == [1, -1, 1, -1]
    # The list of the baseline has no tables to contradict.
    assert read_disputed(root, repo.parent / "eval_data_list_2022.csv") == [toy, fan]
    with pytest.raises(ValueError, match="Got ground_truth_by='list'; expected 'tables' or 'nam"):
        load_dcase(root, ground_truth=repo, ground_truth_by="list")


def test_truth_is_disputed_for_the_clips_wanted_only(disputed):
    root, repo = disputed
    assert len(read_disputed(root, repo, machines="fan")[0]) == 4


def test_truth_in_several_places(disputed):
    root, repo = disputed
    tables = [repo / "ground_truth_data", str(repo / "ground_truth_domain")]
    assert read_disputed(root, tables) == [BY_TABLES, BY_TABLES]
    with pytest.warns(UserWarning, match=r"eval_data_list_2022\.csv"):
        toy, fan = read_disputed(root, [*tables, repo.parent / "eval_data_list_2022.csv"])
    assert toy == BY_TABLES
    assert [row[2] for row in fan] == [f"spd_{i}" for i in range(4)]
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        load_dcase(root, ground_truth=[*tables, repo / "nowhere.csv"])


# --- headers and real recordings -----------------------------------------------------------------


def test_headers(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 16000)
    soundfile.write(tmp_path / "b.flac", np.zeros((4410, 2)), 44100)
    (tmp_path / "c.wav").touch()
    table, bad = read_headers([tmp_path / "a.wav", tmp_path / "c.wav", str(tmp_path / "b.flac")])
    assert rows(table, "duration", "sample_rate", "channels") == [(0.5, 16000, 1), (0.1, 44100, 2)]
    assert list(table.index) == [0, 2]
    assert "c.wav') is an empty file" in bad[1]
    assert list(read_headers([])[0].columns) == ["duration", "sample_rate", "channels"]


def real_data():
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    root = Path(os.environ.get("SKLASD_REAL_DATA", beside))
    if not (root / "manifest.csv").is_file():
        pytest.skip(f"no real recordings in {root}; set SKLASD_REAL_DATA")
    return root


def test_real_recordings():
    root = real_data()
    table = load_dcase(root)
    manifest = pd.read_csv(root / "manifest.csv")
    manifest["path"] = [str(root / path) for path in manifest["path"]]
    both = table.merge(manifest, on=["path", "machine", "split"], suffixes=("", "_manifest"))
    assert len(both) == len(table) == len(manifest)
    assert (both["label"] == 1 - 2 * both["label_manifest"]).all()
    assert ("id_" + both["section"] == both["id"]).all()
    assert set(table["year"]) == {2020}
    headers, _ = read_headers(both["path"])
    np.testing.assert_allclose(headers["duration"], both["seconds"], atol=0.01)
    assert set(headers["sample_rate"]) == {16000}
