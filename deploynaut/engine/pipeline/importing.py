"""The original's pipeline templates (`PipelineConfig`, `Steps`, class names) in the form of the pipeline file.

Nothing is lost silently: the report says of each key of the template what became of it, with its place. The result is
a pipeline file that `parse` takes; what only a person can know (are these people users here?) is said, not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploynaut.engine.pipeline.import_report import Fate, Line, Report
from deploynaut.engine.pipeline.import_steps import Steps, take_steps
from deploynaut.engine.pipeline.import_texts import Texts, plain_words, take_recipients
from deploynaut.engine.pipeline.import_writing import write
from deploynaut.engine.pipeline.reading import Document, load
from deploynaut.engine.pipeline.spec import parse
from deploynaut.engine.pipeline.values import is_environment_name

__all__ = ["Fate", "Imported", "Line", "NotATemplate", "translate"]

CONFIG = "PipelineConfig"


class NotATemplate(ValueError):
    """The text is YAML, and no template of the original."""


@dataclass(frozen=True, slots=True)
class Imported:
    """`text`: our file. `report`: what became of each key. `production`: whom the file is for."""

    text: str
    report: tuple[Line, ...]
    production: bool


def translate(text: str, *, production: bool | None = None, name: str = "template.yml") -> Imported:
    """A template in our form. `production` None: as its steps say.

    Raises SpecError when it is not YAML that we read, NotATemplate when it is something else.
    """
    document = load(text, name)
    config, steps = document.value.get(CONFIG), document.value.get("Steps")
    if not isinstance(steps, dict) and not isinstance(config, dict):
        raise NotATemplate(f"{name} has neither `PipelineConfig` nor `Steps` with keys below them.")
    report = Report(document)
    config = config if isinstance(config, dict) else {}
    if production is None:
        production = _for_production(config, steps)
    made = _translated(document, config, report, production=production)
    parse(made, production=production)
    return Imported(made, report.in_order(), production)


def _for_production(config: Mapping[str, Any], steps: Any) -> bool:
    gates = ("UserConfirmationStep", "TriggerDeployStep", "EmergencyRollbackStep")
    found = [step.get("Class") if isinstance(step, dict) else step for step in _values(steps)]
    return bool(config.get("DependsOnEnvironment")) or any(gate in found for gate in gates)


def _values(steps: Any) -> list[Any]:
    return list(steps.values()) if isinstance(steps, dict) else []


def _translated(document: Document, config: Mapping[str, Any], report: Report, *, production: bool) -> str:
    steps = Steps(production=production)
    texts = Texts(production=production)
    _top(document.value, report)
    promote_from = _promotion(config, report, production=production)
    description = _description(config, report)
    take_recipients(config.get("Recipients"), (CONFIG, "Recipients"), texts, report)
    texts.take(config, (CONFIG,), report)
    steps.take_tests(config.get("Tests"), (CONFIG, "Tests"), report)
    take_steps(document.value.get("Steps"), steps, texts, report)
    _way_back(document.value, config, steps, report)
    _rest(config, report)
    return write(description=description, promote_from=promote_from, steps=steps, texts=texts)


def _top(value: Mapping[str, Any], report: Report) -> None:
    for key in value:
        if key not in (CONFIG, "Steps", "RollbackStep1", "RollbackStep2"):
            report.add(Fate.NOTHING_LIKE_IT, (key,), "the original reads no such key either")


def _promotion(config: Mapping[str, Any], report: Report, *, production: bool) -> str:
    wanted = config.get("DependsOnEnvironment")
    if "DependsOnProject" in config:
        words = "promotion is always within one instance: see that this is the one"
        report.add(Fate.DROPPED, (CONFIG, "DependsOnProject"), words)
    if wanted is None:
        return ""
    name = str(wanted).strip().lower()
    if not production:
        report.add(Fate.DROPPED, (CONFIG, "DependsOnEnvironment"), "only production environments promote")
        return ""
    if not is_environment_name(name):
        report.add(
            Fate.DROPPED, (CONFIG, "DependsOnEnvironment"), f"{name[:60]!r} cannot be the name of an environment"
        )
        return ""
    report.add(Fate.TRANSLATED, (CONFIG, "DependsOnEnvironment"), f"promote_from: {name}")
    return name


def _description(config: Mapping[str, Any], report: Report) -> str:
    if not isinstance(config.get("Description"), str):
        return ""
    words = " ".join(plain_words(config["Description"]).split())[:2_000]
    markup = "<" in config["Description"]
    report.add(Fate.TRANSLATED, (CONFIG, "Description"), "description" + (", as plain text" if markup else ""))
    return words


def _way_back(value: Mapping[str, Any], config: Mapping[str, Any], steps: Steps, report: Report) -> None:
    for key in ("RollbackStep1", "RollbackStep2"):
        for path, holder in (((key,), value), ((CONFIG, key), config)):
            if key in holder:
                _rollback_step(holder[key], path, steps, report)


def _rollback_step(step: Any, path: tuple[str, ...], steps: Steps, report: Report) -> None:
    report.add(Fate.DROPPED, path, "the way back and its smoke tests are always there")
    restore = step.get("RestoreDB") if isinstance(step, dict) else None
    if restore is not False and str(restore).lower() not in ("no", "off", "0", "false"):
        return
    if steps.production:
        report.add(Fate.NOTHING_LIKE_IT, (*path, "RestoreDB"), "on production the database goes back with the code")
    else:
        steps.keep_database = True
        report.add(Fate.TRANSLATED, (*path, "RestoreDB"), "on_failure: {database: keep}")


_REST = {
    "ServiceArguments": (Fate.DROPPED, "the sender of messages is a setting of the whole system"),
    "bypassProxy": (Fate.DROPPED, "smoke tests ask the site directly"),
}
_TAKEN = frozenset(
    {"DependsOnProject", "DependsOnEnvironment", "FilteredCommits", "Description", "Tests", "Recipients", "Messages"}
    | {"Subjects", "RollbackStep1", "RollbackStep2"}
)


def _rest(config: Mapping[str, Any], report: Report) -> None:
    wanted = config.get("FilteredCommits")
    if wanted == "DNFinishedCommits":
        words = "always so: what succeeded on `promote_from`, and was not withdrawn, may be chosen"
        report.add(Fate.TRANSLATED, (CONFIG, "FilteredCommits"), words)
    elif wanted is not None:
        words = "only what succeeded may be chosen for production"
        report.add(Fate.NOTHING_LIKE_IT, (CONFIG, "FilteredCommits"), words)
    for key in config:
        if key not in _TAKEN:
            fate, words = _REST.get(key, (Fate.NOTHING_LIKE_IT, "the original reads no such key either"))
            report.add(fate, (CONFIG, key), words)
