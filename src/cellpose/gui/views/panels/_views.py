"""The choice of the picture, its colors and its saturation."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractSlider, QLabel, QLineEdit
from superqt import QLabeledDoubleRangeSlider

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.model._view import ALL_COLOR_MODES, VIEWS
from cellpose.gui.views.panels._bound import Group, check_box, choice_box, own_keys, row
from cellpose.gui.views.panels._channels import ChannelRows, channel_name

__all__ = ["Views"]

_FIRST_SLIDER = 3  # row of the form
_LOWEST, _HIGHEST = -0.1, 255.1


class Views(Group):
    """Color, view, saturation."""

    def __init__(self, session: Session) -> None:
        super().__init__(tr("Views"))
        self._session, self._view = session, session.view
        self.color = choice_box(ALL_COLOR_MODES, self._view, "color")
        self.picture = choice_box(VIEWS, self._view, "view")
        self.auto = check_box(tr("auto-adjust saturation"), self._view, "auto_levels")
        self.form.addRow(tr("color"), self.color)
        self.form.addRow(tr("view"), self.picture)
        self.disk = check_box(tr("scale disk on"), self._view, "disk_on")
        self.form.addRow(row(self.auto, self.disk))
        self.levels: list[QLabeledDoubleRangeSlider] = []
        self._names: list[QLabel] = []
        for _ in range(3):
            self._add_slider()
        self.channels = ChannelRows(session)
        self.form.addRow(self.channels)
        self._view.events.levels.connect(self._show_levels)
        session.opened.connect(lambda _: self._watch())
        self._show_views()

    def _watch(self) -> None:
        """Update the list of views when the open image gains or loses one."""
        document = self._session.document
        if document is not None:
            document.flows_changed.connect(lambda: self._show_views())
            document.restored_changed.connect(lambda: self._show_views())
        n = document.picture.n_channels if document is not None else 0
        while len(self.levels) < n:
            self._add_slider()
        for channel, (slider, name) in enumerate(zip(self.levels, self._names, strict=True)):
            slider.setEnabled(channel < n)
            name.setText(channel_name(self._session, channel))
            _name_levels(slider, name.text())
            self.form.setRowVisible(slider, channel < max(n, 3))
        self._show_levels(self._view.levels)
        self._show_views()

    def _show_views(self) -> None:
        """Offer only the pictures that exist."""
        there = self._session.available_views()
        for place, name in enumerate(VIEWS):
            self.picture.model().item(place).setEnabled(name in there)

    def _add_slider(self) -> None:
        channel = len(self.levels)
        self.levels.append(self._slider(channel))
        self._names.append(QLabel(channel_name(self._session, channel)))
        self.form.insertRow(_FIRST_SLIDER + channel, self._names[-1], self.levels[-1])

    def _slider(self, channel: int) -> QLabeledDoubleRangeSlider:
        slider = QLabeledDoubleRangeSlider(Qt.Orientation.Horizontal)
        slider.setRange(_LOWEST, _HIGHEST)
        slider.setValue((0.0, 255.0))
        slider.setDecimals(0)
        slider.setHandleLabelPosition(slider.LabelPosition.NoLabel)
        slider.setEdgeLabelMode(slider.EdgeLabelMode.LabelIsValue)
        slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys do not move its handles: values are typed
        for part in slider.findChildren(QAbstractSlider):
            part.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            own_keys(part, Qt.FocusPolicy.NoFocus)
        for end in _ends(slider):
            own_keys(end, Qt.FocusPolicy.StrongFocus)
            end.textEdited.connect(lambda text, end=end: end.setText(text.replace(",", ".")))
            end.setToolTip(tr("type another value"))
        slider.setEnabled(False)
        slider.setToolTip(tr("display only: does not change the segmentation"))
        slider.valueChanged.connect(lambda ends: self._set_levels(channel, ends))
        return slider

    def _set_levels(self, channel: int, ends: tuple[float, float]) -> None:
        levels = [self._view.level(each) for each in range(len(self.levels))]
        levels[channel] = (float(ends[0]), float(ends[1]))
        self._view.levels = levels

    def _show_levels(self, levels: list[tuple[float, float]]) -> None:
        for slider, ends in zip(self.levels, levels, strict=False):
            if slider.value() != tuple(ends):  # drawing a slider takes longer than drawing the image
                blocked = slider.blockSignals(True)
                slider.setValue(ends)
                slider.blockSignals(blocked)


def _name_levels(slider: QLabeledDoubleRangeSlider, channel: str) -> None:
    """Name the slider and its boxes for screen readers."""
    slider.setAccessibleName(channel)
    for part in slider.findChildren(QAbstractSlider):
        part.setAccessibleName(tr("{channel}, range of brightness", channel=channel))
    for part in slider.findChildren(QLineEdit):
        part.setAccessibleName(channel)  # those at the handles are hidden
    for end, color in zip(_ends(slider), (tr("black"), tr("white")), strict=True):
        end.setAccessibleName(tr("{channel}, shown as {color}", channel=channel, color=color))


def _ends(slider: QLabeledDoubleRangeSlider) -> list[QLineEdit]:
    """The boxes to the left and right of a slider."""
    return [part for part in slider.findChildren(QLineEdit) if slider.layout().indexOf(part) >= 0]
