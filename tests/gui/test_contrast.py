"""Text can be read in both styles: its contrast with what is behind it is at least 4.5 : 1 (WCAG 2.2, 1.4.3)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from qtpy.QtCore import QRect
from qtpy.QtGui import QColor, QImage, QPalette
from qtpy.QtWidgets import QAbstractButton, QApplication, QComboBox, QLabel, QLineEdit, QWidget

from cellpose.gui.views._style import apply_style
from cellpose.gui.views._window import Window

LEAST = 4.5
Role = QPalette.ColorRole
PAIRS = [
    (Role.WindowText, Role.Window),
    (Role.Text, Role.Base),
    (Role.Text, Role.AlternateBase),
    (Role.ButtonText, Role.Button),
    (Role.ButtonText, Role.Window),
    (Role.ToolTipText, Role.ToolTipBase),
    (Role.PlaceholderText, Role.Base),
    (Role.PlaceholderText, Role.AlternateBase),
    (Role.HighlightedText, Role.Highlight),
    (Role.Link, Role.Base),
    (Role.Link, Role.Window),
]


def luminance(color: QColor) -> float:
    """As WCAG 2.2 defines it."""
    parts = np.array([color.redF(), color.greenF(), color.blueF()])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: QColor, other: QColor) -> float:
    darker, brighter = sorted((luminance(one), luminance(other)))
    return (brighter + 0.05) / (darker + 0.05)


@pytest.fixture(params=[True, False], ids=["dark", "light"])
def styled(request: pytest.FixtureRequest, filled: Window) -> Iterator[Window]:
    """The window in one of its styles."""
    apply_style(QApplication.instance(), request.param)
    QApplication.processEvents()
    yield filled
    apply_style(QApplication.instance(), True)


def test_the_measure_is_that_of_the_standard() -> None:
    assert contrast(QColor("white"), QColor("black")) == pytest.approx(21)
    assert contrast(QColor("#767676"), QColor("white")) == pytest.approx(4.54, abs=0.01)


def test_colors_of_the_style(styled: Window) -> None:
    palette = QApplication.palette()
    found = {(a.name, b.name): contrast(palette.color(a), palette.color(b)) for a, b in PAIRS}
    assert {pair: round(value, 2) for pair, value in found.items() if value < LEAST} == {}


def text_of(widget: QWidget) -> str:
    if isinstance(widget, QComboBox):
        return str(widget.currentText())
    return str(widget.text()) if isinstance(widget, (QLabel, QAbstractButton, QLineEdit)) else ""


def painted(picture: QImage) -> float:
    """Contrast of the darkest with the brightest color of a picture of a text.

    Text is smoothed at its edges, so that the middle of a thin stroke may be fainter than its color, not stronger.
    """
    pixels = np.frombuffer(picture.constBits(), np.uint32).reshape(picture.height(), -1)[:, : picture.width()]
    values = [luminance(QColor(int(value))) for value in np.unique(pixels)]
    return (max(values) + 0.05) / (min(values) + 0.05)


def test_what_is_painted_can_be_read(styled: Window) -> None:
    styled.session.failed.emit("something did not happen")
    styled.session.told.emit("something happened")
    styled.session.tour.begin()
    styled.resize(1200, 1400)
    QApplication.processEvents()
    shown = [
        each
        for each in styled.findChildren(QWidget)
        if text_of(each).strip() and each.isVisible() and each.isEnabled() and not each.visibleRegion().isEmpty()
    ]
    assert len(shown) > 40
    whole = styled.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    found = {}
    for each in shown:
        seen = each.visibleRegion().boundingRect()
        place = QRect(each.mapTo(styled, seen.topLeft()), seen.size())
        found[f"{type(each).__name__} {text_of(each)}"] = round(painted(whole.copy(place)), 2)
    assert {name: value for name, value in found.items() if value < LEAST} == {}
