"""The menus: every entry that the spec of the window names is there, does what it says, and shows its state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cellpose.gui.controllers import commands as registry
from cellpose.gui.views._window import Window
from hand import Answers, Modifier, click, entry, key, menu, until_idle, until_open, within

# Menu: title and first key of each entry that users of the original know.
ENTRIES = {
    "File": {
        "Load image": "Ctrl+L",
        "Autoload masks from _masks.tif file": "",
        "Disable autosave _seg.npy file": "",
        "Load masks (tif/png/jpg)": "Ctrl+M",
        "Load processed/labelled image (_seg.npy)": "Ctrl+P",
        "Save masks and image (_seg.npy)": "Ctrl+S",
        "Save masks as PNG/tif": "Ctrl+N",
        "Save Outlines as text for imageJ": "Ctrl+O",
        "Save outlines as .zip of ROI files": "Ctrl+R",
        "Save Flows and cellprob as tif": "Ctrl+F",
    },
    "Edit": {
        "Undo previous mask/trace": "Ctrl+Z",
        "Undo remove mask": "Ctrl+Y",
        "Clear all masks": "Ctrl+0",
        "Remove selected cell (Ctrl+Click)": "Del",
        "Merge cells by Alt+Click": "",
    },
    "Models": {
        "Add custom torch model to GUI": "",
        "Remove selected custom model from GUI": "",
        "Train new model with image+masks in folder": "Ctrl+T",
        "Training instructions": "",
    },
    "Help": {"Help with GUI": "Ctrl+H", "GUI layout": "Ctrl+G", "Training instructions": ""},
}
SAVING = ["Save masks and image (_seg.npy)", "Save masks as PNG/tif", "Save outlines as .zip of ROI files"]


@pytest.mark.parametrize("title", ENTRIES)
def test_entries_and_their_keys(window: Window, title: str) -> None:
    shown = {action.text(): action.shortcut().toString() for action in menu(window, title).actions()}
    for text, keys in ENTRIES[title].items():
        assert shown.get(text) == keys, text


def test_no_key_stands_for_two_commands(window: Window) -> None:
    keys = [key for command in registry.commands(window.session) for key in command.keys]
    assert len(keys) == len(set(keys))


def test_saving_can_be_chosen_only_with_cells(filled: Window) -> None:
    assert all(entry(filled, "File", text).isEnabled() for text in SAVING)
    filled.session.clear()
    usable = [text for text in SAVING if entry(filled, "File", text).isEnabled()]
    assert usable == ["Save masks and image (_seg.npy)"]  # that there are none is still to be saved
    assert not entry(filled, "Edit", "Clear all masks").isEnabled()
    assert not entry(filled, "Edit", "Merge cells by Alt+Click").isEnabled()


def test_keys_work_again_after_a_menu_was_shown_without_cells(filled: Window) -> None:
    filled.session.clear()
    shown = menu(filled, "Edit")
    shown.aboutToHide.emit()
    filled.session.undo()
    key(filled, "0", Modifier.ControlModifier)
    assert filled.session.cell_count() == 0


@pytest.mark.parametrize(
    ("title", "text"), [("File", "Autoload masks from _masks.tif file"), ("View", "Masks"), ("View", "Scale disk")]
)
def test_marks_of_entries_that_are_on_or_off(filled: Window, title: str, text: str) -> None:
    before = entry(filled, title, text).isChecked()
    entry(filled, title, text).trigger()
    assert entry(filled, title, text).isChecked() is not before


def test_a_key_changes_the_mark_of_the_menu_too(filled: Window) -> None:
    assert entry(filled, "View", "Masks").isChecked()
    key(filled, "X")
    assert not entry(filled, "View", "Masks").isChecked()


def test_remove_selected(filled: Window) -> None:
    assert not entry(filled, "Edit", "Remove selected cell (Ctrl+Click)").isEnabled()
    click(filled, 50, 30)
    entry(filled, "Edit", "Remove selected cell (Ctrl+Click)").trigger()
    assert filled.session.document.labels.ids.tolist() == [2]


def test_pages_of_help(window: Window) -> None:
    window.session.dialogs = answers = Answers()
    key(window, "H", Modifier.ControlModifier)
    key(window, "G", Modifier.ControlModifier)
    entry(window, "Models", "Training instructions").trigger()
    entry(window, "Help", "Training instructions").trigger()
    assert answers.shown == ["window", "window#at-a-glance", "window#train", "window#train"]


def test_load_asks_for_a_file_and_tells_of_one_that_cannot_be_read(window: Window, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"no image")
    window.session.dialogs = answers = Answers(broken)
    key(window, "L", Modifier.ControlModifier)
    until_open(window)
    assert answers.asked == ["Load image"]
    assert window.notice.isVisible()
    assert "broken.tif" in window.notice.text.text()
    assert "broken.tif" in window.statusBar().currentMessage()
    window.notice.close_button.click()
    assert not window.notice.isVisible()


def test_a_model_is_added_chosen_and_removed(
    window: Window, qtbot: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellpose import weights

    monkeypatch.setenv(weights.MODEL_DIR_ENV, str(tmp_path / "models"))
    own = tmp_path / "my_cells"
    own.write_bytes(weights.bundled_models()["nuclei-cells"].read_bytes())
    window.session.dialogs = Answers(own)
    assert not entry(window, "Models", "Remove selected custom model from GUI").isEnabled()
    entry(window, "Models", "Add custom torch model to GUI").trigger()
    until_idle(window, qtbot)
    assert window.session.settings.model == "my_cells"
    assert window.panel.segmentation.model.currentText() == "my_cells"
    entry(window, "Models", "Remove selected custom model from GUI").trigger()
    assert window.session.settings.model == weights.default_model()
    assert window.panel.segmentation.model.findText("my_cells") == -1
    assert own.is_file()
    own.write_text("a note that is no model")
    entry(window, "Models", "Add custom torch model to GUI").trigger()
    until_idle(window, qtbot)
    assert window.notice.text.text().startswith(f"no model was added: {own} is not a weight file")
    assert window.panel.segmentation.model.findText("my_cells") == -1
    assert window.session.settings.model == weights.default_model()


def test_gray_images_open_in_gray_and_others_in_color(window: Window) -> None:
    one = np.arange(400, dtype=np.uint8).reshape(1, 1, 20, 20)
    window.session.open_array(one)
    assert window.session.view.color == "gray"
    window.session.open_array(np.concatenate([one, one.transpose(0, 1, 3, 2)], axis=1))
    assert window.session.view.color == "RGB"


def test_running_without_an_image_tells_what_to_do_first(window: Window) -> None:
    key(window, "Return", Modifier.ShiftModifier)
    assert window.notice.text.text() == "open an image first, then run"
    window.session.open_array(np.zeros((1, 1, 20, 20), np.uint8))
    assert not window.notice.isVisible()


@pytest.mark.parametrize("title", ["File", "Edit", "Cells", "View", "Models", "Help"])
def test_menus_fit_small_screens(window: Window, title: str) -> None:
    shown = menu(window, title)
    assert all(each.sizeHint().height() < 768 for each in (shown, *within(shown)))


def test_entries_of_menus_within_menus_show_their_state_and_have_keys(filled: Window) -> None:
    assert entry(filled, "View", "Color cells by number").isChecked()
    entry(filled, "View", "Color cells by score").trigger()
    assert entry(filled, "View", "Color cells by score").isChecked()
    assert not entry(filled, "View", "Color cells by number").isChecked()
    assert entry(filled, "View", "Fainter masks").shortcut().toString() == "Shift+X"
    filled.session.clear()
    assert not entry(filled, "Cells", "Class 1").isEnabled()
