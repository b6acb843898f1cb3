"""Fields of Django's forms, as the site's own pages have them."""

from __future__ import annotations

from django import template
from django.forms import BoundField
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def control(field: BoundField) -> SafeString:
    """The field's input; labels say what it is for, so no placeholder does."""
    attributes: dict[str, str | bool] = {"class": "field", "placeholder": False}
    return field.as_widget(attrs=attributes)
