"""The documentation pages in their own window, with a search."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, Qt, QUrl
from qtpy.QtGui import QDesktopServices, QKeySequence, QPalette, QShortcut, QTextDocument
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSplitter,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from cellpose.gui._texts import tr
from cellpose.gui.model import _help_pages as pages
from cellpose.gui.views._keycaps import search_line

__all__ = ["HelpWindow"]

_PLACE = Qt.ItemDataRole.UserRole + 1
_LIST_WIDTH, _MARGIN = 300, 14
_SHEET = """
h1 {{ font-size: 20px; }} h2 {{ font-size: 16px; margin-top: 18px; }} h3 {{ font-size: 14px; }}
p, li {{ margin-top: 4px; margin-bottom: 4px; }}
code, pre {{ background-color: {code}; }}
pre {{ margin: 8px; }}
table {{ border-collapse: collapse; }}
th, td {{ border: 1px solid {line}; padding: 4px 8px; }}
a {{ color: {link}; }}
.admonition-title {{ font-weight: 600; }}
"""


class _Browser(QTextBrowser):  # type: ignore[misc]
    """Shows help pages by addresses such as ``help:/window.html#keys``."""

    def loadResource(self, kind: int, name: QUrl) -> Any:
        """Return the HTML of a page, or nothing."""
        page = name.fileName().removesuffix(".html")
        if kind == QTextDocument.ResourceType.HtmlResource.value and page in pages.PAGES:
            return pages.page(page)
        return None


class HelpWindow(QDialog):  # type: ignore[misc]
    """A list of pages, or of the sections that contain the search words, and the page itself.

    Parameters
    ----------
    parent
        The window or dialog that asked for help.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Help"))
        self.setWindowFlag(Qt.WindowType.WindowMaximizeButtonHint)
        self.resize(1000, 720)
        self.search, self.list, self.browser = search_line(tr("Search the help")), QListWidget(), _Browser()
        self.back, self.forward = _button(tr("Back"), "Alt+Left"), _button(tr("Forward"), "Alt+Right")
        self._lay_out()
        self.list.setAccessibleName(tr("pages and sections"))
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setSpacing(1)
        self.browser.document().setDocumentMargin(_MARGIN)
        self.browser.setAccessibleName(tr("page of help"))
        self.browser.setOpenLinks(False)
        self.browser.anchorClicked.connect(self._follow)
        self.browser.sourceChanged.connect(self._mark)
        self.back.clicked.connect(self.browser.backward)
        self.forward.clicked.connect(self.browser.forward)
        self.browser.backwardAvailable.connect(self.back.setEnabled)
        self.browser.forwardAvailable.connect(self.forward.setEnabled)
        self.search.textChanged.connect(self._find)
        self.search.returnPressed.connect(self._go_to_first)
        QShortcut(QKeySequence.StandardKey.Find, self).activated.connect(self._search)
        QShortcut(QKeySequence("Down"), self.search, context=Qt.ShortcutContext.WidgetShortcut).activated.connect(
            self.list.setFocus
        )
        self.list.currentItemChanged.connect(lambda item, _: self._show_item(item))
        self._dress()
        self._find("")

    def show_place(self, place: str) -> None:
        """Show a page, ``"window"``, or a section of it, ``"window#keys"``."""
        if self.search.text():
            self.search.clear()
        name, _, anchor = place.partition("#")
        self.browser.setSource(QUrl(f"help:/{name}.html#{anchor}" if anchor else f"help:/{name}.html"))
        self.browser.setFocus()

    def _search(self) -> None:
        self.search.setFocus()
        self.search.selectAll()

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(self.search, 1)
        top.addWidget(self.back)
        top.addWidget(self.forward)
        parts = QSplitter()
        parts.addWidget(self.list)
        parts.addWidget(self.browser)
        parts.setSizes([_LIST_WIDTH, self.width() - _LIST_WIDTH])
        parts.setStretchFactor(1, 1)
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        layout.addWidget(parts, 1)

    def _find(self, query: str) -> None:
        """List the sections that contain these words; without words, all pages."""
        titles = pages.titles()
        found = [(f"{each.page}#{each.anchor}", titles[each.page], each.title) for each in pages.find(query)]
        rows = found if query.strip() else [(name, title, "") for name, title in titles.items()]
        blocked = self.list.blockSignals(True)
        self.list.clear()
        for place, title, section in rows:
            item = QListWidgetItem(title if section in ("", title) else f"{section} ({title})")
            item.setData(_PLACE, place)
            item.setToolTip(item.text())
            self.list.addItem(item)
        if not rows:
            self.list.addItem(tr("No section has these words."))
            self.list.item(0).setFlags(Qt.ItemFlag.NoItemFlags)
        self.list.blockSignals(blocked)
        self._mark(self.browser.source())

    def _go_to_first(self) -> None:
        self.list.setCurrentRow(0)
        self._show_item(self.list.item(0))

    def _show_item(self, item: QListWidgetItem | None) -> None:
        place = item.data(_PLACE) if item is not None else None
        if place:
            name, _, anchor = place.partition("#")
            self.browser.setSource(QUrl(f"help:/{name}.html" + (f"#{anchor}" if anchor else "")))
            words = self.search.text().split()
            if words:
                self.browser.find(words[0])  # search from the heading on; the hit is selected

    def _mark(self, shown: QUrl) -> None:
        """Select the shown page in the list of pages."""
        name = shown.fileName().removesuffix(".html")
        if self.search.text().strip() or name not in pages.PAGES:
            return
        blocked = self.list.blockSignals(True)
        self.list.setCurrentRow(pages.PAGES.index(name))
        self.list.blockSignals(blocked)

    def _follow(self, link: QUrl) -> None:
        """Follow a link: in this window, or in the system's browser."""
        if link.scheme() in ("http", "https"):
            QDesktopServices.openUrl(link)
        else:
            self.browser.setSource(self.browser.source().resolved(link))

    def changeEvent(self, event: QEvent) -> None:
        """Reload the page in the colors of a new window style."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "browser"):
            self._dress()
            self.browser.reload()

    def _dress(self) -> None:
        colors = self.palette()
        self.browser.document().setDefaultStyleSheet(
            _SHEET.format(
                code=colors.color(QPalette.ColorRole.AlternateBase).name(),
                line=colors.color(QPalette.ColorRole.Button).name(),
                link=colors.color(QPalette.ColorRole.Link).name(),
            )
        )


def _button(text: str, key: str) -> QPushButton:
    made = QPushButton(text)
    made.setAutoDefault(False)
    made.setToolTip(key)
    made.setShortcut(key)
    made.setEnabled(False)
    return made
