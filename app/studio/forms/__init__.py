"""Forms that come from the schema of ``params.yaml``, and the page that starts a project."""
