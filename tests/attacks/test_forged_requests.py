"""RA35, RA40: headers and addresses that claim to be something else; doors that are not there."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

import pytest
from django.conf import settings
from django.core.management import get_commands
from django.test import Client
from django.urls import get_resolver

from deploynaut.accounts.models import AuditEntry, User
from deploynaut.deployments.models import Deployment
from tests.doors.world import World, make_world, routes

pytestmark = [pytest.mark.attacks, pytest.mark.django_db]


@pytest.fixture
def world(db: None) -> World:
    return make_world()


class TestHeaders:
    @pytest.mark.parametrize(
        "host", ["evil.example", "testserver.evil.example", "testserver:80@evil.example", "a b", ""]
    )
    def test_a_forged_host_is_refused(self, world: World, host: str) -> None:
        assert world.browser("Rob").get("/", HTTP_HOST=host).status_code == 400

    def test_what_proxies_say_is_not_believed_without_a_proxy(self, world: World) -> None:
        forged = {
            "X-Forwarded-For": "203.0.113.9",
            "X-Real-Ip": "203.0.113.9",
            "Forwarded": "for=203.0.113.9",
            "Cf-Connecting-Ip": "203.0.113.9",
            "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Prefix": "/evil",
        }
        fields = {"login": "rob@acme.example", "password": "wrong password"}
        answer = Client().post("/login/", fields, headers=forged)
        assert "evil" not in answer.content.decode()
        assert {entry.ip for entry in AuditEntry.objects.filter(action="log-in failed")} == {"127.0.0.1"}
        page = world.browser("Rob").get("/instances/acme/nowhere", headers=forged)
        assert "evil" not in page.headers.get("Location", "")
        assert not page.wsgi_request.is_secure()

    @pytest.mark.parametrize("header", ["X-Remote-User", "Remote-User", "X-User", "Authorization", "X-Auth-User"])
    def test_nobody_is_who_a_header_says(self, world: World, header: str) -> None:
        ada = User.objects.get(name="Ada")
        for value in ("ada@acme.example", str(ada.pk), "Ada", "Basic YWRhOmFkYQ==", f"Bearer {ada.pk}"):
            assert Client().get("/", headers={header: value}).status_code == 302
            assert world.browser("Rob").get("/users/", headers={header: value}).status_code == 403

    def test_no_header_or_field_makes_a_request_another_kind(self, world: World) -> None:
        where, ida = f"/instances/acme/uat/{world.open.number}/abort/", world.browser("Ida")
        for name in ("X-Http-Method-Override", "X-Http-Method", "X-Method-Override"):
            ida.get(where, headers={name: "POST"})
        ida.get(where, {"_method": "POST"})
        assert not Deployment.objects.get(pk=world.open.pk).run.abort_by
        assert ida.get("/instances/acme/-/fetch/", HTTP_X_HTTP_METHOD_OVERRIDE="POST").status_code == 405

    def test_who_acts_is_not_a_field(self, world: World) -> None:
        mia = User.objects.get(name="Mia")
        claims = {"by": mia.pk, "user": mia.pk, "user_id": mia.pk, "initiator": mia.pk, "actor": "Mia"}
        world.browser("Rob").post(f"/instances/acme/-/fetch/?user_id={mia.pk}", claims, HTTP_X_USER=str(mia.pk))
        entry = AuditEntry.objects.filter(subject_kind="instance").latest("pk")
        assert (entry.action, entry.actor_name) == ("fetch begun", "Rob")


class TestDoorsThatAreNotThere:
    def test_there_is_no_administration_site_of_django(self, world: World) -> None:
        assert "django.contrib.admin" not in settings.INSTALLED_APPS
        assert not any(str(pattern.pattern).strip("^/") == "admin" for pattern in get_resolver().url_patterns)
        for where in (
            "/admin/",
            "/admin/login/",
            "/django-admin/",
            "/accounts/login/",
            "/__debug__/",
            "/api/",
            "/media/",
        ):
            assert world.browser("Ada").get(where).status_code == 404, where

    @pytest.mark.parametrize(
        "aim",
        ["https://evil.example/", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example",
         "http:evil.example", "javascript:alert(1)", "https:/evil.example", " //evil.example", "/%09/evil.example",
         "https://testserver@evil.example/", "https://testserver.evil.example/", "data:text/html,x",
         "\t//evil.example"],
    )  # fmt: skip
    def test_no_form_sends_anybody_elsewhere(self, world: World, aim: str) -> None:
        fields = {"login": "rob@acme.example", "password": "four calm otters swim", "next": aim}
        places = [Client().post("/login/", fields).headers["Location"]]
        rob = world.browser("Rob")
        places.append(
            rob.post("/account/confirm/", {"password": "four calm otters swim", "next": aim}).headers.get(
                "Location", ""
            )
        )
        places.append(rob.post("/logout/", {"next": aim}).headers.get("Location", ""))
        # As a browser reads it: without tabs and line breaks, a backslash as a slash.
        read = [re.sub(r"[\t\r\n]", "", place).replace("\\", "/") for place in places]
        assert {urlsplit(urljoin("http://testserver/here/", place)).netloc for place in read} == {"testserver"}
        assert all(urljoin("http://testserver/here/", place).startswith("http://") for place in read)

    @pytest.mark.parametrize(
        "path",
        ["../settings.py", "..%2fsettings.py", "%2e%2e/settings.py", "..%252fsettings.py", "....//settings.py",
         "/etc/passwd", "..\\settings.py", "web/../../../settings.py", "%00", "web/%2e%2e/%2e%2e/%2e%2e/manage.py"],
    )  # fmt: skip
    @pytest.mark.parametrize("prefix", ["/static/", "/media/", "/"])
    def test_no_path_leads_out_of_the_static_files(self, world: World, prefix: str, path: str) -> None:
        answer = world.browser("Rob").get(f"{prefix}{path}")
        assert answer.status_code in (301, 302, 400, 404)
        assert b"SECRET_KEY" not in answer.content
        assert b"root:" not in answer.content

    def test_no_command_of_the_server_begins_approves_or_changes_roles(self) -> None:
        ours = {name for name, app in get_commands().items() if str(app).startswith("deploynaut")}
        words = ("deploy", "release", "approve", "grant", "role", "rollback", "abort", "password")
        assert not [name for name in ours if any(word in name for word in words)]
        assert "changepassword" not in ours

    def test_every_route_belongs_to_us_or_is_a_view_of_allauth_that_we_chose(self) -> None:
        modules = {pattern.callback.__module__.split(".")[0] for _, pattern in routes()}
        assert modules <= {"deploynaut", "allauth"}
