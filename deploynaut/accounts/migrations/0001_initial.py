"""People, their roles, the audit trail with the triggers that keep it append-only, the first Administrator's link."""

from __future__ import annotations

from typing import ClassVar

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import StateApps

from deploynaut.accounts.append_only import protect, release

AUDIT = "accounts_auditentry"


def protect_audit(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """From here on the database itself refuses to change or delete a row of the audit trail."""
    protect(AUDIT, schema_editor)


def release_audit(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """The way back."""
    release(AUDIT, schema_editor)


class Migration(migrations.Migration):
    """The first."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            name="User",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                (
                    "email",
                    models.EmailField(
                        error_messages={"unique": "That address is in use."},
                        max_length=254,
                        unique=True,
                        verbose_name="e-mail address",
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        max_length=100,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[^\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e"
                                "\\u2060-\\u206f\\ufeff\\ud800-\\udfff]+\\Z",
                                "A name is one line without control characters.",
                            )
                        ],
                        verbose_name="full name",
                    ),
                ),
                (
                    "phone",
                    models.CharField(
                        blank=True,
                        max_length=16,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A\\+[1-9][0-9]{5,14}\\Z",
                                "Write the number with its country code, as in +64215550000.",
                            )
                        ],
                    ),
                ),
                ("is_active", models.BooleanField(default=True)),
                ("session_epoch", models.PositiveIntegerField(default=0, editable=False)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("email", django.db.models.functions.text.Lower("email"))),
                        name="user_email_is_lower_case",
                    ),
                    models.CheckConstraint(condition=models.Q(("name", ""), _negated=True), name="user_has_a_name"),
                ],
            },
        ),
        migrations.CreateModel(
            name="FirstAdministratorLink",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("token_hash", models.CharField(max_length=64)),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("pk", 1)), name="first_administrator_one_link")
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("actor_name", models.CharField(max_length=500)),
                ("action", models.CharField(max_length=500)),
                ("subject_kind", models.CharField(max_length=40)),
                ("subject_id", models.BigIntegerField(null=True)),
                ("subject_text", models.CharField(blank=True, max_length=500)),
                ("before", models.JSONField(default=dict)),
                ("after", models.JSONField(default=dict)),
                ("ip", models.GenericIPAddressField(null=True)),
                ("result", models.CharField(choices=[("ok", "Ok"), ("denied", "Denied")], default="ok", max_length=6)),
                (
                    "actor",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-at", "-pk"),
                "indexes": [
                    models.Index(fields=["subject_kind", "subject_id", "at"], name="audit_subject"),
                    models.Index(fields=["at"], name="audit_at"),
                    models.Index(fields=["actor", "at"], name="audit_actor"),
                ],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("result__in", ["ok", "denied"])), name="audit_result")
                ],
            },
        ),
        migrations.CreateModel(
            name="Grant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("viewer", "Viewer"),
                            ("technical-staff", "Technical Staff"),
                            ("deployment-manager", "Deployment Manager"),
                            ("instance-manager", "Instance Manager"),
                            ("ops", "Ops"),
                            ("administrator", "Administrator"),
                        ],
                        max_length=20,
                    ),
                ),
                ("instance_id", models.BigIntegerField(null=True)),
                ("environment_id", models.BigIntegerField(null=True)),
                ("given_at", models.DateTimeField()),
                (
                    "given_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="grants", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["instance_id", "role"], name="grant_instance")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "role__in",
                                [
                                    "viewer",
                                    "technical-staff",
                                    "deployment-manager",
                                    "instance-manager",
                                    "ops",
                                    "administrator",
                                ],
                            )
                        ),
                        name="grant_role",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("environment_id", None), ("instance_id", None), ("role", "administrator")),
                            models.Q(
                                models.Q(("role", "administrator"), _negated=True), ("instance_id__isnull", False)
                            ),
                            _connector="OR",
                        ),
                        name="grant_administrator_is_system_wide",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("instance_id", None)), fields=("user", "role"), name="grant_once_system"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("environment_id", None), ("instance_id__isnull", False)),
                        fields=("user", "role", "instance_id"),
                        name="grant_once_instance",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("environment_id__isnull", False)),
                        fields=("user", "role", "instance_id", "environment_id"),
                        name="grant_once_environment",
                    ),
                ],
            },
        ),
        migrations.RunPython(protect_audit, release_audit),
    ]
