"""Cells linked through time: tracks, divisions, gaps, and the files of other programs."""

from __future__ import annotations

import tracemalloc
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import tifffile
from cv2 import imwrite

from cellpose import synthetic, track
from cellpose.cli import main
from cellpose.errors import FileMissingError, FileReadError, InputError, OptionError

pytest.importorskip("laptrack", reason="needs laptrack")


def movie() -> np.ndarray:
    """One cell that moves, one that divides in frame 3, one that is missing in frame 2; labels differ by frame."""
    masks = np.zeros((6, 80, 120), int)
    for t in range(6):
        masks[t, 5:20, 5 + 4 * t : 20 + 4 * t] = t + 3
        if t < 3:
            masks[t, 40:60, 40:60] = 1
        else:
            masks[t, 40:60, 40 - 3 * (t - 2) : 49 - 3 * (t - 2)] = 1
            masks[t, 40:60, 51 + 3 * (t - 2) : 60 + 3 * (t - 2)] = 2
        if t != 2:
            masks[t, 62:75, 90:105] = 20
    return masks


@pytest.fixture(scope="module")
def tracked():
    return track.track(movie())


def links(tracks: track.Tracks, masks: np.ndarray, truth: np.ndarray) -> set[tuple[int, int, int, int]]:
    """What follows on what: frame and true number of the first cell and of the second."""
    true = [
        int(np.bincount(truth[t][masks[t] == label]).argmax())
        for t, label in zip(tracks.frame, tracks.label, strict=True)
    ]
    first = {n: k for k, n in reversed(list(enumerate(tracks.track.tolist())))}
    last = {n: k for k, n in enumerate(tracks.track.tolist())}
    pairs = [(k, k + 1) for k in np.flatnonzero(np.diff(tracks.track) == 0)]
    pairs += [(last[parent], first[child]) for child, old in tracks.parents.items() for parent in old]
    return {(int(tracks.frame[a]), true[a], int(tracks.frame[b]), true[b]) for a, b in pairs}


def test_tracks_of_a_small_movie(tracked):
    assert repr(tracked) == "Tracks(5 tracks of 20 cells in 6 frames, 1 division)"
    assert tracked.spans() == {1: (0, 2), 2: (0, 5), 3: (0, 5), 4: (3, 5), 5: (3, 5)}
    assert dict(tracked.parents) == {4: (1,), 5: (1,)}
    assert tracked.divided == (1,)
    numbered = tracked.masks(movie())
    assert [sorted(set(np.unique(frame).tolist()) - {0}) for frame in numbered] == [
        [1, 2, 3], [1, 2, 3], [1, 2], [2, 3, 4, 5], [2, 3, 4, 5], [2, 3, 4, 5],
    ]  # fmt: skip
    assert ((numbered > 0) == (movie() > 0)).all()
    again = track.Tracks.of_numbered(numbered, tracked.parents)
    np.testing.assert_array_equal(again.track, tracked.track)
    assert tracked.without([4]).parents == {5: (1,)}
    assert tracked.without([1]).parents == {}


