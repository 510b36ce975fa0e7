"""Who may do what with the Compute API: Nova's rule names and defaults."""
