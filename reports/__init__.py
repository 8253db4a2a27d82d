"""What people see of runs and data sets: pages, pictures, tables."""
