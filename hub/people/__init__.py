"""People who come by the list and people who leave: rosters, and deletion with a time of grace."""
