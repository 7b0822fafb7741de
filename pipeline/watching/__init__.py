"""What happens to a served model: figures, anomalies, drift, alerts, and what to do about them."""
