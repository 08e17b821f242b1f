"""The browser page and its REST API: ``cellpose serve``."""
