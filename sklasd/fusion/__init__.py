"""Several detectors as one: members, front ends that they share, rules of fusion."""
