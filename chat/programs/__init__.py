"""Faces of the site for programs: the same runs and the same log as the page's."""
