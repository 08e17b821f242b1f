"""The form to fill in before contributing a segmentation to a server that collects them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cellpose.contributions import CONSENT, Provenance, address_of
from cellpose.errors import CellposeError
from cellpose.gui._texts import tr
from cellpose.gui.model._labels import Table
from cellpose.gui.model._provenance import Origin, by_hand

__all__ = ["ContributionForm", "method_of", "varying"]

_MODEL_RUNS = ("segment", "thresholds")  # names of edits, see `Origin`


@dataclass
class ContributionForm:
    """The fields of the dialog.

    Parameters
    ----------
    server
        Address of the server.
    licence
        A key of ``LICENCES``.
    contributor, source, note
        As `Provenance` has them.
    token
        Access token, if the server requires one; never stored on disk.
    consent
        Whether the user agrees to ``CONSENT``; asked each time.
    """

    server: str = "http://localhost:8770"
    licence: str = "CC-BY-4.0"
    contributor: str = ""
    source: str = ""
    note: str = field(default="")
    token: str = ""
    consent: bool = False

    def kept(self) -> dict[str, str]:
        """The values that the next dialog starts with."""
        return {name: getattr(self, name) for name in ("server", "licence", "contributor", "source")}

    def problem(self) -> str:
        """Description of what is missing or wrong; empty if the form can be sent."""
        try:
            address_of(self.server)
        except CellposeError:
            return tr("The server needs an address, such as http://localhost:8770.")
        if not self.contributor.strip():
            return tr("Give your name, or a pseudonym, under which you want to be named.")
        if not self.source.strip():
            return tr("Say where the image comes from: your laboratory, data set or microscope.")
        if not self.consent:
            return tr("Nothing is sent unless you agree.")
        try:
            self.provenance("", "")
        except CellposeError as error:
            return str(error)
        return ""

    def provenance(self, method: str, file: str) -> Provenance:
        """The provenance sent with the image.

        Raises
        ------
        InputError
            If a field is invalid, or consent is missing.
        """
        given = {name: getattr(self, name) for name in ("licence", "contributor", "source", "note")}
        consent = CONSENT if self.consent else ""
        return Provenance.of({**given, "consent": consent, "method": method, "file": file})


def method_of(origins: Sequence[Origin], rows: Table) -> str:
    """How the cells were made, in words."""
    counts = by_hand(rows)
    made = [f"{'model' if each.what in _MODEL_RUNS else 'masks of'} {each.model}" for each in origins]
    corrected = f"{counts['drawn or corrected']} of {counts['cells']} cells drawn or corrected by hand"
    return f"{made[-1]}, {corrected}"[:200] if made else corrected


def varying(plane: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """The channels (C, Y, X) that are not constant; (Y, X) if there is only one.

    Examples
    --------
    >>> varying(np.stack([np.eye(3), np.zeros((3, 3))])).shape
    (3, 3)
    """
    seen = [channel for channel in plane if (channel != channel[0, 0]).any()]
    kept = np.stack(seen) if seen else plane[:1]
    return kept[0] if len(kept) == 1 else kept
