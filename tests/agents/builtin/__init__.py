"""Tests of chat/agents/builtin."""
