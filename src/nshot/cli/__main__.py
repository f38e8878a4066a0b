"""``python -m nshot.cli``: the same as the command ``nshot``."""

from nshot.cli.main import main

main()
