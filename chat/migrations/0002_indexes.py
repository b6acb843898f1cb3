"""Indexes for what is asked every few seconds, and fewer of them per token."""

from __future__ import annotations

from typing import Any, Final

import django.db.models.deletion
from django.db import migrations, models

# Keys whose own index repeats how a unique one begins.
KEYS: Final = (("event", "run"), ("step", "run"), ("run", "session"))


def drop_repeated(apps: Any, schema_editor: Any) -> None:
    """Drop the keys' own indexes. Not by AlterField: on SQLite it copies the tables."""
    connection = schema_editor.connection
    for name, key in KEYS:
        model = apps.get_model("chat", name)
        table, column = model._meta.db_table, model._meta.get_field(key).column
        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, table)
        for index, what in found.items():
            if what["columns"] == [column] and what["index"] and not what["unique"]:
                schema_editor.execute(f"DROP INDEX {schema_editor.quote_name(index)}")


def restore_repeated(apps: Any, schema_editor: Any) -> None:
    """Make them again, under the names that Django gives them."""
    for name, key in KEYS:
        model = apps.get_model("chat", name)
        field = model._meta.get_field(key)
        schema_editor.execute(schema_editor._create_index_sql(model, fields=[field]))


def without_index(model: str, key: str, to: str, related_name: str) -> migrations.AlterField:
    return migrations.AlterField(
        model_name=model,
        name=key,
        field=models.ForeignKey(
            db_index=False,
            on_delete=django.db.models.deletion.CASCADE,
            related_name=related_name,
            to=to,
        ),
    )


class Migration(migrations.Migration):

    dependencies = [("chat", "0001_initial")]

    operations = [
        migrations.AlterModelOptions("run", {"ordering": ["session_id", "number"]}),
        migrations.AlterModelOptions("step", {"ordering": ["run_id", "step"]}),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunPython(drop_repeated, restore_repeated),
            ],
            state_operations=[
                without_index("event", "run", "chat.run", "events"),
                without_index("step", "run", "chat.run", "steps"),
                without_index("run", "session", "chat.session", "runs"),
            ],
        ),
        migrations.RemoveIndex("run", "run_unfinished"),
        migrations.AddIndex(
            "run",
            models.Index(
                fields=["heartbeat"],
                name="run_heartbeat",
                condition=models.Q(status="running"),
            ),
        ),
        migrations.AddIndex(
            "run",
            models.Index(
                fields=["session", "created_at"],
                name="run_waiting",
                condition=models.Q(status="queued"),
            ),
        ),
        migrations.AddIndex(
            "run", models.Index(fields=["session", "finished_at"], name="run_end")
        ),
    ]
