"""Files and folders: read as data, and written whole or not at all."""
