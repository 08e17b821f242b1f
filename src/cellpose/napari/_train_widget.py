"""The dock widget that trains a model on Labels layers."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
)

from cellpose import weights
from cellpose.errors import InputError
from cellpose.napari._form import Choices, Page, TaskRow, group, heading, number, watch_layers
from cellpose.napari._segmenting import choices
from cellpose.napari._training import Pair, examples, pairs
from cellpose.nets import FAMILIES

__all__ = ["TrainWidget"]

_CHECKED = Qt.CheckState.Checked


class TrainWidget(Page):
    """Trains a model on labels that the user drew or corrected in Labels layers.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are used for training.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._pairs: list[Pair] = []
        self._enough = threading.Event()
        self._add_example_part()
        self._add_model_part()
        self.row = TaskRow("Train", self.run)
        self.finish = QPushButton("Finish now and keep the model")
        self.finish.setToolTip("Stops after this step and saves the current model")
        self.finish.clicked.connect(self._enough.set)
        self.column.addWidget(self.row)
        self.column.addWidget(self.finish)
        self.finish.setVisible(False)
        self.row.running = self.finish.setVisible
        self.column.addStretch(1)
        watch_layers(self.viewer, self, self._offer_layers)

    def _add_example_part(self) -> None:
        box, form = group("Learn from")
        self.list = QListWidget()
        self.list.setMinimumHeight(70)
        self.list.setMaximumHeight(140)
        form.addRow(self.list)
        form.addRow(heading("Stacks and movies contribute each plane that has cells: draw all cells of these planes."))
        self.column.addWidget(box)

    def _add_model_part(self) -> None:
        box, form = group("Model")
        self.base = Choices("The model to start from")
        self.base.offer([(choice.text, choice.name) for choice in choices() if choice.installed])
        self.name = QLineEdit(f"napari_{datetime.now():%Y%m%d_%H%M}")
        self.epochs = number(1, 100_000, 100, 10, decimals=0)
        self.rate = number(0, 1, 0, 0.001, decimals=6, zero="as usual")
        self.folder = QLineEdit(str(Path.home() / "cellpose"))
        self.folder.setToolTip("The model is saved in the folder models in it")
        choose = QPushButton("...")
        choose.clicked.connect(self._choose_folder)
        line = QHBoxLayout()
        line.addWidget(self.folder, 1)
        line.addWidget(choose)
        form.addRow("Begin with", self.base)
        form.addRow("Name", self.name)
        form.addRow("Epochs", self.epochs)
        form.addRow("Learning rate", self.rate)
        form.addRow("Folder", line)
        self.column.addWidget(box)

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder", self.folder.text())
        if folder:
            self.folder.setText(folder)

    def _offer_layers(self) -> None:
        off = {item.text() for item in self._items() if item.checkState() != _CHECKED}
        self._pairs = pairs(self.viewer.layers)
        self.list.clear()
        for pair in self._pairs:
            item = QListWidgetItem(pair.text)
            item.setCheckState(Qt.CheckState.Unchecked if pair.text in off else _CHECKED)
            self.list.addItem(item)

    def _items(self) -> list[QListWidgetItem]:
        return [self.list.item(row) for row in range(self.list.count())]

    def run(self) -> None:
        """Train in the background.

        Raises
        ------
        InputError
            If there is nothing to train on, or the model has no name.
        """
        chosen = [pair for pair, item in zip(self._pairs, self._items(), strict=True) if item.checkState() == _CHECKED]
        images, labels = examples(chosen)
        name, base, folder = self.name.text().strip(), self.base.currentData(), self.folder.text()
        weights.check_new_name(name)
        if kind := weights.owner(name):
            message = f"a {kind} model has the name {name}; choose another one"
            raise InputError(message)
        epochs, rate, enough = int(self.epochs.value()), self.rate.value(), self._enough
        enough.clear()

        def work(report: Any) -> tuple[Path, float]:
            from cellpose import core, models, train

            report("loading the model ...")
            model = models.CellposeModel(gpu=core.use_gpu(), pretrained_model=base)

            usual = FAMILIES[weights.architecture(base).name].learning.window

            def stepped(step: dict[str, int]) -> bool:
                report((step["epoch"] + step["crops"] / max(1, step["n_crops"])) / epochs)
                return not enough.is_set()

            def epoch_done(row: dict[str, float]) -> bool:
                report(f"epoch {row['epoch'] + 1:.0f} of {epochs}, loss {row['train_loss']:.4f}")
                return not enough.is_set()

            path, losses, _ = train.train_seg(
                model.net, images, labels, n_epochs=epochs, learning_rate=rate or usual.learning_rate,
                weight_decay=usual.weight_decay, save_path=folder, model_name=name,
                nimg_per_epoch=max(8, len(images)), min_train_masks=1, on_step=stepped, on_epoch=epoch_done,
                batch_size=usual.batch_size, progress=False,
            )  # fmt: skip
            weights.remember_trained(path)
            return path, float(losses[losses > 0][-1]) if (losses > 0).any() else float("nan")

        self.row.start(f"training on {len(images)} {'plane' if len(images) == 1 else 'planes'}", work, self._done)

    def _done(self, result: tuple[Path, float]) -> None:
        path, loss = result
        where = "The model is in the list of the Segment widget"
        if weights.name_to_give(path) != path.name:
            where = f"The name {path.name} means another model: add this file in the Segment widget"
        self.row.tell(f"saved {path}, loss {loss:.4f}. {where}")
