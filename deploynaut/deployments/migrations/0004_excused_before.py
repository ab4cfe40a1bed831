"""Deployments of the version before say too whether a failing test was excused: such a one is not promoted."""

from typing import Any

from django.db import migrations


def excused(apps: Any, schema_editor: Any) -> None:
    """What their smoke tests wrote down becomes the column that promotion asks."""
    steps = apps.get_model("runs", "StepRun").objects.filter(kind="smoke_tests", back=False, run__kind="deployment")
    found = [run for run, facts in steps.values_list("run", "facts") if facts.get("excused")]
    apps.get_model("deployments", "Deployment").objects.filter(run__in=found).update(excused=True)


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0003_resolution"),
        ("runs", "0002_gates"),
    ]

    operations = [migrations.RunPython(excused, migrations.RunPython.noop)]
