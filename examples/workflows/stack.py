# %% [markdown]
# # A stack in 3D
#
# A confocal stack whose planes lie twice as far apart as its pixels. Each cell gets one number through all planes. The
# stack is synthetic; put your own in its place and leave out this first cell.

# %%
import example_images

example_images.write("confocal_zstack.tif")

# %%
from cellpose import models
import tifffile

# Load Z-stack: shape (Z, Y, X)
zstack = tifffile.imread("confocal_zstack.tif")
print(f"Z-stack shape: {zstack.shape}")

# %%
model = models.CellposeModel(gpu=True)

# 3D segmentation
masks_3d, flows_3d, styles_3d = model.eval(
    zstack,
    diameter=30,
    channels=[0, 0],
    do_3D=True,
    anisotropy=2.0,       # Z-step is 2× XY pixel size
    flow3D_smooth=1,      # gentle smoothing of 3D flows
)

print(f"Detected {masks_3d.max()} cells in 3D")

# Save 3D masks
tifffile.imwrite("masks_3d.tif", masks_3d.astype("uint16"))

# %% [markdown]
# Sections through the middle, from above and from the side. A cell has the same color in both.

# %%
import matplotlib.pyplot as plt
import numpy as np
from cellpose import plot

colors = plt.cm.hsv(np.random.default_rng(0).permutation(np.linspace(0, 0.95, masks_3d.max())))[:, :3]
middle = zstack.shape[0] // 2, zstack.shape[1] // 2
fig, axes = plt.subplots(1, 2, figsize=(8, 4))
axes[0].imshow(plot.mask_overlay(zstack[middle[0]], masks_3d[middle[0]], colors))
axes[1].imshow(plot.mask_overlay(zstack[:, middle[1]], masks_3d[:, middle[1]], colors), aspect=2.0)
for axis, name in zip(axes, ("XY", "XZ")):
    axis.set_title(name)
    axis.axis("off")
plt.tight_layout()
fig.savefig("stack.png", dpi=110)

# %% [markdown]
# To turn it in space, with [napari](https://napari.org): `pip install "cellpose[napari]"`.

# %%
import napari
viewer = napari.Viewer()
viewer.add_image(zstack, name="Z-Stack", scale=(2.0, 1.0, 1.0))
viewer.add_labels(masks_3d, name="3D Masks", scale=(2.0, 1.0, 1.0))
napari.run()
