"""What people are told and how: the gateways of the system, channels of an instance, each person's preferences."""
