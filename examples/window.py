"""Open the window on an image of crowded nuclei."""

import sys
from pathlib import Path

from cellpose.errors import CellposeError
from cellpose.gui import gui

if __name__ == "__main__":
    try:
        gui.run(Path(__file__).with_name("nuclei_dense.png"))
    except CellposeError as error:  # no screen, or no libraries for the window: the message says what to do
        sys.exit(str(error))
