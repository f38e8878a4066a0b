"""What can be said of examples without any label: groups, outliers, near-duplicates, what to label first."""
