"""Accounts, by django-allauth: its views, where they are offered, and our part."""
