"""Options: the one place where a default, its range and its help text stand.

The Python API, the command line, the GUI and the documentation read them from here. An options object is frozen and
checked when it is made: code below the public functions does not check them again.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cellpose.errors import OptionError
from cellpose.nets import family_named

__all__ = ["Blocks", "Evaluation", "Masking", "Normalization", "Serving", "Tiling", "Training", "describe", "option"]

T = TypeVar("T")

_STEPS = 200  # along the flows, at the size of the network


def option(
    default: T,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] | None = None,
    whole: bool = True,
    finite: bool = True,
) -> T:
    """A dataclass field with its help text and its allowed range (both ends included) or choices.

    ``whole=False``: fractions are allowed although the field is an ``int``. ``finite=False``: infinity is allowed
    although the field has a range.
    """
    metadata = {"help": help, "low": low, "high": high, "choices": choices, "whole": whole, "finite": finite}
    return field(default=default, metadata=metadata)


def describe(options: type) -> dict[str, dict[str, Any]]:
    """``{name: {"default", "help", "low", "high", "choices"}}`` of an options class.

    Examples
    --------
    >>> describe(Masking)["flow_threshold"]["default"]
    0.4
    """
    return {f.name: {"default": f.default, **f.metadata} for f in dataclasses.fields(options) if "help" in f.metadata}


def _allowed(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"between {low:g} and {high:g}"
    return f"at least {low:g}" if low is not None else f"at most {high:g}"


class _Checked:
    """Checks every field against the range or choices it was declared with."""

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            self._check_number(f, value)
            self._check_one(f.name, value, f.metadata)

    def _check_number(self, f: dataclasses.Field[Any], value: Any) -> None:
        """Refuse anything but numbers, or true and false, where the field's annotation (a text) asks for them."""
        kinds = str(f.type).split(" | ")
        if kinds[0] == "bool" and not isinstance(value, (numbers.Real, np.bool_, type(None))):
            message = f"{f.name}={value!r} is not allowed; it must be True or False"
            raise OptionError(message)
        if kinds[0] not in ("int", "float") or (value is None and "None" in kinds):
            return
        wanted = "a whole number" if kinds[0] == "int" and f.metadata.get("whole", True) else "a number"
        good = isinstance(value, (numbers.Real, np.bool_)) and not math.isnan(value)
        if good and wanted == "a whole number" and not isinstance(value, numbers.Integral):
            good = float(value).is_integer()
            if good:
                object.__setattr__(self, f.name, int(value))
        if good and f.metadata.get("low") is not None and f.metadata.get("finite", True):
            good = math.isfinite(value)  # infinite sizes and factors make no sense
        if not good:
            low, high = f.metadata.get("low"), f.metadata.get("high")
            bounds = "" if low is None and high is None else f" {_allowed(low, high)}"
            message = f"{f.name}={value!r} is not allowed; it must be {wanted}{bounds}"
            raise OptionError(message)

    def _check_one(self, name: str, value: Any, rule: Mapping[str, Any]) -> None:
        choices, low, high = rule.get("choices"), rule.get("low"), rule.get("high")
        if choices is not None and value not in choices:
            message = f"{name}={value!r} is not allowed; choose one of {', '.join(map(repr, choices))}"
            raise OptionError(message)
        if value is None or (low is None and high is None):
            return
        values = value if isinstance(value, (tuple, list)) else (value,)
        for v in values:
            try:
                inside = (low is None or v >= low) and (high is None or v <= high)
            except TypeError:
                inside = False
            if not inside:
                message = f"{name}={value!r} is not allowed; it must be a number {_allowed(low, high)}"
                raise OptionError(message)


