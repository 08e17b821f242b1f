"""The dock widget that measures the cells of a Labels layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QTableView,
)

from cellpose import measure
from cellpose.errors import InputError
from cellpose.napari._form import Choices, Page, TaskRow, group, number, watch_layers
from cellpose.napari._layers import is_kind, levels
from cellpose.napari._measuring import Columns, images_of, measure_labels, same_shape
from cellpose.napari._results import KEY, Found, is_edited

__all__ = ["MeasureWidget"]

_USUAL = ("shape", "intensity", "border", "neighbors")
_CHECKED, _UNCHECKED = Qt.CheckState.Checked, Qt.CheckState.Unchecked
_LAYER = Qt.ItemDataRole.UserRole


class MeasureWidget(Page):
    """Measures the cells of a Labels layer; selecting in the table selects in the layer, and vice versa.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are measured.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.measured: Any = None  # the layer that the table describes
        self._followed: Any = None  # the layer whose images are listed
        self.columns: Columns = {}
        self._add_layer_part()
        self._add_column_part()
        self.row = TaskRow("Measure", self.run)
        self.column.addWidget(self.row)
        self._add_table()
        watch_layers(self.viewer, self, self._offer_layers)

    def _add_layer_part(self) -> None:
        box, form = group("Layers")
        self.labels, self.nuclei = Choices("The cells"), Choices("Labels of nuclei, to count them in each cell")
        self.images = QListWidget()
        self.images.setToolTip("Intensity channels: image layers with the shape of the labels, in this order")
        self.images.setMaximumHeight(76)
        self.planes = QCheckBox("Each plane or frame separately")
        self.pixel = number(0, 10_000, 0, 0.01, " µm", decimals=4, zero="unknown")
        self.pixel.setToolTip("Pixel size; adds columns in micrometers")
        form.addRow("Cells", self.labels)
        form.addRow("Intensities", self.images)
        form.addRow("Nuclei", self.nuclei)
        form.addRow("Pixel size", self.pixel)
        form.addRow(self.planes)
        self.column.addWidget(box)
        self.labels.currentIndexChanged.connect(lambda _: self._follow_labels())

    def _add_column_part(self) -> None:
        box, form = group("Columns")
        grid = QGridLayout()
        self.groups = {name: QCheckBox(name) for name in (*measure.GROUPS, "score")}
        self.groups["score"].setToolTip("How certain each cell is; only if the labels were made here and not edited")
        for place, (name, tick) in enumerate(self.groups.items()):
            tick.setChecked(name in _USUAL)
            grid.addWidget(tick, place // 3, place % 3)
        form.addRow(grid)
        self.column.addWidget(box)

    def _add_table(self) -> None:
        self.table = QTableView()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setSortingEnabled(True)
        self.table.verticalHeader().hide()
        self.table.setMinimumHeight(160)
        self.table.clicked.connect(lambda index: self.go_to(self._number_at(index)))
        self.save = QPushButton("Save table ...")
        self.save.setEnabled(False)
        self.save.clicked.connect(lambda: self.row.guarded(self._save))
        self.column.addWidget(self.table, 1)
        self.column.addWidget(self.save)

    def _offer_layers(self) -> None:
        layers = [layer for layer in self.viewer.layers if is_kind(layer, "Labels")]
        same = lambda one, other: one is other  # noqa: E731
        items: list[tuple[str, Any]] = [(layer.name, layer) for layer in layers]
        items.sort(key=lambda item: KEY not in item[1].metadata)
        self.nuclei.offer([("none", None), *items], same)
        self.labels.offer(items, same)
        self._follow_labels()

    def _follow_labels(self) -> None:
        labels, before, ticked = self.labels.currentData(), self._followed, self._ticked()
        knows = self.images.count() > 0
        self._followed = labels
        self.images.clear()
        if labels is None:
            return
        fitting = [layer for layer in self.viewer.layers if _is_channel(layer) and same_shape(labels.data, layer.data)]
        if labels is not before or not knows:
            ticked = images_of(labels, fitting, self.viewer.layers.selection.active)
        for layer in fitting:
            item = QListWidgetItem(layer.name)
            item.setData(_LAYER, layer)
            item.setCheckState(_CHECKED if any(layer is one for one in ticked) else _UNCHECKED)
            self.images.addItem(item)
        found = labels.metadata.get(KEY, {}).get("found")
        several = sum(side > 1 for side in labels.data.shape[:-2]) > 0
        self.planes.setVisible(several)
        self.planes.setChecked(several and isinstance(found, Found) and found.settings.mode == "planes")

    def _ticked(self) -> list[Any]:
        """The image layers to measure."""
        items = [self.images.item(row) for row in range(self.images.count())]
        return [item.data(_LAYER) for item in items if item.checkState() == _CHECKED]

    def run(self) -> None:
        """Measure in the background.

        Raises
        ------
        InputError
            If there is no Labels layer.
        """
        layer = self.labels.currentData()
        if layer is None:
            message = "there is no Labels layer; segment an image first"
            raise InputError(message)
        images = [image.data for image in self._ticked()]
        second = self.nuclei.currentData()
        nuclei = None if second is None or second is layer else levels(second)[0]
        wanted = [name for name in measure.GROUPS if self.groups[name].isChecked()]
        sides = np.asarray(layer.scale, float)
        size = self.pixel.value()
        spacing = [size * side / sides[-1] for side in sides] if size > 0 else None
        labels, words = levels(layer)[0], {"planes": self.planes.isChecked(), "pixel_size_um": spacing}
        if self.groups["score"].isChecked():
            words |= _flows_of(layer)

        def work(_report: Any) -> Columns:
            return measure_labels(
                np.asarray(labels), [np.asarray(one) for one in images], wanted, nuclei=nuclei, **words
            )

        self.row.start("measuring", work, lambda columns: self._show(layer, columns))

    def _show(self, layer: Any, columns: Columns) -> None:
        if self.measured is not None:
            self.measured.events.selected_label.disconnect(self._follow_label)
        self.measured, self.columns = layer, columns
        layer.events.selected_label.connect(self._follow_label)
        if "frame" not in columns:
            import pandas

            layer.features = pandas.DataFrame({"index": columns["label"], **columns})
        model = QSortFilterProxyModel(self.table)
        model.setSourceModel(_Table(columns))
        model.sourceModel().setParent(model)
        model.setSortRole(Qt.ItemDataRole.UserRole)
        self.table.setModel(model)
        self.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.table.resizeColumnsToContents()
        self.save.setEnabled(True)
        count = len(columns["label"])
        self.row.tell(f"{layer.name}: {count} {'cell' if count == 1 else 'cells'}, {len(columns)} columns")

    def _number_at(self, index: QModelIndex) -> int:
        return int(self.table.model().mapToSource(index).row())

    def go_to(self, row: int) -> None:
        """Select the cell of a table row and center it in the view."""
        layer, columns = self.measured, self.columns
        if layer is None or layer not in self.viewer.layers:
            return
        layer.selected_label = int(columns["label"][row])
        middle = [columns[f"centroid-{axis}"][row] for axis in range(3) if f"centroid-{axis}" in columns]
        if not middle:
            return
        place = [0.0] * (layer.ndim - len(middle)) + [float(at) for at in middle]
        if "frame" in columns and layer.ndim > 2:
            place[: layer.ndim - 2] = [
                float(at) for at in np.unravel_index(columns["frame"][row], layer.data.shape[:-2])
            ]
        world = layer.data_to_world(place)
        for axis, at in enumerate(world[:-2], self.viewer.dims.ndim - len(world)):
            self.viewer.dims.set_point(axis, at)
        self.viewer.camera.center = tuple(world[-3:]) if len(world) > 2 else (0.0, *world)

    def _follow_label(self, _event: Any = None) -> None:
        model, number = self.table.model(), int(self.measured.selected_label)
        rows = np.flatnonzero(self.columns.get("label", np.zeros(0)) == number)
        if model is not None and len(rows):
            self.table.selectRow(model.mapFromSource(model.sourceModel().index(int(rows[0]), 0)).row())

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save table", f"{self.measured.name}.csv", "CSV (*.csv);;Parquet (*.parquet);;AnnData (*.h5ad)"
        )
        if path:
            target = path if Path(path).suffix else f"{path}.csv"
            measure.write_table(target, self.columns)
            self.row.tell(f"saved {target}")


