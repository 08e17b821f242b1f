"""Label images: their checks, kinds, sizes, boxes and numbers. `cellpose.utils` is the public face of this room."""
