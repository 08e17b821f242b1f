# %% [markdown]
# # Measure cells with scikit-image
#
# Size, shape and intensity of each cell as a table, cells of the wrong size left out, and two channels side by side.

# %%
import example_images

example_images.write("cells.tif", "multichannel.tif")

# %%
from cellpose import models, io
from skimage.measure import regionprops_table
import pandas as pd
import tifffile

# Load image and run cellpose
img = tifffile.imread("cells.tif")
model = models.CellposeModel(gpu=True)
masks, flows, styles = model.eval(img, diameter=30, channels=[0, 0])

# Measure properties
props = regionprops_table(
    masks, img,
    properties=[
        "label", "area", "centroid", "mean_intensity",
        "eccentricity", "solidity", "perimeter", "major_axis_length",
        "minor_axis_length",
    ]
)

df = pd.DataFrame(props)
df.to_csv("cell_measurements.csv", index=False)

print(f"Measured {len(df)} cells")
print(df[["area", "mean_intensity", "eccentricity"]].describe())

# %% [markdown]
# ## Leave out what is too small or too large

# %%
import numpy as np

min_area = 100   # pixels
max_area = 5000

good_labels = df[(df["area"] >= min_area) & (df["area"] <= max_area)]["label"].values
filtered_masks = masks.copy()
filtered_masks[~np.isin(masks, good_labels)] = 0
print(f"{len(good_labels)} of {len(df)} cells are kept")

# %% [markdown]
# ## Two channels

# %%
# Load multi-channel image: shape (C, Y, X)
multichannel = tifffile.imread("multichannel.tif")
gfp = multichannel[0]      # GFP channel
mcherry = multichannel[1]  # mCherry channel

# Measure each channel within the masks
props_gfp = regionprops_table(masks, gfp,
    properties=["label", "mean_intensity"])
props_mc = regionprops_table(masks, mcherry,
    properties=["label", "mean_intensity"])

df_gfp = pd.DataFrame(props_gfp).rename(columns={"mean_intensity": "GFP_mean"})
df_mc = pd.DataFrame(props_mc).rename(columns={"mean_intensity": "mCherry_mean"})

df = df_gfp.merge(df_mc, on="label")
df.to_csv("multichannel_measurements.csv", index=False)

# %% [markdown]
# ## The same without scikit-image
#
# `cellpose.measure` has these columns under the same names and with the same values, many times faster where cells are many,
# and more: neighbours, nuclei, spots. `cellpose measure --dir images` does it for a folder.

# %%
from cellpose import measure

table = measure.table(masks, np.moveaxis(multichannel, 0, -1))  # channels last, as scikit-image wants them
print(", ".join(list(table)))

# %%
import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 2, figsize=(8, 3.4))
axes[0].hist(table["area"], bins=12, color="steelblue")
axes[0].set(xlabel="area (pixels)", ylabel="cells")
axes[1].scatter(df["GFP_mean"], df["mCherry_mean"], s=14, color="steelblue")
axes[1].set(xlabel="GFP, mean", ylabel="mCherry, mean")
plt.tight_layout()
fig.savefig("measure_cells.png", dpi=110)
