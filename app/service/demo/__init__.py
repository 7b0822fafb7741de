"""The page at /demo: people try the model that is served and say where it is wrong."""
