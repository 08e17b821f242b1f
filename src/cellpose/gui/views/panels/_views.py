"""Which picture is seen, its colours and its saturation."""

from __future__ import annotations

from qtpy.QtCore import Qt
from superqt import QLabeledDoubleRangeSlider

from cellpose.gui.controllers._session import Session
from cellpose.gui.model._view import COLOR_MODES, VIEWS
from cellpose.gui.views.panels._bound import Group, check_box, choice_box

__all__ = ["Views"]

_LOWEST, _HIGHEST = -0.1, 255.1


class Views(Group):
    """Colour, view, saturation."""

    def __init__(self, session: Session) -> None:
        super().__init__("Views")
        self._view = session.view
        self.color = choice_box(COLOR_MODES, self._view, "color")
        self.picture = choice_box(VIEWS, self._view, "view")
        self.auto = check_box("auto-adjust saturation", self._view, "auto_levels")
        self.form.addRow("colour", self.color)
        self.form.addRow("view", self.picture)
        self.form.addRow(self.auto)
        self.levels = [self._slider(channel) for channel in range(3)]
        for name, slider in zip(("gray/red", "green", "blue"), self.levels, strict=True):
            self.form.addRow(name, slider)
        self._view.events.levels.connect(self._show_levels)

    def _slider(self, channel: int) -> QLabeledDoubleRangeSlider:
        slider = QLabeledDoubleRangeSlider(Qt.Orientation.Horizontal)
        slider.setRange(_LOWEST, _HIGHEST)
        slider.setValue((0.0, 255.0))
        slider.setDecimals(0)
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
