# %% [markdown]
# # Refine a model on your images
#
# The model works on most of your images, but joins cells where they are dense. You correct a few results, train on
# them, and use the new model on the rest. Commands of the terminal are run by `terminal`, so that all is in one file.
#
# The images are two fields of phase contrast: one to train on, one to see what was learned.

# %%
import shlex
import subprocess
import sys

import example_images

example_images.write_folder("train_images", "phase_cells_1")
example_images.write_folder("test_images", "phase_cells_2")


def terminal(command):
    words = shlex.split(command.replace("\\\n", " "))
    subprocess.run([sys.executable, *words[1:]], check=True)


# %% [markdown]
# ## 1. Run the model

# %%
terminal("python -m cellpose --dir train_images/ --save_tif --save_png")

# %% [markdown]
# ## 2. Correct what it did
#
# `python -m cellpose` opens the window: load each image, delete wrong cells, draw the right ones. It saves
# `_seg.npy` by itself. Here the labels that were drawn by hand for this image stand for your corrections.

# %%
import numpy as np
from cellpose.utils import masks_to_outlines

seg = np.load("train_images/phase_cells_1_seg.npy", allow_pickle=True).item()
corrected = example_images.drawn_by_hand("phase_cells_1")
print(f"{seg['masks'].max()} cells found, {corrected.max()} after correcting")
seg["masks"] = corrected
seg["outlines"] = corrected * masks_to_outlines(corrected)
np.save("train_images/phase_cells_1_seg.npy", seg)

# %% [markdown]
# ## 3. Train
#
# With Cellpose-SAM as the model this is
#
#     python -m cellpose --train --dir train_images/ --mask_filter _seg.npy --learning_rate 0.00001 --weight_decay 0.1
#         --n_epochs 100
#
# The bundled model is a small network, which learns nothing at so low a rate. It takes a higher one, and a minute on a
# processor:

# %%
terminal(r"""python -m cellpose \
    --train \
    --dir train_images/ \
    --mask_filter _seg.npy \
    --SGD 0 \
    --learning_rate 0.001 \
    --n_epochs 40""")

# %% [markdown]
# ## 4. Use it

# %%
from pathlib import Path

(trained_model,) = [file for file in Path("train_images/models").iterdir() if file.is_file()]
for folder in ("train_images", "test_images"):
    for model, results in (("generalist", "before"), (trained_model.as_posix(), "after")):
        Path(results).mkdir(exist_ok=True)
        terminal(f"python -m cellpose --dir {folder}/ --pretrained_model {model} --save_tif --savedir {results}")

# %% [markdown]
# Did it help? Both fields were drawn by hand: an average precision of 1 would be every cell found with at least half of its
# area right, and none too many. The field that it learned from gets better. The other one does not: one image with 28 cells
# is not enough for cells that the model has not seen.

# %%
from cellpose import io, metrics

for field, folder in (("phase_cells_1", "learned from"), ("phase_cells_2", "new")):
    truth = example_images.drawn_by_hand(field)
    for results in ("before", "after"):
        masks = io.imread(f"{results}/{field}_cp_masks.tif")
        precision = metrics.average_precision(truth, masks, threshold=[0.5])[0][0]
        print(f"{folder}, {results}: {masks.max()} cells, average precision {precision:.2f}")

# %% [markdown]
# ## 5. Again
#
# Correct a few more images, of all kinds that you have, and train on all of them; always from the original model, not from
# the refined one. `docs/training.md` says how many images are needed, and `cellpose styles` which to correct first.
