"""What is the machine's: threads, compiling, memory, files that are whole or not there, connections, streams."""
