# %% [markdown]
# # Look at results in napari
#
# [napari](https://napari.org) shows image, cells and points as layers; `pip install "cellpose[napari]"` brings it, and a
# plugin that segments in the viewer.

# %%
import example_images

example_images.write("cells.tif")

# %%
import napari
import tifffile
import numpy as np
from cellpose import models

# Load and segment
img = tifffile.imread("cells.tif")
model = models.CellposeModel(gpu=True)
masks, flows, styles = model.eval(img, diameter=30, channels=[0, 0])

# Visualise in napari
viewer = napari.Viewer()
viewer.add_image(img, name="Raw", colormap="gray")
viewer.add_labels(masks, name="Cellpose Masks")

# Add centroids as points
from skimage.measure import regionprops
props = regionprops(masks)
centroids = np.array([p.centroid for p in props])
viewer.add_points(centroids, name="Centroids", size=8, face_color="yellow")

# %% [markdown]
# In napari's own console (the button `>_`) `viewer` is there already, and this segments the layer "Raw":

# %%
from cellpose import models

img = viewer.layers["Raw"].data
model = models.CellposeModel(gpu=True)
masks, flows, styles = model.eval(img, diameter=30, channels=[0, 0])
viewer.add_labels(masks, name="Cellpose Masks")

# %%
napari.run()
