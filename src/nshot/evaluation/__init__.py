"""What may be said from runs: protocol, scoring, intervals, paired differences, learning curves, checks."""
