"""Private SSH hosts on loopback addresses."""
