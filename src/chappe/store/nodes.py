"""Who is running: each process registers as a node and holds a lease by the database's own clock.

A message or callback in hand belongs to a node. When a lease has run out, whoever notices fences the node off and frees
what it held; a node that finds itself fenced off registers anew, and its old results no longer count.
"""

from sqlalchemy import BigInteger, Text, bindparam, delete, insert, literal_column, select, update

from chappe.store.database import Database, Prepared, Transaction
from chappe.store.schema import node

LEASE_S = 30
RENEW_S = 10


class Node:
    """This process, as the tables know it. 0 until it is registered."""

    def __init__(self) -> None:
        self.id = 0


class Nodes:
    def __init__(self, database: Database) -> None:
        now_ms = literal_column(
            "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
            if database.is_sqlite
            else "CAST(extract(epoch from clock_timestamp()) * 1000 AS BIGINT)",
            BigInteger,
        )
        until = now_ms + bindparam("lease_ms", type_=BigInteger)
        fields = select(bindparam("new_id", type_=BigInteger), bindparam("named", type_=Text), until)
        self._register = Prepared(database, insert(node).from_select(["id", "name", "lease_until_ms"], fields))
        self._renew = Prepared(
            database, update(node).where(node.c.id == bindparam("which")).values(lease_until_ms=until)
        )
        lapsed = delete(node).where(node.c.lease_until_ms <= now_ms).returning(node.c.id)
        self._lapsed = Prepared(database, lapsed)
        self._strike = Prepared(database, delete(node).where(node.c.id == bindparam("which")))
        self._others = Prepared(database, delete(node).where(node.c.id != bindparam("which")).returning(node.c.id))

    def register(self, transaction: Transaction, node_id: int, name: str, lease_s: float = LEASE_S) -> None:
        transaction.run(self._register, new_id=node_id, named=name, lease_ms=int(lease_s * 1000))

    def renew(self, transaction: Transaction, node_id: int, lease_s: float = LEASE_S) -> bool:
        """Hold the lease for another while; False where the node was fenced off meanwhile."""
        return transaction.run(self._renew, which=node_id, lease_ms=int(lease_s * 1000)) == 1

    def fence_lapsed(self, transaction: Transaction) -> list[int]:
        """Strike off every node whose lease has run out; whoever gets an id here frees what that node held."""
        return [node_id for (node_id,) in transaction.rows(self._lapsed)]

    def fence_others(self, transaction: Transaction, node_id: int) -> list[int]:
        """Strike off all but this node: for a database that only one process can serve (a locked data folder)."""
        return [other for (other,) in transaction.rows(self._others, which=node_id)]

    def strike(self, transaction: Transaction, node_id: int) -> None:
        """Give the lease back."""
        transaction.run(self._strike, which=node_id)
