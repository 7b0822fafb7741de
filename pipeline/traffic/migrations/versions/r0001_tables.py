"""The first tables: requests, predictions, feedback, events and windows.

Types stand here as they were made: a later change of ``tables.py`` is a step of its own.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
MOMENT = sa.DateTime(timezone=True)


def number() -> sa.Column[int]:
    """Return a number that grows from row to row."""
    return sa.Column("number", NUMBER, autoincrement=True, nullable=False)


def moment(name: str) -> sa.Column[object]:
    """Return a point in time."""
    return sa.Column(name, MOMENT, nullable=False)


def of_request(table: str) -> list[sa.schema.SchemaItem]:
    """Return the column that ties a table's rows to a request."""
    return [
        sa.Column("request", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(
            ["request"], ["requests.number"], name=f"fk_{table}_request", ondelete="CASCADE"
        ),
    ]


def upgrade() -> None:
    """Make the tables."""
    make_requests()
    make_predictions()
    make_feedback()
    make_events()
    make_windows()


def make_requests() -> None:
    """Make the table of requests."""
    op.create_table(
        "requests",
        number(),
        sa.Column("id", sa.String(64), nullable=False),
        moment("at"),
        sa.Column("route", sa.String(100), nullable=False),
        sa.Column("code", sa.Integer, nullable=False),
        sa.Column("version", sa.String(50)),
        sa.Column("role", sa.String(20)),
        sa.Column("shadow", sa.Boolean, nullable=False),
        sa.Column("client", sa.String(32), nullable=False),
        sa.Column("texts", sa.Integer, nullable=False),
        sa.Column("characters", sa.Integer, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("waited", sa.Double, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_requests"),
        sa.UniqueConstraint("id", name="uq_requests_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_requests_at", "requests", ["at"])
    op.create_index("ix_requests_client", "requests", ["client"])


def make_predictions() -> None:
    """Make the table of answers."""
    op.create_table(
        "predictions",
        *of_request("predictions"),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("hash", sa.String(32), nullable=False),
        sa.Column("characters", sa.Integer, nullable=False),
        sa.Column("text", sa.Text),
        sa.Column("language", sa.String(8)),
        sa.Column("label", sa.Text),
        sa.Column("confidence", sa.Double),
        sa.Column("margin", sa.Double),
        sa.Column("scores", sa.JSON),
        sa.Column("stable_label", sa.Text),
        sa.Column("features", sa.LargeBinary),
        sa.PrimaryKeyConstraint("request", "index", name="pk_predictions"),
        sqlite_with_rowid=False,
    )


def make_feedback() -> None:
    """Make the table of what people said."""
    op.create_table(
        "feedback",
        number(),
        *of_request("feedback"),
        moment("at"),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("client", sa.String(32), nullable=False),
        sa.Column("verdict", sa.String(10), nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("number", name="pk_feedback"),
        sa.UniqueConstraint("request", "index", "client", name="uq_feedback_request_index_client"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_feedback_at", "feedback", ["at"])


def make_events() -> None:
    """Make the table of what happened."""
    op.create_table(
        "events",
        number(),
        moment("at"),
        sa.Column("kind", sa.String(50), nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_at", "events", ["at"])
    op.create_index("ix_events_kind_at", "events", ["kind", "at"])


def make_windows() -> None:
    """Make the table of figures of stretches of time."""
    op.create_table(
        "windows",
        number(),
        moment("since"),
        moment("until"),
        sa.Column("data", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_windows"),
        sa.UniqueConstraint("since", "until", name="uq_windows_since_until"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_windows_until", "windows", ["until"])


def downgrade() -> None:
    """Take the tables away, and all that is in them."""
    for table in ("windows", "events", "feedback", "predictions", "requests"):
        op.drop_table(table)
