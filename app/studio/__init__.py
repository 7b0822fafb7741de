"""The studio: everything a non-engineer needs, in the browser."""
