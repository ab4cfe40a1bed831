"""Filters of the pages of production releases."""

from __future__ import annotations

from django import template

from deploynaut.deployments.counts import TableCount
from deploynaut.deployments.models import Deployment
from deploynaut.web import looks

register = template.Library()


@register.filter
def rows(count: int | None) -> str:
    """A number of rows, in groups of three; a dash where there is none to count."""
    return "–" if count is None else f"{count:,}".replace(",", " ")


@register.filter
def difference(table: TableCount) -> str:
    """`+14`, `-3`, `same`; what is known of a table that was not there."""
    if table.then is None and table.now is None:
        return "not counted"
    if table.then is None:
        return "new"
    if table.now is None:
        return "gone"
    change = table.now - table.then
    return f"{change:+,}".replace(",", " ") if change else "same"


@register.filter
def how_it_ended(deployment: Deployment) -> str:
    """Its outcome, as it is read next to the badge, which has said the first word already."""
    return deployment.outcome.removeprefix(f"{looks.of_status(deployment.run.status).word}. ")
