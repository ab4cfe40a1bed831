"""The page behind a password link: whoever holds it sets the password of one account, and then logs in with it."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import View

from deploynaut.accounts import password_links
from deploynaut.accounts.clock import now
from deploynaut.accounts.people import User


class NewPasswordForm(forms.Form):
    """The new password, typed twice."""

    password = forms.CharField(
        label="New password",
        strip=False,
        max_length=1000,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
        help_text="At least 12 characters. A few words in a row are good.",
    )
    again = forms.CharField(
        label="The same again",
        strip=False,
        max_length=1000,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )

    def clean_again(self) -> str:
        """Both are the same."""
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get("password", again):
            raise ValidationError("The two are not the same. Type the password twice.")
        return again


@method_decorator([never_cache, sensitive_post_parameters()], name="dispatch")
class PasswordLinkPage(View):
    """Sets a password; nothing is used up by looking."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        """Ask for it."""
        user = password_links.owner(token, now=now())
        return _page(request, user, NewPasswordForm()) if user else _refused(request)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        """Set it; then they log in with it."""
        user = password_links.owner(token, now=now())
        form = NewPasswordForm(request.POST)
        if user is None:
            return _refused(request)
        if not form.is_valid():
            return _page(request, user, form)
        try:
            password_links.use(token, password=form.cleaned_data["password"], now=now())
        except password_links.LinkRefused:
            return _refused(request)
        except ValidationError as error:
            form.add_error("password", error.message_dict["password"])
            return _page(request, user, form)
        messages.success(request, "Your password is set. Log in with it.")
        return redirect("account_login")


def _page(request: HttpRequest, user: User, form: NewPasswordForm) -> HttpResponse:
    return render(request, "accounts/password_link.html", {"form": form, "whose": user})


def _refused(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/password_link_refused.html", status=404)
