"""What is being done now, and how it is shown to the user."""
