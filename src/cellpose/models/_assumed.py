"""How images without named axes are read: one line in the log, with what to type if it is wrong."""

from __future__ import annotations

__all__ = ["assumption"]


def assumption(name: str, shape: tuple[int, ...], letters: str, *, on_command_line: bool = False) -> str:
    """The line about one image.

    Parameters
    ----------
    name, shape
        Of the image.
    letters
        The assumed axes, from `cellpose.transforms.assumed_axes`.
    on_command_line
        Whether options are those of the command line.

    Examples
    --------
    >>> assumption("a.tif", (4, 120, 120), "CYX")
    'a.tif: shape (4, 120, 120) without named axes: read as 4 channels of a plane; if they are z planes: z_axis=0 \
with do_3D or stitch_threshold'
    """
    start = f"{name}: shape {tuple(shape)} without named axes: read as "
    if "C" in letters and "Z" in letters:
        other = "--axes" if on_command_line else "channel_axis and z_axis"
        c, z = letters.index("C"), letters.index("Z")
        return (
            f"{start}{shape[z]} planes along axis {z} of {shape[c]} channels along axis {c}; if that is wrong, give "
            f"{other}"
        )
    axis = letters.index("C" if "C" in letters else "Z")
    if "C" in letters:
        what = f"{shape[axis]} channels of a plane; if they are z planes"
        there = f"--z_axis {axis} with --do_3D or --stitch_threshold, or --axes {letters.replace('C', 'Z')}"
        here = f"z_axis={axis} with do_3D or stitch_threshold"
    else:
        what = f"{shape[axis]} separate planes; if they are channels"
        there = f"--channel_axis {axis}, or --axes {letters.replace('Z', 'C')}; if cells go through them: --do_3D"
        here = f"channel_axis={axis}; if cells go through them: do_3D"
        there, here = f"{there} or --stitch_threshold", f"{here} or stitch_threshold"
    return f"{start}{what}: {there if on_command_line else here}"
