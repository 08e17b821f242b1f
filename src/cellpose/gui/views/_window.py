"""The main window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from app_model import Action, Application
from app_model.backends.qt import QModelMainWindow
from app_model.types import MenuRule, SubmenuItem, ToggleRule
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QRect, Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication, QDockWidget, QHBoxLayout, QMenu, QVBoxLayout, QWidget

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands import MENUS, Command, commands
from cellpose.gui.model import Document
from cellpose.gui.model._choices import remember
from cellpose.gui.views._canvas import Scene
from cellpose.gui.views._cells_dock import CellsDock
from cellpose.gui.views._dialogs import QtDialogs
from cellpose.gui.views._divider import Divider
from cellpose.gui.views._folder_dock import FolderDock
from cellpose.gui.views._help_places import place_of
from cellpose.gui.views._ignored import IgnoredRegions
from cellpose.gui.views._key_cursor import KeyCursor
from cellpose.gui.views._legend import Legend
from cellpose.gui.views._memory import recall_places, remember_places
from cellpose.gui.views._minimap import Minimap
from cellpose.gui.views._notice import Notice
from cellpose.gui.views._opening_bar import OpeningBar
from cellpose.gui.views._plane_bar import PlaneBar
from cellpose.gui.views._pointing import Pointing
from cellpose.gui.views._region import Region
from cellpose.gui.views._scale_bar import ScaleBar
from cellpose.gui.views._section_views import SectionViews
from cellpose.gui.views._snapshot import take_picture
from cellpose.gui.views._status import Status
from cellpose.gui.views._style import window_icon
from cellpose.gui.views._tails import CellTails
from cellpose.gui.views._theme import follow_theme
from cellpose.gui.views._tour_bubble import TourBubble
from cellpose.gui.views._training_dock import TrainingDock
from cellpose.gui.views._turning_view import show_turning
from cellpose.gui.views._warming import warm
from cellpose.gui.views._welcome import Welcome
from cellpose.gui.views.panels import Column
from cellpose.gui.views.panels._names import give_names, order_tabs
from cellpose.version import version

__all__ = ["Window"]

_UNKNOWN_DIAMETER = 30.0  # of the disk if no diameter is set
_FRAME = 40  # pixels that the desktop may need around a window
_DOCK = 300  # screen pixels
_numbers = count()


class _MainThread(QObject):  # type: ignore[misc]
    """The only way back to the main thread: it runs functions passed to `call` in order."""

    _called = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._called.connect(lambda function: function(), Qt.ConnectionType.QueuedConnection)

    def call(self, function: Callable[[], None]) -> None:
        """Run a function in the main thread soon; do nothing once the program has ended."""
        try:
            self._called.emit(function)
        except RuntimeError:  # Qt has deleted its objects while the thread of a job was still running
            if isalive(self):
                raise


class Window(QModelMainWindow):
    """The window: menus, the view, the status bar, and the session behind them."""

    def __init__(self) -> None:
        self._app = Application(f"cellpose-{next(_numbers)}")
        super().__init__(self._app)
        self._main_thread = _MainThread()
        self.session = Session(self._main_thread.call, QtDialogs(self))
        self.session.warm = warm
        self.commands = commands(self.session)
        self.scene = Scene()
        follow_theme(self.session.view)
        self.panel = Column(self.session)
        self.notice = Notice()
        self.ignored = IgnoredRegions(self.session)
        self.scene.box.addItem(self.ignored, ignoreBounds=True)
        self.tails = CellTails(self.session)
        self.scene.box.addItem(self.tails, ignoreBounds=True)
        self.region = Region(self.session, self.scene)
        self._early: Document | None = None  # shown without its cells, which are still being read
        self._build()
        self._connect()
        self.scene.setAccessibleName(tr("image"))
        give_names(self)
        self._order_tabs()
        self.setWindowTitle(f"cellpose v{version}")
        self.setWindowIcon(window_icon())
        self._place()
        self.scene.setFocus()
        self.session.segmentation.find_gpu()

    def _place(self) -> None:
        """Restore the last position; else use the original's size if the screen has room for it."""
        if recall_places(self, self.session.preferences):
            self.session.view.full_screen = self.isFullScreen()
            self.training.hide()  # it comes with a training, and none is running yet
            return
        room = self.screen().availableGeometry().adjusted(_FRAME, _FRAME, -_FRAME, -_FRAME)
        place = QRect(50, 50, 1200, 1000)
        place.moveTop(max(room.top(), min(place.top(), room.bottom() - place.height())))
        self.setGeometry(place.intersected(room))

    def _build(self) -> None:
        self.welcome = Welcome(self.scene)
        central = QWidget()
        layout = QHBoxLayout(central)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.panel)
        layout.setSpacing(0)
        right = QVBoxLayout()
        right.setSpacing(0)
        right.addWidget(self.notice)
        self.sections = SectionViews(self.session, self.scene)
        right.addWidget(self.sections, 1)
        self.planes = PlaneBar(self.session)
        right.addWidget(self.planes)
        layout.addLayout(right, 1)
        self.setCentralWidget(central)
        self.folder, self.training = FolderDock(self.session), TrainingDock(self.session)
        self.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.folder)
        self.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, self.training)
        self.cells = CellsDock(self.session)
        self.tabifyDockWidget(self.folder, self.cells)
        self.folder.raise_()
        self.resizeDocks([self.folder], [_DOCK], Qt.Orientation.Horizontal)
        self._register_submenus()
        for command in self.commands:
            self._register(command)
        self.setModelMenuBar({f"cellpose/{name}": title for name, title in MENUS.items()})
        for menu in _menus(self.menuBar()):
            menu.aboutToShow.connect(lambda menu=menu: self._enable(menu))
            menu.aboutToHide.connect(lambda menu=menu: self._enable(menu, everything=True))
        self._give_keys()
        self.session.keys.changed.connect(lambda: self._give_keys())

    def _register_submenus(self) -> None:
        """Register each submenu at the place of its first command."""
        first: dict[str, Command] = {}
        for command in self.commands:
            if command.submenu:
                first.setdefault(_menu_id(command), command)
        self._app.menus.append_menu_items(
            (f"cellpose/{command.menu}", SubmenuItem(submenu=name, title=command.submenu, group=command.group))
            for name, command in first.items()
        )

    def _register(self, command: Command) -> None:
        self._app.register_action(
            Action(
                id=command.id,
                title=command.title,
                callback=lambda: self._run(command),
                toggled=ToggleRule(get_current=command.checked) if command.checked else None,
                menus=[MenuRule(id=_menu_id(command), group=command.group)],
            )
        )

    def _give_keys(self) -> None:
        """Set the current keys of each command."""
        known = {command.id: command for command in self.commands}
        for action in (each for menu in _menus(self.menuBar()) for each in menu.actions()):
            command = known.get(action.objectName())
            if command is not None:
                action.setShortcuts([QKeySequence(key) for key in self.session.keys.of(command)])

    def _run(self, command: Command) -> None:
        obstacle = command.trigger()
        if obstacle:
            self.session.told.emit(f"{command.title}: {obstacle}")

    def _enable(self, menu: QWidget, everything: bool = False) -> None:
        """Enable the usable entries. A hidden menu has all enabled, since keys check for themselves, see `Command`."""
        usable = {command.id: command.enabled for command in self.commands}
        for action in menu.actions():
            enabled = usable.get(action.objectName())
            action.setEnabled(everything or enabled is None or enabled())

    def _connect(self) -> None:
        session = self.session
        session.opened.connect(self._show_document)
        self.welcome.load.connect(lambda: self._app.commands.execute_command("file.open"))
        session.told.connect(lambda text: self.statusBar().showMessage(text, 8000))
        session.copied.connect(lambda text: QApplication.clipboard().setText(text))
        session.failed.connect(self._show_failure)
        session.fit.connect(self.fit)
        session.help_wanted.connect(lambda: self._show_help())
        session.body_wanted.connect(lambda: show_turning(self, session))
        session.zoom.connect(self.scene.zoom)
        session.panel_wanted.connect(lambda name: self._show_panel(name))
        session.field_by_field.go_to.connect(lambda y, x: self.scene.go_to(y, x))
        session.review.look_at.connect(self.scene.look_at)
        session.view.events.connect(lambda info: None if info.signal.name == "divider" else self._repaint())
        session.view.events.full_screen.connect(self._show_full)
        session.picture_wanted.connect(lambda path: take_picture(session, self.scene, path))
        session.view.events.disk_on.connect(lambda _: self._show_disk())
        session.settings.events.diameter.connect(lambda _: self._show_disk())
        self.scene.box.sigRangeChanged.connect(lambda *_: self._tell_what_is_seen())
        self._pointing = Pointing(session, self.scene)
        self._key_cursor = KeyCursor(session, self.scene)
        self.tour = TourBubble(session.tour, self, self._parts())
        self.minimap, self.scale_bar = Minimap(session, self.scene), ScaleBar(session, self.scene)
        self.legend = Legend(session, self.scene)
        self.divider = Divider(session, self.scene)
        self.status = Status(session, self.scene, self.statusBar())
        self.status.layout().insertWidget(2, OpeningBar(session))
        session.saved.connect(lambda _: self._show_title())
        self.setAcceptDrops(True)

    def _parts(self) -> dict[str, Callable[[], QWidget]]:
        """The parts of the window that the steps of the tour point at."""

        def run() -> QWidget:
            self.panel.ensureWidgetVisible(self.panel.segmentation.run)
            return self.panel.segmentation.run

        return {
            "open": lambda: self.welcome if self.welcome.isVisible() else self.menuBar(),
            "run": run,
            "image": lambda: self.scene,
            "folder": lambda: self.folder if self.folder.isVisible() else self.menuBar(),
        }

    def _show_document(self, document: Document | None) -> None:
        self.welcome.setVisible(document is None)
        if document is None:
            self.scene.canvas.show(None)
            self.minimap.renew()
            return
        document.changed.connect(lambda _: self._repaint())
        document.flows_changed.connect(lambda: self._repaint())
        document.selection_changed.connect(lambda _: self._repaint())
        document.held_changed.connect(lambda: self._show_title())
        self._show_title()
        document.restored_changed.connect(lambda: self._repaint())
        self._show_disk()
        self.scene.canvas.show(lambda: self.divider.main(document), document.picture.shape[1:])
        self._repaint()
        if self._early is None or self._early.path != document.path:
            self.notice.hide()
            self.fit()  # otherwise the picture came before its cells, and the user may already have zoomed in
        self._early = document if document.is_provisional else None
        self._order_tabs()

    def _show_title(self) -> None:
        """Show the name of the image, with a dot while edits are unsaved."""
        document = self.session.document
        if document is not None:
            name = document.path.name if document.path else f"cellpose v{version}"
            self.setWindowTitle(name if document.is_saved else f"{name} \N{BLACK CIRCLE}")

    def _order_tabs(self) -> None:
        """Order the Tab key: the column, the image, the docks; again for each image, since channels may be added."""
        order_tabs(self.panel, self.scene, self.folder, self.cells, self.training)

    def _show_panel(self, name: str) -> None:
        """Raise a dock and give it the focus, or hide it if it is visible."""
        docks: dict[str, QDockWidget] = {"folder": self.folder, "cells": self.cells, "training": self.training}
        dock, lists = docks[name], {"folder": self.folder.rows, "cells": self.cells.table}
        if dock.isVisible() and not dock.visibleRegion().isEmpty():
            dock.close()
            self.scene.setFocus()
            return
        dock.show()
        dock.raise_()
        lists.get(name, dock).setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _show_help(self) -> None:
        """Show help on the part with the focus, else on the image; without an image, on how to open one."""
        document, part = self.session.document, QApplication.focusWidget() or self.scene
        if part is self.scene and document is None:
            part = self.welcome
        elif self.planes.isAncestorOf(part) and document is not None and document.is_movie:
            part = self.panel.time
        self.session.dialogs.show_help(place_of(part))

    def _show_full(self, full: bool) -> None:
        """Fill the whole screen, or return to the window as it was."""
        if full != self.isFullScreen():
            self.setWindowState(self.windowState() ^ Qt.WindowState.WindowFullScreen)

    def _show_failure(self, text: str) -> None:
        self.statusBar().showMessage(text, 8000)
        self.notice.show_text(text)

    def _show_disk(self) -> None:
        session = self.session
        if session.document is not None:
            diameter = session.settings.diameter or _UNKNOWN_DIAMETER
            self.scene.show_disk(diameter if session.view.disk_on else None, session.document.picture.shape[1])

    def _tell_what_is_seen(self) -> None:
        (x0, x1), (y0, y1) = self.scene.box.viewRange()
        self.session.seen = (y0, x0, y1, x1)

    def fit(self) -> None:
        """Show the full image."""
        if self.session.document is not None:
            _, height, width = self.session.document.picture.shape
            self.scene.fit(height, width)

    def _repaint(self) -> None:
        """Repaint once, soon: an edit changes several things, and each requests it."""
        document = self.session.document
        if document is not None:
            self.scene.canvas.refresh()
            self.divider.refresh()
            self.minimap.renew()
            self.panel.segmentation.count.setText(tr("{count} ROIs", count=document.labels.count))

    def changeEvent(self, event: QEvent) -> None:
        """Drop unfinished pointer work, such as a stroke, when another window gets the focus."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ActivationChange and not self.isActiveWindow() and hasattr(self, "session"):
            self.session.pointer.let_go()

    def dragEnterEvent(self, event: Any) -> None:
        """Accept files."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Open the first dropped file."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            self.session.files.begin(paths[0])

    def closeEvent(self, event: Any) -> None:
        """End the jobs and remove the commands of this window."""
        self.session.pointer.cancel()
        self.session.finish()
        self.session.batch.leave()
        self.session.files.settle()
        document = self.session.document
        if document is not None and document.path is not None and not document.is_saved:
            self.statusBar().showMessage(tr("saving {name}", name=document.path.name))
            self.statusBar().repaint()  # nothing else is painted before the window is gone
        self.session.files.autosave.leave()
        self.session.jobs.cancel()
        self.session.volumes.leave()
        remember(self.session.view, self.session.preferences)
        self.session.remember()
        remember_places(self, self.session.preferences)
        Application.destroy(self._app.name)
        super().closeEvent(event)


def _menu_id(command: Command) -> str:
    """The menu of a command, for the menu registry."""
    return "/".join(["cellpose", command.menu, *([command.submenu] if command.submenu else [])])


def _menus(above: QWidget) -> Iterator[QMenu]:
    """The menus of a menu bar or of a menu, and their submenus."""
    for action in above.actions():
        if action.menu() is not None:
            yield action.menu()
            yield from _menus(action.menu())
