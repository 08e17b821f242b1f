"""The texts of the window can be translated: all of them go through `tr`, and the catalogue has them."""

from __future__ import annotations

import ast
import gettext
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cellpose
from cellpose.gui import _texts
from cellpose.gui._texts import tr, tr_n

SRC = Path(cellpose.__file__).parent / "gui"
CATALOGUE = SRC / "locale" / "cellpose.pot"
KEYWORDS = {"tr": None, "tr_n": (1, 2), "mark": None}

# Where a text stands among the arguments of a call. Names of widgets of Qt, and of functions of the window.
SINKS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(
        ("QLabel", "QPushButton", "QCheckBox", "QGroupBox", "QListWidgetItem", "setText", "setToolTip"), (0,)
    ),
    **dict.fromkeys(("setWindowTitle", "setAccessibleName", "setAccessibleDescription", "setPlaceholderText"), (0,)),
    **dict.fromkeys(("setTitle", "showMessage", "addRow", "addItem", "addItems", "setHeaderLabels", "setSuffix"), (0,)),
    **dict.fromkeys(("Group", "CollapsibleGroup", "check_box", "search_line", "name_as", "ask_open", "ask_save"), (0,)),
    **dict.fromkeys(("ask_folder", "ask_color", "show_text", "within", "button", "_button"), (0,)),
    **dict.fromkeys(("Command", "toggle", "addTab"), (1,)),
    **dict.fromkeys(("ask_length", "ask_yes", "ask_number", "Curve"), (0, 1)),
    "Step": (1, 2),
    "MouseRule": (0, 1, 2),
    "question": (1, 2),
}
NAMED = {"title", "hint", "submenu"}  # arguments and fields that are texts
MESSAGES = {"told", "failed"}  # signals of texts

# Literals of several words that no user reads, or that names of files and other programs fix.
NO_TEXTS = {
    *("training set", "validation set", "add model", "save a copy"),  # names of jobs
    *("draw cell", "remove cell", "merge cells", "split cell"),  # and of edits
    *("change number", "clear all cells", "stop ignoring", "undo {}"),
    *("added mask", "removed mask"),  # entries of a file format
    *("cellpose settings", "cellpose run", "area px", "3D view"),
    *("masks of", "{} of {} cells drawn or corrected by hand"),  # what a server gets
    *("top left", "top right", "bottom left", "bottom right", "one plane", "three views", "thin slices"),  # values
    *("many colors", "one color", "many colors", "one color", "load masks", "no masks", "cannot be read"),
    *("Tol bright", "Tol muted", "4477AA EE6677 228833 CCBB44 66CCEE AA3377"),  # names of others
}
WORDS = re.compile(r"[A-Za-z]{2,}[,:;.]? [A-Za-z]{2,}|[A-Za-z]{3,} \(|\{\} [a-z]{3,}|[a-z]{3,} \{\}")
KEYS = re.compile(r"(Ctrl|Alt|Shift)\+\S+|Enter|\W*|v?\{\}|cellpose v\{\}| px")
STYLE = re.compile(r"px;|</t[dr]>|background: ")
APART = {  # modules without texts of the window: code for scripts, styles, kernels, processes
    *("_texts.py", "gui.py", "gui3d.py", "make_train.py", "_style.py", "_kernels.py", "_help_pages.py", "_recipe.py"),
    *("_trainer.py", "_child.py", "_preload.py", "_journal.py", "_seg_file.py", "_settings_file.py"),
}
NOT_SEEN = {
    *("tr", "tr_n", "mark", "compile", "warning", "debug", "info", "getLogger", "setStyleSheet", "format", "start")
}


_AROUND = (ast.Expr, ast.JoinedStr, ast.FormattedValue, ast.Compare, ast.Subscript)  # docstrings, keys


