# %% [markdown]
# # Puncta per cell
#
# A tagged channel protein such as PIEZO1-GFP lies in small spots. How many spots has each cell, and how densely do they
# lie? Cells are found in the membrane and nuclear channels, spots in the channel of the protein. The image is synthetic;
# put your own three-channel file in its place and leave out this first cell.

# %%
import example_images

example_images.write("piezo1_multichannel.tif")

# %%
from cellpose import models
import tifffile
import numpy as np
from skimage.measure import regionprops_table, label
from skimage.feature import blob_log
import pandas as pd

# Load multi-channel: ch0=PIEZO1-GFP, ch1=membrane, ch2=DAPI
img = tifffile.imread("piezo1_multichannel.tif")  # (3, Y, X)

# %%
# Segment cells using membrane + DAPI channels
model = models.CellposeModel(gpu=True)
cell_masks, _, _ = model.eval(img[[1, 2]], diameter=40, channels=[1, 2], channel_axis=0)

# %% [markdown]
# The threshold of the spots is in the units of the image: 0.05 of intensities from 0 to 1. Choose yours by eye, on an image
# without the tag as well, where there should be next to none.

# %%
# Detect PIEZO1-GFP puncta using blob detection
piezo1 = img[0].astype(float)
blobs = blob_log(piezo1, min_sigma=1, max_sigma=5, threshold=0.05)
# blobs: (N, 3) array: [y, x, sigma]

# Assign each punctum to a cell
puncta_per_cell = {}
for blob in blobs:
    y, x = int(blob[0]), int(blob[1])
    cell_id = cell_masks[y, x]
    if cell_id > 0:
        puncta_per_cell[cell_id] = puncta_per_cell.get(cell_id, 0) + 1

# %%
# Measure cell properties
props = regionprops_table(cell_masks, piezo1,
    properties=["label", "area", "mean_intensity"])
df = pd.DataFrame(props)
df["puncta_count"] = df["label"].map(puncta_per_cell).fillna(0).astype(int)
df["puncta_density"] = df["puncta_count"] / df["area"]

df.to_csv("piezo1_analysis.csv", index=False)
print(df[["label", "area", "mean_intensity", "puncta_count", "puncta_density"]].head(10))

# %%
import matplotlib.pyplot as plt
from cellpose.utils import outlines_list

fig, axes = plt.subplots(1, 2, figsize=(8, 4))
for axis, channel, name in zip(axes, (1, 0), ("membrane", "PIEZO1-GFP")):
    axis.imshow(img[channel], cmap="gray", vmax=np.percentile(img[channel], 99.5))
    for outline in outlines_list(cell_masks):
        axis.plot(*outline.T, color="orange", lw=0.8)
    axis.set_title(name)
    axis.axis("off")
axes[1].plot(blobs[:, 1], blobs[:, 0], "o", mfc="none", mec="deepskyblue", ms=5, mew=0.7)
plt.tight_layout()
fig.savefig("puncta_per_cell.png", dpi=110)

# %% [markdown]
# `cellpose measure --dir images --spots 0` makes the same table for a folder of segmented images, without Python.
