"""Methods and controls compared over seeds, in a run folder."""
