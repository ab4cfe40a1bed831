"""Makes a key pair: the private half is sealed before it is stored, the public half is shown."""

from __future__ import annotations

from deploynaut.engine.steps.base import StepResult
from deploynaut.instances.models import KeyPair
from deploynaut.instances.secrets import make_pair
from deploynaut.runs.models import Run
from deploynaut.runs.subjects import Work


def make_key(run: Run, work: Work) -> StepResult:
    """Once an owner: a pair that is there already is left as it is, so a repeated run changes nothing."""
    pair = KeyPair.objects.get(pk=run.subject_id)
    if not pair.public:
        public, fingerprint, sealed = make_pair(pair)
        KeyPair.objects.filter(pk=pair.pk, public="").update(
            public=public, fingerprint=fingerprint, sealed=sealed, made_at=work.clock()
        )
        pair.refresh_from_db()
    return StepResult(f"key {pair.fingerprint} is ready")
