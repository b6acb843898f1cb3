"""Tests of agents of other frameworks, with these and the scripted model server."""
