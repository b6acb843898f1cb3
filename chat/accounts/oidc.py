"""Single sign-on: people whom an OpenID Connect provider vouches for.

Whoever it lets in has an account here: the one that is known by its name for them; the
first time the one whose email address it has verified, or else a new one.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any, Final

import jwt
from allauth.account.internal.flows.manage_email import assess_unique_email
from allauth.account.models import EmailAddress
from allauth.core import ratelimit
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.base.constants import AuthError, AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import (
    OpenIDConnectProvider,
)
from allauth.socialaccount.providers.openid_connect.views import (
    OpenIDConnectOAuth2Adapter,
)
from allauth.utils import build_absolute_uri
from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST
from requests import RequestException

logger = logging.getLogger(__name__)

# The token says by itself which of them it is signed with; none of them is "none".
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "EdDSA")
CLOCK_SECONDS: Final = 60  # that the provider's clock may be off


class OidcAccountAdapter(DefaultSocialAccountAdapter):
    """The one provider, from the settings, and what is believed of what it says."""

    def list_apps(
        self,
        request: HttpRequest,
        provider: str | None = None,
        client_id: str | None = None,
    ) -> list[SocialApp]:
        """The provider, if there is one; rows of the database count for nothing."""
        if not settings.OIDC_ISSUER:
            return []
        app = SocialApp(
            provider=OpenIDConnectProvider.id,
            provider_id=provider_id(),
            name=settings.OIDC_NAME,
            client_id=settings.OIDC_CLIENT_ID,
            secret=settings.OIDC_CLIENT_SECRET,
            settings={
                "server_url": settings.OIDC_ISSUER,
                "oauth_pkce_enabled": True,
            },
        )
        is_asked_for = provider in {None, app.provider, app.provider_id}
        return [app] if is_asked_for and client_id in {None, app.client_id} else []

    def is_open_for_signup(
        self, request: HttpRequest, sociallogin: SocialLogin
    ) -> bool:
        """Yes: the provider says who may come in."""
        return True

    def authenticate_by_email(self, sociallogin: SocialLogin) -> Any:
        """Whose address the provider has verified, and the address; None if nobody's.

        It counts if it is verified here too, or was given by who made the account.
        Others may have said that it is theirs, to be met there.
        """
        for email in [each.email for each in sociallogin.email_addresses]:
            for address in EmailAddress.objects.filter(email=email, verified=True):
                return address.user, email
            users = get_user_model().objects.filter(
                email__iexact=email, emailaddress=None
            )
            if len(users) == 1:
                EmailAddress.objects.create(
                    user=users[0], email=email, verified=True, primary=True
                )
                return users[0], email
        return None

    def populate_user(
        self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]
    ) -> Any:
        """A user to be; without an email address that is not verified."""
        verified = [each for each in sociallogin.email_addresses if each.verified]
        sociallogin.email_addresses = verified
        email = verified[0].email if verified else None
        return super().populate_user(request, sociallogin, data | {"email": email})

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Leave out the address of a new user's that others say is theirs."""
        user: Any = sociallogin.user
        if not sociallogin.is_existing and assess_unique_email(user.email) is not True:
            sociallogin.email_addresses = []
            user.email = ""

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: Any = None,
    ) -> None:
        """Write why into the log; who has changed their mind is back at the door."""
        if error == AuthError.CANCELLED:
            raise ImmediateHttpResponse(redirect("account_login"))
        why = exception if exception is not None else error
        logger.warning("nobody came in by single sign-on: %s", str(why)[:300])


class OidcClient(OpenIDConnectOAuth2Adapter):
    """Asks the provider, and believes what it has signed."""

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        """Where the provider sends people back to."""
        return str(build_absolute_uri(request, reverse("oidc_callback")))

    @property
    def openid_config(self) -> dict[str, Any]:
        """Where the provider has what. Raises OAuth2Error if it is another."""
        config: dict[str, Any] = super().openid_config
        issuer = str(config.get("issuer", ""))
        if issuer.rstrip("/") != settings.OIDC_ISSUER:
            raise OAuth2Error(f"OIDC_ISSUER calls itself {issuer!r}")
        missing = {"authorization_endpoint", "token_endpoint", "jwks_uri"} - {*config}
        if missing:
            raise OAuth2Error(f"OIDC_ISSUER does not say its {sorted(missing)}")
        return config

    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any
    ) -> SocialLogin:
        """Who they are, by the signed token and what the provider adds of the same."""
        claims = self._claims(app, kwargs["response"].get("id_token") or "")
        told = {}
        if "userinfo_endpoint" in self.openid_config:
            told = self._fetch_user_info(token.token)
            if told.get("sub") != claims["sub"]:
                raise OAuth2Error("the user info is of somebody else")
        claims |= told
        # Some say so in words, and "false" is true.
        is_verified = claims.get("email_verified") in {True, "true"}
        data = {"userinfo": claims | {"email_verified": is_verified}}
        login: SocialLogin = self.get_provider().sociallogin_from_response(
            request, data
        )
        return login

    def _claims(self, app: SocialApp, id_token: str) -> dict[str, Any]:
        try:
            key = self._key(jwt.get_unverified_header(id_token).get("kid"))
            claims: dict[str, Any] = jwt.decode(
                id_token,
                key,
                algorithms=list(ALGORITHMS),
                audience=app.client_id,
                issuer=self.openid_config["issuer"],
                leeway=CLOCK_SECONDS,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except jwt.PyJWTError as error:
            raise OAuth2Error(f"the token is not believed: {error}") from error
        return claims

    def _key(self, key_id: str | None) -> jwt.PyJWK:
        with OidcAccountAdapter().get_requests_session() as session:
            response = session.get(self.openid_config["jwks_uri"])
            response.raise_for_status()
        keys = jwt.PyJWKSet.from_dict(response.json()).keys
        found: Sequence[jwt.PyJWK] = [
            key for key in keys if key_id in {None, key.key_id}
        ]
        if not found:
            raise OAuth2Error("the token is signed with a key that nobody knows")
        return found[0]


def provider_id() -> str:
    """As what people's names are kept: another issuer's are other people's."""
    return "oidc-" + hashlib.sha256(settings.OIDC_ISSUER.encode()).hexdigest()[:12]


@require_POST
def begin(request: HttpRequest) -> HttpResponse:
    """Go to the provider.

    By a page, not a redirect: forms lead nowhere else, as the page's policy has it.
    """
    if (too_often := ratelimit.consume_or_429(request, action="oidc")) is not None:
        return too_often
    provider = OidcAccountAdapter().get_provider(request, provider_id())
    provider.oauth2_adapter_class = OidcClient
    try:
        response = provider.redirect(
            request, process=AuthProcess.LOGIN, next_url=_next(request)
        )
    except (OAuth2Error, RequestException) as error:
        failed: HttpResponse = render_authentication_error(
            request, provider, exception=error
        )
        return failed
    if not isinstance(response, HttpResponseRedirect):
        told: HttpResponse = response
        return told
    context = {"address": response.url, "name": settings.OIDC_NAME}
    return render(request, "account/oidc.html", context)


@require_GET
def callback(request: HttpRequest) -> HttpResponse:
    """Back from the provider, with a code that it tells who this is for."""
    view = OAuth2CallbackView.adapter_view(OidcClient(request, provider_id()))
    response: HttpResponse = view(request)
    return response


def _next(request: HttpRequest) -> str | None:
    address = request.POST.get("next", "")
    is_here = url_has_allowed_host_and_scheme(
        address, {request.get_host()}, require_https=request.is_secure()
    )
    return address if is_here else None
