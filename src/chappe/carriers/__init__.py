"""The south doors: how a submission leaves for a carrier, and how its receipts come back."""
