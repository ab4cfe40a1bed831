"""The pipeline file of an environment: edit, preview, history, import."""
