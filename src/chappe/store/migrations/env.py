"""Run by Alembic for every command: works on the open, locked connection that `store/migrate.py` hands over."""

from alembic import context

from chappe.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
