"""`avsep page`: results in a browser, served from this machine."""
