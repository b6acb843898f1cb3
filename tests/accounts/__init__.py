"""Tests of chat/accounts."""
