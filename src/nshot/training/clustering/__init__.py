"""Groups found without labels: the algorithms, how stable they are, and how many groups there are."""
