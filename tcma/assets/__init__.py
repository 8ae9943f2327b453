"""What partners show: kits and their versions, brand profiles, co-branded files."""
