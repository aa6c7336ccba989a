"""What training choices gain and what training costs; imports `harness.data` and `training`."""