def _text(node: ast.AST) -> str | None:
    """A literal, with ``{}`` for what an f-string puts in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def _leaves(node: ast.AST | None) -> Iterator[ast.AST]:
    """The literals that an expression can be."""
    if isinstance(node, ast.IfExp):
        yield from (leaf for part in (node.body, node.orelse) for leaf in _leaves(part))
    elif isinstance(node, (ast.BoolOp, ast.List, ast.Tuple)):
        yield from (leaf for part in (getattr(node, "values", None) or node.elts) for leaf in _leaves(part))
    elif node is not None and _text(node) is not None:
        yield node


def _name(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _in_sinks(call: ast.Call) -> Iterator[ast.AST]:
    name = _name(call)
    above = getattr(call.func, "value", None)
    signal = name == "emit" and isinstance(above, ast.Attribute) and above.attr in MESSAGES
    needs = [each.elts[1] for each in call.args if isinstance(each, ast.Tuple) and name == "When"]
    error = call.args if name.endswith("Error") else []
    places = [call.args[place] for place in SINKS.get(name, ()) if place < len(call.args)]
    if name == "within" and above is None:
        places = []  # a function of a module, not the method of `Command`
    named = [each.value for each in call.keywords if each.arg in NAMED and name not in NOT_SEEN]
    for each in (*(call.args if signal else ()), *needs, *error, *places, *named):
        yield from _leaves(each)


def bare_texts(source: str) -> list[tuple[int, str]]:
    """Line and words of literals that a user reads and that are not translated."""
    tree = ast.parse(source)
    above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    seen: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            seen.update(_in_sinks(node))
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in NAMED:
            seen.update(_leaves(node.value))
        text = _text(node)
        if text is not None and WORDS.search(text):
            seen.add(node)
    found = []
    for node in seen:
        text = _text(node) or ""
        chain = [node]
        while not isinstance(chain[-1], ast.stmt):
            chain.append(above[chain[-1]])
        unseen = isinstance(above[node], _AROUND) or any(
            isinstance(each, ast.Call) and _name(each) in NOT_SEEN for each in chain
        )
        if (
            not unseen
            and text not in NO_TEXTS
            and not STYLE.search(text)
            and not KEYS.fullmatch(text)
            and re.search("[A-Za-z]{2}", text)
        ):
            found.append((node.lineno, text))  # type: ignore[attr-defined]
    return sorted(found)


@pytest.mark.parametrize(
    "source",
    [
        'label = QLabel("name")',
        'button("run", f, "segment the image")',
        'session.told.emit(f"{n} cells found")',
        'Command("file.open", "Load image", load)',
        'hint = "drag" if on else "click"',
        'x = "some words that someone reads"',
        'message = f"there is no cell {cell}"',
    ],
)
def test_a_bare_text_is_seen_and_a_translated_one_is_not(source: str) -> None:
    assert bare_texts(source)
    translated = re.sub(r'(f?"[^"]*[a-z ][^"]*")', r"tr(\1)", source).replace('tr("file.open")', '"file.open"')
    assert bare_texts(translated) == []


@pytest.mark.parametrize(
    "room", ["", "model", "controllers", "controllers/tools", "controllers/commands", "views", "views/panels"]
)
def test_every_text_goes_through_tr(room: str) -> None:
    files = [path for path in sorted((SRC / room).glob("*.py")) if path.name not in APART]
    found = [f"{path.name}:{line} {text}" for path in files for line, text in bare_texts(path.read_text("utf-8"))]
    assert found == [], "wrap these in tr() of cellpose.gui._texts, then run `make texts`"


def test_the_catalogue_is_what_the_code_says() -> None:
    extract = pytest.importorskip("babel.messages.extract", reason="Babel reads the texts")
    pofile = pytest.importorskip("babel.messages.pofile", reason="Babel reads the catalogue")
    inside = {
        message for _, _, message, _, _ in extract.extract_from_dir(str(SRC), [("**.py", "python")], keywords=KEYWORDS)
    }
    with CATALOGUE.open("rb") as file:
        listed = {message.id for message in pofile.read_po(file) if message.id}
    assert len(inside) > 500
    assert inside ^ listed == set(), "run `make texts`"


def test_every_translation_that_is_carried_is_compiled() -> None:
    for path in (SRC / "locale").glob("*/LC_MESSAGES/cellpose.po"):
        assert path.with_suffix(".mo").stat().st_mtime >= 0, "run `make texts`"


# --- another language ---


def foreign(text: str) -> str:
    """A text in a language that looks like English with strange vowels; names in braces and tags stay."""
    parts = re.split(r"(\{[^}]*\}|<[^>]+>)", text)
    strange = str.maketrans("aeiouAEIOU", "àéîõüÀÉÎÕÜ")
    return "".join(part if part.startswith(("{", "<")) else part.translate(strange) for part in parts)


def compiled() -> bytes:
    """The catalogue of that language, as gettext reads it."""
    mofile = pytest.importorskip("babel.messages.mofile", reason="Babel writes the catalogue")
    from babel.messages.pofile import read_po

    with CATALOGUE.open("rb") as file:
        catalogue = read_po(file, locale="en")
    for message in catalogue:
        if message.id:
            ids = message.id if isinstance(message.id, tuple) else (message.id,)
            message.string = tuple(map(foreign, ids)) if len(ids) > 1 else foreign(ids[0])
    out = io.BytesIO()
    mofile.write_mo(out, catalogue)
    return out.getvalue()


def test_texts_numbers_and_values_are_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_texts, "_catalogue", gettext.NullTranslations())
    assert tr("took the settings of {name}", name="a.json") == "took the settings of a.json"
    assert tr("") == ""
    _texts.use(gettext.GNUTranslations(io.BytesIO(compiled())))
    assert tr("took the settings of {name}", name="a.json") == "tõõk thé séttîngs õf a.json"
    assert tr_n("{n} image", "{n} images", 1) == "1 îmàgé"
    assert tr_n("{n} image", "{n} images", 3) == "3 îmàgés"
    assert tr("not in the catalogue") == "not in the catalogue"


def test_the_environment_chooses_the_language(tmp_path: Path) -> None:
    """A fresh program finds a catalogue that a translator has put into the package."""
    folder = tmp_path / "xx" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "cellpose.mo").write_bytes(compiled())
    program = (
        "import importlib.util, sys\n"
        "from importlib import resources\n"
        f"resources.files = lambda _: __import__('pathlib').Path({str(tmp_path.parent)!r})\n"
        f"spec = importlib.util.spec_from_file_location('texts', {str(SRC / '_texts.py')!r})\n"
        "texts = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(texts)\n"
        "print(texts.tr('Load image').encode('utf-8'))\n"
    )
    tmp_path.rename(tmp_path.parent / "locale")
    said = {
        language: subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "LANGUAGE": language},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for language in ("xx", "yy")
    }
    assert said == {"xx": str("Lõàd îmàgé".encode()), "yy": str(b"Load image")}


# Words of other languages, programs and formats, and names of models and files.
NAMES = re.compile(
    r"cellpose|scratch|cpsam|cyto\w*|cpdino[\w-]*|generalist|nuclei(-cells)?|tissuenet|livecell|general\b|RGB|gradXY|gradZ|cellprob"
    r"|viridis|magma|inferno|cividis|Okabe-Ito|Tol (bright|muted)|Python|\w*_seg\.npy|\w+\.(png|npy|tif|json|csv)|/\S+"
    r"|(Ctrl|Alt|Shift|Enter|Return|Esc\w*|Del\w*|Space|Left|Right|Up|Down|Home|End|Pg\w+|Page\w+)\b|CP_\d+"
    r"|score<0.5.*?<br>|: id, .*|às [\w-]+ \(.*|bundled\b|Parquet|AnnData|CC0:.*|CC-BY:.*|I may publish.*"
)

ENGLISH = re.compile(r"(?<![\w<])(?=[A-Za-z]*[aeiouAEIOU])[A-Za-z]{3,}(?![\w>])")  # a word with a vowel as it was

LOOK = """
import gettext, io, json, sys
from cellpose.gui import _texts
_texts.use(gettext.GNUTranslations(io.BytesIO(sys.stdin.buffer.read())))
import numpy as np
from pathlib import Path
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QAbstractButton, QApplication, QColorDialog, QComboBox, QDialog, QDialogButtonBox
from qtpy.QtWidgets import QDockWidget, QGroupBox, QLabel, QLineEdit, QMenu, QTabBar, QTreeWidget, QWidget
app = QApplication(["window"])
from cellpose.gui.controllers._tour import STEPS
from cellpose.gui.model._training_set import TrainingSet
from cellpose.gui.model._training_settings import TrainingSettings
from cellpose.gui.views._window import Window
window = Window()
window.show()
labels = np.zeros((60, 60), np.int32)
labels[20:40, 10:30], labels[20:40, 30:50] = 1, 2
image = np.zeros((1, 5, 60, 60), np.uint8)
window.session.open_array(image[:, :3], labels, channels=image)
asked = window.session.dialogs
asked.ask_training(TrainingSettings(), TrainingSet(Path(), (), ()), lambda: None)
asked.change_keys(window.commands, window.session.keys)
asked.show_sheet(window.commands, window.session.keys, [])
asked.show_batch(window.session)
asked.ask_contribution(window.session.contributing)
window.session.tour.begin()
app.processEvents()
seen = {}
def see(widget, text):
    if text:
        seen.setdefault(text, type(widget).__name__)
