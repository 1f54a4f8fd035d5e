"""From gate lists and rows of angles to the body of a job: circuits in a device's own gates, on its own qubits."""