def test_options_say_what_a_link_is():
    masks = movie()
    assert track.track(masks, divisions=False).divided == ()
    assert track.track(masks, max_gap=0).spans()[3] == (0, 1)
    still = track.track(masks, max_distance=1.0, min_overlap=0.99)
    assert still.numbers.size > 8  # what moves is another cell
    merged = track.track(masks[::-1], merges=True)
    assert sorted(map(len, merged.parents.values())) == [2]
    for wrong in ({"max_distance": 0}, {"max_gap": -1}, {"max_gap": 1.5}, {"min_overlap": 0}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            track.track(masks, **wrong)
    with pytest.raises(InputError, match="same shape"):
        track.track([masks[0], masks[1][:, :50]])
    with pytest.raises(InputError, match="none"):
        track.track([])
    with pytest.raises(InputError, match="5 frames are given for tracks through 6"):
        track.track(masks).masks(masks[:5])


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_a_track_ends_where_more_frames_than_allowed_are_missing(missing):
    masks = np.zeros((8, 40, 40), int)
    for n, x in enumerate((4, 16, 28), 1):
        masks[:, 5:12, x : x + 7] = n
    masks[2 : 2 + missing][masks[2 : 2 + missing] == 2] = 0
    for max_gap in range(4):
        assert track.track(masks, max_gap=max_gap).numbers.size == (3 if missing <= max_gap else 4)


def test_no_cells_and_cells_now_and_then():
    nothing = track.track(np.zeros((3, 20, 20), int))
    assert nothing.numbers.size == 0
    assert track.lineage(nothing)["track"].size == 0
    masks = np.zeros((4, 20, 20), int)
    masks[1, 5:10, 5:10] = 7
    assert track.track(masks).spans() == {1: (1, 1)}
    volume = np.zeros((3, 4, 20, 20), int)
    for t in range(3):
        volume[t, 1:3, 5:12, 5 + t : 12 + t] = t + 1
    assert track.track(volume).centroid.shape == (3, 3)


def test_a_cell_that_flickers_is_put_back(tracked):
    masks = movie()
    filled, tracks = track.fill_gaps(masks, tracked)
    assert (filled[[0, 1, 3, 4, 5]] == masks[[0, 1, 3, 4, 5]]).all()
    assert (filled[2][masks[2] > 0] == masks[2][masks[2] > 0]).all()
    np.testing.assert_array_equal(filled[2] == filled[2].max(), masks[1] == 20)
    assert tracks.frame.size == tracked.frame.size + 1
    # no room: the cell stays missing
    masks[2, 60:80, 85:110] = 50
    kept, same = track.fill_gaps(masks, track.track(masks, min_overlap=0.6))
    assert (kept == masks).all()
    assert same.frame.size == 21


@pytest.mark.parametrize(("seed", "options"), [(3, {}), (4, {"speed": 5.0}), (6, {"cycle": 12.0})])
def test_tracks_of_a_synthetic_movie_are_the_true_ones(seed, options):
    true = synthetic.sample_movie(seed, 16, (192, 192), cells=12, diameter=20, **options)
    want = links(track.Tracks.of_numbered(true.masks, true.parents), true.masks, true.masks)
    found = links(track.track(true.masks), true.masks, true.masks)
    assert len(want) > 150
    assert len(found & want) / max(len(found), len(want)) > 0.98
    # 3 % of the cells are missing, and found again
    rng, masks = np.random.default_rng(0), true.masks.copy()
    for frame in masks[1:-1]:
        for label in np.unique(frame)[1:]:
            frame[(frame == label) & (rng.random() < 0.03)] = 0
    filled, tracks = track.fill_gaps(masks, track.track(masks))
    back = ((filled > 0) & (masks == 0) & (true.masks > 0)).sum() / ((masks == 0) & (true.masks > 0)).sum()
    assert back > 0.6
    mended = links(tracks, filled, true.masks)
    assert len(mended & want) / max(len(mended), len(want)) > 0.95


def test_scores_are_those_of_traccuracy(tracked):
    pytest.importorskip("traccuracy", reason="needs traccuracy")
    masks = movie()
    assert track.score(masks, tracked, masks, tracked) == (1, 1, 1, 1)
    scores = track.score(masks, tracked.without([2]), masks, tracked)
    assert 0.5 < scores.det < 0.8
    with pytest.raises(InputError, match="do not fit"):
        track.score(masks[:, 1:], track.track(masks[:, 1:]), masks, tracked)


def test_folders_of_the_challenge(tmp_path, tracked):
    masks = movie()
    files = track.write_ctc(tmp_path / "01_RES", masks, tracked)
    assert [file.name for file in files][:2] == ["mask000.tif", "mask001.tif"]
    table = (tmp_path / "01_RES/res_track.txt").read_text().splitlines()
    # the track with a gap is two, the second with the first as its parent
    assert table == ["1 0 2 0", "2 0 5 0", "3 0 1 0", "4 3 5 1", "5 3 5 1", "6 3 5 3"]
    images, tracks = track.read_ctc(tmp_path / "01_RES")
    assert ((images > 0) == (masks > 0)).all()
    assert dict(tracks.parents) == {4: (1,), 5: (1,), 6: (3,)}
    track.write_ctc(tmp_path / "TRA", images, tracks, truth=True)
    assert (tmp_path / "TRA/man_track005.tif").is_file()
    np.testing.assert_array_equal(track.read_ctc(tmp_path / "TRA")[0], images)


def test_a_shorter_result_takes_the_place_of_a_longer_one(tmp_path, tracked, caplog):
    (tmp_path / "mask007.tif").touch()  # of no result: no table names it
    track.write_ctc(tmp_path, movie(), tracked)
    assert (tmp_path / "mask007.tif").exists()
    (tmp_path / "mask_of_mine.tif").touch()
    short = movie()[:3]
    track.write_ctc(tmp_path, short, track.track(short))
    names = ["mask000.tif", "mask001.tif", "mask002.tif", "mask_of_mine.tif", "res_track.txt"]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    assert track.read_ctc(tmp_path)[0].shape == short.shape
    tifffile.imwrite(tmp_path / "mask003.tif", (short[2] == 1).astype(np.uint16))
    with pytest.raises(FileReadError, match="track 1 is in frames 0 to 2, but the images have it in frames 0 to 3"):
        track.read_ctc(tmp_path)
    track.write_ctc(tmp_path, movie(), track.track(movie()))
    for file in sorted(tmp_path.glob("mask00*.tif"))[4:]:
        file.unlink()
    caplog.clear()
    assert len(track.read_ctc(tmp_path)[0]) == 4  # a part of a movie, with the table of all of it
    assert "goes on after the last of 4 images" in caplog.text


def test_damaged_folders_are_told(tmp_path, tracked):
    with pytest.raises(FileMissingError, match=r"no man_track\.txt"):
        track.read_ctc(tmp_path)
    (tmp_path / "res_track.txt").write_text("1 0 2\n")
    with pytest.raises(FileMissingError, match=r"no images mask000\.tif"):
        track.read_ctc(tmp_path)
    track.write_ctc(tmp_path, movie(), tracked)
    (tmp_path / "res_track.txt").write_text("1 0 2 0\n2 zero 5 0\n")
    with pytest.raises(FileReadError, match=r"line 2: '2 zero 5 0' is not a track"):
        track.read_ctc(tmp_path)
    (tmp_path / "res_track.txt").write_text("1 0 2 0\n")
    with pytest.raises(FileReadError, match="no line for the labels 2, 3"):
        track.read_ctc(tmp_path)
    (tmp_path / "mask002.tif").unlink()
    with pytest.raises(FileMissingError, match="frames 2 have no image"):
        track.read_ctc(tmp_path)


def test_tables(tmp_path, tracked):
    lines = track.lineage(tracked)
    assert lines["generation"].tolist() == [0, 0, 0, 1, 1]
    assert lines["root"].tolist() == [1, 2, 3, 1, 1]
    assert lines["cells"].tolist() == [3, 6, 5, 3, 3]
    assert lines["children"].tolist() == [2, 0, 0, 0, 0]
    data, graph = track.napari_tracks(tracked)
    assert data.shape == (20, 4)
    assert graph == {4: [1], 5: [1]}
    for what, first in (("cells", "frame,label,track,parent,y,x,area"), ("napari", "ID,T,Y,X")):
        track.write_table(tmp_path / "a.csv", tracked, what)
        rows = (tmp_path / "a.csv").read_text().splitlines()
        assert (rows[0], len(rows)) == (first, 21)
    with pytest.raises(OptionError, match="what='cell'"):
        track.write_table(tmp_path / "a.csv", tracked, "cell")


def test_files_of_trackmate(tmp_path, tracked):
    track.write_trackmate(tmp_path / "a.xml", movie(), tracked, image="movie.tif", pixel_size_um=0.5, interval_s=60)
    root = ET.parse(tmp_path / "a.xml").getroot()
    assert root.tag == "TrackMate"
    spots = {int(spot.get("ID")): spot for spot in root.iter("Spot")}
    assert len(spots) == int(root.find("Model/AllSpots").get("nspots")) == 20
    first = next(k for k, n in enumerate(tracked.track) if n == 2)
    assert [float(spots[first].get(name)) for name in ("POSITION_Y", "POSITION_X", "POSITION_T")] == [6.0, 6.0, 0.0]
    outline = np.array(spots[first].text.split(), float).reshape(-1, 2)
    assert len(outline) == int(spots[first].get("ROI_N_POINTS"))
    assert np.abs(outline).max() <= 4
    edges = [(int(e.get("SPOT_SOURCE_ID")), int(e.get("SPOT_TARGET_ID"))) for e in root.iter("Edge")]
    assert len(edges) == len(links(tracked, movie(), tracked.masks(movie()))) == 17
    assert len(root.findall("Model/AllTracks/Track")) == len(root.findall("Model/FilteredTracks/TrackID")) == 3
    data = root.find("Settings/ImageData")
    assert (data.get("filename"), data.get("nframes"), data.get("pixelwidth")) == ("movie.tif", "6", "0.5")
    with pytest.raises(InputError, match="volumes"):
        track.write_trackmate(tmp_path / "b.xml", np.zeros((2, 3, 9, 9), int), tracked)
    for wrong in ({"interval_s": -3.0}, {"pixel_size_um": 0.0}, {"interval_s": np.inf}):
        with pytest.raises(OptionError, match="give a number above 0, or None"):
            track.write_trackmate(tmp_path / "b.xml", movie(), tracked, **wrong)


def test_what_trackmate_refuses_is_refused_before_anything_is_written(tmp_path, capsys):
    write_masks(tmp_path / "x_cp_masks.tif", movie(), "TYX")
    words = ["track", str(tmp_path / "x_cp_masks.tif"), "--save_trackmate", "--interval_s", "-3"]
    assert main(words) == 2
    assert "interval_s=-3.0 is not allowed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x_cp_masks.tif"]


