"""Files that are written: never by accident, never by halves."""

import os
import re
from pathlib import Path

import pytest

from sklasd.utils._output import check_free, replacing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_half(path):
    with replacing(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError


class TestCheckFree:
    def test_leaves_nothing(self, tmp_path):
        check_free(tmp_path / "a.csv")
        assert names(tmp_path) == []

    def test_a_file_is_kept(self, tmp_path):
        (tmp_path / "a.csv").write_text("mine")
        with pytest.raises(FileExistsError, match="force=True"):
            check_free(tmp_path / "a.csv")
        check_free(tmp_path / "a.csv", force=True)
        assert (tmp_path / "a.csv").read_text() == "mine"

    def test_a_folder_that_takes_no_file_is_told(self, tmp_path, monkeypatch):
        def refuse(self, **_):
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "touch", refuse)
        path = tmp_path / "a.csv"
        with pytest.raises(PermissionError, match=f"{re.escape(str(path))} cannot be written: Per"):
            check_free(path)

    @pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no file system that takes none")
    def test_a_real_one(self):
        with pytest.raises(OSError, match="cannot be written"):
            check_free("/proc/a.csv")


class TestReplacing:
    def test_a_failure_leaves_what_was_there(self, tmp_path):
        (tmp_path / "a.csv").write_text("before")
        with pytest.raises(RuntimeError):
            write_half(tmp_path / "a.csv")
        assert (tmp_path / "a.csv").read_text() == "before"
        assert names(tmp_path) == ["a.csv"]

    def test_the_temporary_name_cannot_be_guessed(self, tmp_path):
        with replacing(tmp_path / "a.csv") as first, replacing(tmp_path / "a.csv") as second:
            assert first != second
            assert first.suffix == ".csv"

    def test_no_link_is_followed(self, tmp_path, monkeypatch):
        (tmp_path / "target").write_text("theirs")
        (tmp_path / ".a.guess.csv").symlink_to(tmp_path / "target")
        monkeypatch.setattr("sklasd.utils._output.token_hex", lambda _: "guess")
        with pytest.raises(FileExistsError), replacing(tmp_path / "a.csv"):
            pass
        assert (tmp_path / "target").read_text() == "theirs"

    @pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
    def test_the_file_has_the_usual_rights(self, tmp_path):
        with replacing(tmp_path / "a.csv") as unfinished:
            unfinished.write_text("whole")
        (tmp_path / "b.csv").touch()
        assert (tmp_path / "a.csv").stat().st_mode == (tmp_path / "b.csv").stat().st_mode

    def test_writers_of_the_same_file_do_not_meet(self, tmp_path):
        with replacing(tmp_path / "a.csv") as first:
            first.write_text("first")
            with replacing(tmp_path / "a.csv") as second:
                second.write_text("second")
        assert (tmp_path / "a.csv").read_text() == "first"
        assert names(tmp_path) == ["a.csv"]
