"""Receipts: what stands behind a number, in a file that a program can check by measuring again."""
