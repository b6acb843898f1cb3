"""Who runs what: the verbs, and the runs that this process drives."""
