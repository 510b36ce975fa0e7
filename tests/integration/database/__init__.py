"""The transactions, on SQLite, PostgreSQL and MariaDB."""
