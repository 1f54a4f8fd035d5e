"""From gate lists and rows of angles to the JSON of a job, in either of IonQ's gate sets and within its limits."""
