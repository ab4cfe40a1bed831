"""People who may log in. They log in by e-mail address; they are disabled, never deleted: history keeps their names."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Lower
from django.utils.crypto import salted_hmac

from deploynaut.accounts import audit
from deploynaut.accounts.reasons import reason_of
from deploynaut.accounts.rights import require, who_are
from deploynaut.accounts.roles import Right, Role

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

    from deploynaut.accounts.grants import Grant

PHONE = RegexValidator(r"\A\+[1-9][0-9]{5,14}\Z", "Write the number with its country code, as in +64215550000.")
# Characters that turn, hide or break the text around them make one person look like another; scripts need the joiners.
NAME = RegexValidator(
    r"\A[^\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+\Z",
    "A name is one line without control characters.",
)


class UserManager(BaseUserManager["User"]):
    """Making and finding people."""

    def create_person(
        self,
        *,
        email: str,
        name: str,
        password: str | None,
        now: datetime,
        phone: str = "",
        by: User | None = None,
    ) -> User:
        """A new person without any role. `by` None is Deploynaut itself; without a password they cannot log in yet.

        Raises NotAllowed, and ValidationError with the field's name for a bad or taken address, name, phone, password.
        """
        with transaction.atomic():
            if by is not None:
                require(by, Right.EDIT_USERS)
            user = self.model(email=email.strip().lower(), name=name.strip(), phone=phone)
            if password is not None:
                validate_password(password, user)
            user.set_password(password)
            user.full_clean()
            user.save(using=self._db)
            after = {"email": user.email, "name": user.name, "phone": user.phone}
            audit.record("person created", actor=by, subject=user.as_subject(), now=now, after=after)
        return user

    def with_role(self, role: Role, *, instance: int | None = None, environment: int | None = None) -> QuerySet[User]:
        """The active people who have a role there."""
        return who_are(role, instance=instance, environment=environment)

    def get_by_natural_key(self, username: str | None) -> User:
        """By e-mail address, in any case. Raises User.DoesNotExist."""
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser):
    """A person. `phone_verified`: the number whose code was typed; texts go to `verified_phone` alone.

    `session_epoch` counts how often all sessions were ended at once.
    """

    email = models.EmailField("e-mail address", unique=True, error_messages={"unique": "That address is in use."})
    name = models.CharField("full name", max_length=100, validators=[NAME])
    phone = models.CharField(max_length=16, blank=True, validators=[PHONE])
    phone_verified = models.CharField(max_length=16, blank=True, editable=False)
    is_active = models.BooleanField(default=True)
    session_epoch = models.PositiveIntegerField(default=0, editable=False)

    objects = UserManager()
    grants: RelatedManager[Grant]

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    class Meta:
        """Constraints."""

        constraints = (
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="user_email_is_lower_case"),
            models.CheckConstraint(condition=~models.Q(name=""), name="user_has_a_name"),
        )

    def __str__(self) -> str:
        """The name."""
        return self.name

    def as_subject(self) -> audit.Subject:
        """This person as the audit trail names them."""
        return audit.Subject("user", self.pk, f"{self.name} <{self.email}>")

    @property
    def verified_phone(self) -> str:
        """The number, if it is proven to be this person's; any other number is nobody's yet."""
        return self.phone if self.phone == self.phone_verified else ""

    def take_phone(self, *, now: datetime) -> None:
        """The code sent to the number was typed: it is this person's."""
        self.phone_verified = self.phone
        self.save(update_fields=["phone_verified"])
        audit.record("phone verified", actor=self, subject=self.as_subject(), now=now, after={"phone": self.phone})

    def introduce(self, *, name: str, phone: str, now: datetime) -> None:
        """Change one's own name and phone number. Raises ValidationError with the field's name."""
        before = {"name": self.name, "phone": self.phone}
        self.name, self.phone = name.strip(), phone.strip()
        if self.phone != before["phone"]:
            self.phone_verified = ""
        self.full_clean()
        with transaction.atomic():
            self.save(update_fields=["name", "phone", "phone_verified"])
            after = {"name": self.name, "phone": self.phone}
            subject = self.as_subject()
            audit.record("own details changed", actor=self, subject=subject, now=now, before=before, after=after)

    def disable(self, *, by: User | None, now: datetime, reason: str = "") -> None:
        """No more log-in, no more rights, and every session ends at once. A person who acts gives a reason.

        Raises NotAllowed, LastAdministrator, ValidationError.
        """
        self._switch(active=False, by=by, now=now, reason=reason)

    def enable(self, *, by: User | None, now: datetime, reason: str = "") -> None:
        """May log in again, with the roles there were; earlier sessions stay ended. Raises NotAllowed, ValidationError.

        A person who acts gives a reason.
        """
        self._switch(active=True, by=by, now=now, reason=reason)

    def _switch(self, *, active: bool, by: User | None, now: datetime, reason: str) -> None:
        with transaction.atomic():
            if by is not None:
                require(by, Right.EDIT_USERS)
            if not active:
                keep_an_administrator(without=self)
            if by is not None and by.pk == self.pk:
                raise ValidationError("You cannot disable yourself. Ask another Administrator.")
            why = {"reason": reason_of(reason)} if by is not None else {}
            before, self.is_active = self.is_active, active
            self.save(update_fields=["is_active"])
            self.end_sessions()
            audit.record(
                "person enabled" if active else "person disabled",
                actor=by,
                subject=self.as_subject(),
                now=now,
                before={"is_active": before},
                after={"is_active": active, **why},
            )

    def log_out_everywhere(self, *, by: User, now: datetime) -> None:
        """An Administrator ends all sessions of this person, who may log in again. Raises NotAllowed."""
        with transaction.atomic():
            require(by, Right.EDIT_USERS)
            self.end_sessions()
            audit.record("sessions ended", actor=by, subject=self.as_subject(), now=now)

    def end_sessions(self) -> None:
        """Log this person out everywhere: each session carries a hash of the epoch and is refused from now on."""
        type(self).objects.filter(pk=self.pk).update(session_epoch=F("session_epoch") + 1)
        self.refresh_from_db(fields=["session_epoch"])

    def _get_session_auth_hash(self, secret: str | bytes | None = None) -> str:
        """What Django compares on every request; it also changes with the password."""
        value = f"{self.session_epoch}:{self.password}"
        return salted_hmac("deploynaut.accounts.session", value, secret=secret, algorithm="sha256").hexdigest()

    def clean(self) -> None:
        """Keep the address in lower case, which is how it is looked up."""
        self.email = self.email.lower()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refused: history names people for ever."""
        raise PeopleStay(f"{self.name} cannot be deleted, history names them. Disable them instead.")


class PeopleStay(Exception):
    """Somebody tried to delete a person."""


def keep_an_administrator(*, without: User) -> None:
    """Raise LastAdministrator when nobody else is an active Administrator. Call it inside the transaction."""
    # Locked, so that two Administrators cannot disable each other at the same moment.
    grants = without.grants.model.objects.select_for_update()
    holders = list(grants.filter(role=Role.ADMINISTRATOR, user__is_active=True).values_list("user_id", flat=True))
    if holders == [without.pk]:
        raise LastAdministrator(f"{without.name} is the only Administrator. Give the role to somebody else first.")


class LastAdministrator(Exception):
    """The act would leave the system without an Administrator."""
