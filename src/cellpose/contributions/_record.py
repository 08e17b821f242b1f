"""The record of a contribution: its license, the consent to it, and the origin of image and cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from cellpose.errors import InputError

__all__ = ["ACCEPTED", "CONSENT", "LICENCES", "RECEIVED", "REJECTED", "STATES", "Contribution", "Provenance"]

#: States of a contribution.
RECEIVED, ACCEPTED, REJECTED = STATES = ("received", "accepted", "rejected")

#: Licenses under which a model may be trained and published: SPDX identifiers, and what they mean.
LICENCES: Mapping[str, str] = MappingProxyType(
    {
        "CC0-1.0": "CC0: anyone may use it for anything, without naming you",
        "CC-BY-4.0": "CC-BY: anyone may use it for anything, and must name you",
    }
)

#: The statement that a contributor agrees to; kept with each contribution.
CONSENT = (
    "I may publish this image and this segmentation, they show nothing private, and I put both under the licence "
    "chosen here. Models may be trained on them and published. I cannot take the licence back."
)

_SHORT, _LONG = 200, 2000  # characters


@dataclass(frozen=True)
class Provenance:
    """The origin of a contribution.

    Parameters
    ----------
    licence
        A key of ``LICENCES``.
    consent
        The text of ``CONSENT`` that was agreed to, word for word.
    contributor
        Name or pseudonym under which the work is credited.
    source
        Origin of the images (laboratory, data set, microscope). A new model must not be worse on any source.
    method
        How the cells were made: by hand, or by correcting the result of a model (which one).
    note
        Anything else, such as stain, magnification, a link to the data.
    file
        Name of the image file, without its folder.
    """

    licence: str
    consent: str
    contributor: str
    source: str
    method: str = ""
    note: str = ""
    file: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Provenance:
        """Check the fields of a form and return the provenance in them.

        Raises
        ------
        InputError
            If the license is unknown, consent is missing, or a text is empty, too long or not plain text.
        """
        known = set(cls.__dataclass_fields__)
        unknown = sorted(set(fields) - known)
        if unknown:
            message = f"unknown fields {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            raise InputError(message)
        missing = [name for name in ("licence", "consent", "contributor", "source") if not fields.get(name)]
        if missing:
            message = f"the {' and '.join(missing)} of the contribution must be given"
            raise InputError(message)
        given = cls(**{name: value.strip() if isinstance(value, str) else value for name, value in fields.items()})
        given._check()
        return given

    def _check(self) -> None:
        if self.licence not in LICENCES:
            message = f"licence={self.licence!r} is not allowed; choose one of {', '.join(LICENCES)}"
            raise InputError(message)
        if self.consent != CONSENT:
            message = "there is no consent to publish this image; agree to the text of consent, or do not send it"
            raise InputError(message)
        for name, most in (("contributor", _SHORT), ("source", _SHORT), ("method", _SHORT), ("file", _SHORT)):
            _check_text(name, getattr(self, name), most, needed=name in ("contributor", "source"))
        _check_text("note", self.note, _LONG, needed=False)

    def as_dict(self) -> dict[str, str]:
        """The fields by name."""
        return asdict(self)


def _check_text(name: str, text: Any, most: int, *, needed: bool) -> None:
    if not isinstance(text, str) or len(text) > most or (needed and not text.strip()):
        least = "1" if needed else "0"
        shown = repr(text) if not isinstance(text, str) or len(text) <= most else f"a text of {len(text)} characters"
        message = f"{name}={shown} is not allowed; it must be a text of {least} to {most} characters"
        raise InputError(message)
    if not all(letter.isprintable() or letter == "\n" for letter in text):
        message = f"{name} holds control characters; give plain text"
        raise InputError(message)


@dataclass(frozen=True)
class Contribution:
    """An image with its cells in a store.

    Attributes
    ----------
    id
        SHA-256 of image and cells, in hexadecimal; their file names contain it.
    state
        ``"received"``, ``"accepted"`` or ``"rejected"``.
    role
        What the image is for: ``"train"``, or ``"validation"`` (never trained on); empty until it is first accepted.
    source
        Origin, as the reviewer confirmed or corrected it.
    provenance
        As it was sent.
    received, decided
        ISO 8601, UTC; ``decided`` is empty until the decision.
    reason
        Reason for a rejection.
    shape
        (Y, X, channels).
    n_cells
        Number of cells.
    dense
        Annotated share of the cell area that the bundled model finds; None: not measured yet.
    notes
        Points for the reviewer to check.
    """

    id: str
    state: str
    source: str
    provenance: Provenance
    received: str
    shape: tuple[int, int, int]
    n_cells: int
    role: str = ""
    decided: str = ""
    reason: str = ""
    dense: float | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def short(self) -> str:
        """The first characters of the id, enough for people."""
        return self.id[:12]

    @property
    def image_name(self) -> str:
        """File name of the image."""
        return f"{self.id}.tif"

    @property
    def masks_name(self) -> str:
        """File name of the cells."""
        return f"{self.id}_masks.tif"

    def as_dict(self) -> dict[str, Any]:
        """Values for JSON."""
        return asdict(self)
