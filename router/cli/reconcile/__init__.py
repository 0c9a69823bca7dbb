"""`reconcile`: sweeps of the ERP for changes that no webhook reported."""
