"""The log that clients follow."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from cellpose import io
from cellpose._version import version


@pytest.fixture(autouse=True)
def own_logger(monkeypatch, tmp_path):
    """A home of its own, and the logger given back as it was."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    logger = logging.getLogger("cellpose")
    before = list(logger.handlers), logger.level, logger.propagate
    yield
    for handler in [h for h in logger.handlers if h not in before[0]]:
        logger.removeHandler(handler)
        handler.close()
    logger.handlers[:], logger.level, logger.propagate = before
    logger.setLevel(before[1])


def test_nothing_is_shown_before_it_is_asked_for(capfd):
    logging.getLogger("cellpose.io").warning("a warning")
    assert capfd.readouterr() == ("", "")


def test_screen_and_file(tmp_path, capsys):
    logger, log_file = io.logger_setup()
    assert logger.name == "cellpose"
    assert log_file == tmp_path / ".cellpose" / "run.log"
    logging.getLogger("cellpose.core").info(">>>> using CPU")
    logging.getLogger("cellpose.core").debug("a detail")
    shown, written = capsys.readouterr().out, log_file.read_text(encoding="utf-8")
    assert f"cellpose version: \t{version}" in shown
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[INFO\] >>>> using CPU$", shown, re.MULTILINE)
    assert written.count(">>>> using CPU") == shown.count(">>>> using CPU") == 1
    assert "a detail" in written
    assert "a detail" not in shown


def test_clients_find_progress_and_epochs(tmp_path):
    _, log_file = io.logger_setup()
    logger = logging.getLogger("cellpose.cli")
    logger.info(" 50%|#####     | 1/2 [00:03<00:03]")
    logger.info("10, train_loss=0.1000, test_loss=0.2000, LR=0.000010, time 1.25s")
    lines = log_file.read_text(encoding="utf-8").splitlines()
    assert [match[1] for match in map(re.compile(r".+\s(\d*\.?\d*)\%.+").match, lines) if match] == ["50"]
    epoch = r".* (\d+), train_loss=(\d+\.\d+), test_loss=(\d+\.\d+), LR=(\d+\.\d+), time (\d+\.\d+)s"
    assert [match[1] for match in map(re.compile(epoch).match, lines) if match] == ["10"]


def test_called_again_it_starts_anew_and_doubles_nothing(capsys):
    _, log_file = io.logger_setup()
    logging.getLogger("cellpose").info("first run")
    logger, _ = io.logger_setup()
    capsys.readouterr()
    logger.info("second run")
    assert capsys.readouterr().out.count("second run") == 1
    written = log_file.read_text(encoding="utf-8")
    assert written.count("second run") == 1
    assert "first run" not in written


def test_handlers_of_others_stay():
    others = logging.NullHandler()
    logger = logging.getLogger("cellpose")
    logger.addHandler(others)
    io.logger_setup()
    io.logger_setup()
    assert logger.handlers.count(others) == 1
    assert len([h for h in logger.handlers if isinstance(h, logging.StreamHandler)]) == 2


def test_a_run_that_goes_on_keeps_its_log(tmp_path):
    """A second run takes the name and leaves the file of the first one whole."""
    folder = tmp_path / ".cellpose"
    folder.mkdir()
    with open(folder / "run.log", "w+", encoding="utf-8") as first:
        first.write("of the first run")
        first.flush()
        io.logger_setup()
        first.seek(0)
        assert first.read() == "of the first run"


def test_names_of_folder_and_file(tmp_path):
    _, log_file = io.logger_setup(cp_path="elsewhere", logfile_name="x.log")
    assert log_file == tmp_path / "elsewhere" / "x.log"
    _, log_file = io.logger_setup(cp_path=tmp_path / "absolute")
    assert log_file == tmp_path / "absolute" / "run.log"


def test_stdout_replaced_by_a_file(tmp_path, capsys):
    logger, _ = io.logger_setup(stdout_file_replacement=tmp_path / "out.txt")
    logger.info("to the file")
    assert "to the file" not in capsys.readouterr().out
    assert "to the file" in (tmp_path / "out.txt").read_text(encoding="utf-8")


def test_home_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    # a file where the folder should be: permissions would not bind root
    (tmp_path / ".cellpose").touch()
    logger, log_file = io.logger_setup()
    assert log_file is None
    logger.info("goes on")
    shown = capsys.readouterr().out
    assert "no log file is written" in shown
    assert "goes on" in shown


def test_no_home_at_all(monkeypatch, capsys):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert io.logger_setup()[1] is None
    assert "Could not determine home directory" in capsys.readouterr().out
