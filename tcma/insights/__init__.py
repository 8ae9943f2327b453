"""learn: homes, the funnel, figures that link to their rows."""
