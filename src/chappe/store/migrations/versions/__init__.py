"""The changes of the tables, oldest first. A file here is never edited once it was released."""
