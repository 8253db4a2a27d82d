"""What people see of runs and datasets: pages, pictures, tables."""
