"""SQLite storage: the file and its care, numbered migrations, one repository per owner."""
