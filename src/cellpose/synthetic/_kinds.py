"""Kinds of image: which populations each shows, how they are rendered, through which optics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cellpose.synthetic import _fluorescence, _stained, _transmitted
from cellpose.synthetic._camera import Optics
from cellpose.synthetic._device import add_device
from cellpose.synthetic._mingle import mingle
from cellpose.synthetic._noise import Field
from cellpose.synthetic._population import Population
from cellpose.synthetic._scene import Scene, add_nuclei, populate

__all__ = ["RECIPES", "Recipe"]

Rng = np.random.Generator
Size = tuple[int, int]


@dataclass(frozen=True)
class Recipe:
    """How images of a kind are made.

    ``population`` draws the properties of the cells for a diameter in pixels, ``second`` those of a second sort that
    lies between them in the share ``mixed`` of scenes; ``diameters`` is the range that the diameter is drawn from;
    ``light`` renders (C, Y, X); ``nuclei`` is the share of scenes with nuclei, ``devices`` the share of those between
    the walls of a microfluidic device.
    """

    population: Callable[[Rng, float], Population]
    light: Callable[[Rng, Scene], Field]
    optics: Callable[[Rng, float, Field], Optics]
    diameters: tuple[float, float]
    nuclei: float = 0.0
    devices: float = 0.0
    second: Callable[[Rng, float], Population] | None = None
    mixed: float = 0.0

    def scene(self, rng: Rng, size: Size, diameter: float | None) -> Scene:
        """A scene of this kind."""
        if diameter is None:
            low, high = np.log(self.diameters)
            diameter = float(np.exp(rng.uniform(low, high)))
        scene = populate(rng, size, self.population(rng, diameter))
        if self.second is not None and rng.random() < self.mixed:
            scene = mingle(rng, scene, populate(rng, size, self.second(rng, diameter)), rng.uniform(0.3, 0.8))
        if rng.random() < self.nuclei:
            scene = add_nuclei(rng, scene, rng.uniform(0.3, 0.55))
        return add_device(rng, scene) if rng.random() < self.devices else scene


def _between(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


# ---- populations -----------------------------------------------------------------------------------------------


def _culture(rng: Rng, d: float) -> Population:
    """Adherent or floating cells of any form."""
    form = str(rng.choice(["round", "elongated", "spread", "sheet", "rosettes"], p=[0.25, 0.2, 0.25, 0.2, 0.1]))
    if form == "sheet":
        return _sheet(rng, d)
    long = {"elongated": (1.8, 4.0), "spread": (1.2, 2.5)}.get(form, (1.05, 1.4))
    return Population(
        form=form, diameter=d, variation=_between(rng, 0.1, 0.35), coverage=_between(rng, 0.1, 0.75),
        clump=float(rng.choice([1, 1, 4, 12, 30])), gap=_between(rng, 0.85, 1.1),
        reach=1.35 if form == "rosettes" else _between(rng, 1.0, 1.25),
        elongation=_between(rng, *long), wobble=_between(rng, 0.02, 0.2 if form != "round" else 0.1),
        alignment=_between(rng, 0, 1) if form == "elongated" else 0.0,
    )  # fmt: skip


def _sheet(rng: Rng, d: float) -> Population:
    """Epithelium: polygons without gaps, or with some."""
    whole = rng.random() < 0.7
    return Population(
        form="sheet", diameter=d, variation=_between(rng, 0.05, 0.3), coverage=_between(rng, 1.0, 1.15),
        gap=_between(rng, 0.8, 1.0), reach=4.0 if whole else _between(rng, 1.1, 1.3),
        elongation=_between(rng, 1.0, float(rng.choice([1.4, 1.8, 3.0]))), alignment=_between(rng, 0, 1),
        wobble=_between(rng, 0.0, 0.15),
        missing=0.0 if rng.random() < 0.6 else _between(rng, 0.02, 0.4),
    )  # fmt: skip


def _lined(rng: Rng, d: float) -> Population:
    """Mostly epithelium, as membranes are stained."""
    return _sheet(rng, d) if rng.random() < 0.75 else _culture(rng, d)


def _confluent(rng: Rng, d: float) -> Population:
    """Adherent cells that fill the plane: cobbles, aligned spindles, spread cells pressed together."""
    if rng.random() < 0.6:
        return _sheet(rng, d)
    return Population(
        form=str(rng.choice(["spread", "elongated"])), diameter=d, variation=_between(rng, 0.15, 0.35),
        coverage=_between(rng, 0.75, 1.2), gap=_between(rng, 0.7, 0.95), reach=_between(rng, 1.1, 1.45),
        elongation=_between(rng, 1.2, 3.5), wobble=_between(rng, 0.05, 0.2), alignment=_between(rng, 0, 1),
    )  # fmt: skip


def _suspension(rng: Rng, d: float) -> Population:
    """Small round cells, packed until they touch on all sides."""
    return Population(
        form=str(rng.choice(["round", "sheet"], p=[0.7, 0.3])), diameter=d, variation=_between(rng, 0.05, 0.3),
        coverage=_between(rng, 0.4, 1.05), clump=float(rng.choice([1, 1, 20, 80])), gap=_between(rng, 0.75, 1.0),
        reach=_between(rng, 1.0, 1.35), elongation=_between(rng, 1.0, 1.3), wobble=_between(rng, 0.0, 0.1),
        missing=0.0 if rng.random() < 0.6 else _between(rng, 0.02, 0.3),
    )  # fmt: skip


def _other_nuclei(rng: Rng, d: float) -> Population:
    """Nuclei of another size."""
    return _nuclei(rng, d * float(rng.choice([_between(rng, 0.45, 0.8), _between(rng, 1.25, 2.0)])))


def _nuclei(rng: Rng, d: float) -> Population:
    return Population(
        form="elongated", diameter=d, variation=_between(rng, 0.08, 0.35), coverage=_between(rng, 0.03, 0.55),
        clump=float(rng.choice([1, 1, 1, 4, 10, 40])), gap=_between(rng, 0.85, 1.2),
        elongation=_between(rng, 1.05, 1.9), wobble=_between(rng, 0.01, 0.12), alignment=_between(rng, 0, 0.8),
    )  # fmt: skip


def _adherent(rng: Rng, d: float) -> Population:
    forms = ["spread", "elongated", "round", "confluent", "floating", "branched"]
    form = str(rng.choice(forms, p=[0.28, 0.14, 0.08, 0.36, 0.07, 0.07]))
    if form == "floating":
        return _suspension(rng, _between(rng, 0.5, 0.9) * d)
    if form == "confluent":
        return _confluent(rng, d)
    if form == "branched":
        return _neurons(rng, 0.7 * d)
    long = {"elongated": (2.0, 5.0), "spread": (1.3, 3.0)}.get(form, (1.05, 1.4))
    return Population(
        form=form, diameter=d, variation=_between(rng, 0.15, 0.35), coverage=_between(rng, 0.05, 0.7),
        clump=float(rng.choice([1, 1, 4, 12])), gap=_between(rng, 0.9, 1.1), elongation=_between(rng, *long),
        wobble=_between(rng, 0.05, 0.2), alignment=_between(rng, 0, 0.7),
    )  # fmt: skip


def _bacteria(rng: Rng, d: float) -> Population:
    """Rods alone, in colonies and in chains; some are cocci, some grow to filaments."""
    sort = str(rng.choice(["rods", "chains", "cocci", "filaments"], p=[0.55, 0.25, 0.08, 0.12]))
    long = {"cocci": (1.2, 1.6), "filaments": (4.0, 12.0)}.get(sort, (2.0, 5.0))
    return Population(
        form="rods", diameter=d, variation=_between(rng, 0.03, 0.15), coverage=_between(rng, 0.05, 0.9),
        clump=float(rng.choice([1, 8, 30, 100, 300])), gap=_between(rng, 0.92, 1.05), elongation=_between(rng, *long),
        wobble=_between(rng, 0.0, 0.1), alignment=_between(rng, 0.3, 1.0),
        chain=_between(rng, 2, 8) if sort == "chains" or (sort == "cocci" and rng.random() < 0.7) else 1.0,
    )  # fmt: skip


def _yeast(rng: Rng, d: float) -> Population:
    return Population(
        form="budding", diameter=d, variation=_between(rng, 0.08, 0.25), coverage=_between(rng, 0.05, 0.6),
        clump=float(rng.choice([1, 6, 20, 60])), gap=_between(rng, 1.0, 1.08), elongation=_between(rng, 1.0, 1.25),
        wobble=_between(rng, 0.0, 0.03),
    )  # fmt: skip


def _neurons(rng: Rng, d: float) -> Population:
    return Population(
        form="branched", diameter=d, variation=_between(rng, 0.1, 0.3), coverage=_between(rng, 0.02, 0.12),
        clump=float(rng.choice([1, 1, 4])), gap=_between(rng, 1.2, 2.2), elongation=_between(rng, 1.1, 2.0),
        wobble=_between(rng, 0.05, 0.2),
    )  # fmt: skip


def _tissue(rng: Rng, d: float) -> Population:
    return Population(
        form="elongated", diameter=d, variation=_between(rng, 0.15, 0.4), coverage=_between(rng, 0.08, 0.5),
        clump=float(rng.choice([1, 1, 5, 20])), gap=_between(rng, 0.85, 1.3), elongation=_between(rng, 1.1, 2.6),
        wobble=_between(rng, 0.03, 0.15), alignment=_between(rng, 0, 0.9),
    )  # fmt: skip


def _stroma(rng: Rng, d: float) -> Population:
    """Thin nuclei that lie along fibers, or small round ones between the others."""
    small = rng.random() < 0.4
    return Population(
        form="elongated", diameter=d * _between(rng, 0.5, 0.9), variation=_between(rng, 0.1, 0.3),
        coverage=_between(rng, 0.05, 0.45), clump=float(rng.choice([1, 4, 20])), gap=_between(rng, 0.9, 1.3),
        elongation=_between(rng, 1.05, 1.3) if small else _between(rng, 2.0, 5.0),
        wobble=_between(rng, 0.02, 0.12), alignment=_between(rng, 0.5, 1),
    )  # fmt: skip


def _sections(rng: Rng, d: float) -> Population:
    return Population(
        form="sheet", diameter=d, variation=_between(rng, 0.2, 0.5), coverage=_between(rng, 0.6, 1.1),
        gap=_between(rng, 0.9, 1.1), reach=float(rng.choice([0.9, 1.05, 1.3, 4.0])), elongation=_between(rng, 1.0, 2.0),
        alignment=_between(rng, 0, 1), wobble=_between(rng, 0.05, 0.2),
    )  # fmt: skip


# ---- light -----------------------------------------------------------------------------------------------------


def _with_nuclear_stain(rng: Rng, scene: Scene, main: Field) -> Field:
    """(2, Y, X): the stain, and that of the nuclei where the scene has some."""
    second = np.zeros_like(main)
    if scene.nuclei.any():
        second = _fluorescence.nuclei(rng, scene.nuclei, 0.4 * scene.diameter, weak=False)
        second = second + rng.choice([0.0, 0.05, 0.1]) * main  # bleed-through
    return np.stack([main, second]).astype(np.float32)


def _cytoplasm(rng: Rng, scene: Scene) -> Field:
    return _with_nuclear_stain(rng, scene, _fluorescence.cytoplasm(rng, scene))


def _maybe_nuclear_stain(rng: Rng, scene: Scene, main: Field) -> Field:
    """As for fluorescence, but most images of transmitted light have no second channel."""
    return _with_nuclear_stain(rng, scene, main) if rng.random() < 0.3 else main[None]


def _membrane(rng: Rng, scene: Scene) -> Field:
    return _with_nuclear_stain(rng, scene, _fluorescence.membrane(rng, scene))


def _phase(rng: Rng, scene: Scene) -> Field:
    return _maybe_nuclear_stain(rng, scene, _transmitted.phase_contrast(rng, scene))


def _dic(rng: Rng, scene: Scene) -> Field:
    return _maybe_nuclear_stain(rng, scene, _transmitted.dic(rng, scene))


def _brightfield(rng: Rng, scene: Scene) -> Field:
    return _maybe_nuclear_stain(rng, scene, _transmitted.brightfield(rng, scene))


def _suspension_light(rng: Rng, scene: Scene) -> Field:
    if rng.random() < 0.7:
        return _with_nuclear_stain(rng, scene, _fluorescence.membrane(rng, scene, (0.03, 0.14)))
    return _cytoplasm(rng, scene)


def _quantitative(rng: Rng, scene: Scene) -> Field:
    return _transmitted.quantitative_phase(rng, scene)[None]


def _rods_light(rng: Rng, scene: Scene) -> Field:
    contrast = rng.random()
    if contrast < 0.25:
        return _fluorescence.cytoplasm(rng, scene)[None]
    if contrast < 0.35:
        return _fluorescence.membrane(rng, scene, (0.02, 0.08))[None]
    if contrast < 0.45:
        return _transmitted.brightfield(rng, scene, roughness=0.0)[None]
    return _transmitted.phase_contrast(rng, scene, roughness=0.0)[None]


def _yeast_light(rng: Rng, scene: Scene) -> Field:
    contrast = rng.random()
    if contrast < 0.12:
        return _fluorescence.cytoplasm(rng, scene)[None]
    if contrast < 0.4:
        return _transmitted.phase_contrast(rng, scene, roughness=0.4)[None]
    return _transmitted.brightfield(rng, scene, roughness=0.4)[None]


def _nuclear_light(rng: Rng, scene: Scene) -> Field:
    return _fluorescence.nuclei(rng, scene.labels, scene.diameter)[None]


def _electron(rng: Rng, scene: Scene) -> Field:
    return _stained.electron(rng, scene)[None]


# ---- optics ----------------------------------------------------------------------------------------------------


def _sharpness(rng: Rng, d: float, most: float) -> float:
    """Blur that leaves touching cells of a diameter apart."""
    return _between(rng, 0.45, min(most, 0.55 + 0.035 * d))


def _dim(rng: Rng, d: float, light: Field) -> Optics:
    """Optics of fluorescence: from clean to a handful of photons; smaller cells need more.

    Exposed for the brightest of the first channel, now and then for too long.
    """
    peak = max(0.15, float(np.percentile(light[0, ::2, ::2], 99.5)))
    full = _between(rng, 0.25, 1.0) if rng.random() < 0.85 else _between(rng, 1.0, 2.5)
    few = np.log(90 * (1 + (15 / d) ** 2))
    return Optics(
        blur=_sharpness(rng, d, 2.5), shading=_between(rng, 0, 0.3), photons=float(np.exp(rng.uniform(few, 9.5))),
        read_noise=_between(rng, 0, 0.01), offset=_between(rng, 0, 0.08), gain=full / peak,
        grain=0.0 if rng.random() < 0.7 else _between(rng, 0.4, 0.9),
    )  # fmt: skip


def _bright(rng: Rng, d: float, light: Field) -> Optics:
    """Optics of transmitted light: many photons."""
    return Optics(
        blur=_sharpness(rng, d, 1.4), shading=_between(rng, 0, 0.08), photons=float(np.exp(rng.uniform(8, 12))),
        read_noise=_between(rng, 0, 0.005), offset=0.0, gain=_between(rng, 0.8, 1.2),
        grain=0.0 if rng.random() < 0.5 else _between(rng, 0.4, 0.9),
    )  # fmt: skip


def _electrons(rng: Rng, d: float, light: Field) -> Optics:
    """Optics of electron microscopes: grainy, often rescaled."""
    return Optics(
        blur=_sharpness(rng, d, 1.8), shading=_between(rng, 0, 0.1), photons=float(np.exp(rng.uniform(5, 8.5))),
        offset=0.0, gain=_between(rng, 0.8, 1.2), grain=0.0 if rng.random() < 0.5 else _between(rng, 0.4, 0.9),
    )  # fmt: skip


RECIPES = {
    "nuclei": Recipe(_nuclei, _nuclear_light, _dim, (6, 110), second=_other_nuclei, mixed=0.2),
    "cytoplasm": Recipe(_culture, _cytoplasm, _dim, (10, 150), nuclei=0.7),
    "membrane": Recipe(_lined, _membrane, _dim, (10, 150), nuclei=0.6),
    "neurons": Recipe(_neurons, _cytoplasm, _dim, (14, 50), nuclei=0.5),
    "phase": Recipe(_adherent, _phase, _bright, (16, 120), nuclei=0.9, devices=0.1),
    "dic": Recipe(_adherent, _dic, _bright, (20, 150), nuclei=0.9, devices=0.1),
    "brightfield": Recipe(_adherent, _brightfield, _bright, (14, 120), nuclei=0.7, devices=0.2),
    "bacteria": Recipe(_bacteria, _rods_light, _bright, (6, 50), devices=0.25),
    "yeast": Recipe(_yeast, _yeast_light, _bright, (10, 60), nuclei=0.6, devices=0.5),
    "tissue": Recipe(_tissue, _stained.stained_tissue, _bright, (7, 70), second=_stroma, mixed=0.5),
    "em": Recipe(_sections, _electron, _electrons, (16, 150), nuclei=0.4),
    "suspension": Recipe(_suspension, _suspension_light, _dim, (8, 26), nuclei=0.6),
    "qpi": Recipe(_adherent, _quantitative, _bright, (14, 120), nuclei=0.8),
}