@dataclass(frozen=True)
class Normalization(_Checked):
    """How intensities are brought to a common scale before the network sees them."""

    normalize: bool = option(True, "scale each channel so that its percentiles become 0 and 1")
    lowhigh: Any = option(None, "intensities that become 0 and 1: (low, high) or a pair per channel; None: percentiles")
    percentile: tuple[float, float] | None = option(None, "percentiles that become 0 and 1; None: (1, 99)")
    norm3D: bool = option(True, "one scale for the whole stack instead of one per plane")
    sharpen_radius: float = option(0.0, "radius in pixels of the high-pass filter; 0: off", low=0)
    smooth_radius: float = option(0.0, "radius in pixels of the low-pass filter; 0: off", low=0)
    tile_norm_blocksize: float = option(0.0, "side in pixels of the blocks of local normalization; 0: off", low=0)
    tile_norm_smooth3D: float = option(1.0, "smoothing of the local normalization over planes", low=0)
    invert: bool = option(False, "invert the image after normalization")
    background_radius: float = option(
        0.0,
        "radius in pixels of the disk that subtracts the background, wider than cells; 0: off",
        low=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.percentile is not None:
            try:
                low, high = self.percentile
                ordered = 0 <= low < high <= 100
            except (TypeError, ValueError):
                ordered = False
            if not ordered:
                message = (
                    f"percentile={self.percentile!r} is not allowed; it must be (low, high) with 0 <= low < high <= 100"
                )
                raise OptionError(message)

    @classmethod
    def of(cls, normalize: bool | Mapping[str, Any] | Normalization, *, invert: bool = False) -> Normalization:
        """The options meant by the ``normalize`` argument of ``eval``: a bool, or a dict of these fields.

        ``invert`` counts only where ``normalize`` is a bool. The key ``axis`` is accepted and has no effect, since
        the channel axis is always the last one here.
        """
        if isinstance(normalize, Normalization):
            return normalize
        if isinstance(normalize, (bool, np.bool_)):
            return cls(normalize=bool(normalize), invert=invert)
        if not isinstance(normalize, Mapping):
            message = f"normalize={normalize!r} is not allowed; give True, False or a dict of normalization options"
            raise OptionError(message)
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(normalize) - known - {"axis"})
        if unknown:
            message = f"normalize has unknown keys {unknown}; allowed are {sorted(known)}"
            raise OptionError(message)
        return cls(**{key: value for key, value in normalize.items() if key in known})


@dataclass(frozen=True)
class Tiling(_Checked):
    """How an image is cut into tiles for the network."""

    batch_size: int = option(8, "number of tiles run at once", low=1)
    augment: bool = option(False, "average over flipped, half-overlapping tiles")
    tile_overlap: float = option(0.1, "fraction by which neighboring tiles overlap; limited to 0.05 to 0.5")
    bsize: int | None = option(
        None,
        "side of a tile in pixels; None: that of the network (0 for bundled models); 0: few large tiles (U-Nets)",
        low=0,
    )


@dataclass(frozen=True)
class Blocks(_Checked):
    """How a large plane is divided where its flows are followed."""

    block: int = option(1024, "side of a block in pixels", low=64)
    margin: int | None = option(
        None, "margin around a block in pixels, longer than cells; None: from the diameter", low=16
    )


@dataclass(frozen=True)
class Masking(_Checked):
    """How flows become masks."""

    cellprob_threshold: float = option(
        0.0, "pixels above this value belong to cells; lower it to find more and larger cells"
    )
    flow_threshold: float | None = option(0.4, "largest flow error of a mask that is kept; 0: keep all")
    min_size: int = option(15, "masks with fewer pixels are removed; -1: keep all", whole=False)
    max_size_fraction: float = option(
        0.4, "masks that cover more than this fraction of the image are removed", low=0, finite=False
    )
    niter: int | None = option(
        None, "number of steps along the flows; 0 or None: from the diameter", low=0, whole=False
    )
    interp: bool = option(True, "interpolate flows between pixels")

    @property
    def steps(self) -> int:
        """Steps along the flows; where no number is given, those at the size of the network."""
        return int(self.niter or _STEPS)

    @property
    def most_error(self) -> float | None:
        """Largest flow error of a mask that is kept; None: flows are not checked."""
        return self.flow_threshold if self.flow_threshold and self.flow_threshold > 0 else None

    def at_scale(self, scale: float) -> Masking:
        """The same, where the network saw the image ``scale`` times as large as its flows are followed.

        Unless a number of steps is given, there are more of them where cells are larger than the network saw them.

        Examples
        --------
        >>> Masking().at_scale(0.5).steps, Masking(niter=33).at_scale(0.5).steps
        (400, 33)
        """
        return self if self.niter else dataclasses.replace(self, niter=max(1, int(_STEPS / scale)))


