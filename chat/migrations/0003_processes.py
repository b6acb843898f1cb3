"""A row per process; a run names the process that drives it instead of a heartbeat."""

from __future__ import annotations

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("chat", "0002_indexes")]

    operations = [
        migrations.CreateModel(
            name="Process",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=64)),
                ("role", models.CharField(default="both", max_length=8)),
                ("version", models.CharField(max_length=40)),
                ("slots", models.PositiveIntegerField()),
                ("running", models.PositiveIntegerField(default=0)),
                (
                    "started_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
                (
                    "heartbeat",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
                ("lock_no", models.IntegerField(default=0)),
                ("lock_pid", models.IntegerField(blank=True, null=True)),
            ],
            options={"ordering": ["id"], "verbose_name_plural": "processes"},
        ),
        migrations.RemoveIndex("run", "run_heartbeat"),
        migrations.RemoveField("run", "heartbeat"),
        # Not an alteration: what the names of processes were are no numbers. Runs that
        # were under way are thereby nobody's, and the next process goes on with them.
        migrations.RemoveField("run", "process"),
        migrations.AddField("run", "process", models.IntegerField(blank=True, null=True)),
        migrations.AddIndex(
            "run",
            models.Index(
                condition=models.Q(status="running"),
                fields=["process"],
                name="run_process",
            ),
        ),
    ]