def of_qt(widget):  # what Qt names has translations of its own
    while widget is not None:
        if isinstance(widget, (QColorDialog, QDialogButtonBox, QTabBar)):
            return True
        widget = widget.parentWidget()
    return False
tops = [window, *window.findChildren(QDialog)]
for widget in {each for top in tops for each in (top, *top.findChildren(QWidget))}:
    if of_qt(widget) or widget.objectName().startswith("qt_"):
        continue
    see(widget, widget.toolTip()); see(widget, widget.accessibleName())
    if isinstance(widget, (QLabel, QAbstractButton)):
        see(widget, widget.text())
    if isinstance(widget, QGroupBox):
        see(widget, widget.title())
    if isinstance(widget, QDockWidget) or widget.isWindow():
        see(widget, widget.windowTitle())
    if isinstance(widget, QLineEdit):
        see(widget, widget.placeholderText())
    if isinstance(widget, QComboBox):
        for place in range(widget.count()):
            see(widget, widget.itemText(place))
    if isinstance(widget, QTreeWidget):
        head = widget.headerItem()
        for column in range(widget.columnCount()):
            see(widget, head.text(column)); see(widget, head.toolTip(column))
    if isinstance(widget, QMenu):
        for action in widget.actions():
            see(widget, action.text())
for tool in window.session.pointer.tools.values():
    see(window, tool.title); see(window, tool.hint)
for command in window.commands:
    see(window, command.obstacle())
model = window.cells.model
for column in range(model.columnCount()):
    see(window, model.headerData(column, __import__("qtpy.QtCore").QtCore.Qt.Orientation.Horizontal))
print(json.dumps(seen))
sys.stdout.flush()
import os
os._exit(0)
"""


def test_every_visible_text_is_another_in_another_language(tmp_path: Path) -> None:
    """In a program of its own, since modules take their texts when they are imported."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "QT_API": "pyside6", "HOME": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", LOOK], input=compiled(), env=environment, capture_output=True, check=False, timeout=120
    )
    assert ran.stdout, ran.stderr.decode()
    seen = json.loads(ran.stdout.splitlines()[-1])
    assert len(seen) > 400
    english = {text: kind for text, kind in seen.items() if ENGLISH.search(NAMES.sub("", text))}
    assert english == {}
