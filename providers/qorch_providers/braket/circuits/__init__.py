"""From gate lists and rows of angles to the body of a quantum task, in the gates that a device has and its limits."""
