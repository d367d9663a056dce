"""What chappe remembers: tables, migrations, and verbs of one transaction each. The only room that knows SQL."""
