"""What a person sees of work that takes long: bars that come late, go away, and leave other lines whole."""

from __future__ import annotations

import sys

import pytest

from cellpose._progress import display as _display
from cellpose._progress import stages as _stages
from cellpose._progress.display import Display, printable, shown

terminal = pytest.importorskip("terminal", reason="needs terminals of POSIX")


def program(text: str, **options) -> tuple[int, list[str], str]:
    """Exit code, screen at the end, and all that was written, of a program on a terminal."""
    head = "import logging, sys, time\nfrom cellpose._progress import display as _display, stages as _stages\n"
    head += "_display._PATIENCE, _display._TICK = 0.0, 0.02\n"
    code, written = terminal.on_terminal(["-c", head + text], **options)
    return code, terminal.screen_of(written), written


BARS = """
with _display.shown(None, "images", 3, after=0) as display:
    for n in range(3):
        with display.job(f"{n}.tif"):
            advance = _stages.stage("running the network", 4, "tiles")
            for tile in range(4):
                advance(tile + 1)
                time.sleep(0.05)
        display.advance(n + 1)
"""


def test_bars_of_all_and_of_what_takes_long():
    code, screen, written = program(BARS)
    assert code == 0
    assert "images 1/3" in written
    assert "1.tif: running the network" in written
    assert "/4 tiles" in written
    assert "left" in written
    # the bar of all stays, the other one is gone
    assert [line[:10] for line in screen] == ["images 3/3"]


def test_nothing_where_stderr_is_no_terminal(capsys):
    with shown(None, "images", 3, after=0) as display:
        assert not display.visible
        with display.job("a.tif"):
            assert _stages.current_job() is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("change", ["TERM=dumb", "progress=False"])
def test_nothing_where_it_is_not_wanted(change):
    environment = {"TERM": "dumb"} if change == "TERM=dumb" else {}
    text = BARS.replace("None", "False") if change == "progress=False" else BARS
    assert program(text, **environment)[1:] == ([], "")


def test_no_colors_and_nothing_longer_than_the_line():
    _, _, written = program(BARS, columns=30)
    assert not any(code.group(2) == "m" for code in terminal._CODES.finditer(written))
    parts = [part for line in written.split("\n") for part in line.split("\r")]
    assert max(len(terminal._CODES.sub("", part)) for part in parts) <= 30


def test_log_lines_stay_whole_and_lines_for_persons_are_seen():
    text = """
logging.basicConfig(format="%(message)s")
with _display.shown(None, "images", 2, after=0) as display:
    for n in range(2):
        with display.job(f"{n}.tif"):
            time.sleep(0.1)
            logging.getLogger("cellpose").warning(f"warning {n}")
            _stages.say(f"line {n}")
            time.sleep(0.1)
        display.advance(n + 1)
"""
    screen = program(text)[1]
    assert screen[:4] == ["warning 0", "line 0", "warning 1", "line 1"]
    assert screen[4].startswith("images 2/2")
    assert len(screen) == 5


def test_no_bar_is_drawn_while_a_log_line_is_written():
    text = """
class Slow(logging.StreamHandler):
    def emit(self, record):
        time.sleep(0.2)  # several drawings
        super().emit(record)
logging.getLogger("cellpose").addHandler(Slow())
with _display.shown(None, "images", 1, after=0) as display:
    time.sleep(0.1)
    logging.getLogger("cellpose").warning("whole")
    display.advance(1)
"""
    assert program(text)[1][0] == "whole"


def test_lines_for_persons_are_not_written_twice():
    text = """
from cellpose import io
io.logger_setup()
with _display.shown(None, "images", 1, after=0) as display:
    time.sleep(0.1)
    _stages.say("only once")
    display.advance(1)
"""
    assert program(text)[2].count("only once") == 1


def test_an_error_leaves_a_clean_terminal():
    text = """
try:
    with _display.shown(None, "images", 3, after=0) as display, display.job("a.tif"):
        _stages.stage("reading")
        time.sleep(0.2)
        raise KeyboardInterrupt
except KeyboardInterrupt:
    print("interrupted")
"""
    code, screen, written = program(text)
    assert "a.tif: reading" in written
    assert (code, screen) == (0, ["interrupted"])


def test_one_display_at_a_time():
    with shown(True, "images", 2) as outer, outer.job("a.tif"), shown(True, "planes", 3) as inner:
        assert outer.visible
        assert not inner.visible


def test_short_work_shows_nothing(capsys):
    with shown(True, "images", 2) as display, display.job("a.tif"):
        display.advance(2)
    assert capsys.readouterr() == ("", "")


def test_a_stage_ends_where_the_next_begins():
    job = _stages.Job("a.tif")
    with _stages.working_on(job):
        first = _stages.stage("running", 4, "tiles")
        first(3)
        assert (job.stage.name, job.stage.done) == ("running", 3)
        _stages.stage("writing")
        first(4)
        assert (job.stage.name, job.stage.done) == ("writing", 0)
    _stages.stage("nobody watches")(1)
    assert job.stage.name == "writing"


def test_pieces_that_are_begun_are_not_told_as_done(monkeypatch):
    monkeypatch.setattr(_display, "_TICK", 10)
    display = Display("images", 6, visible=True)
    said = []
    monkeypatch.setattr(display, "_show", lambda name, text, *_: said.append(text))
    display.advance(2.4)  # six of them, each a little
    display._draw_all()
    with display.job("a.tif"):
        pass
    display._draw_all()
    assert said == ["images 0/6", "images 1/6"]


def test_names_are_printable_and_short():
    assert printable("a\x1b[31m\n.tif") == "a?[31m?.tif"
    long = printable("x" * 50 + "y" * 50)
    assert len(long) <= 40
    assert long.startswith("xx")
    assert long.endswith("yy")


def test_compiling_is_said_once(monkeypatch, caplog, tmp_path):
    text = """
import numpy as np
from cellpose import metrics
with _display.shown(None, "", after=0) as display, display.job("scores"):
    for n in range(2):
        a = np.zeros((8, 8), np.int32)
        a[2:4, 2:4] = 1
        metrics.average_precision([a], [a])
"""
    for expected in (1, 0):  # kept on disk for the next time
        code, screen, _ = program(text, columns=200, NUMBA_CACHE_DIR=str(tmp_path))
        assert code == 0
        assert sum("compiling for this CPU" in line for line in screen) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="needs terminals of POSIX")
def test_eval_shows_bars_of_lists():
    text = """
import numpy as np
from cellpose import models
_display._one  # one display at a time
model = models.CellposeModel(pretrained_model="nuclei-cells")
images = [np.random.default_rng(n).random((64, 64)) for n in range(3)]
show = _display.shown
import cellpose.models._many as many
many.shown = lambda *args: show(*args, after=0)
model.eval(images)
model.eval(images, progress=False)
"""
    code, screen, written = program(text, CELLPOSE_ENGINE="native")
    assert code == 0
    assert [line[:10] for line in screen if "compiling" not in line and line] == ["images 3/3"], written
