"""The main window."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from app_model import Action, Application
from app_model.backends.qt import QModelMainWindow
from app_model.types import KeyBindingRule, MenuRule
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QKeySequence, QMouseEvent, QShortcut, QWheelEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QWidget

from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands import MENUS, Command, commands
from cellpose.gui.controllers.tools import PointerEvent
from cellpose.gui.model import Document
from cellpose.gui.views._canvas import Scene
from cellpose.gui.views._dialogs import QtDialogs
from cellpose.gui.views._renderer import picturing
from cellpose.gui.views.panels import Column
from cellpose.version import version

__all__ = ["Window"]

_numbers = count()
_BUTTONS = {
    Qt.MouseButton.LeftButton: "left",
    Qt.MouseButton.RightButton: "right",
    Qt.MouseButton.MiddleButton: "middle",
}
_KINDS = {
    QEvent.Type.MouseButtonPress: "press",
    QEvent.Type.MouseMove: "move",
    QEvent.Type.MouseButtonRelease: "release",
    QEvent.Type.MouseButtonDblClick: "press",
}


class _Door(QObject):  # type: ignore[misc]
    """The one way back to the main thread: functions given to `call` run there, in order."""

    _called = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._called.connect(lambda function: function(), Qt.ConnectionType.QueuedConnection)

    def call(self, function: Callable[[], None]) -> None:
        """Run a function in the main thread, soon."""
        self._called.emit(function)


class Window(QModelMainWindow):
    """The window: menus, the view, the status bar, and a session behind them."""

    def __init__(self) -> None:
        self._app = Application(f"cellpose-{next(_numbers)}")
        super().__init__(self._app)
        self._door = _Door()
        self.session = Session(self._door.call, QtDialogs(self))
        self.commands = commands(self.session)
        self.scene = Scene()
        self.panel = Column(self.session)
        self._mode = QLabel()
        self._build()
        self._connect()
        self.setWindowTitle(f"cellpose v{version}")
        self.setGeometry(50, 50, 1200, 1000)

    def _build(self) -> None:
        central = QWidget()
        layout = QHBoxLayout(central)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.panel)
        layout.addWidget(self.scene, 1)
        self.setCentralWidget(central)
        self.statusBar().addPermanentWidget(self._mode)
        for command in self.commands:
            self._register(command)
        self.setModelMenuBar({f"cellpose/{name}": title for name, title in MENUS.items()})

    def _register(self, command: Command) -> None:
        first = [KeyBindingRule(primary=command.keys[0])] if command.keys else None
        self._app.register_action(
            Action(
                id=command.id,
                title=command.title,
                callback=command.run,
                menus=[MenuRule(id=f"cellpose/{command.menu}", group=command.group)],
                keybindings=first,
            )
        )
        for keys in command.keys[1:]:
            QShortcut(QKeySequence(keys), self, command.run)

    def _connect(self) -> None:
        session = self.session
        session.opened.connect(self._show_document)
        session.told.connect(lambda text: self.statusBar().showMessage(text, 8000))
        session.saved.connect(lambda path: self.statusBar().showMessage(f"saved {path.name}", 8000))
        session.fit.connect(self.fit)
        session.zoom.connect(self.scene.zoom)
        session.view.events.connect(lambda _: self._repaint())
        session.pointer.preview_changed.connect(lambda preview: self.scene.show_preview(preview))
        session.pointer.mode_changed.connect(lambda mode: self._mode.setText(mode))
        self.scene.viewport().installEventFilter(self)
        self.setAcceptDrops(True)

    def _show_document(self, document: Document | None) -> None:
        if document is None:
            self.scene.canvas.show(None)
            return
        document.changed.connect(lambda _: self._repaint())
        document.flows_changed.connect(lambda: self._repaint())
        document.selection_changed.connect(lambda _: self._repaint())
        name = document.path.name if document.path else f"cellpose v{version}"
        self.setWindowTitle(name)
        self._repaint()
        self.fit()

    def fit(self) -> None:
        """Show all of the image."""
        if self.session.document is not None:
            _, height, width = self.session.document.picture.shape
            self.scene.fit(height, width)

    def _repaint(self) -> None:
        document = self.session.document
        if document is not None:
            self.scene.canvas.show(picturing(document, self.session.view))
            self.panel.segmentation.count.setText(f"{document.labels.count} ROIs")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """What the pointer does in the view goes to the tools first; what they leave pans and zooms."""
        if isinstance(event, QWheelEvent):
            return bool(self.session.pointer.handle(self._wheel_event(event)))
        kind = _KINDS.get(event.type())
        if kind is not None and isinstance(event, QMouseEvent):
            return bool(self.session.pointer.handle(self._pointer_event(kind, event)))
        return bool(super().eventFilter(watched, event))

    def _pointer_event(self, kind: str, event: QMouseEvent) -> PointerEvent:
        held = next((name for button, name in _BUTTONS.items() if event.buttons() & button), "")
        return self._at(event, kind=kind, button=held if kind == "move" else _BUTTONS.get(event.button(), ""))

    def _wheel_event(self, event: QWheelEvent) -> PointerEvent:
        return self._at(event, kind="wheel", steps=(event.angleDelta().y() or event.angleDelta().x()) / 120)

    def _at(self, event: QMouseEvent | QWheelEvent, **facts: Any) -> PointerEvent:
        """What the pointer did, with its place and the keys that are held."""
        y, x = self.scene.place(event.position())
        keys: Any = event.modifiers()
        return PointerEvent(
            y=y,
            x=x,
            shift=bool(keys & Qt.KeyboardModifier.ShiftModifier),
            ctrl=bool(keys & Qt.KeyboardModifier.ControlModifier),
            alt=bool(keys & Qt.KeyboardModifier.AltModifier),
            screen=(event.position().x(), event.position().y()),
            **facts,
        )

    def dragEnterEvent(self, event: Any) -> None:
        """Files may be dropped."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Open the first file that is dropped."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            self.session.files.open(paths[0])

    def closeEvent(self, event: Any) -> None:
        """End the jobs, and forget the commands of this window."""
        self.session.pointer.cancel()
        self.session.files.autosave.leave()
        self.session.jobs.cancel()
        Application.destroy(self._app.name)
        super().closeEvent(event)
