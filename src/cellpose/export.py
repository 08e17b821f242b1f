"""BioImage.IO packages: a model with its weights, a test image and what it gives, for the programs that read these.

``python -m cellpose.export`` writes a package, :func:`export_model` does it from Python. The libraries of BioImage.IO
are in the extra ``export``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose import io, synthetic, weights
from cellpose._machine.optional import optional
from cellpose._machine.writing import make_folder
from cellpose._version import version
from cellpose.errors import CellposeError, FileMissingError, InputError, OptionError
from cellpose.nets import Architecture

if TYPE_CHECKING:
    from torch import nn

__all__ = ["export_model", "main"]

Array = npt.NDArray[np.float32]

_SIDE = 256  # of the test image, where tiles may have any size
_STEP = 16  # sides of tiles are multiples of it
_PERCENTILES = (1.0, 99.0)
_EPS = 1e-6
_PAPERS = [
    {
        "text": "Stringer et al., Cellpose: a generalist algorithm for cellular segmentation, Nature Methods 2021",
        "doi": "10.1038/s41592-020-01018-x",
    }
]
_OUTPUTS = ("flow_y", "flow_x", "cell_probability")


@dataclasses.dataclass(frozen=True)
class _Tensors:
    """The test: an image as it is given, (1, channel, y, x), and every output by name."""

    image: Array
    outputs: dict[str, Array]


def export_model(
    model: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
    description: str | None = None,
    authors: Sequence[Mapping[str, str]] = (),
    cite: Sequence[Mapping[str, str]] = (),
    license: str | None = None,  # a term of the format
    tags: Sequence[str] = (),
    documentation: str | Path | None = None,
    covers: Sequence[str | Path] = (),
    image: npt.NDArray[Any] | None = None,
    model_id: str | None = None,
    icon: str | None = None,
    model_version: str | None = None,
    git_repo: str | None = None,
) -> Path:
    """Write a model as a BioImage.IO package, which is checked as it is made.

    Parameters
    ----------
    model
        Name or path of a U-Net (segmentation or restoration) or a transformer.
    out
        The ``.zip`` file, or a folder, in which it is called ``<model>.zip``.
    name, description, license
        Of the package; the license as SPDX has it. None: the name of the model, and the summary and the license of its
        card; a model without a card needs a license.
    authors, cite
        Mappings with ``name`` (and ``affiliation``, ``orcid``, …), and with ``text`` and ``doi`` or ``url``.
    tags, model_id, icon, model_version, git_repo
        As the format has them.
    documentation
        A Markdown file; None: one is written.
    covers
        Pictures; none: the test image beside what the network makes of it.
    image
        Test image, (y, x) or (y, x, channel) of any real dtype; None: a synthetic one.

    Returns
    -------
    Path
        The package.

    Raises
    ------
    MissingExtraError
        If the libraries of BioImage.IO are not installed.
    InputError
        If the image does not fit the network.
    UnknownModelError, WeightsError
        If there is no such model, or it cannot be read.
    OptionError
        If the network is one that BioImage.IO cannot run.
    """
    spec = optional("bioimageio.spec.model.v0_5", "export", "write BioImage.IO packages")
    writer = optional("bioimageio.spec", "export", "write BioImage.IO packages")
    file = weights.resolve(model)
    network = weights.architecture(file)
    if network.conv_3D or network.classes:
        message = (
            f"{file.path} holds a network for volumes or for classes, which cannot be exported; give one that "
            "predicts flows"
        )
        raise OptionError(message)
    card = file.card
    path = Path(out) / f"{file.name}.zip" if Path(out).is_dir() or not Path(out).suffix else Path(out)
    make_folder(path.parent)
    license = license or card.get("licence")
    if not license:
        message = f"{file.name} has no model card with a license; give an SPDX license name, such as CC-BY-4.0"
        raise OptionError(message)
    module, source = _runner(weights.load_network(file), network)
    tensors = _tested(module, network, image)
    with tempfile.TemporaryDirectory() as folder:
        files = _written(Path(folder), module, tensors, documentation, covers, card, file.name)
        description = description or str(card.get("summary") or f"{file.name}, a network of Cellpose")
        facts = _given(id=model_id, icon=icon, version=model_version, git_repo=git_repo)
        facts |= {
            "name": name or f"Cellpose {file.name}",
            "description": description[:1024],
            "authors": [*(authors or [{"name": "the authors of the model"}])],
            "cite": [*(cite or _PAPERS)],
            "license": license,
            "tags": [*(tags or ("cellpose", "2d", "cells", "segmentation"))],
            "covers": [spec.FileDescr(source=each) for each in files["covers"]],
            "documentation": spec.FileDescr(source=files["documentation"]),
        }
        try:
            made = spec.ModelDescr(
                **facts,
                inputs=[_input(spec, network, files["test_input"])],
                outputs=[_output(spec, key, value, network, files[key]) for key, value in tensors.outputs.items()],
                weights=spec.WeightsDescr(pytorch_state_dict=_weights(spec, files["weights"], network, source)),
            )
        except ValueError as error:  # from pydantic: it names the fields and their allowed values
            message = f"BioImage.IO does not accept this description of the model: {error}"
            raise OptionError(message) from error
        writer.save_bioimageio_package(made, output_path=path, allow_invalid=False)
    return path


def _given(**facts: Any) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _runner(net: nn.Module, network: Architecture) -> tuple[nn.Module, tuple[str, str, dict[str, Any]]]:
    """The network as runners call it: a flat tuple of tensors; and the module, class and arguments that make it."""
    from cellpose import resnet_torch, vit

    kwargs: dict[str, Any]
    if network.name == "cpnet":
        kwargs = {
            "nbase": list(network.nbase), "nout": network.nout, "sz": network.sz, "residual_on": network.residual_on,
            "style_on": network.style_on, "concatenation": network.concatenation,
        }  # fmt: skip
        made: nn.Module = resnet_torch.CPnetBioImageIO(**kwargs)
        source = "cellpose.resnet_torch", "CPnetBioImageIO", kwargs
    elif network.name.startswith("dino"):
        kwargs = {
            "model_name": network.name.removeprefix("dino_"), "ps": network.ps, "nout": network.nout,
            "embed_dim": network.embed_dim, "depth": network.depth, "num_heads": network.num_heads,
        }  # fmt: skip
        made = vit.CPDINO(**kwargs)
        source = "cellpose.vit", "CPDINO", kwargs
    else:
        kwargs = {
            "ps": network.ps, "nout": network.nout, "bsize": network.bsize, "embed_dim": network.embed_dim,
            "num_heads": network.num_heads, "offsets": list(network.offsets),
        }  # fmt: skip
        made = vit.CPnetBioImageIO(**kwargs)
        source = "cellpose.vit", "CPnetBioImageIO", kwargs
    made.load_state_dict(net.state_dict())
    return made.eval(), source


def _tested(module: nn.Module, network: Architecture, image: npt.NDArray[Any] | None) -> _Tensors:
    import torch

    side = network.bsize or _SIDE
    if image is None:
        made = synthetic.sample(0, (side, side), "nuclei", channels=min(2, network.nchan)).image
        raw = np.zeros((network.nchan, side, side), np.float32)
        raw[: len(made)] = made
    else:
        raw = _cut(np.asarray(image), network.nchan, side, exact=bool(network.bsize))
    given = raw[np.newaxis].astype(np.float32)
    low, high = (np.percentile(given, p, axis=(2, 3), keepdims=True) for p in _PERCENTILES)
    with torch.no_grad():
        found = module(torch.from_numpy(((given - low) / (high - low + _EPS)).astype(np.float32)))
    names = ["flow" if network.nout >= len(_OUTPUTS) else "restored", "style"]
    names += [f"downsampled_{n}" for n in range(len(found) - 2)]
    # The style of transformers, which comes last, is zeros: it is no output that can be tested.
    outputs = {name: each.numpy() for name, each in zip(names, found, strict=True) if bool(each.any())}
    return _Tensors(given, outputs)


def _cut(image: npt.NDArray[Any], nchan: int, side: int, *, exact: bool) -> npt.NDArray[Any]:
    """The middle of an image (y, x[, channel]) as (channel, y, x), with sides that the network takes."""
    planes = image[np.newaxis] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    if planes.ndim != 3 or len(planes) > max(nchan, 3):
        message = f"a test image of shape {image.shape} is not allowed; give (y, x) or (y, x, channel)"
        raise InputError(message)
    height, width = (side if exact else min(n, 2 * side) // _STEP * _STEP for n in planes.shape[1:])
    if min(height, width) < _STEP or height > planes.shape[1] or width > planes.shape[2]:
        message = f"a test image of {planes.shape[1]} x {planes.shape[2]} pixels is too small; give {side} x {side}"
        raise InputError(message)
    y, x = (planes.shape[1] - height) // 2, (planes.shape[2] - width) // 2
    out = np.zeros((nchan, height, width), np.float32)
    used = planes[:nchan, y : y + height, x : x + width]
    out[: len(used)] = used
    return out


def _written(
    folder: Path,
    module: nn.Module,
    tensors: _Tensors,
    documentation: str | Path | None,
    covers: Sequence[str | Path],
    card: Mapping[str, Any],
    name: str,
) -> dict[str, Any]:
    """The files of the package, by what they are."""
    import torch

    files: dict[str, Any] = {"weights": folder / f"{name}.pt", "test_input": folder / "test_input.npy"}
    torch.save(module.state_dict(), files["weights"])
    np.save(files["test_input"], tensors.image)
    for key, value in tensors.outputs.items():
        files[key] = folder / f"test_{key}.npy"
        np.save(files[key], value)
    for path in (*covers, *([documentation] if documentation else [])):
        if not Path(path).is_file():
            message = f"there is no file {path}; check the path"
            raise FileMissingError(message)
    files["documentation"] = Path(documentation) if documentation else folder / "README.md"
    if not documentation:
        files["documentation"].write_text(_readme(name, card), encoding="utf-8")
    files["covers"] = [Path(each) for each in covers]
    if not covers:
        files["covers"] = [folder / "cover.png"]
        cv2.imwrite(str(folder / "cover.png"), _cover(tensors))
    return files


def _readme(name: str, card: Mapping[str, Any]) -> str:
    facts = f"\n\n```json\n{json.dumps(card, indent=1)}\n```" if card else ""
    return f"""# {name}

