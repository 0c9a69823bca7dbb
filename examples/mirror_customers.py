"""Mirrors the customers of Visma.net ERP into Postgres, with a log of changes; docs/once.md says how to run it."""

import asyncio
import json
import os

import asyncpg

from workers import Coalesce, Delivery, Record, Subscription, once

TABLES = """
CREATE TABLE IF NOT EXISTS customers
  (tenant text, company text, id text, body jsonb, PRIMARY KEY (tenant, company, id));
CREATE TABLE IF NOT EXISTS changes (at timestamptz, event_id text, customer text, gone boolean);
"""
SAVE = "INSERT INTO customers VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, company, id) DO UPDATE SET body = $4"
REMOVE = "DELETE FROM customers WHERE (tenant, company, id) = ($1, $2, $3)"
LOG = "INSERT INTO changes VALUES ($1, $2, $3, $4)"

burst = Coalesce(quiet=1, within=30)
customers = Subscription(
    "mirror-customers", events=["visma-net-financial/customer_*"], key="resource", coalesce=burst, hydrate=True
)


@customers.handler
async def mirror(delivery: Delivery, record: Record) -> None:
    """Write a customer as it is now, or remove it."""
    event = delivery.event
    place = (event.tenant_id or "", event.company_id or "", event.resource_id)
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    try:
        async with once(delivery, connection):
            await connection.execute(*((REMOVE, *place) if record.gone else (SAVE, *place, json.dumps(record.body))))
            await connection.execute(LOG, event.received_at, event.id, event.resource_id, record.gone)
    finally:
        await connection.close()


async def make_tables() -> None:
    """Make the tables, where they are not there."""
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute(TABLES)
    await once.create(connection)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(make_tables())
