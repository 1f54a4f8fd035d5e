"""Finds jobs in IonQ's list by id or by key, and tells parent jobs from their children."""
