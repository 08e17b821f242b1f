# %% [markdown]
# # Whole cells, with a nuclear channel
#
# The cells are stained in one channel and their nuclei in another. The nuclei help to part cells that touch. The image
# is synthetic; put your own two-channel file in its place and leave out this first cell.

# %%
import example_images

example_images.write("cells_2ch.tif")

# %%
from cellpose import models, io
import tifffile
import numpy as np

# Channel 0: cytoplasm (e.g., phalloidin, CellTracker)
# Channel 1: nuclei (e.g., DAPI)
img = tifffile.imread("cells_2ch.tif")  # shape: (2, Y, X)

# %% [markdown]
# `channels` counts from 1: cells in the first channel, nuclei in the second. `channel_axis` says which axis of the array
# the channels are.

# %%
model = models.CellposeModel(gpu=True)

masks, flows, styles = model.eval(
    img,
    diameter=30,
    channels=[1, 2],      # channel 1=cyto, channel 2=nuclei (1-indexed for colour)
    channel_axis=0,       # the first axis is channels
)

print(f"Detected {masks.max()} cells")

# %% [markdown]
# Without the nuclei, for comparison: most cells are the same, and some that touch are parted in another way.

# %%
alone, _, _ = model.eval(img[0], diameter=30, channels=[0, 0])
print(f"{alone.max()} cells without the nuclear channel")

# %%
import matplotlib.pyplot as plt
from cellpose import plot

fig = plt.figure(figsize=(12, 3.4))
plot.show_segmentation(fig, np.stack([img[0], img[0], np.maximum(*img)]), masks, flows[0])
plt.tight_layout()
fig.savefig("cells_with_nuclei.png", dpi=110)
