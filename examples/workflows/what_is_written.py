# %% [markdown]
# # What is written, and what is in it
#
# A segmentation leaves files beside the image. This workflow writes them and looks into each.

# %%
import example_images

example_images.write("cells.tif")

# %%
from cellpose import models, io

img = io.imread("cells.tif")
model = models.CellposeModel(gpu=True)
masks, flows, styles = model.eval(img, diameter=30, channels=[0, 0])

io.masks_flows_to_seg(img, masks, flows, "cells.tif", channels=[0, 0], diams=30)
io.save_masks(img, masks, flows, file_names=["cells.tif"], savedir="results/",
              png=True, tif=True, save_flows=True, save_outlines=True)

# %% [markdown]
# ## `_seg.npy`: all in one file, for the window

# %%
import numpy as np

seg = np.load("cells_seg.npy", allow_pickle=True).item()

seg["masks"]    # (Y, X) integer array: 0=background, 1,2,...=cells
seg["flows"]    # list: flows as colors, cell probability 0..255, ...
seg["outlines"] # (Y, X), the masks where a cell has its outline
seg["diams"]    # diameter
seg["chan_choose"]  # channels used

print(f"{seg['masks'].max()} cells, diameter {seg['diams']}, keys: {', '.join(seg)}")

# %% [markdown]
# ## Masks: an image whose values are the numbers of the cells
#
# In a plain viewer it looks black, or like a gradient from top to bottom; choose a color table there, or draw it so:

# %%
import matplotlib.pyplot as plt
from cellpose import plot

saved = io.imread("results/cells_cp_masks.tif")
fig, axes = plt.subplots(1, 3, figsize=(12, 4.3))
axes[0].imshow(saved, cmap="gray")
axes[0].set_title("cells_cp_masks.tif as it is")
axes[1].imshow(plot.mask_overlay(img, saved))
axes[1].set_title("in colors")

# %% [markdown]
# ## Outlines: a line of text per cell, x and y in turn
#
# ## Flows: which way each pixel goes to the middle of its cell
#
# The color is the direction. Where cells are missing or joined, look here first.

# %%
from pathlib import Path

for line in Path("results/cells_cp_outlines.txt").read_text().splitlines():
    xy = np.array(line.split(","), int).reshape(-1, 2)
    axes[1].plot(*xy.T, color="white", lw=0.8)
axes[2].imshow(flows[0])
axes[2].set_title("flows")
for axis in axes:
    axis.axis("off")
plt.tight_layout()
fig.savefig("what_is_written.png", dpi=110)
