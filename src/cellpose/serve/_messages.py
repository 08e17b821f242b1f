"""Bodies of requests and answers, as the OpenAPI document describes them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cellpose.options import Evaluation, Masking, describe
from cellpose.serve._about import TILE
from cellpose.serve._cells import Cells
from cellpose.serve._jobs import Job, State
from cellpose.serve._store import Item

__all__ = [
    "Click",
    "Edited",
    "Fault",
    "ImageAnswer",
    "JobAnswer",
    "SegmentRequest",
    "Thresholds",
    "cells_answer",
    "image_answer",
]

_MASKING, _EVALUATION = describe(Masking), describe(Evaluation)


def _option(about: dict[str, Any], **more: Any) -> Any:
    """A field with the default, help and range of an option."""
    bounds = {"ge": about["low"], "le": about["high"]}
    return Field(**{"default": about["default"], "description": about["help"], **bounds, **more})


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Thresholds(_Request):
    """Thresholds of the step from flows to cells."""

    cellprob_threshold: float = _option(_MASKING["cellprob_threshold"], ge=-100, le=100)
    flow_threshold: float = _option(_MASKING["flow_threshold"], ge=0, le=100)
    min_size: int = _option(_MASKING["min_size"], ge=-1, le=1_000_000_000)


class SegmentRequest(Thresholds):
    """Settings of a segmentation."""

    model: str = Field("", description="name of a model of the server; empty: its default", max_length=200)
    diameter: float | None = _option(_EVALUATION["diameter"], le=10_000)
    channels: tuple[int, int] = Field(
        (0, 0), description="channel of the cells and of the nuclei, from 1; 0: gray, none"
    )
    mode: Literal["planes", "stitch", "volume"] = Field(
        "planes", description="planes each by itself, joined where cells overlap, or as a volume"
    )
    stitch_threshold: float = _option(_EVALUATION["stitch_threshold"], default=0.25, ge=0, le=1)
    anisotropy: float | None = Field(
        None, gt=0, le=100, description="distance of planes divided by the size of a pixel; null: as the file says"
    )
    invert: bool = Field(False, description="cells are darker than what is around them")


class Click(_Request):
    """A pixel."""

    x: int = Field(ge=0, description="column, from 0")
    y: int = Field(ge=0, description="row, from 0")
    frame: int = Field(0, ge=0, description="plane among all planes of all times, from 0")


class CellsAnswer(BaseModel):
    """The cells of an image."""

    count: int = Field(description="number of cells")
    version: int = Field(description="another one whenever the labels have changed")
    edits: int = Field(description="cells that were added or removed by hand and can be taken back")
    model: str
    mode: str
    diameter: float | None
    thresholds: Thresholds
    warnings: list[str] = Field(description="reasons to doubt the result, and what to try")


class ImageAnswer(BaseModel):
    """An image."""

    id: str
    name: str
    width: int
    height: int
    planes: int
    times: int
    channels: int
    channel_names: list[str]
    dtype: str
    pixel_size_um: tuple[float | None, float | None, float | None] = Field(description="along z, y, x")
    levels: int = Field(description="levels of tiles: the full size, then halves of it")
    tile_size: int
    cells: CellsAnswer | None


class JobAnswer(BaseModel):
    """A segmentation that waits, runs or has ended."""

    id: str
    image: str
    state: State
    ahead: int = Field(description="jobs before it")
    progress: float = Field(description="share that is done, 0 to 1")
    stage: str = Field(description="what is done now")
    seconds: float
    error: str
    warnings: list[str] = Field(description="reasons to doubt the result, and what to try")


class Edited(BaseModel):
    """The changes made by a click."""

    added: int = Field(description="number of the cell that was added; 0: one was removed")
    cells: CellsAnswer


class Fault(BaseModel):
    """Why a request was refused."""

    error: str


def cells_answer(cells: Cells) -> CellsAnswer:
    """The facts about cells for an answer."""
    masking = cells.settings.masking
    return CellsAnswer(
        count=cells.count,
        version=cells.version,
        edits=cells.n_edits,
        model=cells.settings.model,
        mode=cells.settings.mode,
        diameter=cells.settings.diameter,
        thresholds=Thresholds(
            cellprob_threshold=masking.cellprob_threshold,
            flow_threshold=masking.flow_threshold or 0.0,
            min_size=masking.min_size,
        ),
        warnings=cells.warnings,
    )


def image_answer(item: Item) -> ImageAnswer:
    """The facts about an image for an answer."""
    about = item.about
    return ImageAnswer(
        id=item.id,
        name=item.name,
        width=about.width,
        height=about.height,
        planes=about.planes,
        times=about.times,
        channels=about.channels,
        channel_names=list(about.channel_names),
        dtype=about.dtype,
        pixel_size_um=about.pixel_size_um,
        levels=about.levels,
        tile_size=TILE,
        cells=cells_answer(item.cells) if item.cells else None,
    )


def job_answer(job: Job, ahead: int) -> JobAnswer:
    """The facts about a job for an answer."""
    return JobAnswer(
        id=job.id,
        image=job.about,
        state=job.state,
        ahead=ahead,
        progress=round(job.progress, 4),
        stage=job.stage,
        seconds=round(job.seconds, 2),
        error=job.error,
        warnings=job.warnings,
    )
