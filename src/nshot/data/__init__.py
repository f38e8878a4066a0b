"""Reading people's files: formats, encodings, columns, labels, near-duplicates. Nothing heavy is imported here."""
