"""The dock widget that segments an image layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLineEdit, QPushButton

from cellpose import weights
from cellpose.errors import AxesError, InputError
from cellpose.napari._click import Clicks
from cellpose.napari._form import Choices, Page, TaskRow, group, number, put_layers, watch_layers
from cellpose.napari._layers import Source, check_axes, chosen, guess_axes, is_kind, is_large, levels, sources, take
from cellpose.napari._results import KEY, LAYERS, Found, checksum, is_edited, layer_tuples, masks_anew, outlines_of
from cellpose.napari._segmenting import Choice, Loaded, choices, segment, segment_in_bands
from cellpose.napari._settings import MODES, SegmentSettings, modes_for

__all__ = ["SegmentWidget"]


class SegmentWidget(Page):
    """Segments the cells of an image layer; while flows are kept, new thresholds apply at once.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are segmented.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._loaded = Loaded()
        self._stale = False
        self.labels: Any = None  # the layer that the last run made
        self._outlines: Any = None
        self._add_image_part()
        self._add_model_part()
        self._add_threshold_part()
        self._add_layer_part()
        self.row = TaskRow("Segment", self.run)
        self.anew = TaskRow("", self._make_anew)
        self.clicks = Clicks(
            self.viewer, lambda: self.labels, lambda: self.settings().cellprob_threshold, self.row.tell
        )
        self.clicking.toggled.connect(lambda on: self.row.guarded(lambda: self.clicks.turn(on)))
        self.column.addWidget(self.row)
        self.column.addStretch(1)
        watch_layers(self.viewer, self, self._offer_layers)

    def _add_image_part(self) -> None:
        box, form = group("Image")
        self.cells = Choices("The layer, or the channel of a layer, with the cells")
        self.nuclei = Choices("A layer of the same shape with nuclei, if you have one")
        self.axes, self.mode, self.level = QLineEdit(), Choices(), Choices("Segment a coarser level to be faster")
        self.axes.setToolTip("One letter for each axis of the layer: T time, Z plane, C channel, Y, X")
        self.stitch, self.anisotropy = number(0, 1, 0.25, 0.05), number(0.1, 50, 1, 0.1)
        self.stitch.setToolTip("Overlap (IoU) from which cells in neighboring planes become one")
        self.anisotropy.setToolTip(
            "Distance between planes divided by the size of a pixel; from the scale of the layer"
        )
        for name, field in (
            ("Cells", self.cells),
            ("Nuclei", self.nuclei),
            ("Axes", self.axes),
            ("Segment", self.mode),
        ):
            form.addRow(name, field)
        form.addRow("Overlap", self.stitch)
        form.addRow("Anisotropy", self.anisotropy)
        form.addRow("Scale", self.level)
        self._image_form = form
        self.column.addWidget(box)
        self.cells.currentIndexChanged.connect(lambda _: self._follow_image())
        self.axes.textEdited.connect(lambda _: self._follow_axes())
        self.mode.currentIndexChanged.connect(lambda _: self._show_fields())

    def _add_model_part(self) -> None:
        box, form = group("Model")
        self.model = Choices("Installed models come first; published ones are downloaded when they first run")
        self.file = QPushButton("File ...")
        self.file.setToolTip("Add a model file of your own")
        line = QHBoxLayout()
        line.addWidget(self.model, 1)
        line.addWidget(self.file)
        self.diameter = number(0, 10_000, 0, 1, " px", zero="as trained")
        self.diameter.setToolTip("Diameter of the cells in pixels; 0: as the model expects them")
        form.addRow("Model", line)
        form.addRow("Diameter", self.diameter)
        self.column.addWidget(box)
        self.file.clicked.connect(lambda: self.row.guarded(self._add_model))
        self.model.refresh = self.offer_models
        self.offer_models()

    def _add_threshold_part(self) -> None:
        box, form = group("Thresholds, live while flows are kept")
        self.flow, self.probability = number(0, 10, 0.4, 0.1), number(-12, 12, 0, 0.5)
        self.flow.setToolTip("Largest flow error of a cell that is kept; higher: more cells")
        self.probability.setToolTip("Logit above which pixels belong to cells; lower: more and larger cells")
        self.least = number(0, 1_000_000, 15, 1, " px", decimals=0)
        form.addRow("Flow error", self.flow)
        form.addRow("Probability", self.probability)
        form.addRow("Smallest cell", self.least)
        self.clicking = QCheckBox("Click to add or remove single cells")
        self.clicking.setToolTip("A click on the background adds the cell there; a click on a cell removes it")
        form.addRow(self.clicking)
        self.column.addWidget(box)
        for field in (self.flow, self.probability, self.least):
            field.setKeyboardTracking(False)
            field.valueChanged.connect(lambda _: self._thresholds_changed())

    def _add_layer_part(self) -> None:
        box, form = group("Also add layers of")
        line = QHBoxLayout()
        self.wanted = {name: QCheckBox(name) for name in LAYERS}
        for tick in self.wanted.values():
            line.addWidget(tick)
        form.addRow(line)
        self.column.addWidget(box)

    def _offer_layers(self) -> None:
        found = sources(self.viewer.layers)
        items = [(source.text, source) for source in found if not _made_here(source.layer)]
        self.cells.offer(items, _same)
        self.nuclei.offer([("none", Source(None)), *items], _same)
        if self.labels is not None and self.labels not in self.viewer.layers:
            self.labels = None

    def offer_models(self) -> None:
        """Refresh the list of models, for example after a training."""
        self.model.offer([(choice.text, choice) for choice in choices()], lambda one, other: one.name == other.name)

    def _add_model(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "A model file")
        if path:
            name = weights.add_model(path).name
            self.offer_models()
            self.choose_model(name)

    def choose_model(self, name: str) -> None:
        """Select a model by name or by file path."""
        for index in range(self.model.count()):
            if self.model.itemData(index).name == name:
                self.model.setCurrentIndex(index)
                return
        self.model.addItem(name, Choice(name, True, name))
        self.model.setCurrentIndex(self.model.count() - 1)

    def _follow_image(self) -> None:
        source = self.cells.currentData()
        if source is None:
            return
        self.axes.setText(guess_axes(source.layer))
        sides = np.asarray(source.layer.scale, float)
        if len(sides) > 2 and sides[-1] > 0:
            self.anisotropy.setValue(round(float(sides[-3] / sides[-1]), 3))
        texts = ["  x  ".join(str(side) for side in level.shape) for level in levels(source.layer)]
        self.level.offer(list(zip(texts, range(len(texts)), strict=True)))
        self._follow_axes()

    def _follow_axes(self) -> None:
        source = self.cells.currentData()
        try:
            names = check_axes(self.axes.text(), source.layer)
        except (AxesError, AttributeError):
            names = self.axes.text().upper()
        self.mode.offer([(MODES[mode], mode) for mode in modes_for(names)])
        self._show_fields()

    def _show_fields(self) -> None:
        mode, source = self.mode.currentData(), self.cells.currentData()
        shown = {
            self.stitch: mode == "stitch",
            self.anisotropy: mode == "volume",
            self.mode: self.mode.count() > 1,
            self.level: self.level.count() > 1,
            self.axes: source is not None and levels(source.layer)[0].ndim > 2,
        }
        for field, on in shown.items():
            self._image_form.setRowVisible(field, on)

    def settings(self) -> SegmentSettings:
        """The current settings."""
        choice = self.model.currentData()
        return SegmentSettings(
            model=choice.name if choice is not None else "",
            diameter=self.diameter.value(),
            flow_threshold=self.flow.value(),
            cellprob_threshold=self.probability.value(),
            min_size=int(self.least.value()),
            mode=self.mode.currentData() or "plane",
            stitch_threshold=self.stitch.value(),
            anisotropy=self.anisotropy.value(),
        )

    def run(self) -> None:
        """Segment in the background.

        Raises
        ------
        InputError
            If there is no image layer.
        """
        cells, nuclei = chosen(self.cells.currentData()), self.nuclei.currentData()
        settings, loaded = self.settings(), self._loaded
        axes, level = check_axes(self.axes.text(), cells.layer), self.level.currentData() or 0
        settings.keywords()
        position = cells.layer.world_to_data(self.viewer.dims.point) if settings.mode == "plane" else None
        large = is_large(cells.layer, level) and settings.mode == "plane"
        second = nuclei if nuclei is not None and nuclei.layer is not None else None

        def work(report: Any) -> tuple[Found, dict[str, Any]]:
            taken = take(cells, second, axes=axes, level=level, position=position, lazy=large)
            report("loading the model ...")
            model = loaded.get(settings.model, report)
            report("segmenting ...")
            return (segment_in_bands if large else segment)(model, taken, settings, report), taken.placing

        self.row.start("segmenting", work, lambda result: self._take(*result))

    def _take(self, found: Found, placing: dict[str, Any]) -> None:
        wanted = {name for name, tick in self.wanted.items() if tick.isChecked()}
        for name in [f"{found.source} {what}" for what in ("flows", "probability", "outlines", "masks")]:
            old = next((layer for layer in self.viewer.layers if layer.name == name), None)
            if old is not None and _may_go(old):
                self.viewer.layers.remove(old)
        layers = put_layers(self.viewer, layer_tuples(found, placing, wanted))
        self.labels = next(layer for layer in layers if KEY in layer.metadata and "found" in layer.metadata[KEY])
        self._outlines = layers[-1] if "outlines" in wanted else None
        if self._outlines is not None:
            self._outlines.metadata[KEY] = {"sum": checksum(np.asarray(self._outlines.data))}
        self.viewer.layers.selection.active = self.labels
        if self.clicking.isChecked():
            self.clicks.turn(True)
        self._tell_count(found)

    def _tell_count(self, found: Found) -> None:
        count = found.count()
        more = "" if found.is_live else "; thresholds take effect with the next run"
        self.row.tell(f"{found.model}: {count} {'cell' if count == 1 else 'cells'}{more}")

    def _thresholds_changed(self) -> None:
        self._stale = True
        if not self.anew.is_running:
            self.row.guarded(self._make_anew)

    def _make_anew(self) -> None:
        """Recompute the masks from the kept flows with the current thresholds, in the background."""
        self._stale, layer = False, self.labels
        if layer is None or layer not in self.viewer.layers:
            return
        found, settings = layer.metadata[KEY]["found"], self.settings()
        if not found.is_live:
            return
        if is_edited(layer):
            message = f"{layer.name!r} was edited, so thresholds do not change it. Run again to get a new layer"
            raise InputError(message)

        def done(masks: Any) -> None:
            if layer in self.viewer.layers and not is_edited(layer):
                labels = np.ascontiguousarray(masks, np.int32)
                layer.data = labels
                layer.metadata[KEY]["sum"] = checksum(labels)
                if self._outlines is not None and self._outlines in self.viewer.layers:
                    self._outlines.data = outlines_of(labels)
                    self._outlines.metadata[KEY]["sum"] = checksum(self._outlines.data)
                count = int(labels.max(initial=0))
                self.row.tell(f"{found.model}: {count} {'cell' if count == 1 else 'cells'} at these thresholds")
            if self._stale:
                self.row.guarded(self._make_anew)

        self.anew.start("masks from the kept flows", lambda _report: masks_anew(found, settings), done)


def _same(one: Source, other: Source) -> bool:
    return one.layer is other.layer and one.channel == other.channel


def _made_here(layer: Any) -> bool:
    return KEY in getattr(layer, "metadata", {})


def _may_go(layer: Any) -> bool:
    """Whether a run made this layer and nobody has edited it."""
    if not _made_here(layer):
        return False
    return not is_edited(layer) if is_kind(layer, "Labels") else True
