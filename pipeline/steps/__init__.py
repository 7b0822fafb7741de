"""Pure data functions: no torch, no params, no files."""
