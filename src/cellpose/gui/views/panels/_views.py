"""Which picture is seen, its colours and its saturation."""

from __future__ import annotations

from qtpy.QtCore import Qt
from superqt import QLabeledDoubleRangeSlider

from cellpose.gui.controllers._session import Session
from cellpose.gui.model._view import COLOR_MODES, VIEWS
from cellpose.gui.views.panels._bound import Group, check_box, choice_box, own_keys, row

__all__ = ["Views"]

_LOWEST, _HIGHEST = -0.1, 255.1


class Views(Group):
    """Colour, view, saturation."""

    def __init__(self, session: Session) -> None:
        super().__init__("Views")
        self._session, self._view = session, session.view
        self.color = choice_box(COLOR_MODES, self._view, "color")
        self.picture = choice_box(VIEWS, self._view, "view")
        self.auto = check_box("auto-adjust saturation", self._view, "auto_levels")
        self.form.addRow("colour", self.color)
        self.form.addRow("view", self.picture)
        self.disk = check_box("scale disk on", self._view, "disk_on")
        self.form.addRow(row(self.auto, self.disk))
        self.levels = [self._slider(channel) for channel in range(3)]
        for name, slider in zip(("gray/red", "green", "blue"), self.levels, strict=True):
            self.form.addRow(name, slider)
        self._view.events.levels.connect(self._show_levels)
        session.opened.connect(lambda _: self._watch())
        self._show_views()

    def _watch(self) -> None:
        """Of the open image the pictures come and go."""
        document = self._session.document
        if document is not None:
            document.flows_changed.connect(lambda: self._show_views())
            document.restored_changed.connect(lambda: self._show_views())
        for channel, slider in enumerate(self.levels):
            slider.setEnabled(document is not None and channel < document.picture.n_channels)
        self._show_views()

    def _show_views(self) -> None:
        """Only pictures that there are can be chosen."""
        there = self._session.available_views()
        for place, name in enumerate(VIEWS):
            self.picture.model().item(place).setEnabled(name in there)

    def _slider(self, channel: int) -> QLabeledDoubleRangeSlider:
        slider = QLabeledDoubleRangeSlider(Qt.Orientation.Horizontal)
        slider.setRange(_LOWEST, _HIGHEST)
        slider.setValue((0.0, 255.0))
        slider.setDecimals(0)
        slider.setHandleLabelPosition(slider.LabelPosition.NoLabel)
        slider.setEdgeLabelMode(slider.EdgeLabelMode.LabelIsValue)
        own_keys(slider)
        slider.setEnabled(False)
        slider.setToolTip("display only: does not change the segmentation")
        slider.valueChanged.connect(lambda ends: self._set_levels(channel, ends))
        return slider

    def _set_levels(self, channel: int, ends: tuple[float, float]) -> None:
        levels = list(self._view.levels)
        levels[channel] = (float(ends[0]), float(ends[1]))
        self._view.levels = levels

    def _show_levels(self, levels: list[tuple[float, float]]) -> None:
        for slider, ends in zip(self.levels, levels, strict=True):
            blocked = slider.blockSignals(True)
            slider.setValue(ends)
            slider.blockSignals(blocked)
