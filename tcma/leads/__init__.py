"""answer: landing pages, forms, scoring, the partner's inbox."""
