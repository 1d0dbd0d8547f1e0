"""Folders that may be DCASE's, or not."""

import pytest

from sklasd.datasets._any_folder import read_folder, read_table

CLIP = "section_00_source_train_normal_0000_vel_6.wav"


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_dcase_names(tmp_path):
    table = read_table(touch(tmp_path, f"fan/train/{CLIP}"))
    assert table[["machine", "section", "label"]].values.tolist() == [["fan", "00", 1]]


def test_other_names(tmp_path):
    table = read_folder(touch(tmp_path / "mill", "train/monday.wav", "test/broken/friday.wav"))
    assert table[["machine", "split", "label"]].values.tolist() == [
        ["mill", "train", 1], ["mill", "test", -1],
    ]  # fmt: skip


def test_a_manifest(tmp_path):
    (touch(tmp_path, "a.wav") / "manifest.csv").write_text("path,machine\na.wav,fan\n")
    assert read_table(tmp_path / "manifest.csv")["machine"].tolist() == ["fan"]


@pytest.mark.parametrize(
    "again",
    [f"second/fan/train/{CLIP}", f"fan/train/{CLIP[:-4]}.flac", f"fan/train/section_00/{CLIP}"],
)
def test_dcase_names_that_come_twice_are_an_error(tmp_path, again):
    root = touch(tmp_path, f"fan/train/{CLIP}", again)
    with pytest.raises(ValueError, match=r"clips found more than once\. Keep one copy"):
        read_table(root)


def test_a_ground_truth_needs_dcase_names(tmp_path):
    with pytest.raises(ValueError, match="fits a DCASE name"):
        read_table(touch(tmp_path, "monday.wav"), ground_truth=tmp_path)
