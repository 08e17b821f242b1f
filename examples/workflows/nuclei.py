# %% [markdown]
# # Nuclei
#
# You stained nuclei with DAPI or Hoechst and want to count them. Here the image is `nuclei_dense` of the examples, where
# many nuclei touch. Put your own file in its place and leave out this first cell.

# %%
import example_images

example_images.write("dapi.tif")

# %%
from cellpose import models, io
import tifffile

nuclei_img = tifffile.imread("dapi.tif")

# %% [markdown]
# `gpu=True` takes the GPU if there is one. The diameter is that of a typical nucleus, in pixels; measure one if in doubt.

# %%
model = models.CellposeModel(gpu=True)

masks, flows, styles = model.eval(
    nuclei_img,
    diameter=17,          # nuclei are typically smaller than whole cells
    channels=[0, 0],      # grayscale
    cellprob_threshold=0.0,
)

print(f"Detected {masks.max()} nuclei")

# %% [markdown]
# Look before you count. Nuclei that are missing: lower `cellprob_threshold`. Nuclei that are joined: a smaller diameter.

# %%
import matplotlib.pyplot as plt
from cellpose import plot

fig = plt.figure(figsize=(12, 3.4))
plot.show_segmentation(fig, nuclei_img, masks, flows[0])
plt.tight_layout()
fig.savefig("nuclei.png", dpi=110)

# %% [markdown]
# The masks as a label image, the outlines as text for ImageJ.

# %%
io.save_masks(nuclei_img, masks, flows, file_names=["dapi.tif"],
              savedir="results/", tif=True, save_outlines=True)
