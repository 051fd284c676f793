"""``remit serve``: the one place where the parts are joined."""
