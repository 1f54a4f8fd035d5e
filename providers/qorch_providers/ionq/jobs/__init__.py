"""Jobs found again in IonQ's list: by id, by key, with parents told from their children."""
