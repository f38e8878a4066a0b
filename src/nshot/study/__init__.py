"""A study: plan which candidates to fit on how many labels, run them into a ledger, say what the ledger supports."""
