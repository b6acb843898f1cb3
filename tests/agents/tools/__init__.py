"""Tests of chat/agents/tools."""
