"""How the traffic database grew; Alembic runs what is here, ``database.prepare`` runs Alembic."""
