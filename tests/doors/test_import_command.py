"""`manage.py import-pipeline`: from a file or the input, the result and the report apart."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.engine.test_pipeline_importing import PROD, PROD_OF_OURS, UAT, UAT_OF_OURS


def run(*words: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("import-pipeline", *words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("text", "ours", "kind"), [(PROD, PROD_OF_OURS, "production"), (UAT, UAT_OF_OURS, "test or UAT")]
)
def test_a_file_is_translated_and_reported(tmp_path: Path, text: str, ours: str, kind: str) -> None:
    (tmp_path / "t.yml").write_text(text, encoding="utf-8")
    out, err = run(str(tmp_path / "t.yml"))
    assert out == ours
    assert "t.yml:" in err
    assert f"Translated for {kind}." in err


def test_the_kind_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "t.yml").write_text(PROD, encoding="utf-8")
    out, err = run(str(tmp_path / "t.yml"), "--uat")
    assert "approval" not in out
    assert "approval is a step of production environments" in err


def test_the_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(UAT))
    assert run("-")[0] == UAT_OF_OURS


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"steps: [backup]", "has neither `PipelineConfig` nor `Steps`"),
        (b"Steps: &a {}", "t.yml:1:8: anchors"),
        (b"\xff\xfe", "cannot be read"),
        (b"#" * 70_000, "larger than 64 KB"),
    ],
)
def test_what_cannot_be_translated_is_said(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "t.yml").write_bytes(content)
    with pytest.raises(CommandError, match=words):
        run(str(tmp_path / "t.yml"))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        run(str(tmp_path / "none.yml"))
