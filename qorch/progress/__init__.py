"""Progress of runs as a person sees it: a live line on a terminal or in a notebook, plain lines elsewhere."""
