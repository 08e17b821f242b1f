"""What a contribution says of itself: its licence, the consent to it, and where image and cells come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from cellpose.errors import InputError

__all__ = ["ACCEPTED", "CONSENT", "LICENCES", "RECEIVED", "REJECTED", "STATES", "Contribution", "Provenance"]

#: States of a contribution.
RECEIVED, ACCEPTED, REJECTED = STATES = ("received", "accepted", "rejected")

#: The licences that a model may be trained under and published: names of SPDX, and what they mean.
LICENCES: Mapping[str, str] = MappingProxyType(
    {
        "CC0-1.0": "CC0: anyone may use it for anything, without naming you",
        "CC-BY-4.0": "CC-BY: anyone may use it for anything, and must name you",
    }
)

#: What a contributor agrees to; kept with each contribution.
CONSENT = (
    "I may publish this image and this segmentation, they show nothing private, and I put both under the licence "
    "chosen here. Models may be trained on them and published. I cannot take the licence back."
)

_SHORT, _LONG = 200, 2000  # characters


@dataclass(frozen=True)
class Provenance:
    """Where a contribution comes from.

    Parameters
    ----------
    licence
        A key of ``LICENCES``.
    consent
        The text of ``CONSENT``, word for word: what was agreed to.
    contributor
        Name or pseudonym, under which the work is credited.
    source
        Where the images come from (laboratory, data set, microscope). A new model must not be worse on any source.
    method
        How the cells were made: by hand, or corrected after which model.
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
        """The provenance in the fields of a form, checked.

        Raises
        ------
        InputError
            If the licence is unknown, consent is missing, or a text is empty, too long or no plain text.
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
        SHA-256 of image and cells, in hexadecimal; their files bear this name.
    state
        ``"received"``, ``"accepted"`` or ``"rejected"``.
    role
        Of an accepted one: ``"train"``, or ``"validation"`` and never trained on; else empty.
    source
        Where it comes from, as the reviewer confirmed or corrected it.
    provenance
        As it was sent.
    received, decided
        ISO 8601, UTC; ``decided`` is empty while nobody has decided.
    reason
        Of a rejection.
    shape
        (Y, X, channels).
    n_cells
        Number of cells.
    dense
        Share of the cells' area found by the bundled model that is annotated; None: not measured yet.
    notes
        What a reviewer should look at.
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
        """The first letters of its name, enough for people."""
        return self.id[:12]

    @property
    def image_name(self) -> str:
        """Name of the file of its image."""
        return f"{self.id}.tif"

    @property
    def masks_name(self) -> str:
        """Name of the file of its cells."""
        return f"{self.id}_masks.tif"

    def as_dict(self) -> dict[str, Any]:
        """Values for JSON."""
        return asdict(self)