def _is_channel(layer: Any) -> bool:
    """Whether intensities can be measured in a layer."""
    return is_kind(layer, "Image") and not layer.rgb and not getattr(layer, "multiscale", False)


class _Table(QAbstractTableModel):  # type: ignore[misc]
    """Numeric columns as a Qt table model."""

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        self._names, self._values = list(columns), list(columns.values())

    def rowCount(self, _parent: Any = None) -> int:
        """Return the number of cells."""
        return len(self._values[0])

    def columnCount(self, _parent: Any = None) -> int:
        """Return the number of columns."""
        return len(self._values)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a field, or its value for sorting."""
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.UserRole):
            return None
        value = self._values[index.column()][index.row()]
        value = value.item() if isinstance(value, np.generic) else value
        if role == Qt.ItemDataRole.UserRole:
            return value
        return f"{value:.5g}" if isinstance(value, float) else str(value)

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the names of the columns."""
        shown = orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole
        return self._names[section] if shown else None


def _flows_of(layer: Any) -> dict[str, Any]:
    """Keywords for scores, if the flows match the labels.

    Raises
    ------
    InputError
        If there are no flows.
    """
    found = layer.metadata.get(KEY, {}).get("found")
    flat = isinstance(found, Found) and found.dP is not None and found.masks.size == np.prod(found.masks.shape[-2:])
    if not flat or is_edited(layer):
        message = "scores need a plane whose labels were made here and not edited; segment it first, or untick score"
        raise InputError(message)
    kept = found.shaped(found.masks.shape[-2:])
    return {"flows": (kept.dP, kept.cellprob), "model": found.model or None}