def test_command(tmp_path, capsys):
    folder = tmp_path / "movie"
    folder.mkdir()
    for t, frame in enumerate(movie()):  # the order is that of numbers, 10 after 9
        tifffile.imwrite(folder / f"t{t + 7}_cp_masks.tif", frame.astype(np.uint16))
        tifffile.imwrite(folder / f"t{t + 7}.tif", np.zeros((5, 5), np.uint8))
    words = ["track", str(folder), "--fill_gaps", "--save_ctc", "--save_trackmate", "--save_napari"]
    assert main(words) == 0
    assert "5 tracks of 21 cells in 6 frames, 1 division," in capsys.readouterr().out
    names = ("tracks.csv", "lineage.csv", "tracked.tif", "RES", "trackmate.xml", "napari.csv")
    assert all((folder / f"movie_{name}").exists() for name in names)
    tracked = tifffile.imread(folder / "movie_tracked.tif")
    assert tracked.shape == (6, 80, 120)
    assert main(["track", str(folder / "movie_tracked.tif"), "--savedir", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/movie_tracks.csv").is_file()
    capsys.readouterr()
    before = (folder / "movie_tracked.tif").read_bytes()  # its numbers may be corrected by hand
    assert main(["track", str(folder / "movie_tracked.tif")]) == 2
    assert "would be replaced by the new tracks; give --savedir" in capsys.readouterr().err
    assert (folder / "movie_tracked.tif").read_bytes() == before
    for wrong, said in (
        (tmp_path / "none", "does not exist"), (tmp_path / "out/none", "does not exist"),
        (folder / "t7.tif", "a movie has the shape"),
    ):  # fmt: skip
        assert main(["track", str(wrong)]) == 2
        assert said in capsys.readouterr().err
    for kind in ("dP", "flows", "cellprob"):  # of --save_flows
        tifffile.imwrite(folder / f"t7_{kind}_cp_masks.tif", np.zeros((2, 80, 120), np.float32))
    assert main(["track", str(folder)]) == 0
    tifffile.imwrite(folder / "t8_cp_masks.tif", np.zeros((9, 9), np.uint16))
    assert main(["track", str(folder)]) == 2
    assert "t8_cp_masks.tif has shape (9, 9)" in capsys.readouterr().err


def test_command_takes_the_axes_of_the_file(tmp_path, capsys):
    masks = np.stack([movie().astype(np.uint16)] * 2, axis=1)
    for axes, array in (("TZYX", masks), ("ZTYX", masks.swapaxes(0, 1)), ("ZYX", masks[:, 0])):
        tifffile.imwrite(tmp_path / f"{axes}_cp_masks.tif", array, photometric="minisblack", metadata={"axes": axes})
    for axes in ("TZYX", "ZTYX"):
        assert main(["track", str(tmp_path / f"{axes}_cp_masks.tif")]) == 0
        assert "5 tracks of 20 cells in 6 frames" in capsys.readouterr().out
    assert main(["track", str(tmp_path / "ZYX_cp_masks.tif")]) == 0
    told = "".join(capsys.readouterr())
    assert "has the axes ZYX, of planes at one time: its planes are taken as frames" in told
    assert "5 tracks of 20 cells in 6 frames" in told


def write_masks(path, array, axes):
    tifffile.imwrite(path, array.astype(np.uint16), photometric="minisblack", metadata={"axes": axes})


@pytest.mark.parametrize("axes", ["TYX", "TZYX"])
def test_a_folder_with_one_movie_is_that_movie(tmp_path, axes, capsys):
    masks = movie() if axes == "TYX" else np.stack([movie()] * 2, axis=1)
    for name in ("movie", "movie_cp_masks"):
        write_masks(tmp_path / f"{name}.tif", masks, axes)
    assert main(["track", str(tmp_path)]) == 0
    assert "5 tracks of 20 cells in 6 frames" in capsys.readouterr().out
    write_masks(tmp_path / "other_cp_masks.tif", masks, axes)
    assert main(["track", str(tmp_path)]) == 2
    assert "is a movie itself" in capsys.readouterr().err


def test_a_frame_without_masks_is_empty(tmp_path, capsys):
    for t, frame in enumerate(movie()):
        write_masks(tmp_path / f"f{t}.tif", frame, "YX")
        if t != 2:  # the frame in which a cell is missing anyway
            write_masks(tmp_path / f"f{t}_cp_masks.tif", frame, "YX")
    write_masks(tmp_path / "light.tif", movie()[0], "YX")  # no frame
    words = ["track", str(tmp_path), "--no_divisions"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert "no masks of f2.tif: 1 empty frame" in told.err
    assert "in 6 frames" in told.out
    tracked = tifffile.imread(tmp_path / f"{tmp_path.name}_tracked.tif")
    assert [int(frame.any()) for frame in tracked] == [1, 1, 0, 1, 1, 1]
    np.testing.assert_array_equal(tracked[5] > 0, movie()[5] > 0)


def frames_of(folder, names, masked, ending="_cp_masks.tif"):
    """A folder of images, of which some have masks."""
    frame = movie()[0].astype(np.uint16)
    for name in names:
        tifffile.imwrite(folder / f"{name}.tif", frame)
    for name in masked:
        (imwrite if ending.endswith("png") else tifffile.imwrite)(folder / f"{name}{ending}", frame)


@pytest.mark.parametrize("odd", ["t{}_c1", "u{}_c0", "t{}", "t{}_c0_2"])
def test_images_of_other_series_are_no_frames(tmp_path, odd, capsys):
    frames = [f"t{t}_c0" for t in range(9)]
    frames_of(tmp_path, [*frames, *(odd.format(t) for t in range(9))], frames[2:5] + frames[6:8])
    assert main(["track", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "no masks of t5_c0.tif: 1 empty frame" in told.err  # those before the first and after the last are no gaps
    assert "in 6 frames" in told.out


def test_frames_that_differ_in_several_numbers_have_no_gaps(tmp_path, capsys):
    frames_of(tmp_path, ["t0_c0", "t1_c0", "t2_c0", "t2_c1"], ["t0_c0", "t2_c1"])
    assert main(["track", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "empty frame" not in told.err
    assert "in 2 frames" in told.out


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["t0_c0", "t0_c1", "t1_c0", "t1_c1"], True), (["t0_dapi", "t0_gfp", "t1_dapi", "t1_gfp"], True),
        (["t0_c0", "t1_c0", "t2_c0"], False), (["10-58-30", "10-59-00", "10-59-30", "11-00-00"], False),
    ],
)  # fmt: skip
def test_a_folder_of_several_channels_is_told(tmp_path, names, told, capsys):
    frames_of(tmp_path, names, names)
    assert main(["track", str(tmp_path)]) == 0
    assert ("look like those of several channels or positions" in capsys.readouterr().err) == told


@pytest.mark.parametrize("images", [True, False])
def test_masks_of_another_ending_are_frames_too(tmp_path, images, capsys):
    names = [f"t{t}" for t in range(4)]
    frames_of(tmp_path, names if images else [], names[:1])
    frames_of(tmp_path, [], names, "_cp_masks.png")  # t0 has both
    frames_of(tmp_path, [], ["t1", "light"], "_masks.tif")
    frames_of(tmp_path, [], ["t1_outlines", "t5_flows"], "_cp_masks.png")  # pictures
    assert main(["track", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "empty frame" not in told.err
    assert "in 4 frames" in told.out
    tracked = tifffile.imread(tmp_path / f"{tmp_path.name}_tracked.tif")
    assert all(frame.any() for frame in tracked)


def test_frames_without_masks_among_images_of_ome(tmp_path, capsys):
    names = [f"t{t}.ome" for t in range(4)]
    frames_of(tmp_path, names, [name for name in names if name != "t2.ome"])
    frames_of(tmp_path, [], ["t0"], "_cp_masks.ome.tif")  # of the same image
    assert main(["track", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "no masks of t2.ome.tif: 1 empty frame" in told.err
    assert "in 4 frames" in told.out


def test_planes_that_were_segmented_separately_are_told(tmp_path, capsys):
    masks = np.zeros((2, 3, 40, 40), int)
    for z in range(3):
        masks[:, z, 2:8, 2 + 12 * z : 9 + 12 * z] = 1
    write_masks(tmp_path / "a_cp_masks.tif", masks, "TZYX")
    assert main(["track", str(tmp_path / "a_cp_masks.tif")]) == 0
    assert "its planes seem to be segmented separately" in capsys.readouterr().err


def test_large_labels_need_little_memory(tmp_path):
    masks = movie()
    masks[masks == 20] = 60_000_000
    tracemalloc.start()
    tracks = track.track(masks)
    numbered = tracks.masks(masks)
    filled, after = track.fill_gaps(masks, tracks)
    track.lineage(track.Tracks.of_numbered(masks))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # a table over all numbers has 240 MB and more
    assert (numbered[masks == 60_000_000] == numbered[0, 65, 95]).all()
    assert after.frame.size == tracks.frame.size + 1
    assert filled[2, 65, 95] == filled[2].max() > 0


def test_synthetic_movies():
    options = {"n_frames": 8, "size": (64, 80), "cells": 5, "diameter": 16.0, "cycle": 5.0}
    one, same = (synthetic.sample_movie(2, **options) for _ in range(2))
    np.testing.assert_array_equal(one.image, same.image)
    np.testing.assert_array_equal(one.masks, same.masks)
    assert one.image.shape == one.masks.shape == (8, 64, 80)
    assert one.parents
    for child, (mother,) in one.parents.items():
        first = min(t for t in range(8) if (one.masks[t] == child).any())
        assert (one.masks[first - 1] == mother).any()
        assert not (one.masks[first:] == mother).any()
    for wrong in ({"n_frames": 0}, {"cells": 2.5}, {"cycle": 1}, {"size": (4, 4)}, {"speed": -1}):
        with pytest.raises(OptionError):
            synthetic.sample_movie(2, **{**options, **wrong})
