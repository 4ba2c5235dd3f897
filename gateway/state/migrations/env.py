"""What alembic runs: it migrates over the connection that `gateway.state.migrating` hands it, in its transaction."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
