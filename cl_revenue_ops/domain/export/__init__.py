"""What is written out for others: rows for spreadsheets, and a journal for beancount."""
