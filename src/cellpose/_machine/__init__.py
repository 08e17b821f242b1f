"""The machine: threads, compiling, memory, atomic writing, connections, streams."""
