"""The dock widget that restores an image layer: less noise, less blur, more pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton

from cellpose import weights
from cellpose.errors import InputError
from cellpose.napari._form import Choices, Page, TaskRow, group, heading, number, put_layers, watch_layers
from cellpose.napari._layers import Taken, chosen, guess_axes, sources, take
from cellpose.napari._results import LayerData
from cellpose.napari._segmenting import choices

__all__ = ["RestoreWidget", "restored_layer"]


def restored_layer(model: Any, taken: Taken, diameter: float | None, report: Any) -> LayerData:
    """Restore an image plane by plane, and return it as a layer placed where the image is.

    Parameters
    ----------
    model
        A ``DenoiseModel``.
    taken
        One channel.
    diameter
        Of the cells in pixels; None: as the model expects.
    report
        Called with the completed share.
    """
    planes = np.asarray(taken.image.data).reshape(-1, *taken.kept_shape[-2:])
    done: list[npt.NDArray[Any]] = []
    for index, plane in enumerate(planes):
        report(index / len(planes))
        done.append(np.asarray(model.eval(plane, channels=[0, 0], diameter=diameter, progress=False))[..., 0])
    data = np.stack(done).reshape(*taken.kept_shape[:-2], *done[0].shape)
    placing = dict(taken.placing)
    factor = np.asarray(taken.kept_shape, float) / np.asarray(data.shape, float)
    sides, begin = np.asarray(placing["scale"]), np.asarray(placing["translate"])
    placing |= {"scale": tuple(sides * factor), "translate": tuple(begin + sides * (factor - 1) / 2)}
    return data, {"name": f"{taken.image.name} restored", **placing}, "image"


class RestoreWidget(Page):
    """Restores an image layer with a model for noise, blur or low resolution.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are restored.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._loaded: tuple[str, Any] = ("", None)
        box, form = group("Restore")
        self.image, self.model = Choices("The layer, or the channel of a layer"), Choices("Restoration models")
        self.file = QPushButton("File ...")
        self.diameter = number(0, 10_000, 0, 1, " px", zero="as trained")
        self.diameter.setToolTip(
            "Diameter of the cells; upsample models enlarge smaller cells to the size of their training"
        )
        line = QHBoxLayout()
        line.addWidget(self.model, 1)
        line.addWidget(self.file)
        form.addRow("Image", self.image)
        form.addRow("Model", line)
        form.addRow("Diameter", self.diameter)
        form.addRow(heading("denoise: less noise; deblur: sharper; upsample: more pixels; oneclick: all three."))
        self.column.addWidget(box)
        self.row = TaskRow("Restore", self.run)
        self.column.addWidget(self.row)
        self.column.addStretch(1)
        self.file.clicked.connect(self._choose_file)
        self.model.offer([(choice.text, choice.name) for choice in choices("restoration")])
        watch_layers(self.viewer, self, self._offer_layers)

    def _offer_layers(self) -> None:
        items = [(source.text, source) for source in sources(self.viewer.layers)]
        self.image.offer(items, lambda one, other: one.layer is other.layer and one.channel == other.channel)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Weights of a restoration model")
        if path:
            self.choose_model(path)

    def choose_model(self, name: str) -> None:
        """Select a model by name or by file path."""
        if self.model.findData(name) < 0:
            self.model.addItem(name, name)
        self.model.setCurrentIndex(self.model.findData(name))

    def run(self) -> None:
        """Restore all planes of the layer in the background.

        Raises
        ------
        InputError
            If there is no image layer.
        """
        source, name = chosen(self.image.currentData()), self.model.currentData()
        if source.channel is None and source.layer.rgb:
            message = f"{source.text!r} is a color image; choose one of its channels"
            raise InputError(message)
        diameter = self.diameter.value() or None

        def work(report: Any) -> LayerData:
            # possible channels are restored like planes: one by one
            names = guess_axes(source.layer)
            taken = take(source, axes=names if source.channel is not None else names.replace("C", "T"))
            report("loading the model ...")
            return restored_layer(self._get(name, report), taken, diameter, report)

        self.row.start("restoring", work, self._done)

    def _get(self, name: str, report: Any) -> Any:
        if self._loaded[0] != name:
            from cellpose import core, denoise

            if weights.find(name) is None and weights.lookup(name) is not None:
                weights.pull(name, progress=lambda have, total: report(have / total if total else 0.0))
            self._loaded = (name, denoise.DenoiseModel(gpu=core.use_gpu(), pretrained_model=name))
        return self._loaded[1]

    def _done(self, layer: LayerData) -> None:
        put_layers(self.viewer, [layer])
        self.row.tell("restored; segment the new layer")
