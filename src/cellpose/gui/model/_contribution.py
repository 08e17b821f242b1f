"""What is asked before a segmentation is given to a server that collects them."""

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
        Its address.
    licence
        A key of ``LICENCES``.
    contributor, source, note
        As `Provenance` has them.
    token
        That the server asks for, if it asks for one; never kept on the disk.
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
        """What the next dialog begins with."""
        return {name: getattr(self, name) for name in ("server", "licence", "contributor", "source")}

    def problem(self) -> str:
        """What is missing or wrong, in words; empty where it can be sent."""
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
        """What goes with the image.

        Raises
        ------
        InputError
            If a field is not allowed, or consent is missing.
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
    """The channels (C, Y, X) in which something is seen; (Y, X) where it is one.

    Examples
    --------
    >>> varying(np.stack([np.eye(3), np.zeros((3, 3))])).shape
    (3, 3)
    """
    seen = [channel for channel in plane if (channel != channel[0, 0]).any()]
    kept = np.stack(seen) if seen else plane[:1]
    return kept[0] if len(kept) == 1 else kept
