"""Every published model of every generation, as data."""

from __future__ import annotations

from dataclasses import dataclass

from cellpose.nets import FAMILIES

__all__ = ["LEGACY_FILES", "PUBLISHED", "ModelInfo", "lookup"]

_UNET_URL = "https://www.cellpose.org/models/"
_SAM_URL = "https://huggingface.co/mouseland/cellpose-sam/resolve/main/"


@dataclass(frozen=True)
class ModelInfo:
    """The facts known of a published model before its file is here.

    Attributes
    ----------
    name
        Name under which it is asked for.
    file
        Name of its file in the models folder and at ``base_url``.
    family
        Name of the family of its network, a key of ``nets.FAMILIES``.
    task
        ``"segmentation"`` or ``"restoration"``.
    nchan, nout
        Channels in (transformers: at most) and out.
    diam_mean
        Diameter in pixels to which cells are rescaled for it.
    generation
        Version of Cellpose that published it first.
    size_mib
        Approximate size of the file.
    size_file
        File of its size model, or None.
    n_replicas
        How many trainings were published, as ``<file without _0>_0, _1, ...``.
    note
        For whom it is.
    """

    name: str
    file: str
    note: str
    family: str = "cpnet"
    task: str = "segmentation"
    nchan: int = 2
    nout: int = 3
    diam_mean: float = 30.0
    generation: int = 3
    size_mib: float = 25.3
    size_file: str | None = None
    n_replicas: int = 1

    @property
    def base_url(self) -> str:
        """Folder on the web where its files lie."""
        return _SAM_URL if self.generation >= 4 else _UNET_URL

    @property
    def url(self) -> str:
        """Address of its file."""
        return self.base_url + self.file

    @property
    def supported(self) -> bool:
        """Whether this program can run it."""
        return FAMILIES[self.family].build is not None

    @property
    def files(self) -> tuple[str, ...]:
        """Its file and those of its other trainings."""
        stem = self.file.removesuffix("_0")
        return (self.file, *(f"{stem}_{i}" for i in range(1, self.n_replicas)))


def _classic() -> list[ModelInfo]:
    return [
        ModelInfo(
            "cyto3",
            "cyto3",
            "cells of many kinds; the default of Cellpose 3",
            size_file="size_cyto3.npy",
        ),
        ModelInfo(
            "cyto2",
            "cyto2torch_0",
            "cells of many kinds, with images from users",
            generation=2,
            size_file="size_cyto2torch_0.npy",
            n_replicas=4,
        ),
        ModelInfo(
            "cyto",
            "cytotorch_0",
            "cells of many kinds; the first model",
            generation=1,
            size_file="size_cytotorch_0.npy",
            n_replicas=4,
        ),
        ModelInfo(
            "nuclei",
            "nucleitorch_0",
            "nuclei; the second channel is always empty",
            diam_mean=17.0,
            generation=1,
            size_file="size_nucleitorch_0.npy",
            n_replicas=4,
        ),
    ]


# name: note
_SPECIALISTS_3 = {
    "cyto2_cp3": "the images of cyto2",
    "tissuenet_cp3": "tissue, fluorescence (TissueNet)",
    "livecell_cp3": "cultured cells, phase contrast (LIVECell)",
    "yeast_PhC_cp3": "yeast, phase contrast (YeaZ)",
    "yeast_BF_cp3": "yeast, bright field (YeaZ)",
    "bact_phase_cp3": "bacteria, phase contrast (Omnipose)",
    "bact_fluor_cp3": "bacteria, fluorescence (Omnipose)",
    "deepbacs_cp3": "bacteria (DeepBacs)",
}
_SPECIALISTS_2 = {
    "tissuenet": "tissue, fluorescence (TissueNet)",
    "livecell": "cultured cells, phase contrast (LIVECell)",
    "general": "all images of Cellpose 2",
    **{name: f"style {name} of Cellpose 2" for name in ("CP", "CPx", "TN1", "TN2", "TN3", "LC1", "LC2", "LC3", "LC4")},
}


