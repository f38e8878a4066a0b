"""One file for each group of routes, each with a ``router``; a file that is put here is served."""
