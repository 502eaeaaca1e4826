"""Pages of records (torc wire 3.1)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query

from torc_remote.builtin.server.errors import invalid, wrong_state
from torc_remote.builtin.server.models import INT64_MAX, INT64_MIN
from torc_remote.builtin.server.store.database import Connection, Record, find, record

MAX_LIMIT = 100_000

IntQuery = Annotated[int | None, Query(ge=INT64_MIN, le=INT64_MAX)]


@dataclass(frozen=True)
class Page:
    """Which part of a list is asked for, and in which order."""

    offset: int
    limit: int
    sort_by: str
    descending: bool


async def _page(
    offset: IntQuery = None, limit: IntQuery = None, sort_by: str = "", reverse_sort: bool = False
) -> Page:
    offset = 0 if offset is None else offset
    limit = MAX_LIMIT if limit is None else limit
    if offset < 0 or not 0 <= limit <= MAX_LIMIT:
        raise wrong_state(f"offset must not be negative and limit must be between 0 and {MAX_LIMIT}")
    return Page(offset, limit, sort_by, reverse_sort)


PageQuery = Annotated[Page, Depends(_page)]


def fetch_page(
    connection: Connection,
    table: str,
    conditions: Mapping[str, Any],
    page: Page,
    view: Callable[[Any], Record] = record,
    extra: str = "",
) -> Record:
    """One page of `table`.

    Each condition is SQL with one ``?``; those whose value is None are left out. `extra` replaces
    ``table.* FROM table`` where columns of another table are wanted.
    """
    given = {sql: value for sql, value in conditions.items() if value is not None}
    source = extra or f"{table}.* FROM {table}"
    where = " AND ".join(f"({sql})" for sql in given)
    count = f"SELECT count(*) FROM {source.partition('FROM ')[2]} WHERE {where}"
    total = connection.execute(count, [*given.values()]).fetchone()[0]
    direction = "DESC" if page.descending else "ASC"
    order = f"{table}.{_sort_column(connection, table, page.sort_by)} {direction}, {table}.id {direction}"
    select = f"SELECT {source} WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?"
    rows = connection.execute(select, [*given.values(), page.limit, page.offset]).fetchall()
    return page_of([view(row) for row in rows], page.offset, total)


def fetch_of_workflow(
    connection: Connection,
    table: str,
    workflow_id: int,
    conditions: Mapping[str, Any],
    page: Page,
    view: Callable[[Any], Record] = record,
    extra: str = "",
) -> Record:
    """As fetch_page, of what belongs to a workflow. Raises the 404 of one that does not exist."""
    find(connection, "workflow", workflow_id)
    return fetch_page(
        connection, table, {f"{table}.workflow_id = ?": workflow_id, **conditions}, page, view, extra
    )


def page_of(items: list[Record], offset: int = 0, total: int = 0) -> Record:
    """The list shape around `items`."""
    return {
        "items": items,
        "offset": offset,
        "max_limit": MAX_LIMIT,
        "count": len(items),
        "total_count": total,
        "has_more": offset + len(items) < total,
    }


def _sort_column(connection: Connection, table: str, name: str) -> str:
    if not name:
        return "id"
    columns = [row["name"] for row in connection.execute(f"PRAGMA table_info({table})")]
    if name not in columns:
        raise invalid(
            f"Cannot sort by '{name}': choose one of {', '.join(columns)}", field="sort_by", value=name
        )
    return name
