"""One's own account, and the page of the first Administrator. Log-in and second factors are allauth's views."""

from __future__ import annotations

from allauth.account.views import LoginView as AllauthLoginView
from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import View

from deploynaut.accounts.clock import now
from deploynaut.accounts.first_administrator import FirstAdministratorLink, LinkRefused
from deploynaut.accounts.forms import FirstAdministratorForm, LoginForm, OwnDetailsForm
from deploynaut.accounts.people import User


class LoginView(AllauthLoginView):  # type: ignore[misc]  # allauth has no types
    """The one way in."""

    form_class = LoginForm


@method_decorator(never_cache, name="dispatch")
class AccountPage(View):
    """My name, e-mail address, phone; the ways to my password and second factors."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show them."""
        person = _person(request)
        return self._page(request, OwnDetailsForm({"name": person.name, "phone": person.phone}))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Change name and phone."""
        form = OwnDetailsForm(request.POST)
        if not form.is_valid():
            return self._page(request, form)
        try:
            _person(request).introduce(**form.cleaned_data, now=now())
        except ValidationError as error:
            _show(error, form)
            return self._page(request, form)
        messages.success(request, "Saved.")
        return redirect("account")

    def _page(self, request: HttpRequest, form: OwnDetailsForm) -> HttpResponse:
        kinds = list(Authenticator.objects.filter(user=_person(request)).values_list("type", flat=True))
        context = {"form": form, "totp": "totp" in kinds, "passkeys": kinds.count("webauthn"), "factors": bool(kinds)}
        return render(request, "accounts/account.html", context)


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


@method_decorator([never_cache, sensitive_post_parameters("password")], name="dispatch")
class FirstAdministratorPage(View):
    """Whoever holds the link becomes the first Administrator."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        """Ask who it is; nothing is used up by looking."""
        return _first(request, FirstAdministratorForm()) if _valid(token) else _refused(request)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        """Make the account; then they log in with it."""
        form = FirstAdministratorForm(request.POST)
        if not form.is_valid():
            return _first(request, form) if _valid(token) else _refused(request)
        try:
            user = FirstAdministratorLink.objects.use(token, **form.cleaned_data, now=now())
        except LinkRefused:
            return _refused(request)
        except ValidationError as error:
            _show(error, form)
            return _first(request, form)
        messages.success(request, f"Welcome, {user.name}. You are Administrator now: log in with your new password.")
        return redirect("account_login")


def _valid(token: str) -> bool:
    return FirstAdministratorLink.objects.valid(token, now=now())


def _first(request: HttpRequest, form: FirstAdministratorForm) -> HttpResponse:
    return render(request, "accounts/first_administrator.html", {"form": form})


def _refused(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/first_administrator_refused.html", status=404)


def _show(error: ValidationError, form: Form) -> None:
    """Put what the verb said next to the field it is about."""
    fields = error.message_dict if hasattr(error, "error_dict") else {"password": error.messages}
    for field, words in fields.items():
        form.add_error(field if field in form.fields else None, words)
