"""One file a page; each draws and calls, nothing more."""
