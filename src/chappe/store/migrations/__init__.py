"""How the tables came to be, one file per change in `versions/`, run by `store/migrate.py` through Alembic."""
