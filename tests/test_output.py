"""Files that are written: never by accident, never by halves."""

import os
import re
import subprocess
import sys
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
        def refuse(self):
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

    def test_what_a_killed_process_left_is_removed(self, tmp_path):
        code = (
            "import os, sys; from sklasd.utils._output import replacing\n"
            "with replacing(sys.argv[1]) as unfinished:\n"
            "    unfinished.write_text('half'); os.kill(os.getpid(), 9)"
        )
        for name in ("a.csv", "b.csv"):
            subprocess.run([sys.executable, "-c", code, tmp_path / name], check=False)
        assert len(names(tmp_path)) == 2
        with replacing(tmp_path / "a.csv") as unfinished:
            unfinished.write_text("whole")
        left = names(tmp_path)
        assert left[1] == "a.csv"
        assert left[0].startswith(".b.")  # another file's is left to its own next run

    def test_what_a_running_process_writes_is_kept(self, tmp_path):
        with replacing(tmp_path / "a.csv") as own:
            own.write_text("mine")
            theirs = own.with_name(own.name.replace(str(os.getpid()), str(os.getppid())))
        theirs.write_text("theirs")
        with replacing(tmp_path / "a.csv") as own:
            own.write_text("mine")
        assert names(tmp_path) == [theirs.name, "a.csv"]
