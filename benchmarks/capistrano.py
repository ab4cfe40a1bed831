"""Capistrano 3, as its own documentation sets it up: one server, git by SSH with a forwarded agent, five releases."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.loopback import Loopback

CAPFILE = """
require "capistrano/setup"
require "capistrano/deploy"
require "capistrano/scm/git"
install_plugin Capistrano::SCM::Git
"""
DEPLOY = """
set :application, "site"
set :repo_url, "{repository}"
set :branch, "live"
set :deploy_to, "{base}"
set :keep_releases, 5
set :ssh_options, {{
  keys: ["{key}"], keys_only: true, auth_methods: ["publickey"], config: false, forward_agent: true,
  verify_host_key: :always, user_known_hosts_file: "{known}", global_known_hosts_file: "/dev/null"
}}
"""
STAGE = """
server "127.0.0.1", user: "{user}", port: {port}, roles: %w{{app web}}
"""


class Capistrano:
    """Deploys `live` of a repository to a base path of the host."""

    def __init__(self, host: Loopback, *, repository: Path, directory: Path, agent: str) -> None:
        program = shutil.which("cap")
        if not program:
            raise SystemExit("Capistrano is not installed. Install Debian's package capistrano.")
        self._program = program
        self._host = host
        self._directory = directory
        self._agent = agent
        self._repository = repository
        self.base = host.directory / "capistrano"
        self._configure(repository)

    def clear(self) -> None:
        """As on a new host."""
        shutil.rmtree(self.base, ignore_errors=True)
        self._host.own(self.base)

    def point(self, commit: str) -> None:
        """Move the branch `live` to the commit that is deployed next."""
        self._host.as_user("git", "-C", str(self._repository), "update-ref", "refs/heads/live", commit)

    def deploy(self) -> None:
        """A new release of what `live` is."""
        self._cap("deploy")

    def roll_back(self) -> None:
        """To the release before."""
        self._cap("deploy:rollback")

    def current(self) -> Path:
        """The live release."""
        return (self.base / "current").resolve()

    def _cap(self, task: str) -> None:
        words = [self._program, "production", task]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._directory),
            "LANG": "C.UTF-8",
            "SSH_AUTH_SOCK": self._agent,
        }
        done = subprocess.run(words, cwd=self._directory, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"Capistrano failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")

    def _configure(self, repository: Path) -> None:
        known = self._directory / "known_hosts"
        values = {
            "repository": f"ssh://{self._host.user}@127.0.0.1:{self._host.port}{repository}",
            "base": self.base,
            "key": self._host.key,
            "known": known,
            "user": self._host.user,
            "port": self._host.port,
        }
        (self._directory / "config" / "deploy").mkdir(parents=True)
        (self._directory / "Capfile").write_text(CAPFILE)
        (self._directory / "config" / "deploy.rb").write_text(DEPLOY.format(**values))
        (self._directory / "config" / "deploy" / "production.rb").write_text(STAGE.format(**values))
        known.write_text("".join(f"[127.0.0.1]:{self._host.port} {key}\n" for key in self._host.host_keys.values()))
