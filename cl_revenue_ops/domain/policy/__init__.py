"""Policies of peers, pure: what may be asked, what comes of it, what is told, what is suggested."""