@dataclass(frozen=True)
class Evaluation(_Checked):
    """Everything that ``eval`` needs except the image and its axes."""

    diameter: float | None = option(None, "diameter of the cells in pixels; 0 or None: no rescaling", low=0)
    rescale: float | None = option(None, "factor by which the image is resized; a diameter takes precedence", low=0)
    resample: bool = option(True, "follow the flows at the size of the image, not at that of the network")
    do_3D: bool = option(False, "segment a stack in 3D from three plane directions")
    anisotropy: float | None = option(None, "distance between planes divided by the size of a pixel", low=0)
    flow3D_smooth: Any = option(0, "sigma of the Gaussian that smooths 3D flows: one, or one each for z, y, x")
    view_weights: Any = option((1.0, 1.0, 1.0), "weights of the planes YX, ZX and ZY in 3D, such as 2 1 1")
    isotropic_steps: bool = option(False, "3D with anisotropy: follow flows by true distances, not by planes along z")
    z_interpolation: str = option(
        "linear",
        "3D with anisotropy: interpolation between planes; linear, cubic (sharper) or spline (noisy stacks)",
        choices=("linear", "cubic", "spline"),
    )
    stitch_threshold: float = option(0.0, "overlap (IoU) from which masks in neighboring planes are joined; 0: off")
    compute_masks: bool = option(True, "compute masks from the flows")
    normalization: Normalization = field(default_factory=Normalization)
    tiling: Tiling = field(default_factory=Tiling)
    masking: Masking = field(default_factory=Masking)

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.flow_sigmas, self.plane_weights  # unreadable values are refused here

    @property
    def flow_sigmas(self) -> tuple[float, float, float]:
        """``flow3D_smooth`` in pixels along z, y, x."""
        sigmas = np.atleast_1d(_numbers(self.flow3D_smooth, 0))
        if sigmas.ndim != 1 or len(sigmas) not in (1, 3) or not (np.isfinite(sigmas) & (sigmas >= 0)).all():
            message = (
                f"flow3D_smooth={self.flow3D_smooth!r} is not allowed; give one sigma in pixels, 0 or more, or one "
                "each for z, y, x"
            )
            raise OptionError(message)
        z, y, x = np.broadcast_to(sigmas, (3,)).tolist()
        return z, y, x

    @property
    def plane_weights(self) -> tuple[float, float, float]:
        """``view_weights`` of the planes YX, ZX and ZY."""
        weights = _numbers(self.view_weights, (1, 1, 1))
        good = weights.shape == (3,) and np.isfinite(weights).all() and (weights >= 0).all()
        # Flows along each axis come from two of the three directions.
        if not good or np.count_nonzero(weights) < 2:
            message = (
                f"view_weights={self.view_weights!r} is not allowed; give three numbers, 0 or more, for the planes "
                "YX, ZX and ZY, at least two of them above 0"
            )
            raise OptionError(message)
        yx, zx, zy = weights.tolist()
        return yx, zx, zy


def _numbers(given: Any, default: Any) -> npt.NDArray[np.float64]:
    """One number or several as an array, ``default`` where None is given; NaN where the value is not numeric."""
    try:
        return np.asarray(default if given is None else given, float)
    except (TypeError, ValueError):
        return np.full(1, np.nan)


# Adapters start at zero and are few: they need larger steps than the weights of a trained transformer.
_ADAPTER_RATE = 1e-4


