"""The command line: names and one-line helps in `main`, one module per command, flags generated from specs."""
