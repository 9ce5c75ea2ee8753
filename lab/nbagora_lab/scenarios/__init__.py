"""Notebooks as regression tests: run by papermill on a fresh store, always torn down, compared by their event traces."""
