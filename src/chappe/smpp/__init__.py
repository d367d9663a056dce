"""The SMPP language: pure, except `connection.py`."""
