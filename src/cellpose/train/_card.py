"""Saving a trained network, with a card that says what it was trained on and from."""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from cellpose import nets, weights
from cellpose._version import version
from cellpose.errors import WeightsError
from cellpose.train._adapters import merged_state
from cellpose.weights import embed_card, read_card

__all__ = ["base_facts", "base_of", "family_name", "save_network", "software"]

logger = logging.getLogger("cellpose.train")

_DIGITS = 12  # of a hash, enough to tell files apart


def save_network(net: Any, path: Path, card: dict[str, Any] | None = None) -> None:
    """Write the weights in the published format, atomically, with the card inside.

    A size model beside them is removed: it was trained on the styles of other weights.
    """
    logger.info(f"saving network parameters to {path}")
    state = merged_state(net)
    text = {} if card is None else {**card, "name": path.name, "created": datetime.now(timezone.utc).isoformat()}
    if path.suffix.lower() == ".safetensors":
        nets.write_state_dict(state, path, {"cellpose": json.dumps(text)})
    else:
        _write_archive(state, path, text)
    weights.drop_beside(path, weights.SIZE_MODEL)


def _write_archive(state: dict[str, Any], path: Path, card: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.saving")
    try:
        nets.write_state_dict(state, partial)
        if card:
            embed_card(partial, card)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def family_name(net: Any) -> str:
    """Name of the family of a network, or of its class if it is not of this package."""
    try:
        return nets.detect_architecture(merged_state(net)).name
    except WeightsError:
        return type(net).__name__


def base_facts(net: Any) -> dict[str, Any]:
    """Facts about the model that training starts from, for the card; warns if it is itself fine-tuned."""
    file: weights.ModelFile | None = getattr(net, "model_file", None)
    if file is None or not file.path.is_file():
        return {}
    card = read_card(file.path)
    facts = {"parent": file.name, "parent_sha256": file.sha256}
    if card.get("parent"):
        facts["parent_of_parent"] = str(card["parent"])
        logger.warning(
            f"the model {file.name} was itself fine-tuned, from {card['parent']}: start from {card['parent']} with "
            "all images together instead, because errors and forgetting add up from one fine-tuning to the next"
        )
    return facts


def base_of(net: Any, path: Path) -> str:
    """The beginning of the SHA-256 of the file that training starts from, to recognize it in a later run.

    The file that training writes to changes on the way, so it is known by its place alone.
    """
    file: weights.ModelFile | None = getattr(net, "model_file", None)
    if file is None or not file.path.is_file():
        return "no file"
    return "the model itself" if file.path.resolve() == path.resolve() else file.sha256[:_DIGITS]


def software() -> dict[str, str]:
    """The versions that trained a model."""
    return {"program": f"cellpose {version}", "torch": str(torch.__version__)}
