"""The forms of this room's pages."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import LoginForm as AllauthLoginForm
from django import forms

from deploynaut.accounts.people import NAME, PHONE


class LoginForm(AllauthLoginForm):  # type: ignore[misc]  # allauth has no types
    """E-mail address and password, as password managers expect them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Allauth's fields in our words."""
        super().__init__(*args, **kwargs)
        self.fields["login"].label = "E-mail address"
        self.fields["login"].widget.attrs = {"autocomplete": "username", "autofocus": True, "spellcheck": "false"}


class FirstAdministratorForm(forms.Form):
    """Who the first Administrator is."""

    name = forms.CharField(
        label="Full name", max_length=100, validators=[NAME], widget=forms.TextInput({"autocomplete": "name"})
    )
    email = forms.EmailField(label="E-mail address", widget=forms.EmailInput({"autocomplete": "username"}))
    password = forms.CharField(
        label="Password",
        strip=False,
        max_length=1000,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
        help_text="At least 12 characters. A few words in a row are good.",
    )


class OwnDetailsForm(forms.Form):
    """What people may change about themselves."""

    name = forms.CharField(
        label="Full name", max_length=100, validators=[NAME], widget=forms.TextInput({"autocomplete": "name"})
    )
    phone = forms.CharField(
        label="Phone",
        required=False,
        max_length=16,
        validators=[PHONE],
        widget=forms.TextInput({"autocomplete": "tel", "type": "tel"}),
        help_text="With country code, as in +64215550000. For text messages, once it is verified.",
    )
