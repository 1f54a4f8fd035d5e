"""IonQ's endpoints: requests, their documents, and what a status means for a job."""
