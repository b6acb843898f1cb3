"""The pages of one's account, as every one of them lists them."""

from __future__ import annotations

from django import template
from django.conf import settings
from django.http import HttpRequest
from django.template import Context
from django.urls import reverse
from msgspec import Struct

register = template.Library()


class Section(Struct, frozen=True):
    """A page of the account, for the page at `request.path`."""

    address: str
    label: str
    about: str
    is_here: bool


@register.simple_tag(takes_context=True)
def account_sections(context: Context) -> list[Section]:
    """Those that there are for this person."""
    request: HttpRequest = context["request"]
    user = request.user
    pages = [
        ("account", "Account", "", user.is_authenticated),
        (
            "account_change_password",
            "Password",
            "Choose another",
            user.is_authenticated and user.has_usable_password(),
        ),
        (
            "account_email",
            "Email",
            "Another address",
            user.is_authenticated and settings.HAS_MAIL,
        ),
        ("account_data", "Your data", "Take it away, or delete it", True),
        (
            "tokens",
            "Access tokens",
            "For programs that come in as you",
            user.is_authenticated,
        ),
    ]
    return [
        Section(address, label, about, is_here=address == request.path)
        for name, label, about, is_offered in pages
        if is_offered and (address := reverse(name))
    ]
