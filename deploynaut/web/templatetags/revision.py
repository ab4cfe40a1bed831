"""What a deployment released, in words."""

from __future__ import annotations

from collections.abc import Mapping

from django import template
from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from deploynaut.deployments.models import Deployment

register = template.Library()


@register.simple_tag
def subject_of(deployment: Deployment, subjects: Mapping[tuple[int, str], str] | str) -> str:
    """The subject of the deployed commit; empty where the index does not have it."""
    if not isinstance(subjects, Mapping):
        return ""
    return subjects.get((deployment.environment.instance_id, deployment.commit), "")


@register.simple_tag
def demo_link() -> SafeString | str:
    """The way to the messages that the demo has sent; nothing outside the demo."""
    if not settings.DEPLOYNAUT_DEMO:
        return ""
    return format_html('<a href="{}">Messages</a>', reverse("messages"))
