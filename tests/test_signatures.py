"""Names, parameters and their order that scripts written for the published versions use."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest

# module -> callable: parameters in the order in which scripts give them (others of ours may stand between or behind).
EXPECTED = {
    "models": {
        "CellposeModel": "gpu pretrained_model model_type diam_mean device nchan use_bfloat16",
        "CellposeModel.eval": "x batch_size resample channels channel_axis z_axis normalize invert rescale diameter "
        "flow_threshold cellprob_threshold do_3D anisotropy flow3D_smooth stitch_threshold min_size max_size_fraction "
        "niter augment tile_overlap bsize interp compute_masks progress",
        "Cellpose": "gpu model_type nchan device backbone",
        "Cellpose.eval": "x batch_size channels channel_axis invert normalize diameter do_3D",
        "SizeModel": "cp_model device pretrained_size",
        "SizeModel.eval": "x channels channel_axis normalize invert augment batch_size progress",
        "model_path": "model_type model_index",
        "size_model_path": "model_type",
        "cache_model_path": "basename",
        "assign_device": "use_torch gpu device",
    },
    "core": {
        "use_gpu": "gpu_number use_torch",
        "assign_device": "use_torch gpu device",
        "check_mkl": "use_torch",
        "run_net": "net imgi batch_size augment tile_overlap bsize rsz",
        "run_3D": "net imgs batch_size augment tile_overlap bsize net_ortho progress",
    },
    "dynamics": {
        "masks_to_flows": "masks device niter",
        "masks_to_flows_cpu": "masks niter device",
        "masks_to_flows_gpu": "masks device niter",
        "masks_to_flows_gpu_3d": "masks device niter",
        "labels_to_flows": "labels files device redo_flows niter return_flows",
        "follow_flows": "dP inds niter device interp",
        "steps_interp": "dP inds niter device",
        "steps2D": "p dP niter",
        "steps3D": "p dP niter",
        "get_masks_torch": "pt inds shape0 rpad max_size_fraction",
        "get_masks_orig": "p iscell rpad max_size_fraction",
        "compute_masks": "dP cellprob p niter cellprob_threshold flow_threshold do_3D min_size max_size_fraction "
        "device interp",
        "resize_and_compute_masks": "dP cellprob niter cellprob_threshold flow_threshold do_3D min_size "
        "max_size_fraction resize device interp",
        "remove_bad_flow_masks": "masks flows threshold device",
        "flow_error": "maski dP_net device",
    },
    "transforms": {
        "normalize99": "Y lower upper copy downsample",
        "normalize99_tile": "img blocksize lower upper tile_overlap norm3D smooth3D is3D",
        "smooth_sharpen_img": "img smooth_radius sharpen_radius device is3D",
        "gaussian_kernel": "sigma Ly Lx device",
        "normalize_img": "img normalize norm3D invert lowhigh percentile sharpen_radius smooth_radius "
        "tile_norm_blocksize tile_norm_smooth3D axis",
        "resize_image": "img0 Ly Lx rsz interpolation no_channels",
        "resize_image_3d": "img shape interpolation no_channels",
        "get_pad_yx": "Ly Lx div extra min_size",
        "pad_image_ND": "img0 div extra min_size zpad",
        "make_tiles": "imgi bsize augment tile_overlap",
        "average_tiles": "y ysub xsub Ly Lx",
        "unaugment_tiles": "y",
        "_taper_mask": "ly lx sig",
        "convert_image": "x channels channel_axis z_axis do_3D nchan",
        "reshape": "data channels chan_first",
        "move_axis": "img m_axis first",
        "move_min_dim": "img force",
    },
    "metrics": {
        "average_precision": "masks_true masks_pred threshold",
        "mask_ious": "masks_true masks_pred",
        "aggregated_jaccard_index": "masks_true masks_pred",
        "boundary_scores": "masks_true masks_pred scales",
        "flow_error": "maski dP_net device",
    },
    "utils": {
        "masks_to_outlines": "masks",
        "outlines_list": "masks multiprocessing_threshold multiprocessing",
        "outlines_list_multi": "masks num_processes",
        "fill_holes_and_remove_small_masks": "masks min_size",
        "stitch3D": "masks stitch_threshold",
        "remove_edge_masks": "masks change_index",
        "masks_to_edges": "masks threshold",
        "dilate_masks": "masks n_iter",
        "radius_distribution": "masks bins",
        "get_masks_unet": "output cell_threshold boundary_threshold",
        "download_url_to_file": "url dst progress",
        "TqdmToLogger": "logger level",
        "TqdmToLogger.write": "buf",
    },
    "plot": {
        "show_segmentation": "fig img maski flowi channels file_name",
        "mask_rgb": "masks colors",
        "mask_overlay": "img masks colors",
        "image_to_rgb": "img0 channels",
        "interesting_patch": "mask bsize",
        "disk": "med r Ly Lx",
        "outline_view": "img0 maski color mode",
    },
    "io": {
        "get_image_files": "folder mask_filter imf look_one_level_down",
        "get_label_files": "image_names mask_filter imf",
        "load_images_labels": "tdir mask_filter image_filter look_one_level_down",
        "load_train_test_data": "train_dir test_dir image_filter mask_filter look_one_level_down",
        "masks_flows_to_seg": "images masks flows file_names channels imgs_restore restore_type ratio",
        "save_to_png": "images masks flows file_names",
        "save_rois": "masks file_name multiprocessing prefix pad",
    },
    "denoise": {
        "train": "net train_data train_labels train_files test_data test_labels test_files train_probs test_probs lam "
        "scale_range seg_model_type save_path save_every save_each poisson beta blur gblur iso uniform_blur downsample "
        "ds_max learning_rate n_epochs weight_decay batch_size nimg_per_epoch nimg_test_per_epoch model_name",
        "DenoiseModel": "gpu pretrained_model nchan model_type chan2 diam_mean device",
        "DenoiseModel.eval": "x batch_size channels channel_axis z_axis normalize rescale diameter tile do_3D "
        "tile_overlap bsize",
        "CellposeDenoiseModel": "gpu pretrained_model model_type restore_type nchan chan2_restore device",
    },
    "resnet_torch": {
        "CPnet": "nbase nout sz mkldnn conv_3D max_pool diam_mean",
        "CPnet.forward": "data",
        "CPnet.load_model": "filename device",
        "CPnet.save_model": "filename",
    },
    "vit": {
        "CPSAM": "ps nout bsize rdrop dtype",
        "CPDINO": "model_name ps nout bsize rdrop dtype",
    },
}
CALLS = [(module, name, names) for module, table in EXPECTED.items() for name, names in table.items()]


@pytest.mark.parametrize(("module", "name", "names"), CALLS, ids=[f"{m}.{n}" for m, n, _ in CALLS])
def test_parameters_and_their_order(module: str, name: str, names: str) -> None:
    found = importlib.import_module(f"cellpose.{module}")
    for part in name.split("."):
        found = getattr(found, part)
    ours = list(inspect.signature(found).parameters)
    places = [ours.index(parameter) if parameter in ours else -1 for parameter in names.split()]
    assert -1 not in places, [p for p, place in zip(names.split(), places, strict=True) if place < 0]
    assert places == sorted(places), ours


def test_names_that_a_generation_gave_to_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One generation calls them so, another otherwise: both are taken."""
    from cellpose import metrics, models
    from cellpose.vit import CPDINO, CPSAM

    masks = np.array([[0, 1], [2, 2]])
    for names in (("x", "y"), ("masks_true", "masks_pred")):
        overlap = metrics._label_overlap(**dict.fromkeys(names, masks))
        assert overlap.toarray().tolist() == np.diag([1, 1, 2]).tolist()
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    (tmp_path / "cpsam_v2").write_bytes(b"weights")
    for name in ("basename", "backbone"):
        assert models.cache_model_path(**{name: "cpsam_v2"}) == str(tmp_path / "cpsam_v2")
    for family in (CPSAM, CPDINO):
        for name in ("filename", "PATH"):
            with pytest.raises(FileNotFoundError, match="no_such_file"):
                family.load_model(None, device=None, **{name: tmp_path / "no_such_file"})
    with pytest.raises(TypeError, match="got both filename and PATH"):
        CPSAM.load_model(None, filename="a", PATH="b")
