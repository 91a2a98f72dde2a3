"""The machinery under the actors: post office, mailboxes, timers, threads or steps."""
