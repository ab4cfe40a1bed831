"""How a deployment ended, in one sentence for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploynaut.engine.pipeline import Mark, State, Status, StepStatus

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment

_STAYS = " The maintenance screen was up before and stays."


def outcome(deployment: Deployment, state: State) -> str:
    """What happened, what is live now, what became of the data, and which outage lay across the end."""
    told = _outcome(deployment, state)
    late = state.status in (Status.SUCCEEDED, Status.EXPIRED)
    return f"{told} {deployment.run.outage() if late else ''}".strip()


def _outcome(deployment: Deployment, state: State) -> str:
    cause = _sentence(state.cause)
    match state.status:
        case Status.SUCCEEDED:
            return f"Succeeded. {deployment.revision} is live on {deployment.environment}{_tests(deployment)}."
        case Status.REJECTED:
            return f"Rejected. {cause}The site was not touched."
        case Status.EXPIRED:
            return f"Expired: {cause}The site was not touched."
        case Status.ABORTED:
            return f"Aborted by {state.abort_by}. {_as_it_was(deployment)}{_STAYS if state.screen_was_up else ''}"
        case Status.FAILED if deployment.back_to is None and state.screened:
            data = "were left as they are" if state.code_only else "are as before"
            return f"Failed. {cause}There was nothing to go back to: the site shows its screen, the data {data}."
        case Status.FAILED:
            return f"Failed. {cause}The site was not changed. {_as_it_was(deployment)}"
        case Status.ROLLED_BACK:
            by = f" (aborted by {state.abort_by})" if state.abort_by else ""
            return f"Rolled back{by}. {cause}{_put_back(deployment, state)}"
        case Status.ROLLBACK_FAILED:
            return f"Rollback failed. {_where_it_stands(deployment, state)}It began with: {cause}Ops have been told."
        case _:
            return ""


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:].rstrip('.')}. " if text else ""


def _tests(deployment: Deployment) -> str:
    """What the tests of the live release said: excused ones by name."""
    tested = deployment.run.facts().get("smoke_tests", {})
    excused = tested.get("excused")
    if excused:
        return f". Excused, broken before too: {', '.join(excused)}; every other test passed"
    return "; no smoke tests are set up" if tested.get("findings") == [] else ", and every test passed"


def _where_it_stands(deployment: Deployment, state: State) -> str:
    """Why the way back failed; the steps say themselves where the screen is up, and first where it is not."""
    failed = deployment.run.steps.filter(back=True, status=StepStatus.FAILED).order_by("position").last()
    if failed is not None:
        return _sentence(failed.error)
    return f"{_STAYS.strip()} " if state.screen_was_up else ""


def _as_it_was(deployment: Deployment) -> str:
    live = type(deployment).objects.live_on([deployment.environment]).get(deployment.environment_id)
    return f"Release {live.number} ({live.revision}) is live as before." if live else "Nothing is live here yet."


def _put_back(deployment: Deployment, state: State) -> str:
    live = deployment.back_to
    code = f"Release {live.number} ({live.revision}) is live again and was tested." if live else ""
    steps = deployment.run.facts()
    database = steps.get("back:roll_back", {}).get("database", "")
    taken = steps.get("backup", {}).get("snapshot", {}) or {}
    if database == "restored" and (state.mark or 0) >= Mark.MIGRATING:
        return f"{code} The database is as of {str(taken.get('taken_at', ''))[11:19]} UTC, when the backup was made."
    return f"{code} The database was not changed back."