def _specialists() -> list[ModelInfo]:
    return [
        *(ModelInfo(name, name, note) for name, note in _SPECIALISTS_3.items()),
        *(ModelInfo(name, name, note, generation=2) for name, note in _SPECIALISTS_2.items()),
        ModelInfo("neurips_grayscale_cyto2", "neurips_grayscale_cyto2", "NeurIPS challenge images, gray"),
        ModelInfo("neurips_cellpose_default", "neurips_cellpose_default", "NeurIPS challenge images", nchan=3),
        *(
            ModelInfo(name, name, note, family="manet_mit_b5", nchan=3, size_mib=320.0)
            for name, note in (
                ("neurips_cellpose_transformer", "NeurIPS challenge images, transformer"),
                ("transformer_cp3", "cells of many kinds, transformer of Cellpose 3"),
            )
        ),
    ]


_DEGRADATIONS = {
    "denoise": "removes noise",
    "deblur": "removes blur",
    "upsample": "restores undersampled images",
    "oneclick": "removes noise and blur, and restores undersampled images",
}
_LOSSES = {
    "": "",
    "_per": ", perceptual loss only",
    "_seg": ", segmentation loss only",
    "_rec": ", reconstruction loss only",
}


def _restoration() -> list[ModelInfo]:
    def info(name: str, note: str) -> ModelInfo:
        of_nuclei = name.endswith("nuclei")
        what = "nuclei" if of_nuclei else "cells"
        diam_mean = 17.0 if of_nuclei else 30.0
        return ModelInfo(name, name, f"{note} ({what})", task="restoration", nchan=1, nout=1, diam_mean=diam_mean)

    models = [info(f"{kind}_cyto3", note) for kind, note in _DEGRADATIONS.items()]
    for image in ("cyto2", "nuclei"):
        for loss, how in _LOSSES.items():
            models += [info(f"{kind}{loss}_{image}", note + how) for kind, note in _DEGRADATIONS.items()]
        models.append(info(f"aniso_{image}", "restores undersampled planes of stacks"))
    return models


def _transformers() -> list[ModelInfo]:
    def info(name: str, family: str, size_mib: float, note: str) -> ModelInfo:
        return ModelInfo(name, name, note, family=family, nchan=3, generation=4, size_mib=size_mib)

    return [
        info("cpsam", "sam_vitl", 1178.0, "Cellpose-SAM: cells and nuclei of all kinds; the default of Cellpose 4.0"),
        info("cpsam_v2", "sam_vitl", 1178.0, "Cellpose-SAM, fewer spurious masks in low contrast; the default of 4.2"),
        info("cpdino", "dino_vitl", 1157.0, "Cellpose-DINO, large"),
        info("cpdino-vitb", "dino_vitb", 330.0, "Cellpose-DINO, smaller and faster"),
    ]


#: Every published model by name.
PUBLISHED: dict[str, ModelInfo] = {
    info.name: info for info in (*_transformers(), *_classic(), *_specialists(), *_restoration())
}

#: Names that published clients use for models with another name here.
OTHER_NAMES = {"cellsam": "cpsam"}  # napari-serialcellpose

#: Files of the first (MXNet) version, which no torch program can load, with their replacements.
LEGACY_FILES = {"cyto_0": "cyto", "nuclei_0": "nuclei", "size_cyto_0.npy": "cyto", "size_nuclei_0.npy": "nuclei"}


def lookup(name: str) -> tuple[ModelInfo, str] | None:
    """The published model with this name or file name, and the file that is meant; None if there is none.

    Examples
    --------
    >>> lookup("cyto2torch_1")[0].name
    'cyto2'
    >>> lookup("nuclei")[1]
    'nucleitorch_0'
    """
    info = PUBLISHED.get(OTHER_NAMES.get(name, name))
    if info is not None:
        return info, info.file
    for info in PUBLISHED.values():
        if name in info.files:
            return info, name
    return None
