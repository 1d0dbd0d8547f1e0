"""Any folder of recordings, or a manifest, becomes a clip table."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from sklasd.datasets._clip_folder import load_clips
from sklasd.datasets._clip_manifest import read_labels
from sklasd.datasets._words import find_label, find_split


def touch(root, *names):
    """Make empty files: nothing but names is read."""
    for name in names:
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def rows(table, *columns):
    return list(table[list(columns)].itertuples(index=False, name=None))


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("normal", 1),
        ("Normal_0001", 1),
        ("OK", 1),
        ("good03", 1),
        ("healthy bearing", 1),
        ("NormalOperation", 1),
        ("no_fault", 1),
        ("non-anomalous", 1),
        ("anomaly", -1),
        ("anomalous_files", -1),
        ("abnormal", -1),
        ("ABNORMAL-7", -1),
        ("brokenBelt", -1),
        ("defective", -1),
        ("NOK", -1),
        ("not ok", -1),
        ("NotOK", -1),
        ("unhealthy", -1),
        # whole words only
        ("book", None),
        ("normalise", None),
        ("token_badge", None),
        ("default", None),
        # a number is no negation, and a name that says both says nothing
        ("no_1_fault", -1),
        ("good_or_bad", None),
        ("", None),
    ],
)
def test_label_words(text, label):
    assert find_label(text) == label


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("train", "train"),
        ("Training_Set", "train"),
        ("testing", "test"),
        ("eval_data", "test"),
        ("validation", "test"),
        ("supplemental", "supplemental"),
        ("restrain", None),
        ("contest", None),
        ("train_test", None),
        ("ToyTrain", None),  # a machine
    ],
)
def test_split_words(text, split):
    assert find_split(text) == split


# --- folders -------------------------------------------------------------------------------------


def test_train_and_test_folders(tmp_path):
    touch(
        tmp_path,
        "train/a.wav",
        "train/normal/b.WAV",
        "train/broken/c.wav",
        "test/good/d.flac",
        "test/bad/e.ogg",
        "test/f.mp3",
    )
    table = load_clips(tmp_path)
    assert list(table.columns) == ["path", "split", "label"]
    names = [Path(path).name for path in table["path"]]
    assert list(zip(names, table["split"], table["label"], strict=True)) == [
        ("a.wav", "train", 1),  # unlabelled training clips are normal
        ("c.wav", "train", -1),
        ("b.WAV", "train", 1),
        ("e.ogg", "test", -1),
        ("f.mp3", "test", pd.NA),
        ("d.flac", "test", 1),
    ]
    assert table["label"].dtype == "Int64"
    assert isinstance(table.index, pd.RangeIndex)


def test_nearest_to_the_file_name_wins(tmp_path):
    touch(
        tmp_path,
        "normal/monday/abnormal_1.wav",
        "normal/faults/2.wav",
        "normal/good_or_bad/3.wav",  # a name that says both is passed over
        "abnormal/test/train_4.wav",
    )
    table = load_clips(tmp_path)
    labels = {Path(p).stem: label for p, label in rows(table, "path", "label")}
    assert labels == {"abnormal_1": -1, "2": -1, "3": 1, "train_4": -1}
    assert table["label"].dtype == "int64"
    assert table["split"].dropna().tolist() == ["train"]


def test_the_name_of_the_root_tells_nothing(tmp_path):
    root = touch(tmp_path / "abnormal_train", "1.wav", "2.wav")
    table = load_clips(root)
    assert list(table.columns) == ["path"]
    assert len(table) == 2


def test_machines_are_the_folders_below_the_root(tmp_path):
    # As MIMII has them.
    touch(
        tmp_path,
        "pump/id_00/normal/00000000.wav",
        "pump/id_00/abnormal/00000000.wav",
        "6_dB_fan/id_02/normal/00000000.wav",
    )
    table = load_clips(tmp_path)
    assert rows(table, "machine", "label") == [("6_dB_fan", 1), ("pump", -1), ("pump", 1)]


@pytest.mark.parametrize(
    "names",
    [
        ["fan/train/a.wav", "fan/test/b.wav"],  # a single machine
        ["train/a.wav", "test/b.wav"],
        ["fan_normal/a.wav", "fan_abnormal/b.wav"],
        ["a.wav", "fan/b.wav"],
    ],
)
def test_no_machine_where_folders_tell_none(tmp_path, names):
    assert "machine" not in load_clips(touch(tmp_path, *names))


def test_clips_beside_the_machines(tmp_path):
    touch(tmp_path, "fan/a.wav", "pump/b.wav", "stray.wav")
    with pytest.warns(UserWarning, match=r"no column 'machine': 1 clips.*stray\.wav"):
        assert "machine" not in load_clips(tmp_path)


def test_other_files(tmp_path):
    touch(tmp_path, "a.wav", "README.md", ".DS_Store", "._a.wav", "notes.csv", ".git/b.wav")
    assert len(load_clips(tmp_path)) == 1
    touch(tmp_path, "b.m4a", "c.wav.part")
    with pytest.warns(UserWarning, match=r"2 of 3 sound files.*b\.m4a, .*c\.wav\.part"):
        assert len(load_clips(tmp_path)) == 1


def test_roots_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_clips(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match=r"a\.wav.*Expected a folder, or a manifest"):
        load_clips(touch(tmp_path, "a.wav") / "a.wav")
    with pytest.raises(ValueError, match="no sound file"):
        load_clips(touch(tmp_path / "empty", "README.md"))
    with pytest.raises(ValueError, match=r"only .*a\.m4a; convert"):
        load_clips(touch(tmp_path / "other", "a.m4a"))
    with pytest.raises(ValueError, match=r"anomaly_label=1, which is for .* a manifest"):
        load_clips(tmp_path, anomaly_label=1)


# --- manifests -----------------------------------------------------------------------------------


@pytest.fixture
def manifest(tmp_path):
    """Write a manifest of three clips, whose further columns are given."""
    touch(tmp_path, "sounds/a.wav", "sounds/b.wav", "sounds/c.wav")

    def write(**columns):
        paths = ["sounds/c.wav", "sounds/a.wav", str(tmp_path / "sounds" / "b.wav")]
        path = tmp_path / "manifest.csv"
        pd.DataFrame({**columns, "path": columns.get("path", paths)}).to_csv(path, index=False)
        return path

    return write


def test_manifest_paths_and_order(tmp_path, manifest):
    table = load_clips(manifest())
    assert list(table.columns) == ["path"]
    assert table["path"].tolist() == [str(tmp_path / "sounds" / f"{n}.wav") for n in "cab"]


def test_manifest_from_elsewhere(manifest, monkeypatch, tmp_path):
    manifest()
    monkeypatch.chdir(tmp_path / "sounds")
    assert os.path.isabs(load_clips("../manifest.csv")["path"][0])


def test_manifest_columns(manifest):
    table = load_clips(
        manifest(
            loudness=[0.1, 0.2, 0.3],
            split=["Training", "test", "eval"],
            section=["00", "01", "2"],
            domain=["source", "TARGET", None],
            machine=["007", "fan", "fan"],
            shift=["day", "night", "day"],
        )
    )
    assert list(table.columns) == [
        *("path", "machine", "section", "domain", "split"),
        *("loudness", "shift"),
    ]
    assert table["split"].tolist() == ["train", "test", "test"]
    assert table["section"].tolist() == ["00", "01", "02"]
    assert table["domain"].tolist()[:2] == ["source", "target"]
    assert table["machine"][0] == "007"
    assert table["loudness"].tolist() == [0.1, 0.2, 0.3]


def test_manifest_ids_are_sections(manifest):
    table = load_clips(manifest(id=["id_00", "id_02", "id_10"]))
    assert table["section"].tolist() == ["00", "02", "10"]
    assert table["id"].tolist() == ["id_00", "id_02", "id_10"]
    assert "section" not in load_clips(manifest(id=["id_00", "id_02", "x"]))
    table = load_clips(manifest(id=["id_00", "id_02", "id_10"], section=["07", "08", "09"]))
    assert table["section"].tolist() == ["07", "08", "09"]


@pytest.mark.parametrize(
    ("labels", "anomaly_label", "expected"),
    [
        ([1, -1, 1], None, [1, -1, 1]),
        ([-1, -1, -1], None, [-1, -1, -1]),
        ([0, 1, 0], None, [1, -1, 1]),
        ([0, 0, 0], None, [1, 1, 1]),
        (["0", "1", "0"], None, [1, -1, 1]),
        (["normal", "anomaly", "NOK"], None, [1, -1, -1]),
        ([1, 1, 1], 1, [-1, -1, -1]),
        ([1, 1, 1], -1, [1, 1, 1]),
        ([2, 0, 1], 0, [1, -1, 1]),
        (["fine", "worn", "fine"], "worn", [1, -1, 1]),
        ([True, False, False], True, [-1, 1, 1]),
    ],
)
def test_manifest_labels(manifest, labels, anomaly_label, expected):
    table = load_clips(manifest(label=labels), anomaly_label=anomaly_label)
    assert table["label"].tolist() == expected
    assert table["label"].dtype == "int64"


@pytest.mark.parametrize(
    ("labels", "anomaly_label", "expected"),
    [
        ([0, None, 1], None, [1, pd.NA, -1]),
        ([1, None, 1], 1, [-1, pd.NA, -1]),
        (["ok", None, "broken"], None, [1, pd.NA, -1]),
    ],
)
def test_manifest_labels_with_gaps(manifest, labels, anomaly_label, expected):
    table = load_clips(manifest(label=labels), anomaly_label=anomaly_label)
    assert table["label"].tolist() == expected
    assert table["label"].dtype == "Int64"


def test_manifest_without_known_labels(manifest):
    assert "label" not in load_clips(manifest(label=[None, None, None]))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 1, 1], r"label=\[1\].*anomaly_label"),
        ([1, 0, -1], r"label=\[-1, 0, 1\]"),
        ([1, 2, 3], r"label=\[1, 2, 3\]"),
        ([True, False, True], r"label=\[False, True\]"),
        (["normal", "worn", "odd"], r"label='worn', 'odd'; expected words"),
    ],
)
def test_manifest_labels_that_could_mean_either(manifest, labels, message):
    with pytest.raises(ValueError, match=message):
        load_clips(manifest(label=labels))


def test_labels_as_text():
    assert read_labels(pd.Series(["+1", "-1"]), "m.csv").tolist() == [1, -1]


def test_manifest_errors(tmp_path, manifest):
    touch(tmp_path, "manifest.csv")
    with pytest.raises(ValueError, match=r"manifest\.csv.*cannot be read"):
        load_clips(tmp_path / "manifest.csv")
    (tmp_path / "manifest.csv").write_text("file,label\na.wav,0\n")
    with pytest.raises(ValueError, match=r"no column 'path' .*\['file', 'label'\].*rename"):
        load_clips(tmp_path / "manifest.csv")
    (tmp_path / "manifest.csv").write_text("path,label\n")
    with pytest.raises(ValueError, match="lists no clips"):
        load_clips(tmp_path / "manifest.csv")
    with pytest.raises(ValueError, match="no path in its rows 1; fill in"):
        load_clips(manifest(path=["sounds/a.wav", None, "sounds/c.wav"]))
    with pytest.raises(FileNotFoundError, match=r"1 of 3 .*clip 1 \('.*nowhere\.wav'\)"):
        load_clips(manifest(path=["sounds/a.wav", "nowhere.wav", "sounds/c.wav"]))
    with pytest.raises(ValueError, match=r"split='later'; expected one of \('train'"):
        load_clips(manifest(split=["train", "later", "test"]))
    with pytest.raises(ValueError, match="domain='shop'; expected source or target"):
        load_clips(manifest(domain=["source", "shop", "target"]))
    with pytest.raises(ValueError, match="no column 'label'"):
        load_clips(manifest(), anomaly_label=1)


@pytest.mark.parametrize("suffix", [".parquet", ".pq"])
def test_parquet(tmp_path, monkeypatch, suffix):
    touch(tmp_path, "a.wav", f"manifest{suffix}")
    frame = pd.DataFrame({"path": ["a.wav"], "section": [3], "label": [0]}, index=[17])
    monkeypatch.setattr(pd, "read_parquet", lambda path: frame)
    table = load_clips(tmp_path / f"manifest{suffix}")
    assert rows(table, "path", "section", "label") == [(str(tmp_path / "a.wav"), "03", 1)]


def test_parquet_without_its_package(tmp_path, monkeypatch):
    def fail(path):
        raise ImportError("no engine")

    monkeypatch.setattr(pd, "read_parquet", fail)
    with pytest.raises(ImportError, match="pip install pyarrow, or save the manifest as CSV"):
        load_clips(touch(tmp_path, "manifest.parquet") / "manifest.parquet")


# --- links ---------------------------------------------------------------------------------------


@pytest.fixture
def link():
    def make(target, path):
        try:
            os.symlink(target, path)
        except OSError as error:  # Windows without the right to make links
            pytest.skip(f"links cannot be made here: {error}")

    return make


def test_each_file_is_listed_once(tmp_path, link):
    root = touch(tmp_path / "root", "b/1.wav", "b/2.wav")
    touch(tmp_path, "beside.wav")
    link(root / "b", root / "a")  # another way to the same folder
    link(root / "b" / "1.wav", root / "again.wav")  # and to the same file
    link(tmp_path, root / "b" / "parent")
    link(root, root / "b" / "loop")
    link("self", root / "self")
    link("there", root / "here.wav")
    link("here.wav", root / "there")
    with (
        pytest.warns(UserWarning, match="1 of 3 sound files .*here.wav"),
        pytest.warns(UserWarning, match="4 links lead back up") as caught,
    ):
        table = load_clips(root)
    assert [os.path.relpath(path, root) for path in table["path"]] == ["b/1.wav", "b/2.wav"]
    (words,) = (str(w.message) for w in caught if "links lead" in str(w.message))
    for name in ("root/a", "root/again.wav", "b/parent", "b/loop"):
        assert str(Path(name)) in words


def test_links_that_tell_more_than_files_are_followed_elsewhere(tmp_path, link):
    root = touch(tmp_path / "root", "all/1.wav", "all/2.wav")
    for name, clip in (("train/normal", "1.wav"), ("test/anomaly", "2.wav")):
        (root / name).mkdir(parents=True)
        link(root / "all" / clip, root / name / clip)
    remedy = r"if their folders name split or label, move .* out of '.*root':"
    with pytest.warns(UserWarning, match=remedy):
        assert "label" not in load_clips(root)
    (root / "all").rename(tmp_path / "all")
    for name, clip in (("train/normal", "1.wav"), ("test/anomaly", "2.wav")):
        (root / name / clip).unlink()
        link(tmp_path / "all" / clip, root / name / clip)
    assert load_clips(root)["label"].tolist() == [1, -1]


def test_links_to_elsewhere_are_followed_once(tmp_path, link):
    store = touch(tmp_path / "store", "x/1.wav", "x/y/2.wav")
    root = touch(tmp_path / "root", ".annex/3.wav", "own/4.wav")
    link(store / "x" / "y", root / "inner")
    link(store / "x", root / "outer")
    link(root / ".annex" / "3.wav", root / "own" / "3.wav")
    with pytest.warns(UserWarning, match=r"1 links .*outer.y\.$"):
        table = load_clips(root)
    names = [os.path.relpath(path, root) for path in table["path"]]
    assert names == ["inner/2.wav", "outer/1.wav", "own/3.wav", "own/4.wav"]


# --- real recordings -----------------------------------------------------------------------------


def test_real_recordings():
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    root = Path(os.environ.get("SKLASD_REAL_DATA", beside))
    if not (root / "manifest.csv").is_file():
        pytest.skip(f"no real recordings in {root}; set SKLASD_REAL_DATA")
    listed = load_clips(root / "manifest.csv")
    found = load_clips(root)
    columns = ["path", "machine", "split", "label"]
    assert list(found.columns) == columns
    assert sorted(rows(found, *columns)) == sorted(rows(listed, *columns))
    assert ("id_" + listed["section"] == listed["id"]).all()
