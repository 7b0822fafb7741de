"""Run by Alembic: applies the steps through the connection that ``database.prepare`` gives it."""

from __future__ import annotations

from alembic import context

from pipeline.traffic.tables import METADATA

# One transaction around all steps: a database is at one version or at another, on SQLite too.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
