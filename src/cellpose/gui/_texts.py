"""The texts of the window in the language of the user.

Catalogues are those of gettext, in ``locale/LANGUAGE/LC_MESSAGES/cellpose.mo``. The environment says which language:
``LANGUAGE``, ``LC_ALL``, ``LC_MESSAGES`` or ``LANG``, the first of them that is set. A text without a translation stays
English.
"""

from __future__ import annotations

import gettext
from importlib import resources

__all__ = ["language", "mark", "tr", "tr_n", "use"]

_catalogue: gettext.NullTranslations = gettext.translation(
    "cellpose", str(resources.files("cellpose.gui").joinpath("locale")), fallback=True
)


def use(catalogue: gettext.NullTranslations) -> None:
    """Take another catalogue. Texts that modules hold are translated when these are imported, so do it before that."""
    global _catalogue  # noqa: PLW0603
    _catalogue = catalogue


def language() -> str:
    """The language of the catalogue, as ``"de"``; empty where there is none."""
    return str(_catalogue.info().get("language", ""))


def tr(text: str, /, **values: object) -> str:
    """A text in the language of the user, with values in place of its names in braces.

    Parameters
    ----------
    text
        In English, as a literal, so that it is found for the catalogue; or something that `mark` has got.
    values
        By their names in the text, which may format them as `str.format` does.

    Examples
    --------
    >>> tr("{name}: {n} cells, {share:.0%} checked", name="a.tif", n=20, share=0.5)
    'a.tif: 20 cells, 50% checked'
    """
    translated = _catalogue.gettext(text) if text else ""
    return translated.format(**values) if values else translated


def tr_n(one: str, several: str, /, n: int, **values: object) -> str:
    """A text that depends on a number, as `tr`; other languages may have more forms than two.

    Examples
    --------
    >>> tr_n("{n} cell", "{n:,} cells", 1), tr_n("{n} cell", "{n:,} cells", 2000)
    ('1 cell', '2,000 cells')
    """
    return _catalogue.ngettext(one, several, n).format(n=n, **values)


def mark(text: str) -> str:
    """The text as it is: it names a value of the program, and is in the catalogue since ``tr(value)`` shows it."""
    return text
