"""Settings of a training, with values that work well for each family of networks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psygnal import SignalGroupDescriptor

from cellpose import weights
from cellpose.nets import FAMILIES, Family, Recipe, family_named

__all__ = ["SCRATCH", "TrainingSettings", "base_models", "family_of_model", "start_for"]

SCRATCH = "scratch"  # in place of a base model: random weights

_UNET = FAMILIES["cpnet"]
_LARGEST_UNET = 2**28  # bytes; transformers are larger
_FROM_SCRATCH = Recipe(0.005, 1e-5, 300)


@dataclass
class TrainingSettings:
    """Parameters of a training, named like those of ``train.train_seg``.

    Parameters
    ----------
    base
        Model to start from, or ``SCRATCH``.
    learning_rate, weight_decay, n_epochs
        Parameters of AdamW, whose step size does not depend on the size of the loss for a new kind of image.
    model_name
        Name of the new model.
    channels
        1-based channel of the cells and channel of nuclei, 0 for gray or none; for U-Nets.
    only_corrected
        Leave out images that were segmented but never corrected.
    ignore_border
        Ignore cells that touch the border of their image.
    validation
        Another folder with images for comparing models; empty: compare on held-out images.
    """

    events = SignalGroupDescriptor()

    base: str = weights.BUNDLED
    learning_rate: float = _UNET.learning.window.learning_rate
    weight_decay: float = _UNET.learning.window.weight_decay
    n_epochs: int = _UNET.learning.window.n_epochs
    model_name: str = ""
    channels: tuple[int, int] = (0, 0)
    only_corrected: bool = False
    ignore_border: bool = False
    validation: str = ""

    @classmethod
    def of(cls, base: str, channels: tuple[int, int], now: datetime) -> TrainingSettings:
        """Settings that work well for a base model, with a name from the time.

        Examples
        --------
        >>> settings = TrainingSettings.of("generalist", (1, 0), datetime(2026, 1, 31, 9, 5, 0))
        >>> settings.model_name, settings.learning_rate, settings.n_epochs, settings.is_unet
        ('CP_20260131_090500', 0.003, 100, True)
        """
        made = cls(channels=channels, model_name=f"CP_{now:%Y%m%d_%H%M%S}")
        made.start_from(base)
        return made

    @property
    def is_unet(self) -> bool:
        """Whether the base model is a U-Net."""
        return self._family.channel_pair

    @property
    def _family(self) -> Family:
        return _UNET if self.base == SCRATCH else family_named(family_of_model(self.base))

    def start_from(self, base: str) -> None:
        """Switch to another base model, with the rate, decay and epochs of its family."""
        self.base = base
        recipe = _FROM_SCRATCH if base == SCRATCH else self._family.learning.window
        self.learning_rate, self.weight_decay, self.n_epochs = (
            recipe.learning_rate,
            recipe.weight_decay,
            recipe.n_epochs,
        )


def family_of_model(name: str) -> str:
    """The family of a model's network, without reading its weights."""
    published = weights.lookup(name)
    if published is not None:
        return str(published[0].family)
    file = weights.find(name)
    if file is None:
        return _UNET.name
    told = file.card.get("family")
    if isinstance(told, str) and told:
        return told
    return _UNET.name if file.path.stat().st_size < _LARGEST_UNET else "transformer"


def base_models() -> list[str]:
    """Models on this machine that a training can start from, and ``SCRATCH``."""
    found = [
        model.name
        for model in weights.list_models()
        if model.installed and model.task == "segmentation" and (model.info is None or model.info.supported)
    ]
    return [*dict.fromkeys(found), SCRATCH]


def start_for(model: str) -> str:
    """The model to start from when this one is in use: its own parent if it was fine-tuned, since errors add up."""
    file = weights.find(model or weights.default_model())
    parent = "" if file is None else str(file.card.get("parent", ""))
    if parent and weights.find(parent) is not None:
        return parent
    return weights.default_model() if file is None else file.name
