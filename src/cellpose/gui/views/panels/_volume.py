"""How volumes are displayed, painted and segmented."""

from __future__ import annotations

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.views.panels._bound import Group, SliderRow, check_box, number_box

__all__ = ["VolumePanel"]


class VolumePanel(Group):
    """Distance of planes, the brush, 3D flows or stitched planes. Hidden for single planes and movies."""

    def __init__(self, session: Session) -> None:
        super().__init__(tr("Volume"))
        self._session, settings, live = session, session.settings, session.segmentation.live
        box = number_box(settings, "stitch_threshold", 0, 1, 0.05, 2, entered=live.follow)
        self.stitch = SliderRow(box, settings, "stitch_threshold", (0, 1), live.settle)
        self.stitch.setToolTip(
            tr(
                "0: 3D flows of planes of three directions; above: each plane for itself, and masks of neighboring "
                "planes that overlap so much are one cell"
            )
        )
        self.smooth = number_box(settings, "flow3D_smooth", 0, 100, 0.5, 1)
        self.smooth.setToolTip(tr("sigma in pixels that smooths the 3D flows"))
        self.anisotropy = number_box(settings, "anisotropy", 0.01, 100, 0.5, 2)
        self.anisotropy.setToolTip(tr("distance of planes divided by the size of a pixel, for 3D flows"))
        self.ball = check_box(tr("brush through planes"), session.view, "ball")
        self.ball.setToolTip(tr("the brush and the eraser are a ball, as wide as the brush, in place of a disk"))
        view = session.view
        self.dz, self.aspect = number_box(view, "dz", 1, 100, 1, 0), number_box(view, "z_aspect", 0.01, 100, 0.5, 2)
        self.dz.setToolTip(tr("planes above and below the plane that thin slices show"))
        self.aspect.setToolTip(tr("distance of planes in pixels, as it is shown; display only"))
        self.form.addRow(self.ball)
        self.form.addRow(tr("z-aspect"), self.aspect)
        self.form.addRow(tr("dz of thin slices"), self.dz)
        self.steps = check_box(tr("steps by true distances"), settings, "isotropic_steps")
        self.steps.setToolTip(tr("for 3D flows of thick planes; off, as published, cells fall apart into rings there"))
        self.steps.clicked.connect(lambda _: live.follow())  # not when another volume brings its own value
        self.form.addRow(tr("stitch threshold"), self.stitch)
        self.form.addRow(tr("flow3D smooth"), self.smooth)
        self.form.addRow(tr("anisotropy"), self.anisotropy)
        self.form.addRow(self.steps)
        settings.events.stitch_threshold.connect(lambda _: self._show())
        session.opened.connect(lambda _: self._show())
        self._show()

    def _show(self) -> None:
        self.setVisible(self._session.volumes.is_volume)
        for widget in (self.smooth, self.anisotropy, self.steps):
            widget.setEnabled(self._session.settings.do_3D)
