"""Scores of strangeness that are learnt from unlabelled examples: one file per idea, shared by the methods.

What is learnt is kept as plain arrays, and a row's score follows from them and from the row alone: it never depends on
the other rows that are scored with it, as it does where a score is a rank within a batch.
"""