{card.get("summary", "A network of Cellpose.")}

The first output holds the flow along y, the flow along x and the cell probability (a logit); a restoration network
gives the restored image. Masks are made of the flows by `cellpose.dynamics.compute_masks(flow[:2], flow[2])`, or with
the whole pipeline: `cellpose.models.CellposeModel(pretrained_model=...)`, which takes this package.

## Validation

Compare masks with those that you drew, by `cellpose.metrics.average_precision`.

Written by cellpose {version}.{facts}
"""


def _cover(tensors: _Tensors) -> npt.NDArray[np.uint8]:
    """The test image and the last channel of the first output, side by side."""
    first = next(iter(tensors.outputs.values()))
    shown = []
    for plane in (tensors.image[0, 0], first[0, -1]):
        low, high = np.percentile(plane, (1, 99))
        gray = np.clip((plane - low) / max(high - low, _EPS), 0, 1) * 255
        shown.append(cv2.resize(gray.astype(np.uint8), (256, 256), interpolation=cv2.INTER_AREA))
    return np.hstack(shown)


def _axes(spec: Any, network: Architecture) -> list[Any]:
    size = network.bsize or spec.ParameterizedSize(min=_STEP, step=_STEP)
    return [spec.SpaceInputAxis(id=axis, size=size) for axis in ("y", "x")]


def _input(spec: Any, network: Architecture, test: Path) -> Any:
    """The image: each channel is scaled by its percentiles."""
    channels = spec.ChannelAxis(channel_names=[f"channel{n + 1}" for n in range(network.nchan)])
    low, high = _PERCENTILES
    scaled = spec.ScaleRangeDescr(
        kwargs=spec.ScaleRangeKwargs(axes=("y", "x"), min_percentile=low, max_percentile=high, eps=_EPS)
    )
    return spec.InputTensorDescr(
        id="raw",
        description="cells in the first channel, nuclei in the second if there is one; cells of about 30 pixels",
        axes=[spec.BatchAxis(), channels, *_axes(spec, network)],
        preprocessing=[scaled],
        test_tensor=spec.FileDescr(source=test),
    )


def _output(spec: Any, name: str, value: Array, network: Architecture, test: Path) -> Any:
    if name == "flow" and network.nout == len(_OUTPUTS):
        names: list[str] = list(_OUTPUTS)
    else:
        names = [f"{name}{n + 1}" for n in range(value.shape[1])]
    axes = [spec.BatchAxis(), spec.ChannelAxis(channel_names=names)]
    if value.ndim == 4:
        scale = 2 ** int(name.removeprefix("downsampled_")) if name.startswith("downsampled_") else 1
        for axis in ("y", "x"):
            reference = spec.SizeReference(tensor_id="raw", axis_id=axis)
            axes.append(spec.SpaceOutputAxis(id=axis, size=reference, scale=float(scale)))
    return spec.OutputTensorDescr(id=name, axes=axes, test_tensor=spec.FileDescr(source=test))


def _weights(spec: Any, path: Path, network: Architecture, source: tuple[str, str, dict[str, Any]]) -> Any:
    import torch

    module, called, kwargs = source
    release = torch.__version__.split("+")[0]
    return spec.PytorchStateDictWeightsDescr(
        source=path,
        architecture=spec.ArchitectureFromLibraryDescr(import_from=module, callable=called, kwargs=kwargs),
        pytorch_version=spec.Version(release),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = _parser().parse_args(argv)
    io.logger_setup()
    try:
        image = None if args.image is None else io.imread_2D(args.image)
        if image is not None and args.channels:
            image = np.stack([image[..., max(c - 1, 0)] for c in args.channels if c], axis=-1)
        path = export_model(
            args.path_pretrained_model,
            args.out,
            name=args.model_name,
            authors=json.loads(args.model_authors or "[]"),
            cite=json.loads(args.model_cite or "[]"),
            license=args.model_license,
            tags=args.model_tags or (),
            documentation=args.path_readme or args.model_documentation,
            covers=args.list_path_cover_images or (),
            image=image,
            model_id=args.model_id,
            icon=args.model_icon,
            model_version=args.model_version,
            git_repo=args.model_repo,
        )
    except json.JSONDecodeError as error:
        sys.stderr.write(f"error: authors and citations must be JSON lists of objects: {error}\n")
        return 2
    except CellposeError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cellpose.export", description="write a BioImage.IO package")
    say = parser.add_argument
    say("--path_pretrained_model", required=True, metavar="MODEL", help="name or path of the model")
    say("--out", type=Path, default=Path(), help="zip file, or folder for <model>.zip (default: the current one)")
    say("--image", type=Path, help="test image (default: a synthetic one)")
    say(
        "--channels",
        type=int,
        nargs=2,
        metavar="C",
        help="channels of the test image to use: cells, nuclei; 0 for none",
    )
    say("--path_readme", type=Path, help="Markdown file of the documentation (default: one is written)")
    say("--list_path_cover_images", type=Path, nargs="+", help="pictures (default: the test image and the result)")
    say("--model_name", help="name (default: that of the model)")
    say("--model_authors", help='JSON, for example \'[{"name": "A. Biologist"}]\'')
    say("--model_cite", help='JSON, for example \'[{"text": "our paper", "doi": "10.1000/1"}]\'')
    say("--model_license", help="SPDX name, such as CC-BY-4.0 (default: that of the model card)")
    say("--model_tags", nargs="+", help="tags")
    say("--model_documentation", type=Path, help="the same as --path_readme")
    for option in ("model_id", "model_icon", "model_version", "model_repo"):
        say(f"--{option}", help=f"{option.removeprefix('model_')} of the package")
    return parser


if __name__ == "__main__":
    sys.exit(main())