@dataclass(frozen=True)
class Training(_Checked):
    """How a segmentation network is trained."""

    batch_size: int = option(8, "number of crops in one optimizer step", low=1)
    learning_rate: float = option(0.005, "learning rate of the optimizer after a warm-up of ten epochs", low=0)
    n_epochs: int = option(2000, "number of passes over the training images", low=1)
    weight_decay: float = option(1e-5, "weight decay: pulls the weights towards 0", low=0)
    momentum: float = option(0.9, "momentum of stochastic gradient descent", low=0)
    SGD: bool = option(False, "stochastic gradient descent instead of AdamW; for U-Nets only")
    save_every: int = option(100, "number of epochs between saved models", low=1)
    save_each: bool = option(False, "keep each saved model under its own name")
    nimg_per_epoch: int | None = option(None, "number of training crops per epoch; None: one per image", low=1)
    nimg_test_per_epoch: int | None = option(None, "number of test crops per evaluation; None: one per image", low=1)
    rescale: bool = option(True, "rescale each image to the mean diameter of the network before random scaling")
    scale_range: float = option(0.5, "width of the range around 1 for the random scale of a crop")
    bsize: int = option(224, "side of the training crops in pixels", low=16)
    min_train_masks: int = option(5, "images with fewer masks are left out of training", low=0)
    seed: int | None = option(None, "seed of all random numbers in training; None: as published", low=0, high=2**32 - 1)
    deterministic: bool = option(False, "use operations that give the same result in every run; slower on GPUs")
    accumulate: int = option(1, "number of batches whose gradients are summed for one optimizer step", low=1)
    mixed_precision: bool = option(False, "compute in bfloat16 where it is safe; only on CUDA GPUs")
    validate_every: int | None = option(
        None, "number of epochs between validations on the test images; None: never", low=1
    )
    keep_best: bool = option(False, "keep the weights of the best validation instead of the last")
    average_weights: float = option(
        0.0,
        "average the weights over this last share of the steps; 0: the last weights",
        low=0,
        high=1,
    )
    patience: int | None = option(
        None, "number of epochs without a better validation before training stops; None: never", low=1
    )
    checkpoint_every: int | None = option(
        None, "number of epochs between checkpoints for resume; None: ten per run", low=1
    )
    records: bool = option(False, "keep losses, pictures and checkpoints in a folder training beside the models")
    tensorboard: bool = option(False, "also write the losses for TensorBoard, beside the records")
    freeze_encoder: bool = option(False, "train only the decoder or the head")
    adapter_rank: int | None = option(
        None, "train low-rank adapters of this rank instead of a transformer's encoder; None: all weights", low=1
    )
    replay_fraction: float = option(0.25, "share of images from the base model's data in an epoch", low=0, high=0.9)
    cache_gb: float = option(1.0, "gigabytes of images to keep in memory if they are read from files", low=0)
    workers: int = option(0, "threads that read and prepare images during training", low=0)

    @classmethod
    def of(cls, family: str, **given: Any) -> Training:
        """The options that were given, the others as networks of a family are trained by default."""
        learning = family_named(family).learning
        usual = learning.script
        defaults = {
            "batch_size": usual.batch_size,
            "learning_rate": usual.learning_rate,
            "n_epochs": usual.n_epochs,
            "weight_decay": usual.weight_decay,
            "rescale": learning.rescale,
        }
        chosen = {**defaults, **{name: value for name, value in given.items() if value is not None}}
        if given.get("learning_rate") is None and chosen.get("adapter_rank"):
            chosen["learning_rate"] = _ADAPTER_RATE
        if "scale_range" not in chosen:
            chosen["scale_range"] = 0.5 if chosen["rescale"] else learning.unscaled_range
        return cls(**chosen)


@dataclass(frozen=True)
class Serving(_Checked):
    """Where the browser page listens, and what it refuses so that a machine is not overwhelmed."""

    host: str = option("127.0.0.1", "address to listen on; 0.0.0.0: all of this machine, with a token")
    port: int = option(8770, "port to listen on; 0: any that is free", low=0, high=65535)
    prefix: str = option("", "path under which a proxy shows the page, such as /cellpose")
    upload_mb: float = option(256.0, "most megabytes of a file", low=0.001)
    image_mp: float = option(64.0, "most megapixels of an image, all planes and times together", low=0.001)
    work_mp: float = option(256.0, "most megapixels of an image at the size at which the network sees it", low=0.001)
    store_gb: float = option(8.0, "most gigabytes on disk, of all images and results together", low=0.001)
    queue: int = option(64, "most segmentations that wait", low=0)
    job_s: float = option(900.0, "most seconds that a segmentation takes", low=1)
    keep_min: float = option(60.0, "minutes after which images that nobody uses are deleted", low=0.01)
    rate_per_min: float = option(300.0, "most uploads and segmentations of a client in a minute", low=1)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("localhost", "127.0.0.1", "::1")
