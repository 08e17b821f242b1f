"""The current stage of the work, and its display to the user."""
