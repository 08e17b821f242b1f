"""What goes beyond one machine or one library."""
