"""The look of each channel: visibility, color in the composite, gamma."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psygnal import Signal

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.model import ViewState
from cellpose.gui.views.panels._bound import CollapsibleGroup, SliderRow, check_box, color_button, number_box, row
from cellpose.gui.views.panels._names import controls_of

__all__ = ["ChannelRows", "channel_name"]

_NAMES = (tr("gray/red"), tr("green"), tr("blue"))
_GAMMAS = (0.2, 3.0)


class _Channel:
    """A channel of a view as a state of its own, so widgets can bind to it."""

    class _Events:
        on, color, gamma = Signal(bool), Signal(str), Signal(float)

    def __init__(self, view: ViewState, number: int, chosen: Callable[[], object]) -> None:
        self.__dict__.update(_view=view, _number=number, _chosen=chosen, events=self._Events())
        view.events.channels.connect(self._tell)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view.channel(self._number), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if getattr(self, name) != value:
            self._view.set_channel(self._number, **{name: value})
            if name == "color":
                self._chosen()

    def _tell(self) -> None:
        look = self._view.channel(self._number)
        self.events.on.emit(look.on)
        self.events.color.emit(look.color)
        self.events.gamma.emit(look.gamma)


def channel_name(session: Session, number: int) -> str:
    """The channel's name from the file, else its number; a color if there are at most three."""
    document = session.document
    names = () if document is None else document.channel_names
    if number < len(names) and names[number]:
        return str(names[number])
    many = document is not None and document.picture.n_channels > len(_NAMES)
    return tr("channel {number}", number=number + 1) if many or number >= len(_NAMES) else _NAMES[number]


class ChannelRows(CollapsibleGroup):
    """One row per channel: visibility, color, gamma."""

    def __init__(self, session: Session) -> None:
        super().__init__(tr("channels: color, gamma"))
        self._session = session
        self._states: list[_Channel] = []
        self.seen: list[Any] = []
        self.colors: list[Any] = []
        self.gammas: list[SliderRow] = []
        for _ in range(len(_NAMES)):
            self._add()
        session.opened.connect(lambda _: self._fit())

    def _add(self) -> None:
        number, view = len(self._states), self._session.view
        state = _Channel(view, number, self._compose)
        box = check_box(channel_name(self._session, number), state, "on")
        box.setToolTip(tr("show this channel"))
        color = color_button(state, "color", tr("its color in the composite"))
        number_of = number_box(state, "gamma", 0.05, 10, 0.1)
        number_of.setToolTip(tr("gamma: below 1 what is dark becomes brighter"))
        gamma = SliderRow(number_of, state, "gamma", _GAMMAS)
        number_of.setFixedWidth(64)
        self._states.append(state)
        self.seen.append(box)
        self.colors.append(color)
        self.gammas.append(gamma)
        self.form.addRow(box, row(gamma, color))

    def _compose(self) -> None:
        """Switch to the composite when a color is chosen, so the color shows."""
        if self._session.view.color != "composite":
            self._session.view.color = "composite"

    def _fit(self) -> None:
        """Make one row for each channel of the image."""
        document = self._session.document
        n = document.picture.n_channels if document is not None else 1
        while len(self._states) < n:
            self._add()
        for number, box in enumerate(self.seen):
            self.form.setRowVisible(box, number < n)
            name = channel_name(self._session, number)
            box.setText(name)
            for control in controls_of(self.gammas[number]):
                control.setAccessibleName(tr("{name}, gamma", name=name))
            self.colors[number].setAccessibleName(tr("{name}, color", name=name))
