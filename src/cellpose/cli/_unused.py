"""Options on a command line that have no effect: named once, in one line."""

from __future__ import annotations

import logging
from argparse import Namespace

from cellpose.cli._table import FILTERS, FLAGS, Flag

__all__ = ["warn_of_unused"]

logger = logging.getLogger("cellpose.cli")

_SEGMENT, _TRAIN = "segmentation", "training"
_BOTH = (_SEGMENT, _TRAIN)

# Where the options of a group have an effect, ...
_GROUPS = {
    "general": _BOTH,
    "input": _BOTH,
    "model": _BOTH,
    "algorithm": (_SEGMENT,),
    "output": (_SEGMENT,),
    "training": (_TRAIN,),
}

# ... apart from these.
_OTHERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("no_norm", "norm_percentile", "batch_size", "resume", "mask_filter"), _BOTH),
    **dict.fromkeys(("image_path", "engine", "precision", "z_axis", "axes", "invert", *FILTERS), (_SEGMENT,)),
    **dict.fromkeys(("restore_type", "chan2_restore", "restore_precision", "pretrained_model_ortho"), (_SEGMENT,)),
    **dict.fromkeys(("Zstack", "add_model"), ()),
}

# Options that have an effect only beside one of these.
_BESIDE = {
    **dict.fromkeys(("anisotropy", "flow3D_smooth", "view_weights", "isotropic_steps", "z_interpolation"), ("do_3D",)),
    "pretrained_model_ortho": ("do_3D",),
    **dict.fromkeys(("chan2_restore", "restore_precision"), ("restore_type",)),
    "exact_rois": ("save_rois",),
    "tile_norm_smooth3D": ("tile_norm_blocksize",),
    "replay_fraction": ("replay_dir",),
    **dict.fromkeys(("cache_gb", "workers"), ("stream", "file_list", "contributions")),
}

# Options that have no effect beside this one.
_INSTEAD = {
    "file_list": ("test_dir", "mask_filter", "img_filter", "look_one_level_down", "stream"),
    "contributions": ("file_list", "img_filter", "look_one_level_down", "stream"),
}


def warn_of_unused(args: Namespace, *, training: bool) -> None:
    """Warn of the options that were given and have no effect in this run."""
    mode = _TRAIN if training else _SEGMENT
    given = {flag.name for flag in FLAGS if _is_given(flag, args)}
    used = {flag.name for flag in FLAGS if mode in _OTHERS.get(flag.name, _GROUPS[flag.group])}
    nowhere = {name for name, modes in _OTHERS.items() if not modes}
    _say(given & nowhere, "beside images")
    _say(given - used - nowhere, "in training" if training else "without --train")
    needs = {name: beside for name, beside in _BESIDE.items() if name in given & used and not given & set(beside)}
    for beside in dict.fromkeys(needs.values()):
        _say({name for name in needs if needs[name] == beside}, f"without --{' or --'.join(beside)}")
    if not training and "dir" in given:
        _say(given & {"image_path"}, "beside --dir, which names the images")
    if training:
        for name in given & set(_INSTEAD):
            _say(given.intersection(_INSTEAD[name]), f"beside --{name}, which names the files")


def _is_given(flag: Flag, args: Namespace) -> bool:
    """Whether an option was given and differs from its default; 0 counts as given, although it equals False."""
    value = getattr(args, flag.name)
    return value is not None and value is not False and value not in (flag.default, [flag.default])


def _say(names: set[str], where: str) -> None:
    if not names:
        return
    listed = ", ".join(f"--{flag.name}" for flag in FLAGS if flag.name in names)
    some = "options" if len(names) > 1 else "option"
    logger.warning(f"the {some} {listed} {'have' if len(names) > 1 else 'has'} no effect {where}")
