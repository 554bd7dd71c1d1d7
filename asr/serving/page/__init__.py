"""The page: its files, and the routes of the folder that it works in. The work itself is in `workspace/`."""
