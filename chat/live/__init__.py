"""Who watches: from committed events to each socket."""
